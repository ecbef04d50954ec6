/*
 * The stacks that a program can have: a tree of the call paths that the interpreter itself went
 * through (programs/common.py), with the line of each call, against which a stack is judged by its
 * names and lines.
 *
 * A stack is legal when each call in it is one that was made there, on that path, from that line,
 * and its innermost line is one of its function's. "There, on that path" is more than pairs of
 * caller and callee: a path pasted together from two that exist is impossible.
 *
 * Ownership: bench_legal_read() gives the set to the caller; bench_legal_free() takes it back and
 * accepts NULL.
 */
#ifndef BSK_TESTS_BENCH_LEGAL_H
#define BSK_TESTS_BENCH_LEGAL_H

#include "engine/sampling/sampler.h"

#include <stdio.h>

struct bench_legal;

enum bench_judgement {
    BENCH_LEGAL,
    BENCH_BARE,       /* ends below where the work goes on (`<module>` alone): cut short */
    BENCH_IMPOSSIBLE, /* a call that is never made on that path, or a line that is not there */
};

/* Returns NULL when the text is cut short or not what common.py writes. */
struct bench_legal *bench_legal_read(FILE *input);
void bench_legal_free(struct bench_legal *legal);

size_t bench_legal_path_count(const struct bench_legal *legal);
size_t bench_legal_code_count(const struct bench_legal *legal);
const char *bench_legal_code_name(const struct bench_legal *legal, size_t code);

/* Which of the codes a frame's is; -1 when it is none of them. What was found is remembered by the
 * sampler's code id, so one set serves one sampler (bench_legal_forget() between two). */
int bench_legal_code(struct bench_legal *legal, const struct bsk_code_object *code);
void bench_legal_forget(struct bench_legal *legal);

enum bench_judgement bench_legal_judge(struct bench_legal *legal,
                                       const struct bsk_thread_sample *thread);

#endif
