/* Which nodes are roots, and the shortest way from a root to each. */
#include "engine/memory/graph_internal.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct bsk_graph *graph;
    uint32_t *queue;
    uint32_t first, last;
};

static void add_root(struct walk *walk, uint32_t node, enum bsk_root root)
{
    struct bsk_graph *graph = walk->graph;
    if (node == BSK_NO_NODE || !bsk_graph_visible(graph, node) ||
        graph->distance[node] != UINT32_MAX)
        return;
    graph->roots[node] = (uint8_t)root;
    graph->distance[node] = 0;
    walk->queue[walk->last++] = node;
}

static void walk_on(struct walk *walk)
{
    struct bsk_graph *graph = walk->graph;
    while (walk->first < walk->last) {
        uint32_t node = walk->queue[walk->first++];
        for (uint32_t i = graph->out_start[node]; i < graph->out_start[node + 1]; i++) {
            uint32_t to = graph->out[i];
            if (graph->distance[to] != UINT32_MAX || !bsk_graph_visible(graph, to))
                continue;
            graph->distance[to] = graph->distance[node] + 1;
            graph->parent[to] = node;
            walk->queue[walk->last++] = to;
        }
    }
}

/* What only the debugger or Basilisk hold. */
static void leave_out(struct walk *walk)
{
    struct bsk_graph *graph = walk->graph;
    uint32_t first = 0, last = 0; /* the queue is empty: all of it may be used again */
    for (uint32_t node = 0; node < graph->count; node++)
        if (graph->flags[node] & BSK_NODE_HIDDEN)
            walk->queue[last++] = node;
    while (first < last) {
        uint32_t node = walk->queue[first++];
        graph->flags[node] |= BSK_NODE_LEFT_OUT;
        for (uint32_t i = graph->out_start[node]; i < graph->out_start[node + 1]; i++) {
            uint32_t to = graph->out[i];
            if (graph->distance[to] != UINT32_MAX ||
                graph->flags[to] & (BSK_NODE_HIDDEN | BSK_NODE_LEFT_OUT))
                continue;
            graph->flags[to] |= BSK_NODE_LEFT_OUT;
            walk->queue[last++] = to;
        }
    }
    graph->facts.left_out = last;
}

/* What nothing has reached hangs on cycles that nothing refers to: one node of each, those first
 * that the others hang on. Components come with what is referred to first. */
static int take_cycles(struct walk *walk, const uint32_t *components, uint32_t component_count,
                       struct bsk_error *err)
{
    struct bsk_graph *graph = walk->graph;
    uint32_t *heads = malloc(((size_t)component_count + 1) * sizeof(*heads));
    if (!heads)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    memset(heads, 0xff, ((size_t)component_count + 1) * sizeof(*heads));
    for (uint32_t node = graph->count; node-- > 0;)
        if (graph->distance[node] == UINT32_MAX && bsk_graph_visible(graph, node))
            heads[components[node]] = node;
    for (uint32_t component = component_count; component-- > 0;) {
        if (heads[component] == BSK_NO_NODE || graph->distance[heads[component]] != UINT32_MAX)
            continue;
        walk->first = walk->last = 0;
        add_root(walk, heads[component], BSK_ROOT_CYCLE);
        walk_on(walk);
    }
    free(heads);
    return BSK_OK;
}

/* Components of one node that does not refer to itself are no cycles. */
static int number_cycles(struct bsk_graph *graph, uint32_t *components, uint32_t component_count,
                         struct bsk_error *err)
{
    uint32_t *numbers = calloc((size_t)component_count + 1, sizeof(*numbers));
    if (!numbers)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    for (uint32_t node = 0; node < graph->count; node++) {
        uint32_t component = components[node];
        if (numbers[component] < 2 && bsk_graph_visible(graph, node))
            numbers[component]++;
        for (uint32_t i = graph->out_start[node]; i < graph->out_start[node + 1]; i++)
            if (graph->out[i] == node &&
                !(graph->flags[node] & (BSK_NODE_NAMESPACE | BSK_NODE_CLASS)))
                numbers[component] = 2;
    }
    for (uint32_t component = 0; component < component_count; component++)
        numbers[component] = numbers[component] >= 2 ? ++graph->facts.cycles : 0;
    for (uint32_t node = 0; node < graph->count; node++)
        components[node] = bsk_graph_visible(graph, node) ? numbers[components[node]] : 0;
    free(numbers);
    graph->cycle = components;
    return BSK_OK;
}

int bsk_graph_walk(struct bsk_graph *graph, struct bsk_error *err)
{
    size_t n = (size_t)graph->count + 1;
    struct walk walk = { .graph = graph, .queue = malloc(n * sizeof(uint32_t)) };
    uint32_t *components = malloc(n * sizeof(*components));
    uint32_t component_count = 0;
    graph->parent = malloc(n * sizeof(*graph->parent));
    graph->distance = malloc(n * sizeof(*graph->distance));
    int rc = BSK_OK;
    if (!walk.queue || !components || !graph->parent || !graph->distance) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
        goto out;
    }
    memset(graph->parent, 0xff, n * sizeof(*graph->parent));
    memset(graph->distance, 0xff, n * sizeof(*graph->distance));

    for (uint32_t i = 0; i < graph->place_count; i++)
        add_root(&walk, graph->places[i].node,
                 graph->places[i].is_frame ? BSK_ROOT_FRAME : BSK_ROOT_MODULE);
    walk_on(&walk);
    for (uint32_t node = 0; node < graph->count; node++)
        if (graph->in_start[node] == graph->in_start[node + 1])
            add_root(&walk, node, BSK_ROOT_C);
    walk_on(&walk);
    leave_out(&walk);
    rc = bsk_graph_components(graph, components, &component_count, err);
    if (rc == BSK_OK)
        rc = take_cycles(&walk, components, component_count, err);
    if (rc == BSK_OK)
        rc = number_cycles(graph, components, component_count, err);
    if (rc == BSK_OK)
        components = NULL; /* the graph's now */
out:
    free(components);
    free(walk.queue);
    return rc;
}
