/* Steps that are one to who reads them are drawn as one: `.name` instead of `.__dict__` and
 * `['name']`, `closure x` instead of a tuple and a cell. */
#include "engine/memory/references_internal.h"

#include <stdlib.h>
#include <string.h>

static struct bsk_shown_edge *edge_between(const struct bsk_references *refs, uint32_t from,
                                           uint32_t to)
{
    for (uint32_t i = 0; i < refs->edge_count; i++)
        if (refs->edges[i].from == from && refs->edges[i].to == to && !refs->edges[i].merged)
            return &refs->edges[i];
    return NULL;
}

static bool hangs_on(const struct bsk_references *refs, uint32_t node, uint32_t above)
{
    for (uint32_t i = 0; i < refs->count && node != BSK_NO_NODE; i++, node = refs->nodes[node].up)
        if (node == above)
            return true;
    return false;
}

/* A new edge beside what there is; one that has no words yet takes them. */
static int join(struct bsk_references *refs, uint32_t from, uint32_t to, enum bsk_label label,
                const struct bsk_shown_edge *words, struct bsk_error *err)
{
    char *text = words->text ? strdup(words->text) : NULL;
    bool identifier = words->identifier, failed = words->text && !text;
    struct bsk_shown_edge *edge = edge_between(refs, from, to);
    if (edge && edge->label != BSK_LABEL_NONE) {
        free(text);
        return BSK_OK;
    }
    if (!edge)
        edge = bsk_references_add_edge(refs, from, to);
    if (!edge || failed) {
        free(text);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    }
    free(edge->text);
    edge->text = text;
    edge->label = label;
    edge->identifier = identifier;
    return BSK_OK;
}

/* Takes `node` out; what hung on it hangs on `owner`. */
static void take_out(struct bsk_references *refs, uint32_t node, uint32_t owner)
{
    struct bsk_shown *gone = &refs->nodes[node];
    gone->merged = true;
    refs->nodes[owner].more += gone->more;
    for (uint32_t i = 0; i < refs->count; i++)
        if (refs->nodes[i].up == node)
            refs->nodes[i].up = owner;
    for (uint32_t i = 0; i < refs->edge_count; i++)
        if (refs->edges[i].from == node || refs->edges[i].to == node)
            refs->edges[i].merged = true;
}

static bool may_go(const struct bsk_references *refs, uint32_t node)
{
    const struct bsk_shown *shown = &refs->nodes[node];
    if (shown->target || shown->merged || shown->root != BSK_ROOT_NONE || shown->gone)
        return false;
    for (uint32_t i = 0; i < refs->edge_count; i++)
        if (refs->edges[i].label == BSK_LABEL_GAP &&
            (refs->edges[i].from == node || refs->edges[i].to == node))
            return false;
    return true;
}

/* An object's dictionary into its owner: a module's variables are globals, all else attributes. */
static int draw_dict(struct bsk_references *refs, uint32_t node, struct bsk_error *err)
{
    uint32_t owner = BSK_NO_NODE;
    for (uint32_t i = 0; i < refs->edge_count; i++) {
        const struct bsk_shown_edge *edge = &refs->edges[i];
        if (edge->to != node || edge->merged || edge->label != BSK_LABEL_DICT || edge->from == node)
            continue;
        if (owner == BSK_NO_NODE || refs->nodes[edge->from].root == BSK_ROOT_MODULE)
            owner = edge->from;
    }
    if (owner == BSK_NO_NODE || hangs_on(refs, owner, node))
        return BSK_OK;
    bool module = refs->nodes[owner].root == BSK_ROOT_MODULE;
    uint32_t edges = refs->edge_count; /* those that are new need no look */
    for (uint32_t i = 0; i < edges; i++) {
        struct bsk_shown_edge edge = refs->edges[i];
        int rc = BSK_OK;
        if (edge.merged || edge.from == edge.to)
            continue;
        if (edge.from == node && edge.label == BSK_LABEL_KEY)
            rc = join(refs, owner, edge.to,
                      !edge.identifier ? BSK_LABEL_KEY
                      : module         ? BSK_LABEL_GLOBAL
                                       : BSK_LABEL_ATTRIBUTE,
                      &edge, err);
        else if (edge.from == node)
            rc = join(refs, owner, edge.to, edge.label, &edge, err);
        else if (edge.to == node && edge.from != owner)
            rc = join(refs, edge.from, owner, edge.label, &edge, err);
        if (rc < 0)
            return rc;
    }
    take_out(refs, node, owner);
    return BSK_OK;
}

static bool is_closure_tuple(const struct bsk_shown_edge *in)
{
    return in->label == BSK_LABEL_PART && in->text && strcmp(in->text, "__closure__") == 0;
}

/* A closure's tuple, then its cells, into the function; a cell into the frame that has it. */
static int draw_closure(struct bsk_references *refs, uint32_t node, bool tuple,
                        struct bsk_error *err)
{
    uint32_t owner = BSK_NO_NODE;
    for (uint32_t i = 0; i < refs->edge_count; i++) {
        const struct bsk_shown_edge *edge = &refs->edges[i];
        if (edge->to != node || edge->merged || edge->from == node)
            continue;
        bool fits = tuple ? is_closure_tuple(edge)
                          : edge->label == BSK_LABEL_CLOSURE || edge->label == BSK_LABEL_LOCAL;
        if (!fits)
            return BSK_OK; /* somebody refers to it otherwise: it stays */
        if (owner == BSK_NO_NODE || refs->nodes[node].up == edge->from)
            owner = edge->from;
    }
    if (owner == BSK_NO_NODE || hangs_on(refs, owner, node))
        return BSK_OK;
    uint32_t edges = refs->edge_count;
    for (uint32_t i = 0; i < edges; i++) {
        struct bsk_shown_edge in = refs->edges[i];
        if (in.to != node || in.merged || in.from == node)
            continue;
        for (uint32_t j = 0; j < edges; j++) {
            struct bsk_shown_edge out = refs->edges[j];
            if (out.from != node || out.merged || out.to == node)
                continue;
            int rc = tuple ? join(refs, in.from, out.to, out.label, &out, err)
                           : join(refs, in.from, out.to, in.label, &in, err);
            if (rc < 0)
                return rc;
        }
    }
    take_out(refs, node, owner);
    return BSK_OK;
}

int bsk_references_draw_together(struct bsk_references *refs, struct bsk_error *err)
{
    static const char *const kinds[] = { "dict", "tuple", "cell" }; /* tuples before their cells */
    int rc = BSK_OK;
    for (size_t kind = 0; kind < 3; kind++) {
        for (uint32_t node = 0; rc == BSK_OK && node < refs->count; node++) {
            if (strcmp(refs->nodes[node].type, kinds[kind]) != 0 || !may_go(refs, node))
                continue;
            rc = kind == 0 ? draw_dict(refs, node, err) : draw_closure(refs, node, kind == 1, err);
        }
    }
    return rc;
}
