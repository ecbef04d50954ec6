#include "engine/export/flame.h"

#include "engine/export/pairs.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct plan {
    const struct bsk_profile *profile;
    struct bsk_flame *flame;
    uint32_t node_count, capacity;
    uint64_t *total;  /* by node, with what is below */
    uint32_t *box_of; /* by node: its box, or the one that it is hidden in */
    uint64_t least;   /* weight of a box that is shown */
};

static uint64_t weight_of(const struct plan *plan, const struct bsk_node *node)
{
    return plan->flame->weight_is_samples ? node->samples : node->self_ns;
}

static void weigh(struct plan *plan)
{
    uint64_t cpu_ns = 0, samples = 0;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
        cpu_ns += node->self_ns;
        samples += node->samples;
    }
    plan->flame->weight_is_samples = cpu_ns == 0 && samples > 0;
    for (uint32_t i = plan->node_count; i-- > 0;) {
        const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
        plan->total[i] += weight_of(plan, node);
        if (node->parent != BSK_NO_NODE)
            plan->total[node->parent] += plan->total[i];
    }
}

static uint64_t whole_of(const struct plan *plan)
{
    uint64_t whole = 0;
    for (uint32_t t = 0; t < bsk_profile_track_count(plan->profile); t++)
        whole += plan->total[bsk_profile_track_root(plan->profile, t)];
    return whole;
}

/* The least weight that is wide enough and leaves no more than `max_boxes`. */
static void choose_least(struct plan *plan, const struct bsk_flame_limits *limits)
{
    double whole = (double)whole_of(plan), share = limits->min_share;
    for (;; share *= 1.5) {
        uint32_t count = 0;
        plan->least = (uint64_t)(whole * share);
        plan->least += plan->least == 0;
        for (uint32_t i = 0; i < plan->node_count; i++)
            count += plan->total[i] >= plan->least;
        if (count <= limits->max_boxes || share > 0.5)
            break;
    }
    plan->flame->min_share = share;
}

static uint32_t add_box(struct plan *plan, uint32_t parent, enum bsk_box_kind kind, uint32_t index,
                        uint32_t line)
{
    struct bsk_flame *flame = plan->flame;
    if (flame->count == plan->capacity) {
        uint32_t capacity = plan->capacity * 2 + 256;
        struct bsk_box *boxes = realloc(flame->boxes, capacity * sizeof(*boxes));
        if (!boxes)
            return NONE;
        flame->boxes = boxes;
        plan->capacity = capacity;
    }
    uint32_t level = parent == NONE ? 0 : flame->boxes[parent].level + 1;
    flame->boxes[flame->count] = (struct bsk_box){
        .kind = kind, .index = index, .line = line, .parent = parent, .level = level
    };
    if (level >= flame->levels)
        flame->levels = level + 1;
    return flame->count++;
}

/* The box that a track's frames stand on, made when it is missing; `process_box` is by process. */
static uint32_t track_box(struct plan *plan, uint32_t track, uint32_t *process_box)
{
    const struct bsk_processes *processes = &plan->flame->processes;
    uint32_t process = processes->of_track[track], box = 0;
    if (process == NONE)
        return 0;
    if (processes->count > 1) {
        if (process_box[process] == NONE)
            process_box[process] = add_box(plan, 0, BSK_BOX_PROCESS, process, 0);
        box = process_box[process];
    }
    if (box != NONE && processes->items[process].track_count > 1)
        box = add_box(plan, box, BSK_BOX_THREAD, track, 0);
    return box;
}

static bool place_roots(struct plan *plan)
{
    const struct bsk_processes *processes = &plan->flame->processes;
    uint32_t tracks = (uint32_t)bsk_profile_track_count(plan->profile);
    uint32_t *process_box = malloc(((size_t)processes->count + 1) * sizeof(*process_box));
    bool done = process_box && add_box(plan, NONE, BSK_BOX_ALL, 0, 0) == 0;
    if (process_box)
        memset(process_box, 0xff, processes->count * sizeof(*process_box));
    for (uint32_t t = 0; done && t < tracks; t++) {
        uint32_t root = bsk_profile_track_root(plan->profile, t);
        bool shown = plan->total[root] >= plan->least;
        plan->box_of[root] = shown ? track_box(plan, t, process_box) : 0;
        done = plan->box_of[root] != NONE;
    }
    free(process_box);
    return done;
}

static bool is_shown(const struct plan *plan, uint32_t node)
{
    return plan->total[node] >= plan->least;
}

/* Frames down to the deepest level; below it, nodes get the box that they are cut at. */
static bool place_frames(struct plan *plan, uint32_t max_levels)
{
    for (uint32_t i = 0; i < plan->node_count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
        if (node->parent == BSK_NO_NODE)
            continue;
        plan->box_of[i] = plan->box_of[node->parent];
        if (node->depth > max_levels) {
            plan->flame->too_deep += plan->total[i] > 0;
        } else if (is_shown(plan, i)) {
            plan->box_of[i] =
                add_box(plan, plan->box_of[i], BSK_BOX_FRAME, node->function, node->line);
            if (plan->box_of[i] == NONE)
                return false;
        } else {
            plan->flame->narrow += plan->total[i] > 0;
        }
    }
    return true;
}

struct cut { /* a box at the deepest level */
    bool is;
    uint32_t box;   /* the one on it that stands for what is left out */
    uint64_t total; /* what is left out */
};

struct ends {                /* the frames that stacks end in which are too deep */
    struct cut *cuts;        /* by box */
    struct bsk_pairs frames; /* (function, line) */
    struct bsk_pairs pairs;  /* (the box it is cut at, the frame) */
    uint64_t *total;         /* by end */
    uint32_t *box;           /* by end */
};

/* The end that a node is, or NONE; *out_failed when out of memory. */
static uint32_t end_of(const struct plan *plan, struct ends *ends, uint32_t index,
                       uint32_t max_levels, bool *out_failed)
{
    const struct bsk_node *node = bsk_profile_node_at(plan->profile, index);
    if (node->depth <= max_levels || weight_of(plan, node) == 0 ||
        !ends->cuts[plan->box_of[index]].is)
        return NONE;
    uint32_t frame = bsk_pair(&ends->frames, node->function, node->line);
    uint32_t end = frame == NONE ? NONE : bsk_pair(&ends->pairs, plan->box_of[index], frame);
    *out_failed |= end == NONE;
    return end;
}

static bool place_end_boxes(struct plan *plan, struct ends *ends, uint32_t cut_count)
{
    for (uint32_t i = 0; i < cut_count; i++) {
        struct cut *cut = &ends->cuts[i];
        cut->box = i;
        if (cut->total < plan->least)
            continue;
        cut->box = add_box(plan, i, BSK_BOX_LEFT_OUT, 0, 0);
        if (cut->box == NONE)
            return false;
    }
    for (uint32_t i = 0; i < ends->pairs.count; i++) {
        const struct cut *cut = &ends->cuts[ends->pairs.keys[i] >> 32];
        uint64_t frame = ends->frames.keys[(uint32_t)ends->pairs.keys[i]];
        ends->box[i] = cut->box;
        if (ends->total[i] < plan->least)
            continue;
        ends->box[i] =
            add_box(plan, cut->box, BSK_BOX_FRAME, (uint32_t)(frame >> 32), (uint32_t)frame);
        if (ends->box[i] == NONE)
            return false;
    }
    return true;
}

static bool place_ends(struct plan *plan, struct ends *ends, uint32_t max_levels)
{
    uint32_t cut_count = plan->flame->count;
    bool failed = false;
    ends->cuts = calloc(cut_count, sizeof(*ends->cuts));
    if (!ends->cuts)
        return false;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        if (bsk_profile_node_at(plan->profile, i)->depth == max_levels && is_shown(plan, i))
            ends->cuts[plan->box_of[i]].is = true;
    }
    for (uint32_t i = 0; i < plan->node_count && !failed; i++)
        end_of(plan, ends, i, max_levels, &failed);
    ends->total = calloc((size_t)ends->pairs.count + 1, sizeof(*ends->total));
    ends->box = calloc((size_t)ends->pairs.count + 1, sizeof(*ends->box));
    if (failed || !ends->total || !ends->box)
        return false;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        uint32_t end = end_of(plan, ends, i, max_levels, &failed);
        if (end == NONE)
            continue;
        uint64_t weight = weight_of(plan, bsk_profile_node_at(plan->profile, i));
        ends->total[end] += weight;
        ends->cuts[plan->box_of[i]].total += weight;
    }
    if (!place_end_boxes(plan, ends, cut_count))
        return false;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        uint32_t end = end_of(plan, ends, i, max_levels, &failed);
        if (end != NONE)
            plan->box_of[i] = ends->box[end];
    }
    return true;
}

/* Adds up what the boxes weigh; what is hidden in one counts in it, but is not its own. */
static void sum(struct plan *plan, uint32_t max_levels)
{
    struct bsk_flame *flame = plan->flame;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
        struct bsk_box *box = &flame->boxes[plan->box_of[i]];
        bool own = node->depth > 0 && box->kind == BSK_BOX_FRAME && box->index == node->function &&
                   box->line == node->line &&
                   (node->depth > max_levels || plan->box_of[i] != plan->box_of[node->parent]);
        box->total += weight_of(plan, node);
        box->samples += node->samples;
        box->wait_ns += node->wait_ns;
        box->idle_ns += node->idle_ns;
        box->call_ns += node->call_ns;
        box->self += own ? weight_of(plan, node) : 0;
        box->self_samples += own ? node->samples : 0;
    }
    for (uint32_t i = flame->count; i-- > 1;) {
        const struct bsk_box *box = &flame->boxes[i];
        struct bsk_box *parent = &flame->boxes[box->parent];
        parent->total += box->total;
        parent->samples += box->samples;
        parent->wait_ns += box->wait_ns;
        parent->idle_ns += box->idle_ns;
        parent->call_ns += box->call_ns;
    }
}

static int by_parent_and_weight(const void *left, const void *right)
{
    const struct bsk_box *a = left, *b = right;
    if (a->level != b->level)
        return a->level < b->level ? -1 : 1;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    if (a->total != b->total)
        return a->total > b->total ? -1 : 1;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

/* Level by level, and there by where their parents stand. */
static bool arrange(struct bsk_flame *flame)
{
    uint32_t *moved = malloc(flame->count * sizeof(*moved)); /* old place to new */
    uint64_t *used = calloc(flame->count, sizeof(*used));    /* of a box, by its children */
    bool done = moved && used;
    uint32_t begin = 0;
    for (uint32_t i = 0; done && i < flame->count; i++)
        flame->boxes[i].start = i; /* its old place, until it has a start */
    if (done)
        qsort(flame->boxes, flame->count, sizeof(*flame->boxes), by_parent_and_weight);
    for (uint32_t level = 0; done && begin < flame->count; level++) {
        uint32_t end = begin;
        for (; end < flame->count && flame->boxes[end].level == level; end++) {
            if (level > 0)
                flame->boxes[end].parent = moved[flame->boxes[end].parent];
        }
        qsort(flame->boxes + begin, end - begin, sizeof(*flame->boxes), by_parent_and_weight);
        for (uint32_t i = begin; i < end; i++) {
            struct bsk_box *box = &flame->boxes[i];
            moved[box->start] = i;
            box->start = 0;
            if (level == 0)
                continue;
            box->start = flame->boxes[box->parent].start + used[box->parent];
            used[box->parent] += box->total;
        }
        begin = end;
    }
    free(moved);
    free(used);
    return done;
}

bool bsk_flame_make(const struct bsk_profile *profile, const struct bsk_flame_limits *limits,
                    struct bsk_flame *out_flame)
{
    struct bsk_flame flame = { 0 };
    struct plan plan = { .profile = profile,
                         .flame = &flame,
                         .node_count = (uint32_t)bsk_profile_node_count(profile) };
    struct ends ends = { 0 };
    plan.total = calloc((size_t)plan.node_count + 1, sizeof(*plan.total));
    plan.box_of = calloc((size_t)plan.node_count + 1, sizeof(*plan.box_of));
    bool done = plan.total && plan.box_of && bsk_processes_make(&flame.processes, profile);
    if (done) {
        weigh(&plan);
        choose_least(&plan, limits);
        done = place_roots(&plan) && place_frames(&plan, limits->max_levels) &&
               (flame.too_deep == 0 || place_ends(&plan, &ends, limits->max_levels));
    }
    if (done) {
        sum(&plan, limits->max_levels);
        done = arrange(&flame);
    }
    free(plan.total);
    free(plan.box_of);
    free(ends.cuts);
    free(ends.total);
    free(ends.box);
    bsk_pairs_free(&ends.frames);
    bsk_pairs_free(&ends.pairs);
    if (done)
        *out_flame = flame;
    else
        bsk_flame_free(&flame);
    return done;
}

void bsk_flame_free(struct bsk_flame *flame)
{
    free(flame->boxes);
    bsk_processes_free(&flame->processes);
    memset(flame, 0, sizeof(*flame));
}
