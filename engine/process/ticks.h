/*
 * Stacks read by the kernel, in the target's own clock tick.
 *
 * Each thread has a clock that counts its CPU time (perf, software cpu-clock). When a period of it
 * is over, the kernel interrupts the thread and runs a small eBPF program of ours there: it follows
 * a chain of records in the thread's memory and puts what it finds into a ring that we read later.
 * The thread stands still meanwhile, so the chain is of one instant, and the instants are evenly
 * spread over its CPU time: nothing is torn and nothing is preferred.
 *
 * This room does not know what the chain means; struct bsk_tick_recipe says where its links lie.
 *
 * Needs CAP_BPF and CAP_PERFMON (or root), Linux 5.8 or newer; before 5.17 only stacks of
 * BSK_TICK_SHORT_DEPTH are read whole.
 *
 * Ownership: bsk_ticks_open() borrows the process, which must outlive it; bsk_ticks_close() accepts
 * NULL. What a callback is given lives until it returns. Threads: one at a time.
 */
#ifndef BSK_PROCESS_TICKS_H
#define BSK_PROCESS_TICKS_H

#include "engine/process/process.h"

enum {
    BSK_TICK_MAX_DEPTH = 16384, /* links followed; a stack that has more is cut and says so */
    BSK_TICK_SHORT_DEPTH = 512, /* before Linux 5.17 */
    BSK_TICK_MAX_HZ = 20000,    /* the kernel's own limit is one tick in 10 us of CPU time */
};

/* Where the links lie, in bytes from the start of the structure that is named. */
struct bsk_tick_recipe {
    /* the state of a thread: one structure for each, linked by `state_next` from the word at
     * `owner_states` of its owner; owners are linked by `owner_next` (may be 0) from the word at
     * the address `owners_at` */
    uint64_t owners_at;
    uint32_t owner_next, owner_states;
    uint32_t state_next, state_owner, state_top;
    uint32_t state_number; /* a word that names the thread: its TID, or an address, see below */
    uint32_t number_tid;   /* 0: the word is the TID; else the TID lies this far behind it */
    bool top_indirect;     /* `top` points to a structure that has the top at `indirect` */
    uint32_t indirect;
    /* Where the chain must pass, or it is no whole chain: there are moments, an instruction or two
     * long, in which the top is not in place yet (an indirect top: the structure's second word
     * leads to the one before it, whose top the chain must meet), or a frame is unlinked before it
     * is off the top (`stack`: the state's word that leads to its newest chunk, a list by first
     * word; the next one is the top of that; the first frame ever lies `stack_first` behind the
     * oldest chunk). Then what the thread is just about to store is looked for in its registers. 0:
     * no such word. */
    uint32_t stack, stack_first;
    /* The function that evaluates: in its first bytes the indirect top is that of nobody. */
    uint64_t evaluate;
    /* a frame of the chain */
    uint32_t previous, code, place;
    bool place_is_int;    /* `place` has 4 bytes, not 8 */
    uint32_t owner;       /* one byte; 0: there is none */
    uint32_t skip_owners; /* bit n: a frame whose owner is n is no frame */
    uint32_t copy_index;  /* 4 bytes; 0: there is none */
    uint64_t code_mask;   /* bits of `code` that are no address */
    /* who may run: a lock whose first word is the state that holds it or held it last, whose second
     * one (an int) is 1 while it is held; and an int that is not 0 while the holder collects
     * garbage.
     * `_far`: from the start of the thread's owner; else `_at` is an address. Both 0: there is
     * none. `state_runs`: an int in the state of a thread that is 1 while it may run; it stands for
     * the lock where there is none, and tells which state counts where a thread has several. */
    uint64_t lock_at, busy_at;
    uint32_t lock_far, busy_far;
    uint32_t state_runs; /* 0: there is none */
    /* what the code is: words whose hash comes with each frame, to tell it from a later one at the
     * same address. Allocators give out the same addresses again and again, so pointers alone do
     * not tell: an int of the code that no two have (`witness_int`), else a word that lies
     * `witness_far` behind what its second word points to; 0: there is none. */
    uint32_t witness, witness_words; /* at most 4 words */
    uint32_t witness_int, witness_far;
};

/* The hash that comes with a frame, of `count` words and of the int or word that tells more (0:
 * there is none). */
uint32_t bsk_tick_witness(const uint64_t *words, size_t count, uint64_t more);

struct bsk_tick_thread {
    pid_t tid, tid_inside; /* as struct bsk_thread has them */
    uint64_t state, owner; /* of its state: the address, and the word that `state_owner` holds */
    bool ignored;          /* no ticks for this one */
};

struct bsk_tick_frame { /* as the program writes it */
    uint64_t code, place;
    uint32_t witness;
    uint16_t copy_index;
    uint16_t repeat; /* so many frames in turn were the same, 1 or more */
};

struct bsk_tick {
    pid_t tid;   /* 0 where it cannot be told: not listed, and in another PID namespace */
    bool listed; /* it is in the list of threads */
    pid_t tid_inside;
    uint64_t time_ns;   /* CLOCK_MONOTONIC */
    uint64_t period_ns; /* CPU time that it stands for */
    uint64_t state;     /* address of the thread's state; 0: it has none */
    uint64_t owner;     /* of that state */
    bool holds_lock;    /* when it ticked */
    bool busy;          /* and collected garbage */
    bool cut;           /* deeper than can be read: outermost frames are missing */
    bool unread;        /* memory was paged out, or the chain was garbage: what there is, is right,
                           and more is missing */
    const struct bsk_tick_frame *frames; /* innermost first */
    size_t count;                        /* of entries, each with its `repeat` */
};

struct bsk_tick_counts {
    uint64_t ticks;   /* handed out */
    uint64_t lost;    /* the ring was full, or a part of a stack was lost */
    uint64_t unknown; /* on threads whose state was not found */
    uint64_t unread, cut;
};

struct bsk_ticks;

/* Fails with BSK_E_PERMISSION (what is missing, and how to get it), BSK_E_UNSUPPORTED when this
 * kernel cannot, BSK_E_MEMORY. No thread ticks before bsk_ticks_follow(). */
int bsk_ticks_open(struct bsk_process *process, const struct bsk_tick_recipe *recipe,
                   uint32_t rate_hz, struct bsk_ticks **out_ticks, struct bsk_error *err);
void bsk_ticks_close(struct bsk_ticks *ticks);

/* Brings the clocks in line with the list of threads: starts those of new threads, ends those of
 * threads that are not in it (any more). Fails when no clock at all could be started. */
int bsk_ticks_follow(struct bsk_ticks *ticks, const struct bsk_tick_thread *threads, size_t count,
                     struct bsk_error *err);

/* Threads that live shorter than it takes to find them never get a clock. While `on`, each CPU has
 * one as well, and the target's threads without a clock of their own tick by that. It costs an
 * interrupt a period on every CPU, whatever runs there. */
int bsk_ticks_catch_new(struct bsk_ticks *ticks, bool on, struct bsk_error *err);
bool bsk_ticks_catches_new(const struct bsk_ticks *ticks);

typedef void bsk_tick_fn(const struct bsk_tick *tick, void *user);

/* Hands out all ticks since the last call, in order of time for each thread. Never waits. */
void bsk_ticks_read(struct bsk_ticks *ticks, bsk_tick_fn *fn, void *user);

/* No thread ticks until it is resumed. What has ticked already can still be read. */
void bsk_ticks_pause(struct bsk_ticks *ticks, bool pause);

void bsk_ticks_counts(const struct bsk_ticks *ticks, struct bsk_tick_counts *out_counts);

#endif
