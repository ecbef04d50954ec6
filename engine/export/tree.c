#include "engine/export/tree.h"

#include "engine/export/pairs.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROOT,
    IDLE,
    FIRST, /* the first node that is neither */
};

#define NONE UINT32_MAX
#define PRUNED_FUNCTION UINT32_MAX

struct folded {
    uint32_t depth;
    uint32_t outer; /* the outermost frame it stands under; itself, when it is that or above */
    uint32_t out;   /* in the tree; NONE: taken out */
    uint32_t place; /* of what was taken out, in `places` */
    bool has_self;
    uint64_t weight; /* with what is below */
};

struct fold {
    const struct bsk_profile *profile;
    uint32_t node_count;
    struct bsk_pairs pairs; /* (folded parent, function or track): the number is the folded node */
    struct folded *nodes;
    uint32_t *folded_of; /* by the profile's node */
    uint64_t *weight;    /* by the profile's node, with what is below */
    bool by_track;
};

static void fold_free(struct fold *fold)
{
    bsk_pairs_free(&fold->pairs);
    free(fold->nodes);
    free(fold->folded_of);
    free(fold->weight);
}

static uint64_t self_weight(const struct bsk_node *node)
{
    return node->self_ns + node->samples; /* a sample without CPU time must show as well */
}

static bool weigh(struct fold *fold)
{
    fold->weight = calloc((size_t)fold->node_count + 1, sizeof(*fold->weight));
    if (!fold->weight)
        return false;
    for (uint32_t i = fold->node_count; i-- > 0;) {
        const struct bsk_node *node = bsk_profile_node_at(fold->profile, i);
        fold->weight[i] += self_weight(node);
        if (node->parent != BSK_NO_NODE)
            fold->weight[node->parent] += fold->weight[i];
    }
    uint32_t tracks = 0;
    for (uint32_t t = 0; t < bsk_profile_track_count(fold->profile); t++)
        tracks += fold->weight[bsk_profile_track_root(fold->profile, t)] > 0;
    fold->by_track = tracks > 1;
    return true;
}

/* The parent of a folded node; the roots' is NONE. */
static uint32_t parent_of(const struct fold *fold, uint32_t folded)
{
    return (uint32_t)(fold->pairs.keys[folded] >> 32);
}

static bool fold_nodes(struct fold *fold)
{
    fold->folded_of = malloc(((size_t)fold->node_count + 1) * sizeof(*fold->folded_of));
    if (!fold->folded_of || bsk_pair(&fold->pairs, NONE, ROOT) != ROOT ||
        bsk_pair(&fold->pairs, NONE, IDLE) != IDLE)
        return false;
    for (uint32_t i = 0; i < fold->node_count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(fold->profile, i);
        uint32_t parent = node->parent == BSK_NO_NODE ? ROOT : fold->folded_of[node->parent];
        bool skip = fold->weight[i] == 0 || (node->depth == 0 && !fold->by_track);
        fold->folded_of[i] = skip ? parent : bsk_pair(&fold->pairs, parent, node->function);
        if (fold->folded_of[i] == UINT32_MAX)
            return false;
    }
    fold->nodes = calloc(fold->pairs.count, sizeof(*fold->nodes));
    if (!fold->nodes)
        return false;
    uint32_t outer_depth = fold->by_track ? 2 : 1;
    for (uint32_t i = FIRST; i < fold->pairs.count; i++) {
        const struct folded *parent = &fold->nodes[parent_of(fold, i)];
        fold->nodes[i].depth = parent->depth + 1;
        fold->nodes[i].outer = fold->nodes[i].depth <= outer_depth ? i : parent->outer;
    }
    for (uint32_t i = 0; i < fold->node_count; i++) {
        uint64_t weight = self_weight(bsk_profile_node_at(fold->profile, i));
        fold->nodes[fold->folded_of[i]].weight += weight;
        fold->nodes[fold->folded_of[i]].has_self |= weight > 0;
    }
    for (uint32_t i = fold->pairs.count; i-- > FIRST;)
        fold->nodes[parent_of(fold, i)].weight += fold->nodes[i].weight;
    return true;
}

static uint32_t count_from(const struct fold *fold, uint64_t weight)
{
    uint32_t count = 0;
    for (uint32_t i = FIRST; i < fold->pairs.count; i++)
        count += fold->nodes[i].weight >= weight && fold->nodes[i].depth <= BSK_TREE_MAX_DEPTH;
    return count;
}

/* Numbers the heaviest `keep` nodes, in their order; a parent weighs as much as its child or more,
 * and comes before it, so whoever is kept has its parent. Returns how many there are. */
static uint32_t choose(struct fold *fold, uint32_t keep)
{
    uint64_t low = 0, high = fold->nodes[ROOT].weight + 1; /* count_from(high) fits */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (count_from(fold, middle) <= keep)
            high = middle;
        else
            low = middle + 1;
    }
    uint32_t ties = keep - count_from(fold, low), out = FIRST;
    fold->nodes[ROOT].out = ROOT;
    fold->nodes[IDLE].out = IDLE;
    for (uint32_t i = FIRST; i < fold->pairs.count; i++) {
        struct folded *node = &fold->nodes[i];
        bool kept = node->depth <= BSK_TREE_MAX_DEPTH && node->weight >= low;
        if (!kept && low > 0 && node->weight == low - 1 && node->depth <= BSK_TREE_MAX_DEPTH &&
            ties > 0) {
            kept = true;
            ties--;
        }
        node->out = kept ? out++ : NONE;
    }
    return out;
}

/* Numbers the nodes that stand for what was taken out: in `places`, by (where it hangs, function).
 * Returns false when out of memory. */
static bool place_pruned(struct fold *fold, bool below_outer, struct bsk_pairs *places)
{
    for (uint32_t i = FIRST; i < fold->pairs.count; i++) {
        struct folded *node = &fold->nodes[i];
        if (node->out != NONE)
            continue;
        uint32_t outer = below_outer ? fold->nodes[node->outer].out : NONE;
        uint32_t hangs = outer == NONE ? ROOT : outer;
        node->place = bsk_pair(places, hangs, PRUNED_FUNCTION);
        if (node->place != UINT32_MAX && node->has_self)
            node->place = bsk_pair(places, hangs, (uint32_t)fold->pairs.keys[i]);
        if (node->place == UINT32_MAX)
            return false;
    }
    return true;
}

static void fill_kept(const struct fold *fold, struct bsk_tree *tree)
{
    tree->nodes[ROOT] = (struct bsk_tree_node){ .kind = BSK_TREE_ROOT, .parent = NONE };
    tree->nodes[IDLE] = (struct bsk_tree_node){ .kind = BSK_TREE_IDLE, .parent = ROOT };
    for (uint32_t i = FIRST; i < fold->pairs.count; i++) {
        const struct folded *node = &fold->nodes[i];
        if (node->out == NONE) {
            tree->pruned++;
            continue;
        }
        uint32_t parent = parent_of(fold, i);
        tree->nodes[node->out] =
            (struct bsk_tree_node){ .kind = fold->by_track && parent == ROOT ? BSK_TREE_TRACK
                                                                             : BSK_TREE_FUNCTION,
                                    .index = (uint32_t)fold->pairs.keys[i],
                                    .parent = fold->nodes[parent].out };
    }
}

static void fill_pruned(struct bsk_pairs *places, uint32_t kept, struct bsk_tree *tree)
{
    uint32_t pruned_node = NONE, hangs_at = NONE;
    for (uint32_t i = 0; i < places->count; i++) {
        uint32_t hangs = (uint32_t)(places->keys[i] >> 32), function = (uint32_t)places->keys[i];
        struct bsk_tree_node *node = &tree->nodes[kept + i];
        if (function == PRUNED_FUNCTION) {
            *node = (struct bsk_tree_node){ .kind = BSK_TREE_PRUNED, .parent = hangs };
            continue;
        }
        if (hangs != hangs_at) { /* the "(pruned)" of the place; it has a smaller number */
            pruned_node = kept + bsk_pair(places, hangs, PRUNED_FUNCTION);
            hangs_at = hangs;
        }
        *node = (struct bsk_tree_node){ .kind = BSK_TREE_FUNCTION,
                                        .index = function,
                                        .parent = pruned_node };
    }
}

static bool build(struct fold *fold, uint32_t max_nodes, struct bsk_tree *tree)
{
    struct bsk_pairs places = { 0 };
    bool done = false;
    uint32_t total = fold->pairs.count;
    uint32_t keep = max_nodes > FIRST ? max_nodes - FIRST : 1;
    if (total > max_nodes)
        keep -= keep / 5; /* leaves room for what stands for the others */
    uint32_t kept = choose(fold, keep);
    if (!place_pruned(fold, true, &places))
        goto out;
    if (places.count > max_nodes / 5) {
        bsk_pairs_free(&places);
        if (!place_pruned(fold, false, &places))
            goto out;
    }
    tree->count = kept + places.count;
    tree->nodes = calloc(tree->count, sizeof(*tree->nodes));
    tree->node_of = calloc((size_t)fold->node_count + 1, sizeof(*tree->node_of));
    if (!tree->nodes || !tree->node_of)
        goto out;
    fill_kept(fold, tree);
    fill_pruned(&places, kept, tree);
    for (uint32_t i = FIRST; i < total; i++) {
        if (fold->nodes[i].out == NONE)
            fold->nodes[i].out = kept + fold->nodes[i].place;
    }
    for (uint32_t i = 0; i < fold->node_count; i++)
        tree->node_of[i] = fold->nodes[fold->folded_of[i]].out;
    done = true;
out:
    bsk_pairs_free(&places);
    return done;
}

static bool link_children(struct bsk_tree *tree)
{
    tree->children = malloc(((size_t)tree->count + 1) * sizeof(*tree->children));
    if (!tree->children)
        return false;
    for (uint32_t i = IDLE; i < tree->count; i++)
        tree->nodes[tree->nodes[i].parent].child_count++;
    uint32_t at = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        tree->nodes[i].first_child = at;
        at += tree->nodes[i].child_count;
        tree->nodes[i].child_count = 0;
    }
    for (uint32_t i = IDLE; i < tree->count; i++) {
        struct bsk_tree_node *parent = &tree->nodes[tree->nodes[i].parent];
        tree->children[parent->first_child + parent->child_count++] = i;
    }
    return true;
}

static int by_line(const void *left, const void *right)
{
    const struct bsk_tick *a = left, *b = right;
    return (a->line > b->line) - (a->line < b->line);
}

static bool has_tick(const struct bsk_profile *profile, const struct bsk_node *node)
{
    return node->depth > 0 && node->line > 0 && node->samples > 0 &&
           bsk_profile_function_at(profile, node->function).kind == BSK_FUNCTION_PYTHON;
}

static bool count_ticks(const struct bsk_profile *profile, struct bsk_tree *tree)
{
    uint32_t nodes = (uint32_t)bsk_profile_node_count(profile), total = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        tree->nodes[tree->node_of[i]].hits += node->samples;
        tree->nodes[tree->node_of[i]].tick_count += has_tick(profile, node);
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        tree->nodes[i].first_tick = total;
        total += tree->nodes[i].tick_count;
        tree->nodes[i].tick_count = 0;
    }
    tree->ticks = malloc(((size_t)total + 1) * sizeof(*tree->ticks));
    if (!tree->ticks)
        return false;
    for (uint32_t i = 0; i < nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        struct bsk_tree_node *out = &tree->nodes[tree->node_of[i]];
        if (has_tick(profile, node))
            tree->ticks[out->first_tick + out->tick_count++] =
                (struct bsk_tick){ node->line, node->samples };
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        struct bsk_tree_node *node = &tree->nodes[i];
        struct bsk_tick *ticks = tree->ticks + node->first_tick;
        uint32_t count = node->tick_count, kept = 0;
        qsort(ticks, count, sizeof(*ticks), by_line);
        for (uint32_t t = 0; t < count; t++) {
            if (kept > 0 && ticks[kept - 1].line == ticks[t].line)
                ticks[kept - 1].samples += ticks[t].samples;
            else
                ticks[kept++] = ticks[t];
        }
        node->tick_count = kept;
    }
    return true;
}

bool bsk_tree_make(const struct bsk_profile *profile, uint32_t max_nodes, struct bsk_tree *out_tree)
{
    struct fold fold = { .profile = profile,
                         .node_count = (uint32_t)bsk_profile_node_count(profile) };
    struct bsk_tree tree = { 0 };
    bool done = weigh(&fold) && fold_nodes(&fold) && build(&fold, max_nodes, &tree) &&
                link_children(&tree) && count_ticks(profile, &tree);
    fold_free(&fold);
    if (done)
        *out_tree = tree;
    else
        bsk_tree_free(&tree);
    return done;
}

void bsk_tree_free(struct bsk_tree *tree)
{
    free(tree->nodes);
    free(tree->children);
    free(tree->ticks);
    free(tree->node_of);
    memset(tree, 0, sizeof(*tree));
}
