/*
 * Dominators by semi-dominators and nearest common ancestors (Semi-NCA: Lengauer and Tarjan's
 * first half, then a walk up the tree that is being made). Chains of a million objects that refer
 * to each other both ways would cost the simple iterative way a square; this one hardly notices.
 *
 * Nodes are renumbered in the order of a depth-first walk: 0 is nobody, the holder of all roots.
 */
#include "engine/memory/graph_internal.h"

#include <stdlib.h>
#include <string.h>

struct work {
    const struct bsk_graph *graph;
    uint32_t *number; /* of a node in the walk, 0: never reached */
    uint32_t *node;   /* back */
    uint32_t *parent; /* in the walk's tree; compressed later */
    uint32_t *semi, *label, *dominator;
    uint32_t *stack, *next;
    uint32_t count;
};

static void walk_from(struct work *work, uint32_t root)
{
    const struct bsk_graph *graph = work->graph;
    uint32_t depth = 0;
    work->number[root] = ++work->count;
    work->node[work->count] = root;
    work->parent[work->count] = 0;
    work->stack[depth] = root;
    work->next[depth++] = graph->out_start[root];
    while (depth > 0) {
        uint32_t node = work->stack[depth - 1];
        if (work->next[depth - 1] == graph->out_start[node + 1]) {
            depth--;
            continue;
        }
        uint32_t to = graph->out[work->next[depth - 1]++];
        if (work->number[to] != 0 || !bsk_graph_visible(graph, to) ||
            graph->roots[to] != BSK_ROOT_NONE)
            continue;
        work->number[to] = ++work->count;
        work->node[work->count] = to;
        work->parent[work->count] = work->number[node];
        work->stack[depth] = to;
        work->next[depth++] = graph->out_start[to];
    }
}

/* The node of least semi-dominator on the way from `at` up to what is not linked yet; shortens the
 * way for the next time. */
static uint32_t least(struct work *work, uint32_t at, uint32_t linked)
{
    if (work->parent[at] < linked)
        return work->label[at];
    uint32_t depth = 0, up = at;
    do {
        work->stack[depth++] = up;
        up = work->parent[up];
    } while (work->parent[up] >= linked);
    uint32_t above = up, best = work->label[up];
    while (depth > 0) {
        uint32_t here = work->stack[--depth];
        work->parent[here] = work->parent[above];
        if (work->semi[best] < work->semi[work->label[here]])
            work->label[here] = best;
        else
            best = work->label[here];
        above = here;
    }
    return work->label[at];
}

static void find_dominators(struct work *work)
{
    const struct bsk_graph *graph = work->graph;
    for (uint32_t i = 0; i <= work->count; i++) {
        work->dominator[i] = work->parent[i];
        work->semi[i] = work->label[i] = i;
    }
    for (uint32_t i = work->count; i >= 1; i--) {
        uint32_t node = work->node[i], semi = work->dominator[i];
        if (graph->roots[node] == BSK_ROOT_NONE) { /* the others: nobody holds them, or also */
            for (uint32_t j = graph->in_start[node]; j < graph->in_start[node + 1]; j++) {
                uint32_t from = work->number[graph->in[j]];
                if (from == 0)
                    continue;
                uint32_t found = work->semi[least(work, from, i + 1)];
                semi = found < semi ? found : semi;
            }
        }
        work->semi[i] = semi;
    }
    for (uint32_t i = 1; i <= work->count; i++) {
        uint32_t above = work->dominator[i];
        while (above > work->semi[i])
            above = work->dominator[above];
        work->dominator[i] = above;
    }
}

static bool give_room(struct work *work, size_t n)
{
    uint32_t **all[] = { &work->number, &work->node,      &work->parent, &work->semi,
                         &work->label,  &work->dominator, &work->stack,  &work->next };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *all[i] = calloc(n, sizeof(uint32_t));
        if (!*all[i])
            return false;
    }
    return true;
}

int bsk_graph_dominate(struct bsk_graph *graph, struct bsk_error *err)
{
    size_t n = (size_t)graph->count + 2;
    struct work work = { .graph = graph };
    int rc = BSK_OK;
    graph->dominator = malloc(n * sizeof(*graph->dominator));
    graph->retained = malloc(n * sizeof(*graph->retained));
    if (!give_room(&work, n) || !graph->dominator || !graph->retained) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
        goto out;
    }

    for (uint32_t node = 0; node < graph->count; node++)
        if (graph->roots[node] != BSK_ROOT_NONE)
            walk_from(&work, node);
    find_dominators(&work);

    memset(graph->dominator, 0xff, n * sizeof(*graph->dominator));
    memcpy(graph->retained, graph->bytes, (size_t)graph->count * sizeof(*graph->retained));
    for (uint32_t i = work.count; i >= 1; i--) {
        uint32_t node = work.node[i], above = work.dominator[i];
        graph->facts.bytes += graph->bytes[node];
        graph->type_table[graph->types[node]].nodes++;
        if (above == 0)
            continue;
        graph->dominator[node] = work.node[above];
        graph->retained[work.node[above]] += graph->retained[node];
    }
    graph->walk_count = work.count;
    graph->walk = work.node;
    memmove(graph->walk, graph->walk + 1, (size_t)work.count * sizeof(*graph->walk));
    work.node = NULL;
out:
    free(work.number);
    free(work.node);
    free(work.parent);
    free(work.semi);
    free(work.label);
    free(work.dominator);
    free(work.stack);
    free(work.next);
    return rc;
}
