/* The commands of bench_engine, and what they are given. */
#ifndef BSK_TESTS_BENCH_ENGINE_H
#define BSK_TESTS_BENCH_ENGINE_H

#include "tests/bench/program.h"

struct bench_options {
    const char *python;
    const struct bench_program *program;
    pid_t pid; /* of that program as it runs already; 0: it is started */
    bool idle; /* sleepers' stacks too */
    uint64_t samples;
    uint32_t rate_hz; /* 0: as fast as can be */
    double seconds;   /* 0: the command's own */
    int target_core, sampler_core;
};

/* Each prints its lines and returns an exit code. */
int bench_rate(const struct bench_options *options);  /* as fast as can be */
int bench_sleep(const struct bench_options *options); /* at a rate, and nothing else */
int bench_first(const struct bench_options *options); /* from nothing to the first stack */
int bench_hold(const struct bench_options *options);  /* the rate by the second; memory */

#endif
