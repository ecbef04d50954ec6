/* Strongly connected components (Tarjan), without recursion: chains are a million objects long. */
#include "engine/memory/graph_internal.h"

#include <stdlib.h>

struct search {
    const struct bsk_graph *graph;
    uint32_t *order; /* when a node was met, from 1; 0: not yet */
    uint32_t *low;   /* the earliest node on the stack that it reaches */
    uint32_t *next;  /* the edge to go next, and once it is done: UINT32_MAX when off the stack */
    uint32_t *way;   /* nodes that are being looked into */
    uint32_t *stack; /* nodes without a component yet */
    uint32_t *components;
    uint32_t count, met, way_size, stack_size;
};

/* Modules, classes and frames hold nearly everything and are held by it: through them all is one.
 */
static bool goes(const struct bsk_graph *graph, uint32_t node)
{
    return (graph->flags[node] & (BSK_NODE_NAMESPACE | BSK_NODE_CLASS | BSK_NODE_HIDDEN)) == 0;
}

static void enter(struct search *search, uint32_t node)
{
    search->order[node] = search->low[node] = ++search->met;
    search->next[node] = search->graph->out_start[node];
    search->way[search->way_size++] = node;
    search->stack[search->stack_size++] = node;
}

static void leave(struct search *search, uint32_t node)
{
    search->way_size--;
    if (search->way_size > 0) {
        uint32_t above = search->way[search->way_size - 1];
        if (search->low[node] < search->low[above])
            search->low[above] = search->low[node];
    }
    if (search->low[node] != search->order[node])
        return;
    uint32_t member;
    do {
        member = search->stack[--search->stack_size];
        search->components[member] = search->count;
        search->next[member] = UINT32_MAX;
    } while (member != node);
    search->count++;
}

static void search_from(struct search *search, uint32_t start)
{
    const struct bsk_graph *graph = search->graph;
    enter(search, start);
    while (search->way_size > 0) {
        uint32_t node = search->way[search->way_size - 1];
        if (search->next[node] == graph->out_start[node + 1] || !goes(graph, node)) {
            leave(search, node);
            continue;
        }
        uint32_t to = graph->out[search->next[node]++];
        if (search->order[to] == 0)
            enter(search, to);
        else if (search->next[to] != UINT32_MAX && search->order[to] < search->low[node])
            search->low[node] = search->order[to];
    }
}

int bsk_graph_components(const struct bsk_graph *graph, uint32_t *components, uint32_t *out_count,
                         struct bsk_error *err)
{
    struct search search = { .graph = graph, .components = components };
    size_t n = (size_t)graph->count + 1;
    search.order = calloc(n, sizeof(uint32_t));
    search.low = malloc(n * sizeof(uint32_t));
    search.next = malloc(n * sizeof(uint32_t));
    search.way = malloc(n * sizeof(uint32_t));
    search.stack = malloc(n * sizeof(uint32_t));
    int rc = BSK_OK;
    if (!search.order || !search.low || !search.next || !search.way || !search.stack) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
        goto out;
    }
    for (uint32_t node = 0; node < graph->count; node++)
        if (search.order[node] == 0)
            search_from(&search, node);
    *out_count = search.count;
out:
    free(search.order);
    free(search.low);
    free(search.next);
    free(search.way);
    free(search.stack);
    return rc;
}
