#include "engine/profile/totals.h"

#include "engine/base/buffer.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct weight {
    uint64_t ns, samples;
    uint64_t gil_ns, wait_ns, idle_ns, call_ns;
};

static void add_weight(struct weight *sum, const struct weight *part)
{
    sum->ns += part->ns;
    sum->samples += part->samples;
    sum->gil_ns += part->gil_ns;
    sum->wait_ns += part->wait_ns;
    sum->idle_ns += part->idle_ns;
    sum->call_ns += part->call_ns;
}

static struct weight weight_of(const struct bsk_node *node)
{
    return (struct weight){ node->self_ns, node->samples, node->gil_ns,
                            node->wait_ns, node->idle_ns, node->call_ns };
}

/* Sums by a pair of keys. Holds only what was asked for, in the order of first asking. */
struct sum {
    const char *path; /* of lines of a file; NULL for lines of a function */
    uint32_t function, line;
    struct weight self;
    uint64_t best_ns, best_samples; /* of `function`, the one that used most of the line so far */
};

struct sums {
    struct sum *items;
    uint32_t *slots;
    uint32_t count, capacity, mask; /* as many slots as mask + 1, at least twice the items */
};

static void sums_free(struct sums *sums)
{
    free(sums->items);
    free(sums->slots);
}

static uint32_t sum_slot(const struct sums *sums, const char *path, uint32_t function,
                         uint32_t line)
{
    uint64_t key = path ? (uint64_t)(uintptr_t)path : function;
    uint64_t hash = (key * 0x9e3779b97f4a7c15ULL ^ line) * 0xbf58476d1ce4e5b9ULL;
    uint32_t at = (uint32_t)(hash >> 32) & sums->mask;
    for (; sums->slots[at] != NONE; at = (at + 1) & sums->mask) {
        const struct sum *sum = &sums->items[sums->slots[at]];
        if (sum->line == line && sum->path == path && (path || sum->function == function))
            break;
    }
    return at;
}

/* The sum of (path, line), or of (function, line) where `path` is NULL. NULL: out of memory. */
static struct sum *sum_of(struct sums *sums, const char *path, uint32_t function, uint32_t line)
{
    if (sums->count == sums->capacity) {
        uint32_t capacity = sums->capacity ? sums->capacity * 2 : 256;
        struct sum *items = realloc(sums->items, capacity * sizeof(*items));
        uint32_t *slots = malloc((size_t)capacity * 2 * sizeof(*slots));
        if (items)
            sums->items = items;
        if (!items || !slots) {
            free(slots);
            return NULL;
        }
        free(sums->slots);
        sums->slots = slots;
        sums->capacity = capacity;
        sums->mask = capacity * 2 - 1;
        memset(slots, 0xff, (size_t)capacity * 2 * sizeof(*slots));
        for (uint32_t i = 0; i < sums->count; i++)
            slots[sum_slot(sums, items[i].path, items[i].function, items[i].line)] = i;
    }
    uint32_t at = sum_slot(sums, path, function, line);
    if (sums->slots[at] == NONE) {
        sums->slots[at] = sums->count;
        sums->items[sums->count++] =
            (struct sum){ .path = path, .function = function, .line = line };
    }
    return &sums->items[sums->slots[at]];
}

static bool heavier(const struct bsk_profile *profile, const struct sum *a, const struct sum *b)
{
    if (a->self.ns != b->best_ns)
        return a->self.ns > b->best_ns;
    if (a->self.samples != b->best_samples)
        return a->self.samples > b->best_samples;
    return strcmp(bsk_profile_function_at(profile, a->function).name,
                  bsk_profile_function_at(profile, b->function).name) < 0;
}

/* What each line of each function used, then what each line of each file used. */
static bool sum_lines(const struct bsk_profile *profile, struct sums *out_lines)
{
    struct sums by_function = { 0 };
    bool done = false;
    size_t nodes = bsk_profile_node_count(profile);
    for (uint32_t i = 0; i < nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        if (node->depth == 0 || node->line == 0 || (node->self_ns == 0 && node->samples == 0))
            continue;
        struct sum *sum = sum_of(&by_function, NULL, node->function, node->line);
        if (!sum)
            goto out;
        sum->self.ns += node->self_ns;
        sum->self.samples += node->samples;
    }
    for (uint32_t i = 0; i < by_function.count; i++) {
        const struct sum *part = &by_function.items[i];
        struct bsk_function function = bsk_profile_function_at(profile, part->function);
        if (function.kind != BSK_FUNCTION_PYTHON)
            continue;
        struct sum *sum = sum_of(out_lines, function.path, part->function, part->line);
        if (!sum)
            goto out;
        sum->self.ns += part->self.ns;
        sum->self.samples += part->self.samples;
        if (sum->function == part->function || heavier(profile, part, sum)) {
            sum->function = part->function;
            sum->best_ns = part->self.ns;
            sum->best_samples = part->self.samples;
        }
    }
    done = true;
out:
    sums_free(&by_function);
    return done;
}

struct function_sum {
    struct weight self, total;
    uint32_t active; /* how often it is on the path that is being walked */
};

static uint32_t after(const struct bsk_profile *profile, uint32_t node, uint32_t root,
                      struct function_sum *functions)
{
    /* Next in preorder below `root`, or BSK_NO_NODE; leaves what it climbs out of. */
    const struct bsk_node *at = bsk_profile_node_at(profile, node);
    if (at->first_child != BSK_NO_NODE)
        return at->first_child;
    while (node != root) {
        functions[at->function].active--;
        if (at->next_sibling != BSK_NO_NODE)
            return at->next_sibling;
        node = at->parent;
        at = bsk_profile_node_at(profile, node);
    }
    return BSK_NO_NODE;
}

/* A function's total is the weight below its outermost frames: so recursion counts once. */
static bool sum_functions(const struct bsk_profile *profile, struct function_sum *functions)
{
    uint32_t nodes = (uint32_t)bsk_profile_node_count(profile);
    struct weight *below = calloc(nodes ? nodes : 1, sizeof(*below));
    if (!below)
        return false;
    for (uint32_t i = nodes; i-- > 0;) { /* a parent's index is smaller than its children's */
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        struct weight self = weight_of(node);
        add_weight(&below[i], &self);
        if (node->parent != BSK_NO_NODE)
            add_weight(&below[node->parent], &below[i]);
    }
    for (uint32_t track = 0; track < bsk_profile_track_count(profile); track++) {
        uint32_t root = bsk_profile_track_root(profile, track);
        for (uint32_t i = after(profile, root, root, functions); i != BSK_NO_NODE;
             i = after(profile, i, root, functions)) {
            const struct bsk_node *node = bsk_profile_node_at(profile, i);
            struct function_sum *sum = &functions[node->function];
            struct weight self = weight_of(node);
            add_weight(&sum->self, &self);
            if (sum->active++ == 0)
                add_weight(&sum->total, &below[i]);
        }
    }
    free(below);
    return true;
}

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_line_weight(const void *left, const void *right)
{
    const struct bsk_line_total *a = left, *b = right;
    int order = by_number(b->self_ns, a->self_ns);
    if (order == 0)
        order = by_number(b->samples, a->samples);
    if (order == 0)
        order = strcmp(a->path, b->path);
    return order ? order : by_number(a->line, b->line);
}

static int by_function_weight(const void *left, const void *right)
{
    const struct bsk_function_total *a = left, *b = right;
    int order = by_number(b->self_ns, a->self_ns);
    if (order == 0)
        order = by_number(b->total_ns, a->total_ns);
    if (order == 0)
        order = strcmp(a->path, b->path);
    if (order == 0)
        order = by_number(a->first_line, b->first_line);
    return order ? order : strcmp(a->name, b->name);
}

static double percent_of(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

/* Copies of the strings of each function: paths once for each run of functions that share one. */
struct names {
    char *text;
    struct {
        size_t name, path;
    } * at;           /* by function */
    size_t *track_at; /* process and thread, by track */
};

static bool copy_names(const struct bsk_profile *profile, struct names *out_names)
{
    size_t count = bsk_profile_function_count(profile);
    struct bsk_buffer text = { 0 };
    const char *last_path = NULL;
    size_t last_at = 0;
    out_names->at = calloc(count ? count : 1, sizeof(*out_names->at));
    if (!out_names->at)
        return false;
    size_t tracks = bsk_profile_track_count(profile);
    out_names->track_at = calloc(2 * tracks + 1, sizeof(*out_names->track_at));
    if (!out_names->track_at)
        return false;
    bsk_buffer_append(&text, "", 1);
    for (uint32_t i = 0; i < tracks; i++) {
        struct bsk_track track = bsk_profile_track_at(profile, i);
        out_names->track_at[2 * i] = text.size;
        bsk_buffer_append(&text, track.process, strlen(track.process) + 1);
        out_names->track_at[2 * i + 1] = text.size;
        bsk_buffer_append(&text, track.thread, strlen(track.thread) + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct bsk_function function = bsk_profile_function_at(profile, i);
        if (function.path != last_path) {
            last_path = function.path;
            last_at = text.size;
            bsk_buffer_append(&text, function.path, strlen(function.path) + 1);
        }
        out_names->at[i].path = last_at;
        out_names->at[i].name = text.size;
        bsk_buffer_append(&text, function.name, strlen(function.name) + 1);
    }
    out_names->text = text.data;
    return !text.failed;
}

static void fill_lines(struct bsk_totals *totals, const struct sums *lines,
                       const struct names *names)
{
    for (uint32_t i = 0; i < lines->count; i++) {
        const struct sum *sum = &lines->items[i];
        totals->lines[totals->line_count++] = (struct bsk_line_total){
            .path = names->text + names->at[sum->function].path,
            .function = names->text + names->at[sum->function].name,
            .line = sum->line,
            .self_ns = sum->self.ns,
            .samples = sum->self.samples,
            .self_percent = percent_of(sum->self.ns, totals->cpu_ns),
        };
    }
    qsort(totals->lines, totals->line_count, sizeof(*totals->lines), by_line_weight);
}

static void fill_functions(struct bsk_totals *totals, const struct bsk_profile *profile,
                           const struct function_sum *functions, const struct names *names)
{
    size_t count = bsk_profile_function_count(profile);
    for (uint32_t i = 0; i < count; i++) {
        const struct function_sum *sum = &functions[i];
        if (sum->total.ns == 0 && sum->total.samples == 0 && sum->total.wait_ns == 0 &&
            sum->total.idle_ns == 0 && sum->total.call_ns == 0)
            continue;
        struct bsk_function function = bsk_profile_function_at(profile, i);
        totals->functions[totals->function_count++] = (struct bsk_function_total){
            .path = names->text + names->at[i].path,
            .name = names->text + names->at[i].name,
            .first_line = function.first_line,
            .kind = function.kind,
            .self_ns = sum->self.ns,
            .total_ns = sum->total.ns,
            .self_samples = sum->self.samples,
            .total_samples = sum->total.samples,
            .self_percent = percent_of(sum->self.ns, totals->cpu_ns),
            .total_percent = percent_of(sum->total.ns, totals->cpu_ns),
            .self_gil_ns = sum->self.gil_ns,
            .total_gil_ns = sum->total.gil_ns,
            .self_wait_ns = sum->self.wait_ns,
            .total_wait_ns = sum->total.wait_ns,
            .self_idle_ns = sum->self.idle_ns,
            .total_idle_ns = sum->total.idle_ns,
            .self_call_ns = sum->self.call_ns,
            .total_call_ns = sum->total.call_ns,
        };
    }
    qsort(totals->functions, totals->function_count, sizeof(*totals->functions),
          by_function_weight);
}

static void fill_threads(struct bsk_totals *totals, const struct bsk_profile *profile,
                         const struct names *names)
{
    totals->thread_count = bsk_profile_track_count(profile);
    for (uint32_t i = 0; i < totals->thread_count; i++) {
        struct bsk_track track = bsk_profile_track_at(profile, i);
        totals->threads[i] =
            (struct bsk_thread_total){ .pid = track.pid,
                                       .tid = track.tid,
                                       .process = names->text + names->track_at[2 * i],
                                       .thread = names->text + names->track_at[2 * i + 1] };
    }
    size_t nodes = bsk_profile_node_count(profile);
    for (uint32_t i = 0; i < nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        struct bsk_thread_total *thread = &totals->threads[bsk_profile_track_of(profile, i)];
        thread->cpu_ns += node->self_ns;
        thread->gil_ns += node->gil_ns;
        thread->wait_ns += node->wait_ns;
        thread->idle_ns += node->idle_ns;
        thread->call_ns += node->call_ns;
    }
}

struct bsk_totals *bsk_totals_new(const struct bsk_profile *profile)
{
    size_t function_count = bsk_profile_function_count(profile);
    struct bsk_totals *totals = calloc(1, sizeof(*totals));
    struct function_sum *functions = calloc(function_count + 1, sizeof(*functions));
    struct sums lines = { 0 };
    struct names names = { 0 };
    bool done = false;
    if (!totals || !functions || !sum_lines(profile, &lines) ||
        !sum_functions(profile, functions) || !copy_names(profile, &names))
        goto out;
    totals->meta = *bsk_profile_meta_const(profile);
    totals->cpu_ns = bsk_profile_cpu_ns(profile);
    totals->samples = bsk_profile_samples(profile);
    totals->lines = calloc((size_t)lines.count + 1, sizeof(*totals->lines));
    totals->functions = calloc(function_count + 1, sizeof(*totals->functions));
    totals->threads = calloc(bsk_profile_track_count(profile) + 1, sizeof(*totals->threads));
    if (!totals->lines || !totals->functions || !totals->threads)
        goto out;
    fill_lines(totals, &lines, &names);
    fill_functions(totals, profile, functions, &names);
    fill_threads(totals, profile, &names);
    totals->strings = names.text;
    names.text = NULL;
    done = true;
out:
    sums_free(&lines);
    free(functions);
    free(names.at);
    free(names.track_at);
    free(names.text);
    if (done)
        return totals;
    bsk_totals_free(totals);
    return NULL;
}

void bsk_totals_free(struct bsk_totals *totals)
{
    if (!totals)
        return;
    free(totals->lines);
    free(totals->functions);
    free(totals->threads);
    free(totals->strings);
    free(totals);
}
