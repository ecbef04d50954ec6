/*
 * Reads the dump of a snapshot: blocks as _tracemalloc._get_traces() lists them, marshalled, some
 * ten to twenty bytes a block. 10^6 blocks take some 50 ms.
 *
 * The dump is a rumour like everything that a debuggee says: each length is held against what is
 * left of it, and memory grows with the dump's size, never with what a number in it claims.
 */
#ifndef BSK_MEMORY_TRACES_H
#define BSK_MEMORY_TRACES_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stdint.h>

struct bsk_trace_path {
    const char *text; /* in the dump, not terminated */
    uint32_t bytes;
};

struct bsk_trace_frame { /* a line of a file; each pair exists once */
    uint32_t path;       /* in `paths` */
    uint32_t line;
};

struct bsk_trace_stack {   /* each exists once */
    uint32_t first, depth; /* in `frames_of`, innermost first */
    uint64_t bytes, blocks;
};

/* Everything points into the dump, which must live as long. */
struct bsk_traces {
    struct bsk_trace_path *paths;
    struct bsk_trace_frame *frames;
    struct bsk_trace_stack *stacks;
    uint32_t *frames_of; /* indexes into `frames` */
    size_t path_count, frame_count, stack_count, frames_of_count;
    uint64_t bytes, blocks;
    /* 0: all blocks are there. Else those that are read next are a sample: each stands for so many,
     * shared by as many references as its last field says; `blocks` are thousandths then. */
    double weight;
    struct bsk_trace_interning *interning; /* while reading */
};

enum { BSK_TRACES_MAX_DEPTH = 65535 };

/* Reads one marshalled list of blocks from the front of [bytes, bytes + size) and adds it; writes
 * how many bytes it had. `traces` starts zeroed; free it in every case. Fails with BSK_E_FORMAT,
 * BSK_E_LIMIT (2^31 of anything), BSK_E_MEMORY; then what was added is not whole. */
int bsk_traces_read(struct bsk_traces *traces, const unsigned char *bytes, size_t size,
                    size_t *out_used, struct bsk_error *err);
void bsk_traces_free(struct bsk_traces *traces);

/* Reads one marshalled list of integers from the front; calls `fn` for each. A None is -1. */
typedef void bsk_number_fn(void *user, size_t index, int64_t number);
int bsk_numbers_read(const unsigned char *bytes, size_t size, bsk_number_fn *fn, void *user,
                     size_t *out_used, struct bsk_error *err);

#endif
