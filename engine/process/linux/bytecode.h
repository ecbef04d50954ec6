/*
 * Writes eBPF instructions one by one, with labels to jump to. For tick_program.c alone.
 *
 * Helpers' numbers are the kernel's ABI; they are named here since an older header lacks the newer
 * ones.
 */
#ifndef BSK_PROCESS_LINUX_BYTECODE_H
#define BSK_PROCESS_LINUX_BYTECODE_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BSK_CALL_LOOKUP = 1,
    BSK_CALL_UPDATE = 2,
    BSK_CALL_TIME = 5,
    BSK_CALL_TAIL = 12,
    BSK_CALL_NS_PID = 120,
    BSK_CALL_READ_USER = 112,
    BSK_CALL_RING_OUTPUT = 130,
    BSK_CALL_LOOP = 181, /* 5.17 */
};

enum {
    BSK_CODE_MAX = 8192,
    BSK_LABELS_MAX = 512,
    BSK_JUMPS_MAX = 1024
}; /* a program has some 2,500; on arm64, with more registers, 4,000 */

struct bsk_bytecode {
    struct bpf_insn at[BSK_CODE_MAX];
    uint32_t count;
    int32_t labels[BSK_LABELS_MAX]; /* instruction, or -1 */
    uint32_t label_count;
    struct bsk_jump {
        uint32_t at;
        int label;
        bool is_function; /* the target goes into `imm`: the address of a function */
    } jumps[BSK_JUMPS_MAX];
    uint32_t jump_count;
    bool broken; /* it did not fit */
};

void bsk_code_begin(struct bsk_bytecode *code);
/* Fills in the jumps. False: it did not fit, or a label was never set. */
bool bsk_code_end(struct bsk_bytecode *code);

int bsk_code_label(struct bsk_bytecode *code); /* a new one, not set yet */
void bsk_code_set(struct bsk_bytecode *code, int label);

void bsk_code_put(struct bsk_bytecode *code, uint8_t op, int dst, int src, int16_t off,
                  int32_t imm);
/* dst = src, dst = value, dst op= src, dst op= value; `op` is BPF_ADD and its like, 64 bits. */
void bsk_code_move(struct bsk_bytecode *code, int dst, int src);
void bsk_code_value(struct bsk_bytecode *code, int dst, int32_t value);
void bsk_code_do(struct bsk_bytecode *code, uint8_t op, int dst, int src);
void bsk_code_do_value(struct bsk_bytecode *code, uint8_t op, int dst, int32_t value);
/* `size` is BPF_B, BPF_H, BPF_W or BPF_DW. */
void bsk_code_load(struct bsk_bytecode *code, uint8_t size, int dst, int src, int off);
void bsk_code_store(struct bsk_bytecode *code, uint8_t size, int dst, int off, int src);
void bsk_code_store_value(struct bsk_bytecode *code, uint8_t size, int dst, int off, int32_t value);
/* A 64-bit constant; `kind` 0, or BPF_PSEUDO_MAP_FD and its like. */
void bsk_code_wide(struct bsk_bytecode *code, int dst, int kind, uint64_t value);
void bsk_code_function(struct bsk_bytecode *code, int dst, int label);
void bsk_code_call_function(struct bsk_bytecode *code, int label);
void bsk_code_call(struct bsk_bytecode *code, int helper);
void bsk_code_exit(struct bsk_bytecode *code);
/* if (dst op src) goto label; `op` is BPF_JEQ and its like, 64 bits. */
void bsk_code_jump(struct bsk_bytecode *code, int label);
void bsk_code_if(struct bsk_bytecode *code, uint8_t op, int dst, int src, int label);
void bsk_code_if_value(struct bsk_bytecode *code, uint8_t op, int dst, int32_t value, int label);

#endif
