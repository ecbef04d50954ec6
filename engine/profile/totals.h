/*
 * Sums over a profile: what each line and each function used, of all threads and processes
 * together.
 *
 * Ownership: bsk_totals_new() gives an immutable result to the caller that shares nothing with the
 * profile: it may be handed to another thread. Percent is of the CPU time of the whole profile.
 */
#ifndef BSK_PROFILE_TOTALS_H
#define BSK_PROFILE_TOTALS_H

#include "engine/profile/profile.h"

struct bsk_line_total {
    const char *path;
    const char *function; /* the function that used most on this line */
    uint32_t line;
    uint64_t self_ns, samples;
    double self_percent;
};

struct bsk_function_total {
    const char *path;
    const char *name;
    uint32_t first_line;
    enum bsk_function_kind kind;
    uint64_t self_ns, total_ns; /* total: with what it called; recursion counts once */
    uint64_t self_samples, total_samples;
    double self_percent, total_percent;
    uint64_t self_gil_ns, total_gil_ns;   /* of the CPU time: with the GIL */
    uint64_t self_wait_ns, total_wait_ns; /* waiting for the GIL, beside the CPU time */
    uint64_t self_idle_ns, total_idle_ns; /* asleep, as far as idle stacks were read */
    uint64_t self_call_ns, total_call_ns; /* likewise, in system calls that work on something */
};

struct bsk_thread_total {
    pid_t pid, tid;
    const char *process, *thread;
    uint64_t cpu_ns, gil_ns, wait_ns, idle_ns, call_ns;
};

struct bsk_totals {
    struct bsk_profile_meta meta;
    uint64_t cpu_ns;
    uint64_t samples;
    struct bsk_line_total *lines; /* most self time first, then by path and line; those that used
                                     none are left out; special functions and line 0 have none */
    size_t line_count;
    struct bsk_function_total *functions; /* most self time first, then total, path, line, name */
    size_t function_count;
    struct bsk_thread_total *threads; /* by track, those that ended included */
    size_t thread_count;
    void *strings; /* owned */
};

struct bsk_totals *bsk_totals_new(const struct bsk_profile *profile); /* NULL: out of memory */
void bsk_totals_free(struct bsk_totals *totals);                      /* accepts NULL */

#endif
