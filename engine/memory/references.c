/* Which part of the graph is shown: the ways that most of the targets hang on come first. */
#include "engine/memory/references_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_WAYS = 12,
    ALIKE = 3,     /* targets shown on one holder, branches followed at one node */
    LONG_WAY = 40, /* nodes; of a longer one the beginning and the end are shown */
    WAY_HEAD = 16,
    WAY_TAIL = 16,
    OTHERS = 3,        /* further referrers of the first target and of its holder */
    CYCLE_LOOK = 20000 /* nodes looked at for the way back */
};

struct branch {
    uint32_t node;
    uint32_t weight;
};

struct making {
    const struct bsk_graph *graph;
    uint32_t *weights; /* targets that hang below a node in the tree of shortest ways */
    uint8_t *targets;  /* 1: is one */
    uint8_t *where;    /* index in `shown` + 1; 0: not shown */
    uint32_t max_nodes;
    uint32_t shown[BSK_REFERENCES_MAX_NODES]; /* their numbers in the graph */
    uint32_t up[BSK_REFERENCES_MAX_NODES];    /* index in `shown`, or BSK_NO_NODE */
    uint32_t steps[BSK_REFERENCES_MAX_NODES]; /* from `up`, where some in between are not shown */
    uint32_t count;
    struct branch branches[256]; /* not followed yet */
    uint32_t branch_count, lightest;
};

static uint32_t shown_index(const struct making *making, uint32_t node)
{
    return making->where[node] ? making->where[node] - 1u : BSK_NO_NODE;
}

static bool show(struct making *making, uint32_t node, uint32_t up, uint32_t steps)
{
    if (shown_index(making, node) != BSK_NO_NODE)
        return true;
    if (making->count >= making->max_nodes)
        return false;
    making->shown[making->count] = node;
    making->up[making->count] = up == BSK_NO_NODE ? BSK_NO_NODE : shown_index(making, up);
    making->steps[making->count++] = steps;
    making->where[node] = (uint8_t)making->count;
    return true;
}

/* Counts the targets below each node. Nodes are taken by falling distance, so that a node is done
 * before the one above it. */
static int weigh(struct making *making, struct bsk_error *err)
{
    const struct bsk_graph *graph = making->graph;
    struct bsk_graph_facts facts;
    bsk_graph_facts(graph, &facts);
    uint32_t n = facts.nodes, deepest = 0;
    for (uint32_t node = 0; node < n; node++) {
        uint32_t distance = bsk_graph_distance(graph, node);
        if (distance != UINT32_MAX && distance > deepest)
            deepest = distance;
    }
    uint32_t *starts = calloc((size_t)deepest + 2, sizeof(*starts));
    uint32_t *order = malloc(((size_t)n + 1) * sizeof(*order));
    if (!starts || !order) {
        free(starts);
        free(order);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    }
    for (uint32_t node = 0; node < n; node++)
        if (bsk_graph_distance(graph, node) != UINT32_MAX)
            starts[bsk_graph_distance(graph, node) + 1]++;
    for (uint32_t i = 0; i <= deepest; i++)
        starts[i + 1] += starts[i];
    uint32_t total = starts[deepest + 1];
    for (uint32_t node = 0; node < n; node++)
        if (bsk_graph_distance(graph, node) != UINT32_MAX)
            order[starts[bsk_graph_distance(graph, node)]++] = node;
    for (uint32_t i = total; i-- > 0;) {
        uint32_t node = order[i], parent = bsk_graph_parent(graph, node);
        making->weights[node] += making->targets[node];
        if (parent != BSK_NO_NODE)
            making->weights[parent] += making->weights[node];
    }
    free(starts);
    free(order);
    return BSK_OK;
}

static void add_branch(struct making *making, uint32_t node)
{
    const uint32_t room = sizeof(making->branches) / sizeof(making->branches[0]);
    uint32_t weight = making->weights[node], at = making->branch_count;
    if (at == room) { /* the lightest makes room */
        if (weight <= making->lightest)
            return;
        for (at = 0; making->branches[at].weight > making->lightest;)
            at++;
    } else {
        making->branch_count++;
    }
    making->branches[at] = (struct branch){ node, weight };
    making->lightest = UINT32_MAX;
    for (uint32_t i = 0; i < making->branch_count; i++)
        if (making->branches[i].weight < making->lightest)
            making->lightest = making->branches[i].weight;
}

/* The heaviest child goes to *out_child (BSK_NO_NODE: none); the next ones become branches. */
static void look_below(struct making *making, uint32_t node, uint32_t *out_child)
{
    const struct bsk_graph *graph = making->graph;
    uint32_t best[ALIKE + 1], count = 0;
    size_t edges;
    const uint32_t *out = bsk_graph_out(graph, node, &edges);
    for (size_t i = 0; i < edges; i++) {
        uint32_t child = out[i];
        if (bsk_graph_parent(graph, child) != node || making->weights[child] == 0)
            continue;
        bool twice = false;
        for (uint32_t j = 0; j < count; j++)
            twice = twice || best[j] == child;
        if (twice)
            continue;
        uint32_t at = count < ALIKE + 1 ? count++ : ALIKE + 1;
        if (at == ALIKE + 1) {
            if (making->weights[best[ALIKE]] >= making->weights[child])
                continue;
            at = ALIKE;
        }
        for (; at > 0 && making->weights[best[at - 1]] < making->weights[child]; at--)
            best[at] = best[at - 1];
        best[at] = child;
    }
    *out_child = count > 0 ? best[0] : BSK_NO_NODE;
    for (uint32_t i = 1; i < count && i < ALIKE; i++)
        add_branch(making, best[i]);
}

/* Shows the way from a root (or from what is shown already) down to `node`. */
static bool show_way_to(struct making *making, uint32_t node)
{
    const struct bsk_graph *graph = making->graph;
    uint32_t length = 0;
    for (uint32_t up = node; up != BSK_NO_NODE && shown_index(making, up) == BSK_NO_NODE;
         up = bsk_graph_parent(graph, up))
        length++;
    uint32_t *way = malloc(((size_t)length + 1) * sizeof(*way));
    if (!way)
        return false;
    uint32_t above = node;
    for (uint32_t i = length; i-- > 0; above = bsk_graph_parent(graph, above))
        way[i] = above;
    bool fits = true;
    for (uint32_t i = 0; i < length && fits; i++) {
        uint32_t steps = 0;
        if (length > LONG_WAY && i == WAY_HEAD) {
            steps = length - WAY_TAIL - WAY_HEAD;
            i += steps;
        }
        fits = show(making, way[i], above, steps);
        above = way[i];
    }
    free(way);
    return fits;
}

static void show_from(struct making *making, uint32_t node)
{
    uint32_t end = node, next = node;
    while (!making->targets[end]) {
        look_below(making, end, &next);
        if (next == BSK_NO_NODE)
            break;
        end = next;
    }
    show_way_to(making, end);
}

static void show_ways(struct making *making, uint32_t node_count)
{
    const struct bsk_graph *graph = making->graph;
    for (uint32_t node = 0; node < node_count; node++)
        if (bsk_graph_root(graph, node) != BSK_ROOT_NONE && making->weights[node] > 0)
            add_branch(making, node); /* more than there is room for: the first modules count */
    for (int way = 0; way < MAX_WAYS && making->count < making->max_nodes; way++) {
        uint32_t best = BSK_NO_NODE;
        for (uint32_t i = 0; i < making->branch_count; i++)
            if (best == BSK_NO_NODE || making->branches[i].weight > making->branches[best].weight)
                best = i;
        if (best == BSK_NO_NODE)
            return;
        uint32_t node = making->branches[best].node;
        making->branches[best] = making->branches[--making->branch_count];
        making->lightest = 0; /* there is room again */
        show_from(making, node);
    }
}

static bool is_below(const struct bsk_graph *graph, uint32_t node, uint32_t above)
{
    for (int i = 0; i < 64 && node != BSK_NO_NODE; i++, node = bsk_graph_dominator(graph, node))
        if (node == above)
            return true;
    return false;
}

/* Who else refers to it, as far as it does not live by it. */
static void show_others(struct making *making, uint32_t node)
{
    const struct bsk_graph *graph = making->graph;
    size_t count;
    const uint32_t *in = bsk_graph_in(graph, node, &count);
    int shown = 0;
    for (size_t i = 0; i < count && shown < OTHERS; i++) {
        uint32_t from = in[i];
        if (bsk_graph_left_out(graph, from) || shown_index(making, from) != BSK_NO_NODE ||
            is_below(graph, from, node) || bsk_graph_distance(graph, from) > LONG_WAY)
            continue;
        if (!show_way_to(making, from))
            return;
        shown++;
    }
}

/* The shortest way from a node back to itself. */
static void show_cycle(struct making *making, uint32_t start)
{
    const struct bsk_graph *graph = making->graph;
    uint32_t cycle = bsk_graph_cycle(graph, start);
    if (cycle == 0)
        return;
    struct step {
        uint32_t node, from;
    } *steps = malloc(CYCLE_LOOK * sizeof(*steps));
    struct bsk_graph_facts facts;
    bsk_graph_facts(graph, &facts);
    uint8_t *seen = calloc((size_t)facts.nodes + 1, 1);
    uint32_t first = 0, last = 0, closing = BSK_NO_NODE;
    if (steps && seen)
        steps[last++] = (struct step){ start, BSK_NO_NODE };
    while (first < last && closing == BSK_NO_NODE) {
        size_t count;
        const uint32_t *out = bsk_graph_out(graph, steps[first].node, &count);
        for (size_t i = 0; i < count && last < CYCLE_LOOK; i++) {
            if (out[i] == start) {
                closing = first;
                break;
            }
            if (seen[out[i]] || bsk_graph_cycle(graph, out[i]) != cycle)
                continue;
            seen[out[i]] = 1;
            steps[last++] = (struct step){ out[i], first };
        }
        first++;
    }
    uint32_t way[32], length = 0;
    for (uint32_t at = closing; at != BSK_NO_NODE && length < 32; at = steps[at].from)
        way[length++] = steps[at].node;
    for (uint32_t i = length; i-- > 0;)
        show(making, way[i], i + 1 < length ? way[i + 1] : start, 0);
    free(steps);
    free(seen);
}

/* --- handing over ---------------------------------------------------------------------------- */

struct bsk_shown_edge *bsk_references_add_edge(struct bsk_references *refs, uint32_t from,
                                               uint32_t to)
{
    if (refs->edge_count == refs->edge_room) {
        uint32_t room = refs->edge_room ? refs->edge_room * 2 : 64;
        struct bsk_shown_edge *bigger = realloc(refs->edges, room * sizeof(*bigger));
        if (!bigger)
            return NULL;
        refs->edges = bigger;
        refs->edge_room = room;
    }
    struct bsk_shown_edge *edge = &refs->edges[refs->edge_count++];
    memset(edge, 0, sizeof(*edge));
    edge->from = from;
    edge->to = to;
    return edge;
}

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

static bool fill_node(const struct making *making, uint32_t index, struct bsk_shown *shown)
{
    const struct bsk_graph *graph = making->graph;
    uint32_t node = making->shown[index];
    shown->id = bsk_graph_id(graph, node);
    shown->type_id = bsk_graph_type_id(graph, node);
    shown->bytes = bsk_graph_bytes(graph, node);
    shown->retained = bsk_graph_retained(graph, node);
    shown->root = bsk_graph_root(graph, node);
    shown->cycle = bsk_graph_cycle(graph, node);
    shown->target = making->targets[node];
    shown->up = making->up[index];
    shown->type = copy(bsk_graph_type(graph, node));
    shown->module = copy(bsk_graph_module(graph, node));
    shown->name = copy(bsk_graph_name(graph, node));
    const char *path = bsk_graph_frame_place(graph, node, &shown->line);
    shown->path = path ? copy(path) : NULL;
    size_t count;
    const uint32_t *out = bsk_graph_out(graph, node, &count);
    for (size_t i = 0; i < count; i++) /* edges to one target twice count twice: rare */
        shown->more += bsk_graph_parent(graph, out[i]) == node && making->targets[out[i]] &&
                       shown_index(making, out[i]) == BSK_NO_NODE;
    return shown->type && shown->module && shown->name && (!path || shown->path);
}

static bool fill_edges(const struct making *making, struct bsk_references *refs)
{
    uint8_t seen[BSK_REFERENCES_MAX_NODES];
    for (uint32_t from = 0; from < making->count; from++) {
        size_t count;
        const uint32_t *out = bsk_graph_out(making->graph, making->shown[from], &count);
        memset(seen, 0, sizeof(seen));
        for (size_t i = 0; i < count; i++) {
            uint32_t to = shown_index(making, out[i]);
            if (to == BSK_NO_NODE || seen[to])
                continue;
            seen[to] = 1;
            if (!bsk_references_add_edge(refs, from, to))
                return false;
        }
    }
    for (uint32_t to = 0; to < making->count; to++) {
        if (making->steps[to] == 0 || making->up[to] == BSK_NO_NODE)
            continue;
        struct bsk_shown_edge *edge = bsk_references_add_edge(refs, making->up[to], to);
        if (!edge)
            return false;
        edge->label = BSK_LABEL_GAP;
        edge->steps = making->steps[to];
    }
    return true;
}

/* Targets that another target dominates are freed with it: they count once. */
static void sum_targets(const struct making *making, const struct bsk_nodes *targets,
                        struct bsk_references *refs)
{
    const struct bsk_graph *graph = making->graph;
    for (size_t i = 0; i < targets->count; i++) {
        uint32_t node = targets->nodes[i];
        refs->target_bytes += bsk_graph_bytes(graph, node);
        bool inside = false;
        uint32_t above = bsk_graph_dominator(graph, node);
        for (int j = 0; j < 8 && above != BSK_NO_NODE && !inside; j++) {
            inside = making->targets[above];
            above = bsk_graph_dominator(graph, above);
        }
        refs->target_retained += inside ? 0 : bsk_graph_retained(graph, node);
        enum bsk_root root = bsk_graph_root(graph, node);
        refs->lone_targets += root == BSK_ROOT_C || root == BSK_ROOT_CYCLE;
    }
}

static int hand_over(const struct making *making, const struct bsk_nodes *targets,
                     const char *title, struct bsk_references **out_refs, struct bsk_error *err)
{
    struct bsk_references *refs = calloc(1, sizeof(*refs));
    bool fits = refs != NULL;
    if (fits) {
        refs->title = copy(title);
        refs->nodes = calloc((size_t)making->count + 1, sizeof(*refs->nodes));
        refs->target_count = targets->count;
        bsk_graph_facts(making->graph, &refs->facts);
        fits = refs->title && refs->nodes;
    }
    for (uint32_t i = 0; fits && i < making->count; i++) {
        fits = fill_node(making, i, &refs->nodes[i]);
        refs->count++;
    }
    if (!fits || !fill_edges(making, refs)) {
        bsk_references_free(refs);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    }
    sum_targets(making, targets, refs);
    *out_refs = refs;
    return BSK_OK;
}

int bsk_references_make(const struct bsk_graph *graph, const struct bsk_nodes *targets,
                        const char *title, uint32_t max_nodes, struct bsk_references **out_refs,
                        struct bsk_error *err)
{
    if (targets->count == 0)
        return bsk_fail(err, BSK_E_STATE, "it may be gone, or hold no object that Python knows",
                        "No live object found for %.100s", title);
    struct bsk_graph_facts facts;
    bsk_graph_facts(graph, &facts);
    struct making *making = calloc(1, sizeof(*making));
    int rc = BSK_E_MEMORY;
    if (making) {
        making->graph = graph;
        making->max_nodes = max_nodes == 0 || max_nodes > BSK_REFERENCES_MAX_NODES
                                ? BSK_REFERENCES_MAX_NODES
                                : max_nodes;
        making->weights = calloc((size_t)facts.nodes + 1, sizeof(*making->weights));
        making->targets = calloc((size_t)facts.nodes + 1, 1);
        making->where = calloc((size_t)facts.nodes + 1, 1);
    }
    if (!making || !making->weights || !making->targets || !making->where) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
        goto out;
    }
    for (size_t i = 0; i < targets->count; i++)
        making->targets[targets->nodes[i]] = 1;
    rc = weigh(making, err);
    if (rc < 0)
        goto out;
    show_ways(making, facts.nodes);
    uint32_t first = BSK_NO_NODE;
    for (uint32_t i = 0; i < making->count && first == BSK_NO_NODE; i++)
        first = making->targets[making->shown[i]] ? making->shown[i] : BSK_NO_NODE;
    if (first != BSK_NO_NODE) {
        show_cycle(making, first);
        show_others(making, first);
        if (bsk_graph_parent(graph, first) != BSK_NO_NODE)
            show_others(making, bsk_graph_parent(graph, first));
    }
    rc = hand_over(making, targets, title, out_refs, err);
out:
    if (making) {
        free(making->weights);
        free(making->targets);
        free(making->where);
    }
    free(making);
    return rc;
}

void bsk_references_free(struct bsk_references *refs)
{
    if (!refs)
        return;
    for (uint32_t i = 0; i < refs->count; i++) {
        free(refs->nodes[i].type);
        free(refs->nodes[i].module);
        free(refs->nodes[i].name);
        free(refs->nodes[i].path);
        free(refs->nodes[i].repr);
    }
    for (uint32_t i = 0; i < refs->edge_count; i++)
        free(refs->edges[i].text);
    free(refs->nodes);
    free(refs->edges);
    free(refs->title);
    free(refs);
}
