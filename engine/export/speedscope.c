/*
 * speedscope's own format (https://www.speedscope.app/file-format-schema.json): one "sampled"
 * profile a track, weights in nanoseconds of CPU time that add up to the track's exactly.
 */
#include "engine/export/about.h"
#include "engine/export/columns.h"
#include "engine/export/export.h"
#include "engine/export/names.h"
#include "engine/export/pairs.h"

#include <stdlib.h>
#include <string.h>

enum {
    FRAMES_MAX = 10000000, /* in all stacks together, about 48 MiB: deep stacks are cut to fit */
    DEPTH_MIN = 16,        /* but not below this */
    DEPTH_MAX = 2000,      /* speedscope's importer recurses, and gives up on 5,000 */
    NUMBER_BYTES = 11,     /* of a frame: ten digits and a comma */
};

/* What stands for a function where there is none; the "line" tells them apart. */
#define NO_FUNCTION UINT32_MAX
enum { NO_STACK, LEFT_OUT, SPECIAL_FRAMES };
static const char *const special_names[SPECIAL_FRAMES] = { "(no Python frame)",
                                                           "(frames left out)" };

struct entry { /* one sample of a track */
    uint32_t node;
    uint64_t ns;
};

struct number { /* of a frame, as text: stacks are written by the million */
    char text[NUMBER_BYTES];
    uint8_t bytes;
};

struct plan {
    const struct bsk_profile *profile;
    uint32_t node_count, track_count;

    struct entry *entries; /* by track, then time */
    uint32_t *track_begin; /* by track, and one more: where its entries begin */
    uint64_t *track_ns;    /* by track: its CPU time */

    struct bsk_pairs frames; /* (function, line), by first meeting */
    uint32_t *frame_of;      /* by node */
    uint32_t special[SPECIAL_FRAMES];
    uint32_t *order;        /* frames as they are written: the most used first */
    struct number *numbers; /* by frame: its place in `order` */
    struct bsk_line_columns columns;

    uint32_t max_depth; /* deeper stacks lose their middle */
    char *stack;        /* room for the text of the longest */
    size_t stack_bytes;
};

static void plan_free(struct plan *plan)
{
    free(plan->entries);
    free(plan->track_begin);
    free(plan->track_ns);
    bsk_pairs_free(&plan->frames);
    bsk_line_columns_free(&plan->columns);
    free(plan->frame_of);
    free(plan->order);
    free(plan->numbers);
    free(plan->stack);
}

/* What is not said by runs, and so by nodes of the tree. */
struct rest {
    uint64_t *node_ns; /* by node: of its own CPU time, what no run says */
    bool *no_runs;     /* by track: stacks were cut in its timeline, which then has no order to lose
                          either (docs/profile.md): the tree says all of it, with whole stacks */
};

static bool rest_init(struct rest *rest, struct plan *plan)
{
    const struct bsk_profile *profile = plan->profile;
    rest->node_ns = malloc(((size_t)plan->node_count + 1) * sizeof(*rest->node_ns));
    rest->no_runs = calloc((size_t)plan->track_count + 1, sizeof(*rest->no_runs));
    if (!rest->node_ns || !rest->no_runs)
        return false;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        rest->node_ns[i] = bsk_profile_node_at(profile, i)->self_ns;
        plan->track_ns[bsk_profile_track_of(profile, i)] += rest->node_ns[i];
    }
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);) {
        if (rest->node_ns[run.node] < run.cpu_ns)
            rest->no_runs[run.track] = true;
        else
            rest->node_ns[run.node] -= run.cpu_ns;
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        if (rest->no_runs[bsk_profile_track_of(profile, i)])
            rest->node_ns[i] = bsk_profile_node_at(profile, i)->self_ns;
    }
    return true;
}

static void rest_free(struct rest *rest)
{
    free(rest->node_ns);
    free(rest->no_runs);
}

static bool is_entry(const struct rest *rest, const struct bsk_run *run)
{
    return run->cpu_ns > 0 && !rest->no_runs[run->track];
}

/* How many entries each track has, before neighbours are merged, as the places where they begin. */
static uint64_t lay_out(struct plan *plan, const struct rest *rest)
{
    uint32_t *begin = plan->track_begin;
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(plan->profile, &at, &run);)
        begin[run.track] += is_entry(rest, &run);
    for (uint32_t i = 0; i < plan->node_count; i++)
        begin[bsk_profile_track_of(plan->profile, i)] += rest->node_ns[i] > 0;
    uint64_t total = 0;
    for (uint32_t t = 0; t < plan->track_count; t++) {
        uint64_t count = begin[t];
        begin[t] = (uint32_t)total;
        total += count;
    }
    begin[plan->track_count] = (uint32_t)total;
    return total;
}

/* Neighbours with the same stack are one. */
static void add_entry(struct plan *plan, uint32_t *ends, uint32_t track, uint32_t node, uint64_t ns)
{
    uint32_t *end = &ends[track];
    if (*end > plan->track_begin[track] && plan->entries[*end - 1].node == node)
        plan->entries[*end - 1].ns += ns;
    else
        plan->entries[(*end)++] = (struct entry){ node, ns };
}

static void fill(struct plan *plan, const struct rest *rest, uint32_t *ends)
{
    const struct bsk_profile *profile = plan->profile;
    memcpy(ends, plan->track_begin, plan->track_count * sizeof(*ends));
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);) {
        if (is_entry(rest, &run)) /* only idle time can lie between it and the one before */
            add_entry(plan, ends, run.track, run.node, run.cpu_ns);
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        if (rest->node_ns[i] > 0)
            add_entry(plan, ends, bsk_profile_track_of(profile, i), i, rest->node_ns[i]);
    }
}

static void close_gaps(struct plan *plan, const uint32_t *ends)
{
    uint32_t to = 0;
    for (uint32_t t = 0; t < plan->track_count; t++) {
        uint32_t from = plan->track_begin[t], count = ends[t] - from;
        plan->track_begin[t] = to;
        memmove(plan->entries + to, plan->entries + from, count * sizeof(*plan->entries));
        to += count;
    }
    plan->track_begin[plan->track_count] = to;
}

static bool collect_entries(struct plan *plan)
{
    struct rest rest = { 0 };
    bool done = false;
    uint32_t *ends = malloc(((size_t)plan->track_count + 1) * sizeof(*ends));
    plan->track_begin = calloc((size_t)plan->track_count + 1, sizeof(*plan->track_begin));
    plan->track_ns = calloc((size_t)plan->track_count + 1, sizeof(*plan->track_ns));
    if (!ends || !plan->track_begin || !plan->track_ns || !rest_init(&rest, plan))
        goto out;
    uint64_t total = lay_out(plan, &rest);
    plan->entries = total < UINT32_MAX ? malloc((total + 1) * sizeof(*plan->entries)) : NULL;
    if (!plan->entries)
        goto out;
    fill(plan, &rest, ends);
    close_gaps(plan, ends);
    done = true;
out:
    rest_free(&rest);
    free(ends);
    return done;
}

static uint32_t depth_of(const struct plan *plan, const struct entry *entry)
{
    return bsk_profile_node_at(plan->profile, entry->node)->depth;
}

static void limit_depth(struct plan *plan)
{
    uint32_t count = plan->track_begin[plan->track_count];
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t depth = depth_of(plan, &plan->entries[i]);
        deepest = depth > deepest ? depth : deepest;
    }
    plan->max_depth = deepest < DEPTH_MAX ? deepest : DEPTH_MAX;
    for (;;) {
        uint64_t frames = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t depth = depth_of(plan, &plan->entries[i]);
            frames += depth < plan->max_depth ? depth : plan->max_depth;
        }
        if (frames <= FRAMES_MAX || plan->max_depth <= DEPTH_MIN)
            break;
        plan->max_depth = plan->max_depth / 2 > DEPTH_MIN ? plan->max_depth / 2 : DEPTH_MIN;
    }
}

static bool special_frame(struct plan *plan, uint32_t which)
{
    if (plan->special[which] == UINT32_MAX)
        plan->special[which] = bsk_pair(&plan->frames, NO_FUNCTION, which);
    return plan->special[which] != UINT32_MAX;
}

/* Gives each node that is used its frame, and in `uses`, by node, how often. */
static bool find_frames(struct plan *plan, uint32_t *uses)
{
    uint32_t count = plan->track_begin[plan->track_count];
    for (uint32_t i = 0; i < count; i++) {
        uses[plan->entries[i].node]++;
        uint32_t depth = depth_of(plan, &plan->entries[i]);
        if ((depth == 0 && !special_frame(plan, NO_STACK)) ||
            (depth > plan->max_depth && !special_frame(plan, LEFT_OUT)))
            return false;
    }
    for (uint32_t i = plan->node_count; i-- > 0;) {
        const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
        if (node->parent != BSK_NO_NODE)
            uses[node->parent] += uses[i];
    }
    for (uint32_t i = 0; i < plan->node_count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
        if (uses[i] == 0 || node->depth == 0)
            continue;
        plan->frame_of[i] = bsk_pair(&plan->frames, node->function, node->line);
        if (plan->frame_of[i] == UINT32_MAX)
            return false;
    }
    return true;
}

struct ranked {
    uint64_t uses;
    uint32_t frame;
};

static int by_uses(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->uses != b->uses)
        return a->uses > b->uses ? -1 : 1;
    return (a->frame > b->frame) - (a->frame < b->frame);
}

static struct number number_of(uint32_t value)
{
    struct number number;
    char digits[NUMBER_BYTES];
    size_t at = sizeof(digits);
    digits[--at] = ',';
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    number.bytes = (uint8_t)(sizeof(digits) - at);
    memcpy(number.text, digits + at, number.bytes);
    return number;
}

/* The most used frames get the shortest numbers: the stacks are nearly all of the file. */
static bool rank_frames(struct plan *plan, const uint32_t *uses)
{
    uint32_t count = plan->frames.count;
    struct ranked *ranked = calloc((size_t)count + 1, sizeof(*ranked));
    plan->order = malloc(((size_t)count + 1) * sizeof(*plan->order));
    plan->numbers = calloc((size_t)count + 1, sizeof(*plan->numbers));
    if (!ranked || !plan->order || !plan->numbers) {
        free(ranked);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        ranked[i].frame = i;
    for (uint32_t i = 0; i < plan->node_count; i++) {
        if (plan->frame_of[i] != UINT32_MAX)
            ranked[plan->frame_of[i]].uses += uses[i];
    }
    qsort(ranked, count, sizeof(*ranked), by_uses);
    for (uint32_t i = 0; i < count; i++) {
        plan->order[i] = ranked[i].frame;
        plan->numbers[ranked[i].frame] = number_of(i);
    }
    free(ranked);
    return true;
}

static bool plan_make(struct plan *plan)
{
    memset(plan->special, 0xff, sizeof(plan->special));
    if (!collect_entries(plan))
        return false;
    limit_depth(plan);
    size_t nodes = (size_t)plan->node_count + 1;
    uint32_t *uses = calloc(nodes, sizeof(*uses));
    plan->frame_of = malloc(nodes * sizeof(*plan->frame_of));
    plan->stack_bytes = ((size_t)plan->max_depth + 4) * NUMBER_BYTES;
    plan->stack = malloc(plan->stack_bytes);
    bool done = uses && plan->frame_of && plan->stack;
    if (done) {
        memset(plan->frame_of, 0xff, nodes * sizeof(*plan->frame_of));
        done = find_frames(plan, uses) && rank_frames(plan, uses) &&
               bsk_line_columns_make(plan->profile, &plan->columns);
    }
    free(uses);
    return done;
}

static void write_frames(const struct plan *plan, struct bsk_json *json)
{
    bsk_json_key(json, "shared");
    bsk_json_begin(json, '{');
    bsk_json_key(json, "frames");
    bsk_json_begin(json, '[');
    for (uint32_t i = 0; i < plan->frames.count; i++) {
        uint64_t key = plan->frames.keys[plan->order[i]];
        uint32_t function_index = (uint32_t)(key >> 32), line = (uint32_t)key;
        bsk_json_begin(json, '{');
        if (function_index == NO_FUNCTION) {
            bsk_json_field_text(json, "name", special_names[line]);
        } else {
            struct bsk_function function = bsk_profile_function_at(plan->profile, function_index);
            bsk_json_field_text(json, "name", function.name);
            if (function.path[0])
                bsk_json_field_text(json, "file", function.path);
            if (line > 0)
                bsk_json_field_uint(json, "line", line);
            uint32_t column = bsk_line_column(&plan->columns, function_index, line);
            if (column > 0)
                bsk_json_field_uint(json, "col", column);
        }
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
    bsk_json_end(json, '}');
}

/* From the innermost frame, which is written last, up: so the text grows towards its front. */
static char *prepend(const struct plan *plan, char *at, uint32_t frame)
{
    const struct number *number = &plan->numbers[frame];
    at -= number->bytes;
    memcpy(at, number->text, number->bytes);
    return at;
}

static void write_stack(const struct plan *plan, const struct entry *entry, struct bsk_json *json)
{
    char *end = plan->stack + plan->stack_bytes, *at = end;
    uint32_t depth = depth_of(plan, entry);
    if (depth == 0) {
        at = prepend(plan, at, plan->special[NO_STACK]);
    } else {
        /* Of a stack that is too deep, both ends say more than the middle. */
        uint32_t outer = depth, inner = 0;
        if (depth > plan->max_depth) {
            outer = plan->max_depth / 2;
            inner = depth - plan->max_depth / 2;
        }
        for (uint32_t i = entry->node; depth > 0; depth--) {
            const struct bsk_node *node = bsk_profile_node_at(plan->profile, i);
            if (depth <= outer || depth > inner)
                at = prepend(plan, at, plan->frame_of[i]);
            else if (depth == inner)
                at = prepend(plan, at, plan->special[LEFT_OUT]);
            i = node->parent;
        }
    }
    end[-1] = ']'; /* in the place of the last comma */
    *--at = '[';
    bsk_json_raw(json, at, (size_t)(end - at));
}

static void begin_profile(struct bsk_json *json, const char *name, uint64_t end_ns)
{
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "type", "sampled");
    bsk_json_field_text(json, "name", name);
    bsk_json_field_text(json, "unit", "nanoseconds");
    bsk_json_field_uint(json, "startValue", 0);
    bsk_json_field_uint(json, "endValue", end_ns);
}

static void write_track(const struct plan *plan, uint32_t track, struct bsk_json *json)
{
    char name[1024];
    bsk_export_track_name(bsk_profile_track_at(plan->profile, track), name, sizeof(name));
    enum bsk_clock clock = bsk_profile_meta_const(plan->profile)->clock;
    size_t used = strlen(name);
    if (clock != BSK_CLOCK_CPU) /* which is what everyone expects */
        snprintf(name + used, sizeof(name) - used, ", %s time", bsk_clock_name(clock));
    begin_profile(json, name, plan->track_ns[track]);
    bsk_json_key(json, "samples");
    bsk_json_begin(json, '[');
    for (uint32_t i = plan->track_begin[track]; i < plan->track_begin[track + 1]; i++)
        write_stack(plan, &plan->entries[i], json);
    bsk_json_end(json, ']');
    bsk_json_key(json, "weights");
    bsk_json_begin(json, '[');
    for (uint32_t i = plan->track_begin[track]; i < plan->track_begin[track + 1]; i++)
        bsk_json_uint(json, plan->entries[i].ns);
    bsk_json_end(json, ']');
    bsk_json_end(json, '}');
}

/* *out_busiest: the place, among those written, of the one with most CPU time. */
static void write_tracks(const struct plan *plan, struct bsk_json *json, uint32_t *out_busiest)
{
    uint32_t written = 0;
    uint64_t most_ns = 0;
    *out_busiest = 0;
    bsk_json_key(json, "profiles");
    bsk_json_begin(json, '[');
    for (uint32_t t = 0; t < plan->track_count; t++) {
        /* a process that slept all the time is there by its name: it was looked at, and used none
         */
        if (plan->track_ns[t] == 0 && !bsk_track_is_other(bsk_profile_track_at(plan->profile, t)))
            continue;
        if (plan->track_ns[t] > most_ns) {
            most_ns = plan->track_ns[t];
            *out_busiest = written;
        }
        write_track(plan, t, json);
        written++;
    }
    if (written == 0) { /* speedscope does not open a file without one */
        begin_profile(json, "no samples", 0);
        bsk_json_key(json, "samples");
        bsk_json_begin(json, '[');
        bsk_json_end(json, ']');
        bsk_json_key(json, "weights");
        bsk_json_begin(json, '[');
        bsk_json_end(json, ']');
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
}

static int write_speedscope(const struct bsk_profile *profile, FILE *out, struct bsk_error *err)
{
    struct plan plan = { .profile = profile,
                         .node_count = (uint32_t)bsk_profile_node_count(profile),
                         .track_count = (uint32_t)bsk_profile_track_count(profile) };
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = out };
    int rc;
    if (!plan_make(&plan)) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a speedscope file");
        goto out;
    }
    uint32_t busiest;
    bsk_json_begin(&json, '{');
    bsk_json_field_text(&json, "$schema", "https://www.speedscope.app/file-format-schema.json");
    bsk_json_field_text(&json, "name", bsk_export_name(profile));
    bsk_json_field_text(&json, "exporter", bsk_export_maker);
    bsk_export_about(profile, &json);
    bsk_json_end(&json, '}');
    write_frames(&plan, &json);
    write_tracks(&plan, &json, &busiest);
    bsk_json_field_uint(&json, "activeProfileIndex", busiest);
    bsk_json_end(&json, '}');
    bsk_buffer_append(&buffer, "\n", 1);
    rc = bsk_json_finish(&json, err);
out:
    plan_free(&plan);
    bsk_buffer_free(&buffer);
    return rc;
}

const struct bsk_exporter bsk_export_speedscope = { "speedscope", ".speedscope.json",
                                                    write_speedscope };
