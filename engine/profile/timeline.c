#include "engine/profile/timeline.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_UNIT_NS = 1000, /* 32 bits of microseconds are 71 minutes */
    WIDE = 255,           /* the mark in `samples` */
    MIN_RUNS = 16,
    NEAR = 64,  /* a run that comes late by fewer is put in its place at once */
    BLOCK = 32, /* of the merge sort: shorter stretches are sorted by insertion */
    MAX_NODE = 1 << 24,
};
#define NO_RUN UINT32_MAX

void bsk_timeline_init(struct bsk_timeline *t, size_t max_runs)
{
    memset(t, 0, sizeof(*t));
    t->max_runs = max_runs < MIN_RUNS          ? MIN_RUNS
                  : max_runs > (size_t)1 << 31 ? (uint32_t)1 << 31
                                               : (uint32_t)max_runs;
    t->max_depth = UINT32_MAX;
    t->unit_ns = FIRST_UNIT_NS;
}

void bsk_timeline_free(struct bsk_timeline *t)
{
    free(t->runs);
    free(t->wide);
    free(t->ends);
    t->runs = NULL;
    t->wide = NULL;
    t->ends = NULL;
}

bool bsk_timeline_add_track(struct bsk_timeline *t, uint32_t track)
{
    if (track >= t->track_capacity) {
        uint32_t capacity = track + track / 2 + 8;
        struct bsk_track_end *ends = realloc(t->ends, capacity * sizeof(*ends));
        if (!ends)
            return false;
        t->ends = ends;
        t->track_capacity = capacity;
    }
    t->ends[track] = (struct bsk_track_end){ .run = NO_RUN };
    t->track_count = track + 1;
    return true;
}

/* Packing */

static struct bsk_wide_run unpack(const struct bsk_timeline *t, const struct bsk_packed_run *run)
{
    if (run->samples == WIDE)
        return t->wide[run->wall_ns];
    return (struct bsk_wide_run){ run->wall_ns, run->cpu_ns, run->samples };
}

/* Puts `weight` into `run`, whose node and start are there; `run->samples` says whether it has a
 * wide place already. False when it needs one and there is no memory: then nothing has changed. */
static bool pack(struct bsk_timeline *t, struct bsk_packed_run *run, struct bsk_wide_run weight)
{
    if (run->samples == WIDE) {
        t->wide[run->wall_ns] = weight;
        return true;
    }
    if (weight.wall_ns <= UINT32_MAX && weight.cpu_ns <= UINT32_MAX && weight.samples < WIDE) {
        run->wall_ns = (uint32_t)weight.wall_ns;
        run->cpu_ns = (uint32_t)weight.cpu_ns;
        run->samples = weight.samples & 0xff;
        return true;
    }
    if (t->wide_count == t->wide_capacity) {
        uint32_t capacity = t->wide_capacity + t->wide_capacity / 2 + 16;
        struct bsk_wide_run *wide = realloc(t->wide, capacity * sizeof(*wide));
        if (!wide)
            return false;
        t->wide = wide;
        t->wide_capacity = capacity;
    }
    t->wide[t->wide_count] = weight;
    run->wall_ns = t->wide_count++;
    run->cpu_ns = 0;
    run->samples = WIDE;
    return true;
}

static bool add_to(struct bsk_timeline *t, struct bsk_packed_run *run, struct bsk_wide_run more)
{
    struct bsk_wide_run sum = unpack(t, run);
    if (more.samples > UINT32_MAX - sum.samples)
        return false;
    sum.wall_ns += more.wall_ns;
    sum.cpu_ns += more.cpu_ns;
    sum.samples += more.samples;
    return pack(t, run, sum);
}

/* Sorting: stable, so that runs of one track that share a start stay in order. */

static void relink(struct bsk_timeline *t, const struct bsk_timeline_tree *tree)
{
    for (uint32_t i = 0; i < t->track_count; i++)
        t->ends[i].run = NO_RUN;
    for (uint32_t i = 0; i < t->run_count; i++)
        t->ends[tree->tracks[t->runs[i].node]].run = i;
}

static void sort_block(struct bsk_packed_run *runs, uint32_t from, uint32_t to)
{
    for (uint32_t i = from + 1; i < to; i++) {
        struct bsk_packed_run run = runs[i];
        uint32_t at = i;
        for (; at > from && runs[at - 1].start > run.start; at--)
            runs[at] = runs[at - 1];
        runs[at] = run;
    }
}

void bsk_timeline_sort(struct bsk_timeline *t, const struct bsk_timeline_tree *tree)
{
    if (!t->unsorted)
        return;
    t->unsorted = false;
    struct bsk_packed_run *runs = t->runs;
    uint32_t count = t->run_count;
    struct bsk_packed_run *left = malloc(((size_t)count / 2 + BLOCK) * 2 * sizeof(*left));
    if (!left) {
        sort_block(runs, 0, count); /* slow, and right */
        relink(t, tree);
        return;
    }
    for (uint32_t from = 0; from < count; from += BLOCK)
        sort_block(runs, from, count - from < BLOCK ? count : from + BLOCK);
    for (uint64_t width = BLOCK; width < count; width *= 2) {
        for (uint64_t from = 0; from + width < count; from += width * 2) {
            uint64_t middle = from + width;
            uint64_t to = middle + width < count ? middle + width : count;
            if (runs[middle - 1].start <= runs[middle].start)
                continue;
            memcpy(left, runs + from, width * sizeof(*left));
            uint64_t a = 0, b = middle, out = from;
            while (a < width && b < to)
                runs[out++] = left[a].start <= runs[b].start ? left[a++] : runs[b++];
            memcpy(runs + out, left + a, (width - a) * sizeof(*left));
        }
    }
    free(left);
    relink(t, tree);
}

/* Making it coarser */

static void lay_out(struct bsk_timeline *t, const struct bsk_timeline_tree *tree, uint32_t from,
                    uint64_t *free_ns)
{
    /* Inside a window the runs of a track follow each other without a gap, from where its first
     * one began: they take no more time than before, and so reach into nothing. */
    for (uint32_t i = from; i < t->run_count; i++)
        free_ns[tree->tracks[t->runs[i].node]] = 0;
    for (uint32_t i = from; i < t->run_count; i++) {
        struct bsk_packed_run *run = &t->runs[i];
        uint64_t *at_ns = &free_ns[tree->tracks[run->node]];
        if (*at_ns)
            run->start = (uint32_t)(*at_ns / t->unit_ns);
        else
            *at_ns = run->start * t->unit_ns;
        *at_ns += unpack(t, run).wall_ns;
    }
}

/* One pass: equal nodes inside a window become one run. `place` is zeroed, one item a node. */
static void merge_windows(struct bsk_timeline *t, const struct bsk_timeline_tree *tree,
                          uint32_t *place, uint64_t *free_ns)
{
    uint32_t count = t->run_count, from = 0;
    uint64_t window = UINT64_MAX;
    t->run_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct bsk_packed_run run = t->runs[i];
        uint64_t here = run.start * t->unit_ns / t->window_ns;
        if (here != window) {
            lay_out(t, tree, from, free_ns);
            from = t->run_count;
            window = here;
        }
        uint32_t node = run.node;
        while (tree->nodes[node].depth > t->max_depth)
            node = tree->nodes[node].parent;
        run.node = node & (MAX_NODE - 1);
        uint32_t at = place[node]; /* one more than the index; may be stale */
        if (at > from && at <= t->run_count && t->runs[at - 1].node == node &&
            add_to(t, &t->runs[at - 1], unpack(t, &run)))
            continue;
        t->runs[t->run_count++] = run;
        place[node] = t->run_count;
    }
    lay_out(t, tree, from, free_ns);
    t->unsorted = true;
    bsk_timeline_sort(t, tree);
}

/* Gives back the wide places of runs that were merged away; without memory they stay. */
static void pack_wide(struct bsk_timeline *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->run_count; i++)
        count += t->runs[i].samples == WIDE;
    if (count == t->wide_count)
        return;
    struct bsk_wide_run *wide = malloc(count ? count * sizeof(*wide) : 1);
    if (!wide)
        return;
    count = 0;
    for (uint32_t i = 0; i < t->run_count; i++) {
        if (t->runs[i].samples != WIDE)
            continue;
        wide[count] = t->wide[t->runs[i].wall_ns];
        t->runs[i].wall_ns = count++;
    }
    free(t->wide);
    t->wide = wide;
    t->wide_count = t->wide_capacity = count;
}

static uint32_t deepest(const struct bsk_timeline *t, const struct bsk_timeline_tree *tree)
{
    uint32_t depth = 0;
    for (uint32_t i = 0; i < t->run_count; i++) {
        if (tree->nodes[t->runs[i].node].depth > depth)
            depth = tree->nodes[t->runs[i].node].depth;
    }
    return depth;
}

/* Half of the ceiling is made free, so that the next time is far. Windows double first; when one
 * window is the whole recording and there are still too many distinct stacks, stacks are cut at
 * half their depth, and again. Returns false when there is no room even so (or no memory). */
static bool coarsen(struct bsk_timeline *t, const struct bsk_timeline_tree *tree)
{
    uint32_t *place = calloc(tree->count, sizeof(*place));
    uint64_t *free_ns = malloc((size_t)t->track_count * sizeof(*free_ns));
    if (place && free_ns) {
        bsk_timeline_sort(t, tree);
        uint64_t span_ns = (t->runs[t->run_count - 1].start + (uint64_t)1) * t->unit_ns;
        if (t->window_ns == 0) /* a few runs each */
            t->window_ns = t->unit_ns + span_ns / t->run_count * 4;
        merge_windows(t, tree, place, free_ns);
        while (t->run_count > t->max_runs / 2) {
            if (t->window_ns < span_ns) {
                t->window_ns *= 2;
            } else {
                uint32_t depth = deepest(t, tree);
                if (depth == 0)
                    break;
                t->max_depth = depth / 2;
            }
            memset(place, 0, tree->count * sizeof(*place));
            merge_windows(t, tree, place, free_ns);
        }
        pack_wide(t);
    }
    free(place);
    free(free_ns);
    return t->run_count < t->max_runs;
}

void bsk_timeline_limit(struct bsk_timeline *t, const struct bsk_timeline_tree *tree,
                        size_t max_runs)
{
    if (max_runs < MIN_RUNS)
        max_runs = MIN_RUNS;
    if (max_runs >= t->max_runs)
        return;
    t->max_runs = (uint32_t)max_runs;
    if (t->run_count > t->max_runs)
        coarsen(t, tree);
}

/* Adding */

static void halve_units(struct bsk_timeline *t)
{
    for (uint32_t i = 0; i < t->run_count; i++)
        t->runs[i].start /= 2;
    t->unit_ns *= 2;
}

static bool make_room(struct bsk_timeline *t, const struct bsk_timeline_tree *tree)
{
    if (t->run_count >= t->max_runs && !coarsen(t, tree))
        return false;
    if (t->run_count < t->run_capacity)
        return true;
    uint64_t capacity = t->run_capacity + (uint64_t)t->run_capacity / 4 + 64;
    if (capacity > t->max_runs)
        capacity = t->max_runs;
    struct bsk_packed_run *runs = realloc(t->runs, capacity * sizeof(*runs));
    if (!runs)
        return false;
    t->runs = runs;
    t->run_capacity = (uint32_t)capacity;
    return true;
}

bool bsk_timeline_add(struct bsk_timeline *t, const struct bsk_timeline_tree *tree, uint32_t node,
                      uint64_t start_ns, uint64_t wall_ns, uint64_t cpu_ns, uint32_t samples)
{
    struct bsk_track_end *end = &t->ends[tree->tracks[node]];
    const struct bsk_wide_run weight = { wall_ns, cpu_ns, samples };
    if (end->run != NO_RUN && end->end_ns == start_ns && t->runs[end->run].node == node &&
        add_to(t, &t->runs[end->run], weight)) {
        end->end_ns += wall_ns;
        return true;
    }
    if (node >= MAX_NODE || !make_room(t, tree))
        return false;
    while (start_ns / t->unit_ns > UINT32_MAX)
        halve_units(t);
    struct bsk_packed_run run = { .start = (uint32_t)(start_ns / t->unit_ns),
                                  .node = node & (MAX_NODE - 1) };
    if (!pack(t, &run, weight))
        return false;
    uint32_t at = t->run_count++;
    while (!t->unsorted && at > 0 && t->runs[at - 1].start > run.start) {
        if (t->run_count - at > NEAR) {
            t->unsorted = true; /* where it stands is as good as any until someone reads */
            break;
        }
        t->runs[at] = t->runs[at - 1];
        struct bsk_track_end *moved = &t->ends[tree->tracks[t->runs[at].node]];
        if (moved->run == at - 1)
            moved->run = at;
        at--;
    }
    t->runs[at] = run;
    end->run = at;
    end->end_ns = start_ns + wall_ns;
    return true;
}

/* Reading and copying */

bool bsk_timeline_next(const struct bsk_timeline *t, const struct bsk_timeline_tree *tree,
                       size_t *at, struct bsk_run *out_run)
{
    if (*at >= t->run_count)
        return false;
    const struct bsk_packed_run *run = &t->runs[(*at)++];
    struct bsk_wide_run weight = unpack(t, run);
    *out_run = (struct bsk_run){ .track = tree->tracks[run->node],
                                 .node = run->node,
                                 .start_ns = run->start * t->unit_ns,
                                 .wall_ns = weight.wall_ns,
                                 .cpu_ns = weight.cpu_ns,
                                 .samples = weight.samples };
    return true;
}

size_t bsk_timeline_bytes(const struct bsk_timeline *t)
{
    return t->run_capacity * sizeof(*t->runs) + t->wide_capacity * sizeof(*t->wide) +
           t->track_capacity * sizeof(*t->ends);
}

static void *copy_of(const void *items, size_t bytes)
{
    void *copy = calloc(1, bytes ? bytes : 1);
    if (copy && bytes)
        memcpy(copy, items, bytes);
    return copy;
}

bool bsk_timeline_clone(struct bsk_timeline *t, const struct bsk_timeline_tree *tree)
{
    t->runs = copy_of(t->runs, t->run_count * sizeof(*t->runs));
    t->wide = copy_of(t->wide, t->wide_count * sizeof(*t->wide));
    t->ends = copy_of(t->ends, t->track_count * sizeof(*t->ends));
    t->run_capacity = t->run_count;
    t->wide_capacity = t->wide_count;
    t->track_capacity = t->track_count;
    if (!t->runs || !t->wide || !t->ends)
        return false;
    bsk_timeline_sort(t, tree);
    return true;
}
