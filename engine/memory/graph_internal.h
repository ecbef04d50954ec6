/* What a bsk_graph is made of, for the graph_*.c files alone. */
#ifndef BSK_MEMORY_GRAPH_INTERNAL_H
#define BSK_MEMORY_GRAPH_INTERNAL_H

#include "engine/memory/graph.h"

enum bsk_node_flag {
    BSK_NODE_TRACKED = 1,
    BSK_NODE_HIDDEN = 2, /* of the debugger or of Basilisk: no way goes through it */
    BSK_NODE_LEFT_OUT = 4,
    BSK_NODE_NAMESPACE = 8, /* a module, its dictionary, a frame: holds everything, so that a cycle
                               through it says nothing */
    BSK_NODE_CLASS = 32,    /* the same: every object refers to its class */
    BSK_NODE_FILLED = 16,   /* while the dump is read */
};

struct bsk_graph_type {
    uint64_t id;
    uint64_t nominal_bytes;  /* of an object of a fixed size */
    uint32_t nodes;          /* that are not left out */
    bool hidden, of_classes; /* its objects are classes */
    char *module, *name;
};

struct bsk_graph_local {
    uint32_t to;
    char *name;
};

struct bsk_graph_place {   /* a module or a frame */
    uint32_t node, inside; /* inside: a module's dictionary; or BSK_NO_NODE */
    bool hidden, is_frame;
    uint32_t line;
    char *name, *path;
    struct bsk_graph_local *locals; /* of a frame */
    uint32_t local_count;
};

/* Which node has which address: pages of 4 KiB in a hash table, a bit for each 8 bytes. Objects
 * lie close together, so all of it fits into a processor's cache where a table of nodes would
 * not. */
struct bsk_graph_page {
    uint64_t key;      /* address / 4096 + 1; 0: free */
    uint32_t base;     /* number of its first node */
    uint16_t ranks[8]; /* bits set before each word */
    uint64_t bits[8];
};

struct bsk_graph {
    struct bsk_graph_facts facts;
    uint32_t count;
    uint64_t *ids;
    uint64_t *bytes;
    uint32_t *types;           /* in `type_table` */
    uint8_t *flags;            /* enum bsk_node_flag */
    uint8_t *roots;            /* enum bsk_root */
    uint32_t *out_start, *out; /* out_start[n] .. out_start[n + 1] */
    uint32_t *in_start, *in;
    uint32_t *parent, *distance;
    uint32_t *dominator;
    uint32_t *walk; /* the nodes that are not left out, dominators before what they dominate */
    uint32_t walk_count;
    uint64_t *retained;
    uint32_t *cycle;

    struct bsk_graph_type *type_table;
    uint32_t type_count;
    struct bsk_graph_place *places;
    uint32_t place_count;
    struct bsk_graph_page *pages;
    size_t page_slots, page_count; /* slots: a power of two */

    struct bsk_nodes *groups;
    uint32_t group_count;
    struct bsk_graph_limit {
        uint32_t node;
        uint64_t limit;
    } * limits;
    uint32_t limit_count;
};

static inline bool bsk_graph_visible(const struct bsk_graph *graph, uint32_t node)
{
    return (graph->flags[node] & (BSK_NODE_HIDDEN | BSK_NODE_LEFT_OUT)) == 0;
}

/* graph_walk.c: roots, ways, cycles, dominators. Fails with BSK_E_MEMORY. */
int bsk_graph_walk(struct bsk_graph *graph, struct bsk_error *err);
/* graph_dominators.c: needs the roots. */
int bsk_graph_dominate(struct bsk_graph *graph, struct bsk_error *err);
/* graph_cycles.c: components, in an order in which what is referred to comes first; each node's is
 * written to `components` (from 0). */
int bsk_graph_components(const struct bsk_graph *graph, uint32_t *components, uint32_t *out_count,
                         struct bsk_error *err);

/* graph_pages.c */
int bsk_graph_pages_make(struct bsk_graph *graph, struct bsk_error *err);
/* Fails with BSK_E_FORMAT (no address: not a multiple of 8), BSK_E_MEMORY. */
int bsk_graph_pages_add(struct bsk_graph *graph, uint64_t id, struct bsk_error *err);
/* Gives the nodes their numbers. Fails with BSK_E_MEMORY. */
int bsk_graph_pages_number(struct bsk_graph *graph, uint64_t *out_count, struct bsk_error *err);

#endif
