#include "engine/memory/holders.h"

#include "engine/base/strings.h"
#include "engine/memory/references_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_COLUMNS = 24 }; /* of a longer key the name says "[...]" */

static uint32_t shown_with(const struct bsk_references *refs, uint64_t id)
{
    for (uint32_t i = 0; i < refs->count; i++)
        if (refs->nodes[i].id == id)
            return i;
    return BSK_NO_NODE;
}

static bool fill(const struct bsk_graph *graph, uint32_t node, uint32_t up, struct bsk_shown *shown)
{
    const char *path = bsk_graph_frame_place(graph, node, &shown->line);
    shown->id = bsk_graph_id(graph, node);
    shown->type_id = bsk_graph_type_id(graph, node);
    shown->root = bsk_graph_root(graph, node);
    shown->up = up;
    shown->type = strdup(bsk_graph_type(graph, node));
    shown->module = strdup(bsk_graph_module(graph, node));
    shown->name = strdup(bsk_graph_name(graph, node));
    shown->path = path ? strdup(path) : NULL;
    return shown->type && shown->module && shown->name && (!path || shown->path);
}

/* What a frame's variables are called is known: 3.11 and 3.12 would not tell it a second time. */
static bool add_edge(const struct bsk_graph *graph, uint32_t above, uint32_t node, uint32_t from,
                     uint32_t to, struct bsk_references *refs)
{
    struct bsk_shown_edge *edge = bsk_references_add_edge(refs, from, to);
    const char *local =
        bsk_graph_root(graph, above) == BSK_ROOT_FRAME ? bsk_graph_local(graph, above, node) : NULL;
    if (!edge || !local)
        return edge != NULL;
    edge->label = BSK_LABEL_LOCAL;
    edge->text = strdup(local);
    return edge->text != NULL;
}

/* The way down to `holder`, a step after the one that it begins at. False: out of memory. */
static bool add_way(const struct bsk_graph *graph, uint32_t holder, struct bsk_references *refs)
{
    uint32_t way[BSK_HOLDER_STEPS], length = 0, up = BSK_NO_NODE, node = holder;
    for (; node != BSK_NO_NODE && length < BSK_HOLDER_STEPS; node = bsk_graph_parent(graph, node))
        way[length++] = node;
    enum bsk_root root = bsk_graph_root(graph, way[length - 1]);
    if (node != BSK_NO_NODE || (root != BSK_ROOT_MODULE && root != BSK_ROOT_FRAME))
        return true;
    for (uint32_t above = BSK_NO_NODE; length-- > 0; above = way[length]) {
        uint32_t at = shown_with(refs, bsk_graph_id(graph, way[length]));
        if (at == BSK_NO_NODE) {
            at = refs->count++;
            if (!fill(graph, way[length], up, &refs->nodes[at]) ||
                (up != BSK_NO_NODE && !add_edge(graph, above, way[length], up, at, refs)))
                return false;
        }
        up = at;
    }
    refs->nodes[up].target = true;
    return true;
}

int bsk_holders_make(const struct bsk_graph *graph, const uint64_t *ids, size_t count,
                     struct bsk_references **out_refs, struct bsk_error *err)
{
    struct bsk_references *refs = calloc(1, sizeof(*refs));
    bool whole = refs && count <= BSK_HOLDERS_MAX;
    if (whole)
        refs->nodes = calloc(count * BSK_HOLDER_STEPS + 1, sizeof(*refs->nodes));
    whole = whole && refs->nodes;
    for (size_t i = 0; whole && i < count; i++) {
        uint32_t node = bsk_graph_find(graph, ids[i]);
        if (node != BSK_NO_NODE && !bsk_graph_left_out(graph, node))
            whole = add_way(graph, node, refs);
    }
    if (whole && refs->count > 0) {
        *out_refs = refs;
        return BSK_OK;
    }
    bsk_references_free(refs);
    return whole ? bsk_fail(err, BSK_E_STATE, NULL, "No holder has a name")
                 : bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
}

int bsk_holders_options(const struct bsk_references *refs, struct bsk_script_options *out,
                        struct bsk_error *err)
{
    bsk_script_option_int(out, "ways", 1);
    return bsk_references_label_options(refs, false, out, err);
}

static const struct bsk_shown_edge *edge_to(const struct bsk_references *refs, uint32_t from,
                                            uint32_t to)
{
    const struct bsk_shown_edge *found = NULL;
    for (uint32_t i = 0; i < refs->edge_count; i++) {
        const struct bsk_shown_edge *edge = &refs->edges[i];
        if (edge->from == from && edge->to == to && !edge->merged &&
            (!found || found->label == BSK_LABEL_NONE))
            found = edge;
    }
    return found;
}

/* One more step of the name. False: it has none. */
static bool add_step(const struct bsk_shown_edge *edge, bool of_module, struct bsk_buffer *name)
{
    char label[300];
    const char *text = edge->text ? edge->text : "";
    bsk_label_text(edge, label, sizeof(label));
    switch (edge->label) {
    case BSK_LABEL_NONE:
    case BSK_LABEL_GAP:
    case BSK_LABEL_KEYOF:
        return false;
    case BSK_LABEL_GLOBAL:
        bsk_buffer_printf(name, ".%s", text);
        break;
    case BSK_LABEL_LOCAL: /* of a frame, whose name stands behind; or of a generator */
    case BSK_LABEL_CLOSURE:
        if (name->size == 0)
            bsk_buffer_text_append(name, text);
        else
            bsk_buffer_printf(name, " (%s)", label);
        break;
    case BSK_LABEL_ITEM:
        bsk_buffer_text_append(name, "{...}");
        break;
    case BSK_LABEL_KEY:
    case BSK_LABEL_INDEX:
        bsk_buffer_text_append(name, strlen(label) > KEY_COLUMNS ? "[...]" : label);
        break;
    default:
        if (bsk_ends_with(text, "_frame")) /* of a generator, up to 3.10: its variable follows */
            break;
        /* What holds it is a module's own dictionary: its variables, each of them. */
        bsk_buffer_text_append(name, of_module && edge->label == BSK_LABEL_DICT ? ".*" : label);
        break;
    }
    return true;
}

bool bsk_holder_name(const struct bsk_references *refs, uint64_t id, char *out, size_t size)
{
    uint32_t way[BSK_HOLDER_STEPS], length = 0;
    uint32_t holder = shown_with(refs, id);
    for (uint32_t at = holder; at != BSK_NO_NODE; at = refs->nodes[at].up) {
        if (length == BSK_HOLDER_STEPS)
            return false;
        way[length++] = at;
    }
    if (length < 2)
        return false;
    const struct bsk_shown *root = &refs->nodes[way[length - 1]], *node = &refs->nodes[holder];
    struct bsk_buffer name = { 0 }, whole = { 0 };
    if (root->root == BSK_ROOT_MODULE)
        bsk_buffer_text_append(&name, root->name);
    bool named = true, inside = false;
    for (uint32_t i = length - 1; i-- > 0 && named;) {
        const struct bsk_shown_edge *edge = edge_to(refs, way[i + 1], way[i]);
        named = edge && add_step(edge, root->root == BSK_ROOT_MODULE && i == length - 2, &name);
        /* Of a C type, which does not tell what its parts are: an lru_cache's dictionary. */
        inside = edge && !named && i == 0 && length > 2 && !refs->nodes[holder].gone;
    }
    named = named || inside;
    bool plain = node->module[0] == '\0' || strcmp(node->module, "builtins") == 0;
    bsk_buffer_printf(&whole, "%.40s%s%.60s %s%s", plain ? "" : node->module, plain ? "" : ".",
                      node->type, inside ? "inside " : "", bsk_buffer_text(&name));
    if (root->root == BSK_ROOT_FRAME)
        bsk_buffer_printf(&whole, " in function %.60s", root->name);
    named = named && !name.failed && !whole.failed;
    if (named)
        bsk_utf8_copy(out, size, bsk_buffer_text(&whole));
    bsk_buffer_free(&name);
    bsk_buffer_free(&whole);
    return named;
}
