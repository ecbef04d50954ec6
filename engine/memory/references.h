/*
 * "What holds this alive": the part of the graph that a person looks at, at most 200 nodes, with
 * the shortest ways from roots to what was asked for, edge labels, retained sizes and cycles.
 *
 * How it is done, with jobs (scripts.h, job.h) of the one script bsk_script_references:
 *
 *   1. bsk_references_options() -> a job; its dump -> bsk_graph_read()
 *   2. bsk_graph_of_type() or bsk_graph_of_group() -> bsk_references_make()
 *   3. bsk_references_label_options() -> a job; its result -> bsk_references_label()
 *   4. bsk_references_json() for viewers, bsk_references_text() for a console
 *
 * and for one node later, while the program still stands:
 *
 *   5. bsk_references_inspect_options() -> a job; its result -> bsk_references_inspect_json():
 *      BSK_E_STATE "it is gone" when the object is not there any more.
 *
 * Nothing here runs the program's code but repr(), and that only where `repr` is given: the caller
 * gives it when the program is stopped and the user has asked.
 *
 * Ownership: bsk_references_make() gives the references to the caller, bsk_references_free() takes
 * them back and accepts NULL; they do not need the graph any more. Threads: one at a time.
 */
#ifndef BSK_MEMORY_REFERENCES_H
#define BSK_MEMORY_REFERENCES_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/memory/graph.h"
#include "engine/memory/marshal.h"
#include "engine/memory/scripts.h"

enum { BSK_REFERENCES_MAX_NODES = 200 };

/* The one script; its options say which of the steps it is to do. */
extern const struct bsk_script bsk_script_references;

struct bsk_references_site {
    const char *path; /* as tracemalloc has it */
    uint32_t line;
};

/* What the dump is asked for. All may be empty: a graph of everything, for targets by type. */
struct bsk_references_wish {
    const struct bsk_references_site
        *sites; /* group n is of sites[n]; at most BSK_GRAPH_MAX_GROUPS */
    size_t site_count;
    /* Group 0 is what the caller has put just before into the agent, by a hidden evaluate in the
     * frame where the program stands: `sys.modules['_basilisk'].agent.graph_target = [EXPRESSION]`.
     * The job takes it away from there. */
    bool expression;
    uint64_t max_objects;  /* tracked objects dumped at most; 0: 5 million */
    uint64_t budget_bytes; /* of the dump: what does not fit is left out, facts.truncated says how
                              many objects; 0: 256 MiB */
};
/* `out` starts zeroed; the caller frees out->text. Fails with BSK_E_LIMIT, BSK_E_MEMORY. */
int bsk_references_options(const struct bsk_references_wish *wish, struct bsk_script_options *out,
                           struct bsk_error *err);

struct bsk_references;

/* `title` names the targets for people: "Node", "app.py:12". Fails with BSK_E_STATE when `targets`
 * is empty, BSK_E_MEMORY. */
int bsk_references_make(const struct bsk_graph *graph, const struct bsk_nodes *targets,
                        const char *title, uint32_t max_nodes, struct bsk_references **out_refs,
                        struct bsk_error *err);
void bsk_references_free(struct bsk_references *refs);

int bsk_references_label_options(const struct bsk_references *refs, bool repr,
                                 struct bsk_script_options *out, struct bsk_error *err);
/* Takes in the answer: a label for each edge, __dict__ steps drawn together (`.name` instead of
 * `.__dict__` and `['name']`), gone objects marked. */
int bsk_references_label(struct bsk_references *refs, const struct bsk_value *result,
                         struct bsk_error *err);

/* "graph", "nodes", "edges", "cycles", "roots" and what else is worth knowing, as fields of an
 * object that the caller has begun. `number` names the graph for memory.inspect. */
void bsk_references_json(const struct bsk_references *refs, uint32_t number, struct bsk_json *json);

/* A tree for people, at most `width` columns (0: 120). */
void bsk_references_text(const struct bsk_references *refs, uint32_t width, struct bsk_buffer *out);

/* Fails with BSK_E_STATE when the graph has no node `id`. */
int bsk_references_inspect_options(const struct bsk_references *refs, uint64_t id, bool repr,
                                   struct bsk_script_options *out, struct bsk_error *err);
/* The body of memory.inspect as fields of an object that the caller has begun. */
int bsk_references_inspect_json(const struct bsk_references *refs, uint64_t id,
                                const struct bsk_value *result, struct bsk_json *json,
                                struct bsk_error *err);

#endif
