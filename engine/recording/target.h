/*
 * One process of a recording: its sampler, what the debugger is in it, and an account for each of
 * its threads. Private to this room; lives on the recording's thread.
 */
#ifndef BSK_RECORDING_TARGET_H
#define BSK_RECORDING_TARGET_H

#include "engine/recording/recording.h"

struct bsk_target;

/* What all targets of one recording share; outlives them. */
struct bsk_target_context {
    struct bsk_profile *profile;
    uint64_t start_ns; /* CLOCK_MONOTONIC; the profile's zero */
    uint64_t period_ns;
    uint32_t tick_hz; /* 0: threads are not sampled at their clock ticks even where they could be */
    uint64_t ticks_spent_ns, ticks_last_ns; /* for setting that up: all targets, and the last one */
    const char *const *folders;             /* the debugger's */
    size_t folder_count;
    const struct bsk_known_thread *threads; /* of the process `threads_pid` */
    size_t thread_count;
    pid_t threads_pid;
    enum bsk_clock clock;
    bool idle_stacks;
    bool blocking; /* threads are stopped for their samples */
    uint64_t stops, stopped_ns,
        longest_stop_ns; /* what that has cost: of targets that are closed */
    bool swept;          /* some target was sampled by sweeps */
    uint64_t samples, errors, torn, filled, unread; /* counted by all targets */
    uint64_t jit_functions;
};

/* `is_child`: born during the recording, so all that it used belongs to the profile. `name` NULL:
 * from the command line. Takes no ownership of `context`. Fails as bsk_sampler_open(). */
int bsk_target_open(struct bsk_target_context *context, pid_t pid, const char *name, bool is_child,
                    struct bsk_target **out_target, struct bsk_error *err);
/* For a process that was another program before: what its first thread had used until then, by its
 * own counter, is told elsewhere. Before the first sweep. */
void bsk_target_used_before(struct bsk_target *target, uint64_t first_thread_ns);
uint64_t bsk_target_used_before_by(const struct bsk_target *target, pid_t tid); /* of target.c */
/* Settles the accounts as of `now_ns` (CLOCK_MONOTONIC). Accepts NULL. */
void bsk_target_close(struct bsk_target *target, uint64_t now_ns);

pid_t bsk_target_pid(const struct bsk_target *target);
const struct bsk_python_info *bsk_target_python(const struct bsk_target *target);

/* BSK_OK when the 16 bytes are where they should be, BSK_E_STATE when this is somebody else,
 * BSK_E_UNSUPPORTED when the thread's stack does not begin as the thread says. A stack that could
 * not be read proves nothing either way. Before the first sweep. */
int bsk_target_prove(struct bsk_target *target, const struct bsk_identity *identity,
                     struct bsk_error *err);

/* While held it is not sampled; what it used meanwhile is nobody's. */
void bsk_target_hold(struct bsk_target *target, bool hold);
bool bsk_target_held(const struct bsk_target *target);

/* Its threads are sampled at their own clock ticks: sweeps may be BSK_TICKS_READ_MS apart. */
bool bsk_target_ticking(const struct bsk_target *target);

/* What stopping its threads has cost so far; zeroes where none is stopped. */
struct bsk_pause_cost bsk_target_stop_cost(const struct bsk_target *target);

/* See bsk_python_look_for_jit(). */
size_t bsk_target_look_for_jit(struct bsk_target *target);

/* False: some of its threads were asked to stop and did not yet. Call again within a millisecond.
 */
bool bsk_target_let_go(struct bsk_target *target);

/* One sample of all its threads into the profile. BSK_E_GONE: it has ended, or is another program
 * now. Other failures are counted and do not matter. */
int bsk_target_sweep(struct bsk_target *target);

#endif
