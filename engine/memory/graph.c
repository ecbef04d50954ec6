/* What is asked of a finished graph. */
#include "engine/memory/graph.h"

#include "engine/base/strings.h"
#include "engine/memory/graph_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void bsk_graph_free(struct bsk_graph *graph)
{
    if (!graph)
        return;
    for (uint32_t i = 0; i < graph->type_count; i++) {
        free(graph->type_table[i].module);
        free(graph->type_table[i].name);
    }
    for (uint32_t i = 0; graph->places && i < graph->place_count; i++) {
        for (uint32_t j = 0; j < graph->places[i].local_count; j++)
            free(graph->places[i].locals[j].name);
        free(graph->places[i].locals);
        free(graph->places[i].name);
        free(graph->places[i].path);
    }
    for (uint32_t i = 0; i < graph->group_count; i++)
        free(graph->groups[i].nodes);
    void *const all[] = { graph->ids,       graph->bytes,    graph->types,
                          graph->flags,     graph->roots,    graph->out,
                          graph->out_start, graph->in,       graph->in_start,
                          graph->parent,    graph->distance, graph->dominator,
                          graph->retained,  graph->cycle,    graph->type_table,
                          graph->places,    graph->pages,    graph->groups,
                          graph->limits,    graph->walk,     graph };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

void bsk_graph_facts(const struct bsk_graph *graph, struct bsk_graph_facts *out_facts)
{
    *out_facts = graph->facts;
}

uint64_t bsk_graph_id(const struct bsk_graph *graph, uint32_t node)
{
    return graph->ids[node];
}

const char *bsk_graph_type(const struct bsk_graph *graph, uint32_t node)
{
    return graph->type_table[graph->types[node]].name;
}

const char *bsk_graph_module(const struct bsk_graph *graph, uint32_t node)
{
    return graph->type_table[graph->types[node]].module;
}

uint64_t bsk_graph_type_id(const struct bsk_graph *graph, uint32_t node)
{
    return graph->type_table[graph->types[node]].id;
}

uint64_t bsk_graph_bytes(const struct bsk_graph *graph, uint32_t node)
{
    return graph->bytes[node];
}

bool bsk_graph_left_out(const struct bsk_graph *graph, uint32_t node)
{
    return !bsk_graph_visible(graph, node);
}

enum bsk_root bsk_graph_root(const struct bsk_graph *graph, uint32_t node)
{
    return (enum bsk_root)graph->roots[node];
}

static const struct bsk_graph_place *place_of(const struct bsk_graph *graph, uint32_t node)
{
    if ((graph->flags[node] & BSK_NODE_NAMESPACE) == 0)
        return NULL;
    for (uint32_t i = 0; i < graph->place_count; i++)
        if (graph->places[i].node == node)
            return &graph->places[i];
    return NULL;
}

const char *bsk_graph_name(const struct bsk_graph *graph, uint32_t node)
{
    const struct bsk_graph_place *place = place_of(graph, node);
    return place ? place->name : "";
}

const char *bsk_graph_frame_place(const struct bsk_graph *graph, uint32_t node, uint32_t *out_line)
{
    const struct bsk_graph_place *place = place_of(graph, node);
    if (!place || !place->is_frame)
        return NULL;
    *out_line = place->line;
    return place->path;
}

const char *bsk_graph_local(const struct bsk_graph *graph, uint32_t from, uint32_t to)
{
    const struct bsk_graph_place *place = place_of(graph, from);
    for (uint32_t i = 0; place && i < place->local_count; i++)
        if (place->locals[i].to == to)
            return place->locals[i].name;
    return NULL;
}

const uint32_t *bsk_graph_out(const struct bsk_graph *graph, uint32_t node, size_t *out_count)
{
    *out_count = graph->out_start[node + 1] - graph->out_start[node];
    return graph->out + graph->out_start[node];
}

const uint32_t *bsk_graph_in(const struct bsk_graph *graph, uint32_t node, size_t *out_count)
{
    *out_count = graph->in_start[node + 1] - graph->in_start[node];
    return graph->in + graph->in_start[node];
}

uint32_t bsk_graph_parent(const struct bsk_graph *graph, uint32_t node)
{
    return graph->parent[node];
}

uint32_t bsk_graph_distance(const struct bsk_graph *graph, uint32_t node)
{
    return graph->distance[node];
}

uint32_t bsk_graph_dominator(const struct bsk_graph *graph, uint32_t node)
{
    return graph->dominator[node];
}

uint64_t bsk_graph_retained(const struct bsk_graph *graph, uint32_t node)
{
    return graph->retained[node];
}

uint32_t bsk_graph_cycle(const struct bsk_graph *graph, uint32_t node)
{
    return graph->cycle[node];
}

/* --- targets --------------------------------------------------------------------------------- */

/* "Node" fits module.Node and module.Outer.Node; "module.Node" only the one. */
static bool fits(const struct bsk_graph_type *type, const char *wanted)
{
    size_t name = strlen(type->name), length = strlen(wanted);
    if (length <= name)
        return strcmp(type->name + name - length, wanted) == 0 &&
               (length == name || type->name[name - length - 1] == '.');
    size_t module = strlen(type->module);
    return length == module + 1 + name && strncmp(wanted, type->module, module) == 0 &&
           wanted[module] == '.' && strcmp(wanted + module + 1, type->name) == 0;
}

static int no_such_type(const struct bsk_graph *graph, const char *wanted, struct bsk_error *err)
{
    char hint[256] = "";
    int similar = 0;
    for (uint32_t i = 0; i < graph->type_count && similar < 3; i++) {
        const struct bsk_graph_type *type = &graph->type_table[i];
        if (type->nodes > 0 && strcasestr(type->name, wanted) && strlen(type->name) < 60) {
            size_t used = strlen(hint);
            snprintf(hint + used, sizeof(hint) - used, "%s%s", similar++ ? ", " : "there is ",
                     type->name);
        }
    }
    return bsk_fail(err, BSK_E_STATE, similar ? hint : "memory.objects lists the types there are",
                    "No live object of a type called '%.100s'", wanted);
}

int bsk_graph_of_type(const struct bsk_graph *graph, const char *type, struct bsk_nodes *out_nodes,
                      struct bsk_error *err)
{
    struct bsk_nodes found = { NULL, 0 };
    size_t most = 0;
    bool *wanted = calloc(graph->type_count, sizeof(*wanted));
    if (!wanted)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    for (uint32_t i = 0; i < graph->type_count; i++) {
        wanted[i] = type[0] != '\0' && fits(&graph->type_table[i], type);
        most += wanted[i] ? graph->type_table[i].nodes : 0;
    }
    if (most == 0) {
        free(wanted);
        return no_such_type(graph, type, err);
    }
    found.nodes = malloc(most * sizeof(*found.nodes));
    for (uint32_t node = 0; found.nodes && node < graph->count && found.count < most; node++)
        if (wanted[graph->types[node]] && bsk_graph_visible(graph, node))
            found.nodes[found.count++] = node;
    free(wanted);
    if (!found.nodes)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    *out_nodes = found;
    return BSK_OK;
}

int bsk_graph_of_group(const struct bsk_graph *graph, uint32_t group, struct bsk_nodes *out_nodes,
                       struct bsk_error *err)
{
    struct bsk_nodes found = { NULL, 0 };
    size_t count = group < graph->group_count ? graph->groups[group].count : 0;
    found.nodes = malloc((count + 1) * sizeof(*found.nodes));
    if (!found.nodes)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    for (size_t i = 0; i < count; i++)
        if (bsk_graph_visible(graph, graph->groups[group].nodes[i]))
            found.nodes[found.count++] = graph->groups[group].nodes[i];
    *out_nodes = found;
    return BSK_OK;
}

void bsk_nodes_free(struct bsk_nodes *nodes)
{
    free(nodes->nodes);
    *nodes = (struct bsk_nodes){ NULL, 0 };
}
