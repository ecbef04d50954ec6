/*
 * Samples one program of the benchmark and judges each stack: legal, cut short, or impossible; and
 * counts who was innermost and who was on the stack.
 *
 * Ownership: bench_judge_run() fills a verdict that bench_verdict_free() empties.
 */
#ifndef BSK_TESTS_BENCH_JUDGE_H
#define BSK_TESTS_BENCH_JUDGE_H

#include "tests/bench/legal.h"
#include "tests/bench/program.h"

enum { BENCH_OFFENDERS = 8, BENCH_NAMES = 256 };

struct bench_share {
    char name[64];
    uint64_t leaf, inclusive; /* stacks of running threads */
};

struct bench_offender {
    char text[1024]; /* "<module>:41 run_f:34 hot_b:10" */
    uint64_t count;
};

struct bench_verdict {
    char version[32];
    uint64_t accepted; /* stacks that were delivered, all of the following included */
    uint64_t impossible;
    uint64_t bare;    /* legal as far as they go, but cut short */
    uint64_t no_line; /* a frame without a line */
    uint64_t filled, unread, truncated;
    uint64_t torn;         /* rejected: told as such, no stack */
    uint64_t torn_moments; /* those in a row counted once: a thread that waits for a CPU is stopped
                            * again and again at the same instruction */
    uint64_t empty;        /* a running thread without a stack, and not torn */
    uint64_t takes, failed_takes;
    uint64_t running; /* stacks that the shares are of */
    uint64_t stops, longest_stop_ns;
    double seconds, cpu_us_per_take;
    struct bench_share shares[BENCH_NAMES];
    size_t share_count;
    struct bench_offender offenders[BENCH_OFFENDERS];
    size_t offender_count;
};

struct bench_judge_options {
    pid_t pid;        /* of this program as it runs already; 0: it is started */
    uint64_t stacks;  /* stop after so many, torn ones not counted */
    double seconds;   /* or after so long; 0: 60 */
    uint32_t rate_hz; /* 0: as fast as can be; else at moments drawn by lot within each period */
    int target_core, sampler_core; /* -1: any */
    bool stop;                     /* threads are stopped for their samples */
};

/* Starts the program twice (once for its legal stacks). Returns false when it could not be started
 * or opened; `reason` (512 bytes) tells why. */
bool bench_judge_run(const struct bench_program *program, const char *python,
                     const struct bench_judge_options *options, struct bench_verdict *out_verdict,
                     char reason[512]);

#endif
