/*
 * The graph of all objects of a Python program: who refers to whom, what holds what alive.
 *
 * It comes from one dump that scripts/references.py makes inside the target: ids, types, sizes and
 * referents of every object that the collector tracks, and of the untracked ones (str, bytes,
 * int ...) that these refer to; the modules, and the frames with their locals. Here the dump is
 * checked and thought about; a graph does not change once it is made.
 *
 * What is not part of the program is left out of every answer: the debugger's modules and
 * instances, Basilisk's own, and what only these hold.
 *
 * Ownership: bsk_graph_read() gives the graph to the caller, bsk_graph_free() takes it back and
 * accepts NULL. The dump need not outlive the call. Threads: one graph may be read by many at once.
 * Cost: about 0.4 s and 60 bytes an object and edge for a million objects; on a worker, please.
 *
 * The dump (all numbers little-endian, 8-byte alignment does not hold): "bskrefs1", then sections
 * of a 4-byte tag, 4 zero bytes, a u64 of bytes and that many bytes; "end!" comes last. What is
 * broken, cut, or larger than BSK_GRAPH_MAX_NODES fails with BSK_E_FORMAT or BSK_E_LIMIT.
 */
#ifndef BSK_MEMORY_GRAPH_H
#define BSK_MEMORY_GRAPH_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BSK_GRAPH_MAX_NODES = 1 << 25, /* objects; edges: eight times that */
    BSK_GRAPH_MAX_GROUPS = 128,    /* sets of targets that one dump carries */
};
#define BSK_NO_NODE UINT32_MAX

/* Why something is alive without a referrer. */
enum bsk_root {
    BSK_ROOT_NONE,
    BSK_ROOT_MODULE,    /* a module that can be imported by name */
    BSK_ROOT_FRAME,     /* a function that runs: a node of its own, its edges are its locals */
    BSK_ROOT_C,         /* no object refers to it: C code, a thread's state, or a frame's working
                           values hold it */
    BSK_ROOT_CYCLE,     /* only objects refer to it that it holds itself: held from C, or garbage
                           that the collector has not taken yet */
    BSK_ROOT_UNTRACKED, /* an object that the dump does not have holds it (made while it was taken)
                         */
};

struct bsk_graph;

int bsk_graph_read(const unsigned char *dump, size_t size, struct bsk_graph **out_graph,
                   struct bsk_error *err);
void bsk_graph_free(struct bsk_graph *graph);

struct bsk_graph_facts {
    uint32_t nodes;     /* tracked, untracked and frames */
    uint32_t tracked;   /* objects that the collector tracks */
    uint64_t edges;     /* between nodes */
    uint64_t lost;      /* references to objects that were made while the dump was taken */
    uint64_t bytes;     /* of all nodes that are not left out */
    uint32_t left_out;  /* nodes of the debugger and of Basilisk */
    uint32_t cycles;    /* components of more than one node, or that refer to themselves */
    uint64_t truncated; /* objects that are not in the dump since it would have been too large */
    bool free_threaded; /* such a build: exact only where all threads stood still */
};
void bsk_graph_facts(const struct bsk_graph *graph, struct bsk_graph_facts *out_facts);

/* --- nodes: numbered 0 .. nodes-1 ------------------------------------------------------------ */

uint32_t bsk_graph_find(const struct bsk_graph *graph, uint64_t id); /* or BSK_NO_NODE */
uint64_t bsk_graph_id(const struct bsk_graph *graph, uint32_t node);
const char *bsk_graph_type(const struct bsk_graph *graph, uint32_t node);   /* "dict", "Node" */
const char *bsk_graph_module(const struct bsk_graph *graph, uint32_t node); /* of the type; "" */
uint64_t bsk_graph_type_id(const struct bsk_graph *graph, uint32_t node);
uint64_t bsk_graph_bytes(const struct bsk_graph *graph, uint32_t node);
bool bsk_graph_left_out(const struct bsk_graph *graph, uint32_t node);

enum bsk_root bsk_graph_root(const struct bsk_graph *graph, uint32_t node);
/* What a root is called: a module's or a function's name; "" for the others. */
const char *bsk_graph_name(const struct bsk_graph *graph, uint32_t node);
/* Of a frame: its file and line; NULL for other nodes. */
const char *bsk_graph_frame_place(const struct bsk_graph *graph, uint32_t node, uint32_t *out_line);
/* The local of frame `from` that refers to `to`; NULL where there is none. */
const char *bsk_graph_local(const struct bsk_graph *graph, uint32_t from, uint32_t to);

/* Referents and referrers; as often as they refer. Live as long as the graph. */
const uint32_t *bsk_graph_out(const struct bsk_graph *graph, uint32_t node, size_t *out_count);
const uint32_t *bsk_graph_in(const struct bsk_graph *graph, uint32_t node, size_t *out_count);

/* The next node on a shortest way from a root (a module or a frame where one reaches it), or
 * BSK_NO_NODE for roots and for what is left out; and how many steps it is from there. */
uint32_t bsk_graph_parent(const struct bsk_graph *graph, uint32_t node);
uint32_t bsk_graph_distance(const struct bsk_graph *graph, uint32_t node);

/* The nearest node without which this one would not be alive; BSK_NO_NODE: no single one. */
uint32_t bsk_graph_dominator(const struct bsk_graph *graph, uint32_t node);
/* What would be freed with it: its own bytes and those of all that it dominates. */
uint64_t bsk_graph_retained(const struct bsk_graph *graph, uint32_t node);

/* Nodes with the same number hold each other (a cycle); 0: it is in none. */
uint32_t bsk_graph_cycle(const struct bsk_graph *graph, uint32_t node);

/* --- targets --------------------------------------------------------------------------------- */

/* A set of nodes, each once, rising; the caller frees `nodes`. */
struct bsk_nodes {
    uint32_t *nodes;
    size_t count;
};

/* All objects of the types called `type`: "Node", or "package.module.Node" for one of them alone.
 * None: BSK_E_STATE, with what is like it in the hint. */
int bsk_graph_of_type(const struct bsk_graph *graph, const char *type, struct bsk_nodes *out_nodes,
                      struct bsk_error *err);

/* What the script was asked to look for: `group` counts its "sites" from 0 (the objects that
 * tracemalloc saw allocated there); an expression's value is group 0. May be empty. */
int bsk_graph_of_group(const struct bsk_graph *graph, uint32_t group, struct bsk_nodes *out_nodes,
                       struct bsk_error *err);
void bsk_nodes_free(struct bsk_nodes *nodes);

#endif
