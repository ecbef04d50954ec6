#include "engine/process/linux/bytecode.h"

#include <string.h>

void bsk_code_begin(struct bsk_bytecode *code)
{
    memset(code, 0, sizeof(*code));
    memset(code->labels, 0xff, sizeof(code->labels));
}

int bsk_code_label(struct bsk_bytecode *code)
{
    if (code->label_count == BSK_LABELS_MAX) {
        code->broken = true;
        return 0;
    }
    return (int)code->label_count++;
}

void bsk_code_set(struct bsk_bytecode *code, int label)
{
    code->labels[label] = (int32_t)code->count;
}

void bsk_code_put(struct bsk_bytecode *code, uint8_t op, int dst, int src, int16_t off, int32_t imm)
{
    if (code->count == BSK_CODE_MAX) {
        code->broken = true;
        return;
    }
    code->at[code->count++] = (struct bpf_insn){ .code = op,
                                                 .dst_reg = (uint8_t)dst & 15,
                                                 .src_reg = (uint8_t)src & 15,
                                                 .off = off,
                                                 .imm = imm };
}

void bsk_code_move(struct bsk_bytecode *code, int dst, int src)
{
    bsk_code_do(code, BPF_MOV, dst, src);
}

void bsk_code_value(struct bsk_bytecode *code, int dst, int32_t value)
{
    bsk_code_do_value(code, BPF_MOV, dst, value);
}

void bsk_code_do(struct bsk_bytecode *code, uint8_t op, int dst, int src)
{
    bsk_code_put(code, BPF_ALU64 | BPF_X | op, dst, src, 0, 0);
}

void bsk_code_do_value(struct bsk_bytecode *code, uint8_t op, int dst, int32_t value)
{
    bsk_code_put(code, BPF_ALU64 | BPF_K | op, dst, 0, 0, value);
}

void bsk_code_load(struct bsk_bytecode *code, uint8_t size, int dst, int src, int off)
{
    bsk_code_put(code, BPF_LDX | BPF_MEM | size, dst, src, (int16_t)off, 0);
}

void bsk_code_store(struct bsk_bytecode *code, uint8_t size, int dst, int off, int src)
{
    bsk_code_put(code, BPF_STX | BPF_MEM | size, dst, src, (int16_t)off, 0);
}

void bsk_code_store_value(struct bsk_bytecode *code, uint8_t size, int dst, int off, int32_t value)
{
    bsk_code_put(code, BPF_ST | BPF_MEM | size, dst, 0, (int16_t)off, value);
}

void bsk_code_wide(struct bsk_bytecode *code, int dst, int kind, uint64_t value)
{
    /* BPF_LD and BPF_IMM are 0 */
    bsk_code_put(code, BPF_DW, dst, kind, 0, (int32_t)(uint32_t)value);
    bsk_code_put(code, 0, 0, 0, 0, (int32_t)(uint32_t)(value >> 32));
}

static void remember_jump(struct bsk_bytecode *code, int label, bool is_function)
{
    if (code->jump_count == BSK_JUMPS_MAX) {
        code->broken = true;
        return;
    }
    code->jumps[code->jump_count++] =
        (struct bsk_jump){ .at = code->count, .label = label, .is_function = is_function };
}

void bsk_code_function(struct bsk_bytecode *code, int dst, int label)
{
    remember_jump(code, label, true);
    bsk_code_wide(code, dst, BPF_PSEUDO_FUNC, 0);
}

void bsk_code_call_function(struct bsk_bytecode *code, int label)
{
    remember_jump(code, label, true);
    bsk_code_put(code, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
}

void bsk_code_call(struct bsk_bytecode *code, int helper)
{
    bsk_code_put(code, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

void bsk_code_exit(struct bsk_bytecode *code)
{
    bsk_code_put(code, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

void bsk_code_jump(struct bsk_bytecode *code, int label)
{
    remember_jump(code, label, false);
    bsk_code_put(code, BPF_JMP | BPF_JA, 0, 0, 0, 0);
}

void bsk_code_if(struct bsk_bytecode *code, uint8_t op, int dst, int src, int label)
{
    remember_jump(code, label, false);
    bsk_code_put(code, BPF_JMP | BPF_X | op, dst, src, 0, 0);
}

void bsk_code_if_value(struct bsk_bytecode *code, uint8_t op, int dst, int32_t value, int label)
{
    remember_jump(code, label, false);
    bsk_code_put(code, BPF_JMP | BPF_K | op, dst, 0, 0, value);
}

bool bsk_code_end(struct bsk_bytecode *code)
{
    for (uint32_t i = 0; i < code->jump_count && !code->broken; i++) {
        const struct bsk_jump *jump = &code->jumps[i];
        int32_t target = code->labels[jump->label];
        if (target < 0)
            return false;
        int32_t distance = target - (int32_t)jump->at - 1;
        if (jump->is_function)
            code->at[jump->at].imm = distance;
        else
            code->at[jump->at].off = (int16_t)distance;
    }
    return !code->broken;
}
