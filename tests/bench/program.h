/*
 * The programs that the benchmark samples (programs/), as children of the caller. None outlives it.
 *
 * Nothing here prints; what fails returns false, and the child's own stderr tells why.
 */
#ifndef BSK_TESTS_BENCH_PROGRAM_H
#define BSK_TESTS_BENCH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct bench_program {
    const char *letter; /* "f": as in the table of facts and in --program */
    const char *file, *arguments[2];
    const char *what;
};

struct bench_child {
    pid_t pid;
    bool borrowed; /* somebody else started it, and ends it */
    FILE *output;
    volatile uint64_t *count; /* the work that it has done; shared memory */
    int count_fd;
};

/* Ends with a NULL letter. */
extern const struct bench_program bench_programs[];

const struct bench_program *bench_program_named(const char *letter); /* or NULL */

/* Waits until it works. `core`: the one that it is kept to; -1: any. */
bool bench_start(const struct bench_program *program, const char *python, int core,
                 struct bench_child *out_child);

/* One that runs already, as bench_start() would give it; its count is not known. */
struct bench_child bench_borrow(pid_t pid);

/* The same program as it writes down its legal stacks: to be read from `output` to the end. */
bool bench_start_legal(const struct bench_program *program, const char *python,
                       struct bench_child *out_child);

void bench_stop(struct bench_child *child); /* kills and waits; harmless when done twice */

/* Keeps the calling thread to this core; harmless where there is none. */
void bench_keep_to(int core);

#endif
