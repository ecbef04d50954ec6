/*
 * The tree of a profile as V8 draws it: by function, with lines as ticks beside the nodes; below a
 * root, a node for each thread where there are several; small enough to be looked at.
 *
 * Nodes are folded when they differ in line alone. Past BSK_TREE_MAX_NODES the smallest subtrees
 * are taken out: what they used in themselves goes to nodes of the same functions under "(pruned)",
 * below the outermost frame they stood under (below the root, where that would be too many). So
 * each function and line keeps its own weight, and only the way that led there is lost.
 */
#ifndef BSK_EXPORT_TREE_H
#define BSK_EXPORT_TREE_H

#include "engine/profile/profile.h"

enum {
    BSK_TREE_MAX_NODES = 50000, /* VS Code's viewer takes half a minute for 100,000 */
    BSK_TREE_MAX_DEPTH = 2000,  /* viewers recurse; deeper nodes count as pruned */
};

enum bsk_tree_kind {
    BSK_TREE_ROOT,
    BSK_TREE_IDLE,
    BSK_TREE_TRACK,    /* `index`: the track */
    BSK_TREE_FUNCTION, /* `index`: the function */
    BSK_TREE_PRUNED,
};

struct bsk_tree_node {
    enum bsk_tree_kind kind;
    uint32_t index;
    uint32_t parent;                   /* of the root: BSK_NO_NODE */
    uint64_t hits;                     /* samples that end here */
    uint32_t first_child, child_count; /* in `children` */
    uint32_t first_tick, tick_count;   /* in `ticks` */
};

struct bsk_tick {
    uint32_t line;
    uint64_t samples;
};

struct bsk_tree {
    struct bsk_tree_node *nodes; /* the root at 0, idle at 1; a parent before its children */
    uint32_t *children;
    struct bsk_tick *ticks; /* of each node by line */
    uint32_t *node_of;      /* by the profile's node */
    uint32_t count;
    uint32_t pruned; /* folded nodes that were taken out */
};

/* Parts of a profile that used no CPU are left out. False when out of memory. The caller frees. */
bool bsk_tree_make(const struct bsk_profile *profile, uint32_t max_nodes,
                   struct bsk_tree *out_tree);
void bsk_tree_free(struct bsk_tree *tree);

#endif
