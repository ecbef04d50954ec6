/*
 * What was seen to lie between two frames of a data stack, outside of it: generators, coroutines,
 * and what the interpreter puts between C and Python.
 *
 * Such frames lie each somewhere else, so one is read a good while after the other, and a chain of
 * them that moves meanwhile cannot be followed. But a program has few of them: from the path below,
 * the innermost frame of the chain and what that called, mostly one is possible.
 *
 * Bounded: what no longer fits makes all of it be learnt anew.
 */
#ifndef BSK_PYTHON_BRIDGES_H
#define BSK_PYTHON_BRIDGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BSK_BRIDGE_MAX_STEPS = 256 };

#define BSK_BRIDGE_END UINT32_MAX /* nothing: the chain's innermost frame is the stack's */

struct bsk_bridge_step {
    uint32_t code_id;
    bool after_shim;
    uint64_t place; /* of the call, or where the innermost one stood; from the code's start */
};

/* The ends of a chain. */
struct bsk_bridge_key {
    uint64_t from;      /* the path below with the place that it calls from: bsk_path_next_hash() */
    uint32_t innermost; /* a code's id */
    uint32_t callee;    /* what that called, a code's id or BSK_BRIDGE_END */
};

struct bsk_bridge {
    uint64_t key; /* 0: free */
    uint64_t path;
    uint32_t first, count;
    uint32_t times;
};

struct bsk_bridges {
    struct bsk_bridge *slots;
    size_t slot_count, used;
    struct bsk_bridge_step *steps;
    size_t step_count, step_capacity;
};

/* One that was seen: `count` steps, at least one, outermost first. `path` names it among those of
 * one key. */
void bsk_bridges_learn(struct bsk_bridges *bridges, uint64_t from, uint64_t path,
                       const struct bsk_bridge_step *steps, size_t count, uint32_t callee);

/* One of those that fit, by `lot` in their proportions; NULL: none is known. It lives until the
 * next one is learnt or noted; its steps are bridges->steps + first. `inner`: the ids of the codes
 * of its innermost frames, as far as they were read, innermost first: one that is shorter does not
 * fit, what has more of them fits better. `*out_only`: it has all of them, was seen often, and of
 * the others none that fits as well is seen one time in sixteen. */
const struct bsk_bridge *bsk_bridges_find(const struct bsk_bridges *bridges,
                                          const struct bsk_bridge_key *key, const uint32_t *inner,
                                          size_t inner_count, uint64_t lot, bool *out_only);

/* The innermost frame of a stack whose chain leaves from there, noted each time that it could be
 * told: a code's id, BSK_BRIDGE_END for the frame that it leaves from. One of them, by lot in their
 * proportions; false: none is known. */
void bsk_bridges_note_end(struct bsk_bridges *bridges, uint64_t from, uint32_t code_id);
bool bsk_bridges_guess_end(const struct bsk_bridges *bridges, uint64_t from, uint64_t lot,
                           uint32_t *out_code_id);

void bsk_bridges_free(struct bsk_bridges *bridges);

#endif
