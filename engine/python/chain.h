/* Frames outside of the data stack, one calling the other: for crossing.c and lesson.c. */
#ifndef BSK_PYTHON_CHAIN_H
#define BSK_PYTHON_CHAIN_H

#include "engine/python/memory.h"

struct chain {
    struct raw raw[CHAIN_MAX]; /* innermost first */
    size_t count;
    struct hop hops[CHAIN_MAX]; /* the same with the interpreter's entry frames */
    size_t hop_count;
    bool whole;      /* it reaches the frame below, and each of its frames was on the stack */
    bool after_shim; /* C code stands between it and what it called */
};

/* One more frame, with STATE_BYTES before it, at `bytes`. False: it cannot be one of a chain.
 * `*out_next` is the frame that called it. */
bool bsk_chain_add(struct bsk_python *python, const uint8_t *bytes, uint64_t address,
                   struct chain *chain, uint64_t *out_next);

/* A chain that was read while it moved may be a mixture of two: one that cannot be is known by what
 * its frames are about to do. `shore`: the frame below; `has_callee`: it has called one above. */
bool bsk_chain_can_be(struct bsk_python *python, const struct bsk_stack_memory *memory,
                      const struct chain *chain, const struct raw *shore, bool has_callee);

#endif
