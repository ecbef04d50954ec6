/*
 * What the reference graph says about a site that grows: does all of it hang on one growing
 * container (then growth.h may say "definite"), or does something speak against a leak?
 *
 * One look is one site in one graph, compared with the look at the graph before. A container shows
 * itself as growing only by two: the same holder (by address and type) with more of the site's
 * objects on it. So a definite leak has been looked at at least twice, and stops being one at the
 * first look that does not find it.
 *
 *     struct bsk_hold hold = { 0 };            // kept for the site, from diff to diff
 *     struct bsk_evidence evidence;            // growth.h
 *     bsk_hold_look(graph, &objects, &hold, &evidence, err);
 *     bsk_memory_history_evidence(history, path, line, &evidence, err);
 *
 * Pure functions over a graph; a zeroed bsk_hold is "never looked". No memory to free.
 */
#ifndef BSK_MEMORY_EVIDENCE_H
#define BSK_MEMORY_EVIDENCE_H

#include "engine/base/error.h"
#include "engine/memory/graph.h"
#include "engine/memory/growth.h"

struct bsk_hold {
    uint64_t holder_id; /* 0: none, or never looked */
    uint64_t holder_type_id;
    uint32_t held;      /* of the site's objects, on the holder */
    uint32_t objects;   /* of the site, in the graph */
    uint32_t grown;     /* looks in a row at which the same holder held more than before */
    uint32_t looks;     /* at the same holder */
    uint32_t best_step; /* the most by which it has grown from one look to the next, of late */
};

/* `objects` are the site's: bsk_graph_of_group(). Where there are none (the site's blocks are
 * buffers of lists and dicts, or C allocations) nothing is said: BSK_EVIDENCE_NONE. Fails with
 * BSK_E_MEMORY. */
int bsk_hold_look(const struct bsk_graph *graph, const struct bsk_nodes *objects,
                  struct bsk_hold *hold, struct bsk_evidence *out_evidence, struct bsk_error *err);

#endif
