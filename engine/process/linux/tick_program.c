/*
 * The program, written instruction by instruction since the recipe is known only at run time and
 * neither a compiler nor the kernel's type information is needed that way.
 *
 * main:  is this our process? find the thread's state, check that it is still that, read the top,
 *        have `step` called for one frame after the other, send what was gathered.
 * step:  reads one frame, writes it down, goes on to the one before.
 *
 * A read of memory that is not there fails and is said; nothing waits, nothing faults.
 */
#include "engine/process/linux/tick_program.h"

#include <linux/bpf_perf_event.h>
#include <linux/perf_event.h>

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP };

/* Places on main's stack. */
enum {
    AT_TID = -8, /* struct bpf_pidns_info: pid, tgid */
    AT_TGID = -4,
    AT_KEY = -16,
    AT_SCRATCH = -24, /* what `step` is given */
    AT_NUMBER = -32,
    AT_WORD = -40,
    AT_OTHER = -48,
    AT_LOCK = -64, /* 16 bytes */
    AT_OWNER = -72,
    AT_ENTRY = -112, /* struct tick_state */
    AT_CONTEXT = -120,
    AT_BEFORE = -128, /* the top of the evaluation before this one */
    AT_FIRST = -136,  /* the first frame ever, where the chain has to pass it; or 0 */
    AT_INNER = -144,  /* the structure that an indirect top lies in */
    AT_CHAIN = -152,  /* the owner whose states are searched */
    AT_ANY = -160,    /* see search() */
    AT_KEPT = -168,   /* the state that counts where the search finds no better one */
};

enum {
    FRAME_MAX_BYTES = 160,
    C_STACK_FRAMES_BYTES = 1 << 20, /* between two evaluations */
    STATE_BYTES = 4096,
    BEGIN_BYTES = 192, /* of the evaluating function, until its structure is filled in */
    PUSH_BYTES = 17,   /* before, it has not even moved the stack pointer */
    C_FRAME_BYTES =
        384,          /* its structure lies this near to the stack pointer, its caller's does not */
    TRY_FRAMES = 900, /* fewer than a part holds: what leads nowhere is never sent */
    SEARCH_MAX = 32,  /* states and owners looked at for a thread; new ones come first */
};

#define SCRATCH(field) ((int)offsetof(struct tick_scratch, field))
#define ENTRY(field) ((int)offsetof(struct tick_state, field))

/* R0 = 0 when `size` bytes at `base` + offset lie at `to` on the stack. */
static void read_user(struct bsk_bytecode *code, int to, int32_t size, int base, int32_t offset)
{
    bsk_code_move(code, R3, base);
    if (offset)
        bsk_code_do_value(code, BPF_ADD, R3, offset);
    bsk_code_move(code, R1, FP);
    bsk_code_do_value(code, BPF_ADD, R1, to);
    bsk_code_value(code, R2, size);
    bsk_code_call(code, BSK_CALL_READ_USER);
}

static void look_up(struct bsk_bytecode *code, int map_fd, int key)
{
    bsk_code_wide(code, R1, BPF_PSEUDO_MAP_FD, (uint32_t)map_fd);
    bsk_code_move(code, R2, FP);
    bsk_code_do_value(code, BPF_ADD, R2, key);
    bsk_code_call(code, BSK_CALL_LOOKUP);
}

static void count_one(struct bsk_bytecode *code, int map_fd, size_t offset)
{
    bsk_code_wide(code, R1, BPF_PSEUDO_MAP_VALUE, (uint32_t)map_fd | (uint64_t)offset << 32);
    bsk_code_value(code, R2, 1);
    bsk_code_put(code, BPF_STX | BPF_ATOMIC | BPF_DW, R1, R2, 0, BPF_ADD);
}

static void add_flag(struct bsk_bytecode *code, int scratch, int32_t flag)
{
    bsk_code_load(code, BPF_W, R1, scratch, SCRATCH(head.flags));
    bsk_code_do_value(code, BPF_OR, R1, flag);
    bsk_code_store(code, BPF_W, scratch, SCRATCH(head.flags), R1);
}

/* Sends the head and the first R8 frames (bounded); R0 = 0 when it went. */
static void send(struct tick_program *program, int scratch)
{
    struct bsk_bytecode *code = &program->code;
    bsk_code_store(code, BPF_W, scratch, SCRATCH(head.count), R8);
    bsk_code_do_value(code, BPF_MUL, R8, sizeof(struct bsk_tick_frame));
    bsk_code_do_value(code, BPF_ADD, R8, sizeof(struct tick_head));
    bsk_code_wide(code, R1, BPF_PSEUDO_MAP_FD, (uint32_t)program->ring_fd);
    bsk_code_move(code, R2, scratch);
    bsk_code_do_value(code, BPF_ADD, R2, SCRATCH(head));
    bsk_code_move(code, R3, R8);
    bsk_code_value(code, R4, BPF_RB_NO_WAKEUP);
    bsk_code_call(code, BSK_CALL_RING_OUTPUT);
}

/* Into R8: the state of the thread whose number is at AT_TID; AT_NUMBER and AT_WORD hold its
 * number and owner then. Where AT_ANY is 0, only one that may run. What cannot be read is 0, which
 * leads on by itself: each branch less is time that the kernel does not need to check the program.
 */
static void search(struct tick_program *program, int found, int nowhere)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    int loop = bsk_code_label(code), look = bsk_code_label(code), next = bsk_code_label(code);
    int any = bsk_code_label(code), step = bsk_code_label(code);
    bsk_code_wide(code, R6, 0, recipe->owners_at);
    read_user(code, AT_CHAIN, 8, R6, 0);
    bsk_code_load(code, BPF_DW, R6, FP, AT_CHAIN);
    read_user(code, AT_WORD, 8, R6, (int32_t)recipe->owner_states);
    bsk_code_load(code, BPF_DW, R8, FP, AT_WORD);
    bsk_code_value(code, R9, 0);
    bsk_code_set(code, loop); /* over states and owners alike */
    bsk_code_if_value(code, BPF_JNE, R8, 0, look);
    bsk_code_load(code, BPF_DW, R6, FP, AT_CHAIN);
    read_user(code, AT_CHAIN, 8, R6, (int32_t)recipe->owner_next);
    bsk_code_load(code, BPF_DW, R6, FP, AT_CHAIN);
    bsk_code_if_value(code, BPF_JEQ, R6, 0, nowhere);
    read_user(code, AT_WORD, 8, R6, (int32_t)recipe->owner_states);
    bsk_code_load(code, BPF_DW, R8, FP, AT_WORD);
    bsk_code_jump(code, step);
    bsk_code_set(code, look);
    read_user(code, AT_NUMBER, 8, R8, (int32_t)recipe->state_number);
    bsk_code_load(code, BPF_DW, R1, FP, AT_NUMBER);
    if (recipe->number_tid) {
        bsk_code_move(code, R6, R1);
        bsk_code_store_value(code, BPF_DW, FP, AT_OTHER, 0);
        read_user(code, AT_OTHER, 4, R6, (int32_t)recipe->number_tid);
        bsk_code_load(code, BPF_W, R1, FP, AT_OTHER);
    }
    bsk_code_load(code, BPF_W, R2, FP, AT_TID);
    bsk_code_if(code, BPF_JNE, R1, R2, next);
    if (recipe->state_runs) {
        bsk_code_load(code, BPF_DW, R1, FP, AT_ANY);
        bsk_code_if_value(code, BPF_JNE, R1, 0, any);
        bsk_code_store_value(code, BPF_DW, FP, AT_OTHER, 0);
        read_user(code, AT_OTHER, 4, R8, (int32_t)recipe->state_runs);
        bsk_code_load(code, BPF_W, R1, FP, AT_OTHER);
        bsk_code_if_value(code, BPF_JNE, R1, 1, next);
    }
    bsk_code_set(code, any);
    read_user(code, AT_WORD, 8, R8, (int32_t)recipe->state_owner);
    bsk_code_if_value(code, BPF_JEQ, R0, 0, found);
    bsk_code_set(code, next);
    read_user(code, AT_WORD, 8, R8, (int32_t)recipe->state_next);
    bsk_code_load(code, BPF_DW, R8, FP, AT_WORD);
    bsk_code_set(code, step);
    bsk_code_do_value(code, BPF_ADD, R9, 1);
    bsk_code_if_value(code, BPF_JLT, R9, SEARCH_MAX, loop);
    bsk_code_jump(code, nowhere);
}

/* The state R8 that is known of the thread may be another than the one it runs with: goes to
 * `known` when it is the one, or the thread has no other, else on, with AT_ANY 0. */
static void look_for_other_states(struct tick_program *program, int known)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    if (!recipe->state_runs) {
        bsk_code_jump(code, known);
        return;
    }
    bsk_code_wide(code, R9, 0, recipe->owners_at);
    read_user(code, AT_CHAIN, 8, R9, 0);
    bsk_code_load(code, BPF_DW, R9, FP, AT_CHAIN);
    read_user(code, AT_WORD, 8, R9, (int32_t)recipe->owner_next);
    bsk_code_load(code, BPF_DW, R1, FP, AT_WORD);
    bsk_code_if_value(code, BPF_JEQ, R1, 0, known); /* there is but one owner */
    bsk_code_store_value(code, BPF_DW, FP, AT_OTHER, 0);
    read_user(code, AT_OTHER, 4, R8, (int32_t)recipe->state_runs);
    bsk_code_load(code, BPF_W, R1, FP, AT_OTHER);
    bsk_code_if_value(code, BPF_JEQ, R1, 1, known);
    bsk_code_store(code, BPF_DW, FP, AT_KEPT, R8);
    /* 0 of the values that there are; for the kernel it may be 1 as well, and the search is checked
     * but once. */
    bsk_code_do_value(code, BPF_RSH, R1, 2);
    bsk_code_store(code, BPF_DW, FP, AT_ANY, R1);
}

/* R9 = an address of the recipe's that may depend on the owner. */
static void load_address(struct bsk_bytecode *code, uint64_t at, uint32_t far)
{
    if (far) {
        bsk_code_load(code, BPF_DW, R9, FP, AT_OWNER);
        bsk_code_do_value(code, BPF_ADD, R9, (int32_t)far);
    } else {
        bsk_code_wide(code, R9, 0, at);
    }
}

/* Does the state R8 hold its lock, and does it collect garbage? What cannot be read is not said. */
static void look_at_lock(struct tick_program *program)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    int end = bsk_code_label(code);
    if (recipe->lock_at || recipe->lock_far) {
        load_address(code, recipe->lock_at, recipe->lock_far);
        read_user(code, AT_LOCK, 16, R9, 0);
        bsk_code_if_value(code, BPF_JNE, R0, 0, end);
        bsk_code_load(code, BPF_DW, R1, FP, AT_LOCK);
        bsk_code_if(code, BPF_JNE, R1, R8, end);
        bsk_code_load(code, BPF_W, R1, FP, AT_LOCK + 8);
    } else if (recipe->state_runs) {
        bsk_code_store_value(code, BPF_DW, FP, AT_LOCK, 0);
        read_user(code, AT_LOCK, 4, R8, (int32_t)recipe->state_runs);
        bsk_code_if_value(code, BPF_JNE, R0, 0, end);
        bsk_code_load(code, BPF_W, R1, FP, AT_LOCK);
    }
    if (recipe->lock_at || recipe->lock_far || recipe->state_runs) {
        bsk_code_if_value(code, BPF_JNE, R1, 1, end);
        add_flag(code, R7, TICK_HOLDS);
        if (recipe->busy_at || recipe->busy_far) {
            load_address(code, recipe->busy_at, recipe->busy_far);
            bsk_code_store_value(code, BPF_DW, FP, AT_LOCK, 0);
            read_user(code, AT_LOCK, 4, R9, 0);
            bsk_code_if_value(code, BPF_JNE, R0, 0, end);
            bsk_code_load(code, BPF_W, R1, FP, AT_LOCK);
            bsk_code_if_value(code, BPF_JEQ, R1, 0, end);
            add_flag(code, R7, TICK_BUSY);
        }
    }
    bsk_code_set(code, end);
}

/* Has `step` called, so many times at most, from the frame on that the scratch names. */
static void walk(const struct tick_program *program, struct bsk_bytecode *code, int step,
                 int32_t frames)
{
    if (!program->short_walk) {
        bsk_code_value(code, R1, frames);
        bsk_code_function(code, R2, step);
        bsk_code_move(code, R3, FP);
        bsk_code_do_value(code, BPF_ADD, R3, AT_SCRATCH);
        bsk_code_value(code, R4, 0);
        bsk_code_call(code, BSK_CALL_LOOP);
        return;
    }
    int again = bsk_code_label(code), end = bsk_code_label(code);
    bsk_code_value(code, R9, 0);
    bsk_code_set(code, again);
    bsk_code_value(code, R1, 0);
    bsk_code_move(code, R2, FP);
    bsk_code_do_value(code, BPF_ADD, R2, AT_SCRATCH);
    bsk_code_call_function(code, step);
    bsk_code_if_value(code, BPF_JNE, R0, 0, end);
    bsk_code_do_value(code, BPF_ADD, R9, 1);
    bsk_code_if_value(code, BPF_JLT, R9, BSK_TICK_SHORT_DEPTH, again);
    bsk_code_set(code, end);
}

/* Which frame the chain of the state R8 has to pass: scratch.must_meet. Where that cannot be told,
 * none. */
static void set_must_meet(struct tick_program *program)
{
    enum { CHUNKS_MAX = 16 };
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    int loop = bsk_code_label(code), oldest = bsk_code_label(code), end = bsk_code_label(code);
    if (!recipe->stack)
        return;
    read_user(code, AT_LOCK, 16, R8, (int32_t)recipe->stack); /* newest chunk, top */
    bsk_code_if_value(code, BPF_JNE, R0, 0, end);
    bsk_code_load(code, BPF_DW, R9, FP, AT_LOCK);
    bsk_code_if_value(code, BPF_JEQ, R9, 0, end);
    bsk_code_value(code, R6, 0);
    bsk_code_set(code, loop);
    read_user(code, AT_WORD, 8, R9, 0);
    bsk_code_if_value(code, BPF_JNE, R0, 0, end);
    bsk_code_load(code, BPF_DW, R1, FP, AT_WORD);
    bsk_code_if_value(code, BPF_JEQ, R1, 0, oldest);
    bsk_code_move(code, R9, R1);
    bsk_code_do_value(code, BPF_ADD, R6, 1);
    bsk_code_if_value(code, BPF_JLT, R6, CHUNKS_MAX, loop);
    bsk_code_jump(code, end);
    bsk_code_set(code, oldest);
    bsk_code_do_value(code, BPF_ADD, R9, (int32_t)recipe->stack_first);
    bsk_code_load(code, BPF_DW, R1, FP, AT_LOCK + 8);
    bsk_code_if(code, BPF_JLE, R1, R9, end); /* nothing is on it */
    bsk_code_store(code, BPF_DW, R7, SCRATCH(must_meet), R9);
    bsk_code_store(code, BPF_DW, FP, AT_FIRST, R9);
    bsk_code_set(code, end);
}

/* Walks from R8 on; goes to `done` when the chain passes the first frame of all. */
static void try_from(struct tick_program *program, int step, int done, int hopeless)
{
    struct bsk_bytecode *code = &program->code;
    bsk_code_store(code, BPF_DW, R7, SCRATCH(frame), R8);
    bsk_code_load(code, BPF_DW, R1, FP, AT_FIRST);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(must_meet), R1);
    bsk_code_load(code, BPF_W, R1, R7, SCRATCH(kept));
    bsk_code_store(code, BPF_W, R7, SCRATCH(count), R1);
    bsk_code_store_value(code, BPF_DW, R7, SCRATCH(last_code), 0);
    bsk_code_load(code, BPF_W, R1, R7, SCRATCH(head.flags));
    bsk_code_do_value(code, BPF_AND, R1, ~(TICK_FAULT | TICK_GARBAGE));
    bsk_code_store(code, BPF_W, R7, SCRATCH(head.flags), R1);
    walk(program, code, step, TRY_FRAMES);
    bsk_code_load(code, BPF_DW, R1, R7, SCRATCH(must_meet));
    bsk_code_if_value(code, BPF_JEQ, R1, 0, done);
    bsk_code_load(code, BPF_W, R1, R7, SCRATCH(head.part));
    bsk_code_if_value(code, BPF_JNE, R1, 0, hopeless);
}

#ifdef __aarch64__
enum { REGISTERS = 29, WORD_SP = 31, WORD_PC = 32 }; /* struct user_pt_regs */
#else
enum { REGISTERS = 15, WORD_PC = 16, WORD_SP = 19 }; /* struct pt_regs; r15 to rdi */
#endif

/* Is the chain's next frame in a register? R6: the context. */
static void try_registers(struct tick_program *program, int step, bool backwards, int done,
                          int hopeless)
{
    struct bsk_bytecode *code = &program->code;
    for (int i = 0; i < REGISTERS; i++) {
        int next = bsk_code_label(code);
        bsk_code_load(code, BPF_DW, R8, R6, (backwards ? REGISTERS - 1 - i : i) * 8);
        bsk_code_if_value(code, BPF_JSET, R8, 7, next);
        bsk_code_if_value(code, BPF_JEQ, R8, 0, next);
        try_from(program, step, done, hopeless);
        bsk_code_set(code, next);
    }
}

/* Does a register lead to the structure of the evaluation before? It lies further up on the C
 * stack. */
static void try_evaluations(struct tick_program *program, int step, int done, int hopeless)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    for (int i = 0; i < REGISTERS; i++) {
        int next = bsk_code_label(code), linked = bsk_code_label(code);
        bsk_code_load(code, BPF_DW, R8, R6, i * 8);
        bsk_code_if_value(code, BPF_JSET, R8, 7, next);
        bsk_code_load(code, BPF_DW, R9, FP, AT_INNER);
        bsk_code_move(code, R1, R8);
        bsk_code_do(code, BPF_SUB, R1, R9);
        bsk_code_if_value(code, BPF_JEQ, R1, 0, next);
        bsk_code_if_value(code, BPF_JGT, R1, C_STACK_FRAMES_BYTES, next);
        read_user(code, AT_LOCK, 16, R8, (int32_t)recipe->indirect);
        bsk_code_if_value(code, BPF_JNE, R0, 0, next);
        bsk_code_load(code, BPF_DW, R1, FP, AT_LOCK + 8);
        bsk_code_if(code, BPF_JGT, R1, R8, linked); /* to one further up, or to the first, */
        bsk_code_load(code, BPF_DW, R2, R7, SCRATCH(head.state)); /* which is in the state */
        bsk_code_do(code, BPF_SUB, R1, R2);
        bsk_code_if_value(code, BPF_JGT, R1, STATE_BYTES, next);
        bsk_code_set(code, linked);
        bsk_code_load(code, BPF_DW, R8, FP, AT_LOCK);
        bsk_code_if_value(code, BPF_JEQ, R8, 0, next);
        try_from(program, step, done, hopeless);
        bsk_code_set(code, next);
    }
}

/* The chain did not pass where it must. If it ended clean, its last frame has been unlinked and the
 * next one is in a register; if it did not, the top was never one. */
static void mend(struct tick_program *program, int step, int done, int begins)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    int clean = bsk_code_label(code), broken = bsk_code_label(code);
    int hopeless = bsk_code_label(code);
    if (!program->short_walk) { /* each walk would have to be checked by the kernel */
        bsk_code_load(code, BPF_W, R1, R7, SCRATCH(head.part));
        bsk_code_if_value(code, BPF_JNE, R1, 0, hopeless);
        bsk_code_load(code, BPF_DW, R1, FP, AT_FIRST);
        bsk_code_if_value(code, BPF_JEQ, R1, 0, hopeless);
        bsk_code_load(code, BPF_DW, R6, FP, AT_CONTEXT);
        bsk_code_load(code, BPF_W, R1, R7, SCRATCH(head.flags));
        bsk_code_if_value(code, BPF_JSET, R1, TICK_FAULT | TICK_GARBAGE, broken);
        bsk_code_load(code, BPF_W, R1, R7, SCRATCH(count));
        bsk_code_store(code, BPF_W, R7, SCRATCH(kept), R1);
        bsk_code_jump(code, clean);
        bsk_code_set(code, broken);
        bsk_code_store_value(code, BPF_W, R7, SCRATCH(kept), 0);
        bsk_code_set(code, clean);
        try_registers(program, step, false, done, hopeless);
        bsk_code_store_value(code, BPF_W, R7, SCRATCH(kept), 0);
        if (recipe->top_indirect) {
            try_evaluations(program, step, done, hopeless);
            bsk_code_load(code, BPF_DW, R8, FP, AT_BEFORE);
            bsk_code_if_value(code, BPF_JEQ, R8, 0, hopeless);
            try_from(program, step, done, hopeless);
            bsk_code_jump(code, hopeless);
            /* An evaluation has only just begun: the frame that it is for may not be linked yet, so
             * the one that called is looked for first. Its arguments are in the last registers. */
            bsk_code_set(code, begins);
            bsk_code_store_value(code, BPF_W, R7, SCRATCH(kept), 0);
            bsk_code_load(code, BPF_DW, R1, FP, AT_FIRST);
            bsk_code_if_value(code, BPF_JEQ, R1, 0, hopeless);
            bsk_code_load(code, BPF_DW, R6, FP, AT_CONTEXT);
            try_evaluations(program, step, done, hopeless);
            try_registers(program, step, true, done, hopeless);
        }
    } else {
        bsk_code_set(code, begins);
    }
    bsk_code_set(code, hopeless);
    add_flag(code, R7, TICK_GARBAGE);
    bsk_code_jump(code, done);
}

static void write_main(struct tick_program *program, int step)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    int out = bsk_code_label(code), searching = bsk_code_label(code), known = bsk_code_label(code);
    int found = bsk_code_label(code), nowhere = bsk_code_label(code), done = bsk_code_label(code);
    int fault = bsk_code_label(code), sent = bsk_code_label(code);
    int mending = bsk_code_label(code), cut = bsk_code_label(code);
    int begins = bsk_code_label(code);

    bsk_code_move(code, R6, R1);
    bsk_code_store(code, BPF_DW, FP, AT_CONTEXT, R6);
    bsk_code_wide(code, R1, 0, program->namespace_device);
    bsk_code_wide(code, R2, 0, program->namespace_inode);
    bsk_code_move(code, R3, FP);
    bsk_code_do_value(code, BPF_ADD, R3, AT_TID);
    bsk_code_value(code, R4, 8);
    bsk_code_call(code, BSK_CALL_NS_PID);
    bsk_code_if_value(code, BPF_JNE, R0, 0, out);
    bsk_code_load(code, BPF_W, R1, FP, AT_TGID);
    bsk_code_if_value(code, BPF_JNE, R1, (int32_t)program->pid_inside, out);

    bsk_code_store_value(code, BPF_W, FP, AT_KEY, 0);
    look_up(code, program->scratch_fd, AT_KEY);
    bsk_code_if_value(code, BPF_JEQ, R0, 0, out);
    bsk_code_move(code, R7, R0);
    bsk_code_store(code, BPF_DW, FP, AT_SCRATCH, R7);
    bsk_code_value(code, R1, 0);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(last_code), R1);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(must_meet), R1);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(frame), R1);
    bsk_code_store(code, BPF_DW, FP, AT_BEFORE, R1);
    bsk_code_store(code, BPF_DW, FP, AT_FIRST, R1);
    bsk_code_store(code, BPF_DW, FP, AT_KEPT, R1);
    bsk_code_value(code, R2, 1);
    bsk_code_store(code, BPF_DW, FP, AT_ANY, R2);
    bsk_code_store(code, BPF_W, R7, SCRATCH(count), R1);
    bsk_code_store(code, BPF_W, R7, SCRATCH(head.flags), R1);
    bsk_code_store(code, BPF_W, R7, SCRATCH(head.part), R1);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(head.state), R1);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(head.owner), R1);
    bsk_code_load(code, BPF_W, R1, FP, AT_TID);
    bsk_code_store(code, BPF_W, R7, SCRATCH(head.tid), R1);
    bsk_code_load(code, BPF_DW, R1, R6, offsetof(struct bpf_perf_event_data, sample_period));
    bsk_code_store(code, BPF_DW, R7, SCRATCH(head.period_ns), R1);
    bsk_code_call(code, BSK_CALL_TIME);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(head.time_ns), R0);

    look_up(code, program->states_fd, AT_TID);
    bsk_code_if_value(code, BPF_JEQ, R0, 0, searching);
    bsk_code_load(code, BPF_W, R1, R0, ENTRY(flags));
    bsk_code_do_value(code, BPF_AND, R1,
                      program->machine_wide ? TICK_OF_NO_ONE | TICK_OF_OWN_CLOCK : TICK_OF_NO_ONE);
    bsk_code_if_value(code, BPF_JNE, R1, 0, out);
    bsk_code_load(code, BPF_DW, R8, R0, ENTRY(state));
    bsk_code_load(code, BPF_DW, R9, R0, ENTRY(owner));
    bsk_code_store(code, BPF_DW, FP, AT_OWNER, R9);
    bsk_code_load(code, BPF_DW, R1, R0, ENTRY(number));
    bsk_code_store(code, BPF_DW, FP, AT_NUMBER, R1);
    read_user(code, AT_WORD, 8, R8, (int32_t)recipe->state_owner);
    bsk_code_if_value(code, BPF_JNE, R0, 0, searching);
    bsk_code_load(code, BPF_DW, R1, FP, AT_WORD);
    bsk_code_if(code, BPF_JNE, R1, R9, searching);
    read_user(code, AT_WORD, 8, R8, (int32_t)recipe->state_number);
    bsk_code_if_value(code, BPF_JNE, R0, 0, searching);
    bsk_code_load(code, BPF_DW, R1, FP, AT_WORD);
    bsk_code_load(code, BPF_DW, R2, FP, AT_NUMBER);
    bsk_code_if(code, BPF_JNE, R1, R2, searching);
    look_for_other_states(program, known);

    bsk_code_set(code, searching);
    search(program, found, nowhere);

    bsk_code_set(code, nowhere);
    bsk_code_load(code, BPF_DW, R1, FP, AT_ANY);
    bsk_code_load(code, BPF_DW, R8, FP, AT_KEPT);
    bsk_code_if_value(code, BPF_JEQ, R1, 0, known);
    count_one(code, program->counters_fd, offsetof(struct tick_counters, unknown));
    add_flag(code, R7, TICK_NO_STATE);
    bsk_code_jump(code, done);

    bsk_code_set(code, found);
    bsk_code_store(code, BPF_DW, FP, AT_ENTRY + ENTRY(state), R8);
    bsk_code_load(code, BPF_DW, R1, FP, AT_WORD);
    bsk_code_store(code, BPF_DW, FP, AT_OWNER, R1);
    bsk_code_load(code, BPF_DW, R2, FP, AT_ANY); /* a choice is for this tick alone */
    bsk_code_if_value(code, BPF_JEQ, R2, 0, known);
    bsk_code_store(code, BPF_DW, FP, AT_ENTRY + ENTRY(owner), R1);
    bsk_code_load(code, BPF_DW, R1, FP, AT_NUMBER);
    bsk_code_store(code, BPF_DW, FP, AT_ENTRY + ENTRY(number), R1);
    bsk_code_store_value(code, BPF_DW, FP, AT_ENTRY + ENTRY(flags),
                         program->machine_wide ? 0 : TICK_OF_OWN_CLOCK);
    bsk_code_wide(code, R1, BPF_PSEUDO_MAP_FD, (uint32_t)program->states_fd);
    bsk_code_move(code, R2, FP);
    bsk_code_do_value(code, BPF_ADD, R2, AT_TID);
    bsk_code_move(code, R3, FP);
    bsk_code_do_value(code, BPF_ADD, R3, AT_ENTRY);
    bsk_code_value(code, R4, BPF_ANY);
    bsk_code_call(code, BSK_CALL_UPDATE);

    bsk_code_set(code, known);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(head.state), R8);
    bsk_code_load(code, BPF_DW, R1, FP, AT_OWNER);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(head.owner), R1);
    look_at_lock(program);
    set_must_meet(program);
    read_user(code, AT_WORD, 8, R8, (int32_t)recipe->state_top);
    bsk_code_if_value(code, BPF_JNE, R0, 0, fault);
    bsk_code_load(code, BPF_DW, R8, FP, AT_WORD);
    if (recipe->top_indirect) {
        int outermost = bsk_code_label(code);
        bsk_code_if_value(code, BPF_JEQ, R8, 0, done);
        bsk_code_store(code, BPF_DW, FP, AT_INNER, R8);
        read_user(code, AT_LOCK, 16, R8, (int32_t)recipe->indirect); /* its top, the one before */
        bsk_code_if_value(code, BPF_JNE, R0, 0, fault);
        bsk_code_load(code, BPF_DW, R8, FP, AT_LOCK);
        bsk_code_load(code, BPF_DW, R9, FP, AT_LOCK + 8);
        bsk_code_if_value(code, BPF_JEQ, R9, 0, outermost);
        read_user(code, AT_WORD, 8, R9, (int32_t)recipe->indirect);
        bsk_code_if_value(code, BPF_JNE, R0, 0, outermost);
        bsk_code_load(code, BPF_DW, R1, FP, AT_WORD);
        bsk_code_if_value(code, BPF_JEQ, R1, 0, outermost);
        bsk_code_store(code, BPF_DW, FP, AT_BEFORE, R1);
        bsk_code_store(code, BPF_DW, R7, SCRATCH(must_meet), R1);
        bsk_code_set(code, outermost);
        if (recipe->evaluate && !program->short_walk) {
            int settled = bsk_code_label(code);
            bsk_code_load(code, BPF_DW, R1, FP, AT_CONTEXT);
            bsk_code_load(code, BPF_DW, R2, R1, WORD_PC * 8);
            bsk_code_load(code, BPF_DW, R3, R1, WORD_SP * 8);
            bsk_code_wide(code, R4, 0, recipe->evaluate);
            bsk_code_do(code, BPF_SUB, R2, R4);
            bsk_code_if_value(code, BPF_JLT, R2, PUSH_BYTES, settled);
            bsk_code_if_value(code, BPF_JGE, R2, BEGIN_BYTES, settled);
            bsk_code_load(code, BPF_DW, R1, FP, AT_INNER);
            bsk_code_do(code, BPF_SUB, R1, R3);
            bsk_code_if_value(code, BPF_JLT, R1, C_FRAME_BYTES, begins);
            bsk_code_set(code, settled);
        }
    }
    bsk_code_store(code, BPF_DW, R7, SCRATCH(frame), R8);
    walk(program, code, step, BSK_TICK_MAX_DEPTH);
    bsk_code_load(code, BPF_W, R1, R7, SCRATCH(head.flags));
    bsk_code_if_value(code, BPF_JSET, R1, TICK_FAULT | TICK_GARBAGE, mending);
    bsk_code_load(code, BPF_DW, R1, R7, SCRATCH(frame));
    bsk_code_if_value(code, BPF_JNE, R1, 0, cut);
    bsk_code_load(code, BPF_DW, R1, R7, SCRATCH(must_meet));
    bsk_code_if_value(code, BPF_JEQ, R1, 0, done);
    bsk_code_set(code, mending);
    bsk_code_load(code, BPF_DW, R1, R7, SCRATCH(must_meet));
    bsk_code_if_value(code, BPF_JEQ, R1, 0, done);
    mend(program, step, done, begins);

    bsk_code_set(code, cut);
    add_flag(code, R7, TICK_CUT);
    bsk_code_jump(code, done);

    bsk_code_set(code, fault);
    add_flag(code, R7, TICK_FAULT);
    bsk_code_set(code, done);
    add_flag(code, R7, TICK_LAST);
    bsk_code_load(code, BPF_W, R8, R7, SCRATCH(count));
    bsk_code_if_value(code, BPF_JGT, R8, TICK_PART_FRAMES, out);
    send(program, R7);
    bsk_code_if_value(code, BPF_JEQ, R0, 0, sent);
    count_one(code, program->counters_fd, offsetof(struct tick_counters, lost));
    bsk_code_set(code, sent);
    bsk_code_set(code, out);
    bsk_code_value(code, R0, 0);
    bsk_code_exit(code);
}

/* R2 = the frame's place, wherever it is kept. */
static void load_place(const struct bsk_tick_recipe *recipe, struct bsk_bytecode *code, int frame,
                       uint32_t low)
{
    bsk_code_load(code, recipe->place_is_int ? BPF_W : BPF_DW, R2, FP,
                  frame + (int)(recipe->place - low));
}

/* What tells code apart whose words are the same goes behind the words; R9 is the code, R8 is lost.
 */
static void write_witness_more(const struct bsk_tick_recipe *recipe, struct bsk_bytecode *code,
                               int words)
{
    int more = words + (int)recipe->witness_words * 8;
    bsk_code_store_value(code, BPF_DW, FP, more, 0);
    if (recipe->witness_int) {
        read_user(code, more, 4, R9, (int32_t)recipe->witness_int);
        bsk_code_load(code, BPF_DW, R1, FP, more);
        bsk_code_do_value(code, BPF_LSH, R1, 3); /* a word's lowest bits do not count */
        bsk_code_store(code, BPF_DW, FP, more, R1);
    } else if (recipe->witness_far) {
        bsk_code_load(code, BPF_DW, R8, FP, words + 8);
        read_user(code, more, 8, R8, (int32_t)recipe->witness_far);
    }
}

static void write_step(struct tick_program *program, uint32_t low, uint32_t bytes)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    struct bsk_bytecode *code = &program->code;
    int frame = -(int)bytes, words = frame - 40;
    int stop = bsk_code_label(code), go_on = bsk_code_label(code), fault = bsk_code_label(code);
    int garbage = bsk_code_label(code), fresh = bsk_code_label(code), same = bsk_code_label(code);
    int room = bsk_code_label(code), went = bsk_code_label(code);
    int elsewhere = bsk_code_label(code);

    bsk_code_load(code, BPF_DW, R6, R2, 0);
    bsk_code_load(code, BPF_DW, R7, R6, SCRATCH(frame));
    bsk_code_if_value(code, BPF_JEQ, R7, 0, stop);
    bsk_code_if_value(code, BPF_JSET, R7, 7, garbage);
    read_user(code, frame, (int32_t)bytes, R7, (int32_t)low);
    bsk_code_if_value(code, BPF_JNE, R0, 0, fault);
    bsk_code_load(code, BPF_DW, R8, FP, frame + (int)(recipe->previous - low));
    bsk_code_if(code, BPF_JEQ, R8, R7, garbage);
    bsk_code_store(code, BPF_DW, R6, SCRATCH(frame), R8);
    bsk_code_load(code, BPF_DW, R1, R6, SCRATCH(must_meet));
    bsk_code_if(code, BPF_JNE, R1, R7, elsewhere);
    bsk_code_store_value(code, BPF_DW, R6, SCRATCH(must_meet), 0);
    bsk_code_set(code, elsewhere);
    if (recipe->owner) {
        bsk_code_load(code, BPF_B, R1, FP, frame + (int)(recipe->owner - low));
        bsk_code_if_value(code, BPF_JGT, R1, 31, garbage);
        bsk_code_value(code, R2, 1);
        bsk_code_do(code, BPF_LSH, R2, R1);
        bsk_code_if_value(code, BPF_JSET, R2, (int32_t)recipe->skip_owners, go_on);
    }
    bsk_code_load(code, BPF_DW, R9, FP, frame + (int)(recipe->code - low));
    if (recipe->code_mask)
        bsk_code_do_value(code, BPF_AND, R9, (int32_t)~recipe->code_mask);
    /* A frame that is still being made, on fresh memory: only a register leads to it. */
    bsk_code_if_value(code, BPF_JEQ, R9, 0, garbage);
    if (!recipe->place_is_int) {
        load_place(recipe, code, frame, low);
        bsk_code_if_value(code, BPF_JEQ, R2, 0, garbage);
    }

    /* The same code at the same place as the frame above: recursion, which counts instead. */
    bsk_code_load(code, BPF_DW, R1, R6, SCRATCH(last_code));
    bsk_code_if(code, BPF_JNE, R1, R9, fresh);
    bsk_code_load(code, BPF_DW, R1, R6, SCRATCH(last_place));
    load_place(recipe, code, frame, low);
    bsk_code_if(code, BPF_JNE, R1, R2, same);
    if (recipe->copy_index) {
        bsk_code_load(code, BPF_W, R1, R6, SCRATCH(last_copy));
        bsk_code_load(code, BPF_W, R2, FP, frame + (int)(recipe->copy_index - low));
        bsk_code_if(code, BPF_JNE, R1, R2, same);
    }
    bsk_code_load(code, BPF_W, R1, R6, SCRATCH(count));
    bsk_code_do_value(code, BPF_SUB, R1, 1);
    bsk_code_if_value(code, BPF_JGT, R1, TICK_PART_FRAMES - 1, same);
    bsk_code_do_value(code, BPF_MUL, R1, sizeof(struct bsk_tick_frame));
    bsk_code_do(code, BPF_ADD, R1, R6);
    bsk_code_load(code, BPF_H, R2, R1, SCRATCH(frames[0].repeat));
    bsk_code_if_value(code, BPF_JEQ, R2, UINT16_MAX, same);
    bsk_code_do_value(code, BPF_ADD, R2, 1);
    bsk_code_store(code, BPF_H, R1, SCRATCH(frames[0].repeat), R2);
    bsk_code_jump(code, go_on);

    bsk_code_set(code, fresh);
    if (recipe->witness_words) {
        read_user(code, words, (int32_t)recipe->witness_words * 8, R9, (int32_t)recipe->witness);
        bsk_code_if_value(code, BPF_JNE, R0, 0, fault);
        write_witness_more(recipe, code, words);
        bsk_code_value(code, R1, 0);
        for (uint32_t i = 0; i <= recipe->witness_words; i++) { /* bsk_tick_witness() */
            bsk_code_load(code, BPF_DW, R2, FP, words + (int)i * 8);
            bsk_code_do_value(code, BPF_RSH, R2, 3);
            bsk_code_do(code, BPF_ADD, R1, R2);
            bsk_code_do_value(code, BPF_MUL, R1, 0x2c1b3c6d);
            bsk_code_move(code, R2, R1);
            bsk_code_do_value(code, BPF_RSH, R2, 29);
            bsk_code_do(code, BPF_XOR, R1, R2);
        }
        bsk_code_store(code, BPF_W, R6, SCRATCH(witness), R1);
    }
    bsk_code_set(code, same);
    bsk_code_load(code, BPF_W, R7, R6, SCRATCH(count));
    bsk_code_if_value(code, BPF_JLT, R7, TICK_PART_FRAMES, room);
    bsk_code_value(code, R8, TICK_PART_FRAMES);
    send(program, R6);
    bsk_code_if_value(code, BPF_JEQ, R0, 0, went);
    count_one(code, program->counters_fd, offsetof(struct tick_counters, lost));
    bsk_code_set(code, went);
    bsk_code_load(code, BPF_W, R1, R6, SCRATCH(head.part));
    bsk_code_do_value(code, BPF_ADD, R1, 1);
    bsk_code_store(code, BPF_W, R6, SCRATCH(head.part), R1);
    bsk_code_value(code, R7, 0);
    bsk_code_set(code, room);
    bsk_code_move(code, R1, R7);
    bsk_code_do_value(code, BPF_ADD, R1, 1);
    bsk_code_store(code, BPF_W, R6, SCRATCH(count), R1);
    bsk_code_do_value(code, BPF_MUL, R7, sizeof(struct bsk_tick_frame));
    bsk_code_do(code, BPF_ADD, R7, R6);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(frames[0].code), R9);
    bsk_code_store(code, BPF_DW, R6, SCRATCH(last_code), R9);
    load_place(recipe, code, frame, low);
    bsk_code_store(code, BPF_DW, R7, SCRATCH(frames[0].place), R2);
    bsk_code_store(code, BPF_DW, R6, SCRATCH(last_place), R2);
    bsk_code_load(code, BPF_W, R1, R6, SCRATCH(witness));
    bsk_code_store(code, BPF_W, R7, SCRATCH(frames[0].witness), R1);
    bsk_code_value(code, R1, 0);
    if (recipe->copy_index)
        bsk_code_load(code, BPF_W, R1, FP, frame + (int)(recipe->copy_index - low));
    bsk_code_store(code, BPF_W, R6, SCRATCH(last_copy), R1);
    bsk_code_store(code, BPF_H, R7, SCRATCH(frames[0].copy_index), R1);
    bsk_code_value(code, R1, 1);
    bsk_code_store(code, BPF_H, R7, SCRATCH(frames[0].repeat), R1);
    bsk_code_set(code, go_on);
    bsk_code_value(code, R0, 0);
    bsk_code_exit(code);

    bsk_code_set(code, fault);
    add_flag(code, R6, TICK_FAULT);
    bsk_code_jump(code, stop);
    bsk_code_set(code, garbage);
    add_flag(code, R6, TICK_GARBAGE);
    bsk_code_set(code, stop);
    bsk_code_value(code, R0, 1);
    bsk_code_exit(code);
}

uint32_t bsk_tick_witness(const uint64_t *words, size_t count, uint64_t more)
{
    uint64_t hash = 0;
    for (size_t i = 0; i <= count; i++) {
        hash = (hash + ((i < count ? words[i] : more) >> 3)) * 0x2c1b3c6d;
        hash ^= hash >> 29;
    }
    return (uint32_t)hash;
}

static void widen(uint32_t *low, uint32_t *high, uint32_t from, uint32_t bytes)
{
    *low = from < *low ? from : *low;
    *high = from + bytes > *high ? from + bytes : *high;
}

bool tick_program_write(struct tick_program *program)
{
    const struct bsk_tick_recipe *recipe = program->recipe;
    uint32_t low = recipe->previous & ~7U, high = recipe->previous + 8;
    widen(&low, &high, recipe->code, 8);
    widen(&low, &high, recipe->place & ~7U, 8);
    if (recipe->owner)
        widen(&low, &high, recipe->owner, 1);
    if (recipe->copy_index)
        widen(&low, &high, recipe->copy_index, 4);
    high = (high + 7) & ~7U;
    if (high - low > FRAME_MAX_BYTES || low % 8 != 0 || recipe->witness_words > 4)
        return false;
    bsk_code_begin(&program->code);
    int step = bsk_code_label(&program->code);
    write_main(program, step);
    bsk_code_set(&program->code, step);
    program->step_at = program->code.count;
    write_step(program, low, high - low);
    return bsk_code_end(&program->code);
}
