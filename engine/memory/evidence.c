#include "engine/memory/evidence.h"

#include "engine/memory/graph_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Chosen by judgement: so much of a site must hang on a holder before anything is said. */
static const double ENOUGH = 0.9, MOST = 0.8;

enum {
    LOCAL_LOOKS = 3,     /* growing looks before a running function's variable counts as a leak */
    LIMIT_STEPS = 6,     /* dominators above the holder that are asked for a limit */
    LIMIT_PLAYS = 20,    /* a limit that is so many times what is held, and more than the next, */
    LIMIT_LARGE = 100000 /* bounds nothing in practice */
};

struct look {
    const struct bsk_graph *graph;
    uint8_t *is_object; /* of the site */
    uint8_t *top;       /* enum bsk_root of what alone holds it; BSK_ROOT_NONE: more than one */
    uint32_t *weights;  /* the site's objects that it dominates */
    uint32_t count;     /* of the site's objects */
};

static int weigh(struct look *look, const struct bsk_nodes *objects, struct bsk_error *err)
{
    const struct bsk_graph *graph = look->graph;
    size_t n = (size_t)graph->count + 1;
    look->is_object = calloc(n, 1);
    look->top = calloc(n, 1);
    look->weights = calloc(n, sizeof(*look->weights));
    if (!look->is_object || !look->top || !look->weights)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    for (size_t i = 0; i < objects->count; i++) {
        uint32_t node = objects->nodes[i];
        if (node >= graph->count || !bsk_graph_visible(graph, node) || look->is_object[node])
            continue;
        look->is_object[node] = 1;
        look->count++;
    }
    /* a dominator comes before what it dominates */
    for (uint32_t i = graph->walk_count; i-- > 0;) {
        uint32_t node = graph->walk[i], above = graph->dominator[node];
        look->weights[node] += look->is_object[node];
        if (above != BSK_NO_NODE)
            look->weights[above] += look->weights[node];
    }
    for (uint32_t i = 0; i < graph->walk_count; i++) {
        uint32_t node = graph->walk[i], above = graph->dominator[node];
        look->top[node] = above == BSK_NO_NODE ? graph->roots[node] : look->top[above];
    }
    return BSK_OK;
}

/* The nearest thing that dominates nearly all of them and hangs on none of them, or BSK_NO_NODE. */
static uint32_t common_dominator(const struct look *look)
{
    const struct bsk_graph *graph = look->graph;
    uint32_t wanted = (uint32_t)(ENOUGH * look->count + 0.999), found = BSK_NO_NODE;
    for (uint32_t i = 0; i < graph->walk_count; i++)
        if (look->weights[graph->walk[i]] >= wanted)
            found = graph->walk[i]; /* they lie on one way: the last is the nearest */
    /* a chain of them: what its first one hangs on */
    for (uint32_t up = found; up != BSK_NO_NODE; up = graph->dominator[up])
        if (look->is_object[up])
            found = graph->dominator[up];
    return found;
}

/* Objects that two things hold are dominated by neither. Then: the one thing that refers to nearly
 * all of them, or BSK_NO_NODE. Sets *out_held. */
static uint32_t common_referrer(const struct look *look, uint32_t *out_held)
{
    const struct bsk_graph *graph = look->graph;
    uint32_t wanted = (uint32_t)(ENOUGH * look->count + 0.999), *counts, best = BSK_NO_NODE;
    uint32_t *last = malloc(((size_t)graph->count + 1) * sizeof(*last));
    counts = calloc((size_t)graph->count + 1, sizeof(*counts));
    for (uint32_t node = 0; counts && last && node < graph->count; node++) {
        if (!look->is_object[node])
            continue;
        for (uint32_t i = graph->in_start[node]; i < graph->in_start[node + 1]; i++) {
            uint32_t from = graph->in[i];
            if (!bsk_graph_visible(graph, from) || look->is_object[from] ||
                (counts[from] > 0 && last[from] == node))
                continue;
            last[from] = node;
            counts[from]++;
            if (counts[from] < wanted || graph->flags[from] & (BSK_NODE_CLASS | BSK_NODE_NAMESPACE))
                continue;
            if (best == BSK_NO_NODE || graph->distance[from] < graph->distance[best] ||
                from == best) {
                best = from;
                *out_held = counts[from];
            }
        }
    }
    free(counts);
    free(last);
    return best;
}

static const struct bsk_graph_limit *limit_of(const struct bsk_graph *graph, uint32_t node)
{
    for (int i = 0; i < LIMIT_STEPS && node != BSK_NO_NODE; i++, node = graph->dominator[node])
        for (uint32_t j = 0; j < graph->limit_count; j++)
            if (graph->limits[j].node == node)
                return &graph->limits[j];
    return NULL;
}

static enum bsk_root root_of(const struct bsk_graph *graph, uint32_t node, const char **out_name)
{
    uint32_t root = node;
    for (uint32_t up = node; up != BSK_NO_NODE; up = graph->parent[up])
        root = up;
    *out_name = bsk_graph_name(graph, root);
    return bsk_graph_root(graph, root);
}

static void name_holder(const struct bsk_graph *graph, uint32_t node, struct bsk_evidence *out)
{
    const char *name, *module = bsk_graph_module(graph, node);
    enum bsk_root root = root_of(graph, node, &name);
    bool plain = strcmp(module, "builtins") == 0 || module[0] == '\0';
    int used = snprintf(out->holder, sizeof(out->holder), "%.40s%s%.60s", plain ? "" : module,
                        plain ? "" : ".", bsk_graph_type(graph, node));
    if (root == BSK_ROOT_MODULE || root == BSK_ROOT_FRAME)
        snprintf(out->holder + used, sizeof(out->holder) - (size_t)used, " in %s %.40s",
                 root == BSK_ROOT_MODULE ? "module" : "function", name);
}

/* What has become of it since the look before. */
static void compare(struct bsk_hold *hold, uint64_t id, uint64_t type_id, uint32_t held)
{
    bool same = hold->looks > 0 && hold->holder_id == id && hold->holder_type_id == type_id;
    uint32_t before = same ? hold->held : 0;
    uint32_t step = same && held > before ? held - before : 0;
    bool slows = same && step < hold->best_step / 2; /* as what fills up does */
    if (!same || step == 0 || step <= before / 500 || slows)
        hold->grown = 0;
    else
        hold->grown++;
    hold->looks = same ? hold->looks + 1 : 1;
    hold->best_step = same ? hold->best_step - hold->best_step / 5 : 0; /* a warm-up is forgotten */
    if (step > hold->best_step)
        hold->best_step = step;
    hold->held = held;
    hold->holder_id = id;
    hold->holder_type_id = type_id;
}

static void judge(const struct look *look, uint32_t holder, uint32_t held, struct bsk_hold *hold,
                  struct bsk_evidence *out)
{
    const struct bsk_graph *graph = look->graph;
    const char *name;
    compare(hold, bsk_graph_id(graph, holder), bsk_graph_type_id(graph, holder), held);
    out->share = (double)held / look->count;
    out->graphs = hold->looks;
    name_holder(graph, holder, out);
    enum bsk_root root = root_of(graph, holder, &name);
    const struct bsk_graph_limit *limit = limit_of(graph, holder);
    if (limit && (limit->limit <= LIMIT_LARGE || limit->limit / LIMIT_PLAYS <= held))
        out->kind = BSK_EVIDENCE_BOUNDED;
    else if (root == BSK_ROOT_CYCLE)
        out->kind = BSK_EVIDENCE_GARBAGE;
    else if (root == BSK_ROOT_FRAME && hold->grown < LOCAL_LOOKS)
        out->kind = BSK_EVIDENCE_IN_USE;
    else if (hold->grown > 0)
        out->kind = BSK_EVIDENCE_LEAKED;
    else
        out->kind = BSK_EVIDENCE_HELD;
}

/* No holder: it may still be garbage, or the values of functions at work. */
static void judge_lone(const struct look *look, const struct bsk_nodes *objects,
                       struct bsk_evidence *out)
{
    uint32_t garbage = 0, local = 0;
    for (size_t i = 0; i < objects->count; i++) {
        uint32_t node = objects->nodes[i];
        if (node >= look->graph->count || !look->is_object[node])
            continue;
        garbage += look->top[node] == BSK_ROOT_CYCLE;
        local += look->top[node] == BSK_ROOT_FRAME;
    }
    out->graphs = 1;
    if (garbage >= MOST * look->count) {
        out->kind = BSK_EVIDENCE_GARBAGE;
        out->share = (double)garbage / look->count;
    } else if (local >= MOST * look->count) {
        out->kind = BSK_EVIDENCE_IN_USE;
        out->share = (double)local / look->count;
    }
}

int bsk_hold_look(const struct bsk_graph *graph, const struct bsk_nodes *objects,
                  struct bsk_hold *hold, struct bsk_evidence *out_evidence, struct bsk_error *err)
{
    struct look look = { .graph = graph };
    memset(out_evidence, 0, sizeof(*out_evidence));
    int rc = weigh(&look, objects, err);
    if (rc == BSK_OK && look.count == 0)
        memset(hold, 0, sizeof(*hold));
    if (rc < 0 || look.count == 0)
        goto out;
    uint32_t holder = common_dominator(&look), held = 0;
    if (holder != BSK_NO_NODE)
        held = look.weights[holder];
    bool general = holder == BSK_NO_NODE || graph->flags[holder] & BSK_NODE_NAMESPACE;
    if (general) { /* a module holds everything: that says nothing, but for a chain of them */
        uint32_t near_held = 0, near = common_referrer(&look, &near_held), chain = BSK_NO_NODE;
        for (uint32_t i = 0; holder != BSK_NO_NODE && i < graph->walk_count; i++) {
            uint32_t node = graph->walk[i];
            if (graph->dominator[node] == holder && look.weights[node] >= ENOUGH * look.count)
                chain = node;
        }
        if (chain == BSK_NO_NODE) {
            holder = near;
            held = near_held;
        }
    }
    hold->objects = out_evidence->objects = look.count;
    if (holder != BSK_NO_NODE) {
        judge(&look, holder, held, hold, out_evidence);
    } else {
        memset(hold, 0, sizeof(*hold));
        judge_lone(&look, objects, out_evidence);
    }
out:
    free(look.is_object);
    free(look.top);
    free(look.weights);
    return rc;
}
