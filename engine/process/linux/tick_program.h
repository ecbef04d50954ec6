/* The eBPF program that runs in a thread's clock tick: what it is made from and what it writes. For
 * ticks.c alone. */
#ifndef BSK_PROCESS_LINUX_TICK_PROGRAM_H
#define BSK_PROCESS_LINUX_TICK_PROGRAM_H

#include "engine/process/linux/bytecode.h"
#include "engine/process/ticks.h"

enum {
    TICK_LAST = 1,     /* no further part of this stack follows */
    TICK_CUT = 2,      /* there were more frames */
    TICK_FAULT = 4,    /* something could not be read */
    TICK_GARBAGE = 8,  /* the chain bit its own tail, or had an owner that none has */
    TICK_HOLDS = 32,   /* the lock */
    TICK_BUSY = 64,    /* collects garbage */
    TICK_NO_STATE = 16 /* the thread has no state in the lists */
};

struct tick_head { /* at the start of each record of the ring; frames follow */
    uint32_t tid;  /* in the target's own PID namespace */
    uint32_t flags;
    uint64_t time_ns, period_ns, state, owner;
    uint32_t part; /* from 0: a deep stack comes in several */
    uint32_t count;
};

enum { TICK_PART_FRAMES = 1000 }; /* a per-CPU value of 32 KiB holds no more */

struct tick_scratch {   /* one for each CPU */
    uint64_t frame;     /* the next one to read */
    uint64_t must_meet; /* a frame that the chain has to pass; 0: it did, or there is none */
    uint64_t last_code, last_place;
    uint32_t witness, last_copy;
    uint32_t count, kept; /* kept: of those that are there while a way on is looked for */
    struct tick_head head;
    struct bsk_tick_frame frames[TICK_PART_FRAMES];
};

struct tick_state { /* what is known of a thread, by TID in the target's own namespace */
    uint64_t state, owner, number;
    uint32_t flags; /* TICK_OF_* */
    uint32_t unused;
};

enum { TICK_OF_OWN_CLOCK = 1, TICK_OF_NO_ONE = 2 };

struct tick_counters {
    uint64_t lost, unknown;
};

struct tick_program {
    const struct bsk_tick_recipe *recipe;
    int states_fd, scratch_fd, counters_fd, ring_fd;
    uint64_t namespace_device, namespace_inode; /* of the target's PID namespace */
    uint32_t pid_inside;
    bool short_walk;   /* for kernels without bpf_loop(), before 5.17 */
    bool machine_wide; /* for the clocks of CPUs: threads with a clock of their own are left out */
    /* answers */
    struct bsk_bytecode code;
    uint32_t step_at; /* where the function that reads one frame begins */
};

/* False: the recipe is absurd (a frame that does not fit). */
bool tick_program_write(struct tick_program *program);

#endif
