/*
 * What the reference graph says about a site that grows: does all of it hang on one growing
 * container (then "definite" may be said), or does something speak against a leak?
 *
 * One look is one site in one graph. A container shows itself as growing only by two looks: the
 * same holder (by address and type) with more of the site's objects on it. So a definite leak has
 * been looked at at least twice, and stops being one at the first look that does not find it.
 *
 *     struct bsk_evidence before = kept from the last look, or zeroed, now;
 *     bsk_evidence_look(graph, &objects_of_the_site, &before, &now, &err);
 *
 * Pure functions over a graph; a zeroed bsk_evidence is "never looked". No memory to free.
 */
#ifndef BSK_MEMORY_EVIDENCE_H
#define BSK_MEMORY_EVIDENCE_H

#include "engine/base/error.h"
#include "engine/memory/graph.h"

enum bsk_hold {
    BSK_HOLD_UNKNOWN, /* never looked, or none of the site's blocks is an object that the graph has
                         (buffers of lists and dicts, C allocations): says nothing */
    BSK_HOLD_SPREAD,  /* no single holder: says nothing */
    BSK_HOLD_GARBAGE, /* cycles that nothing reaches: the collector will take them. Against */
    BSK_HOLD_LOCAL,   /* a local of a function that runs, and not growing at each look: it may end
                         with it. Against */
    BSK_HOLD_BOUNDED, /* the holder has a limit of its own (maxlen, maxsize). Against */
    BSK_HOLD_STEADY,  /* one holder, which has not grown since the last look. Against */
    BSK_HOLD_ONE,     /* one holder, at the first look at it: for, not yet enough */
    BSK_HOLD_GROWING, /* one holder, the same as before, with more on it. For: definite */
};

struct bsk_evidence {
    enum bsk_hold hold;
    uint32_t objects;    /* of the site, in the graph */
    uint32_t held;       /* of these, on the holder */
    uint64_t held_bytes; /* what the holder's share of them retains */
    uint64_t holder_id;  /* 0: none */
    uint64_t holder_type_id;
    uint32_t holder_referents;
    enum bsk_root root;  /* what the holder's path begins with */
    uint32_t looks;      /* at the same holder, each with more on it than the one before */
    char holder[128];    /* "dict", "app.Registry" */
    char root_name[128]; /* "app": of the module or function; "" for others */
    char reason[256];    /* one sentence: "99 % of its 4,200 objects hang on one list, which
                            grew by 800 since the last look" */
};

/* Compares with `before` and says what is so `now`; these may be the same struct. Fails with
 * BSK_E_MEMORY; an empty `objects` is BSK_HOLD_UNKNOWN. */
int bsk_evidence_look(const struct bsk_graph *graph, const struct bsk_nodes *objects,
                      const struct bsk_evidence *before, struct bsk_evidence *now,
                      struct bsk_error *err);

/* May it be called definite (95 and more); does it speak against a leak (a veto)? */
static inline bool bsk_evidence_is_definite(const struct bsk_evidence *evidence)
{
    return evidence->hold == BSK_HOLD_GROWING;
}
static inline bool bsk_evidence_is_against(const struct bsk_evidence *evidence)
{
    return evidence->hold >= BSK_HOLD_GARBAGE && evidence->hold <= BSK_HOLD_STEADY;
}

#endif
