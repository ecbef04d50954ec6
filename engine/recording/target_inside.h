/* What the files of a target share: target.c has its life and its sweeps, target_threads.c the
 * names and tracks of its threads, target_stacks.c the nodes of their stacks. */
#ifndef BSK_RECORDING_TARGET_INSIDE_H
#define BSK_RECORDING_TARGET_INSIDE_H

#include "engine/recording/account.h"
#include "engine/recording/target.h"
#include "engine/recording/target_ticks.h"
#include "engine/sampling/fold.h"

/* A thread of the target that we met. */
struct member {
    pid_t tid;
    uint32_t track;
    uint32_t seen_in;    /* the sweep that saw it last */
    bool ignored;        /* the debugger's */
    bool named;          /* by the debug session or by threading itself */
    int64_t interpreter; /* that `track` is of */
    int32_t call;        /* as the track was told; BSK_CALL_UNKNOWN: none */
    uint32_t stack;      /* the number of the stack that `nodes` is of; 0: of none */
    uint32_t *nodes;     /* of its frames, outermost first */
    size_t node_count, node_capacity;
    bool in_call, gil_wait; /* how it slept when it was seen last */
    struct bsk_account account;
};

struct bsk_target {
    struct bsk_target_context *context;
    struct bsk_sampler *sampler;
    struct bsk_fold *fold;
    pid_t pid;
    bool is_child;
    struct bsk_target_ticks *ticks; /* NULL: it is sampled by sweeps */
    bool tried_ticks;
    struct member ticking;   /* scratch of bsk_target_node() */
    uint64_t used_before_ns; /* by its first thread, as another program */
    bool held, rebase;       /* rebase: the next look begins anew */
    char name[256];
    uint32_t sweep;

    bool asleep;       /* no thread of it ran at the last sweep */
    uint64_t cpu_ns;   /* of the whole process, asked before that sweep */
    uint64_t slept_ns; /* CLOCK_MONOTONIC: until then it is known to have slept on; 0: not beyond */
    uint64_t awake_ns; /* when it is swept at the latest */

    struct member *members;
    size_t member_count, member_capacity;
    uint32_t *functions; /* by code id: the profile's function + 1, or 0 */
    size_t function_capacity;
    uint32_t debugger_function, native_function, collector_function, unread_function;
};

/* The node of what the thread does, or BSK_NO_NODE; `*out_is_debuggers` is set when nothing of the
 * user's is in it. */
uint32_t bsk_target_node_of(struct bsk_target *target, struct member *member,
                            const struct bsk_thread_sample *thread, bool *out_is_debuggers);

#endif
