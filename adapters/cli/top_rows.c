#include "adapters/cli/top_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a node gained, in one of two spans. */
struct gain {
    uint64_t weight, cpu_ns, gil_ns, wait_ns, idle_ns, call_ns;
};

struct package {
    char name[TOP_PACKAGE_BYTES + 2]; /* with its brackets */
    bool standard;
    uint32_t row; /* + 1; 0: none yet */
};

/* All that lives while an answer is made, and what goes into it. */
struct work {
    const struct top_question *question;
    struct top_rows *rows;
    struct package *packages; /* becomes rows->memory: names point into it */
    size_t package_count;
    uint32_t *package_of;    /* by function: index + 1; 0: not folded */
    uint32_t *function_row;  /* by function: index + 1 */
    uint32_t *line_slots;    /* open addressing: row + 1 */
    size_t line_slot_count;  /* a power of two */
    uint32_t *line_function; /* by row: for the lines' table */
    uint32_t *node_row;      /* by node */
    uint32_t *active;        /* by row: how often it is on the path that is walked */
    struct gain *below;      /* by node, with its children: the interval */
    uint64_t *all_below;     /* likewise, since counting began */
};

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct gain gain_of(const struct bsk_profile *now, const struct bsk_profile *before,
                           uint32_t index, enum top_weight weight)
{
    static const struct bsk_node none = { 0 };
    const struct bsk_node *a = bsk_profile_node_at(now, index), *b = &none;
    if (before && index < bsk_profile_node_count(before))
        b = bsk_profile_node_at(before, index);
    struct gain gain = { .cpu_ns = less(a->self_ns, b->self_ns),
                         .gil_ns = less(a->gil_ns, b->gil_ns),
                         .wait_ns = less(a->wait_ns, b->wait_ns),
                         .idle_ns = less(a->idle_ns, b->idle_ns),
                         .call_ns = less(a->call_ns, b->call_ns) };
    gain.weight = weight == TOP_GIL    ? gain.gil_ns
                  : weight == TOP_WALL ? gain.cpu_ns + gain.wait_ns + gain.idle_ns + gain.call_ns
                                       : gain.cpu_ns;
    return gain;
}

/* ---- Rows of functions, lines and packages -----------------------------------------------------
 */

/* Few packages and many functions: functions of one path stand together mostly, so the newest
 * package is tried first. */
static void find_packages(struct work *work)
{
    size_t count = bsk_profile_function_count(work->question->now);
    for (uint32_t i = 0; i < count; i++) {
        struct bsk_function function = bsk_profile_function_at(work->question->now, i);
        char name[TOP_PACKAGE_BYTES], bracketed[TOP_PACKAGE_BYTES + 2];
        bool standard;
        if (function.kind != BSK_FUNCTION_PYTHON || !top_library(function.path, name, &standard))
            continue;
        snprintf(bracketed, sizeof(bracketed), "[%s]", name);
        size_t at = work->package_count;
        while (at > 0 && (work->packages[at - 1].standard != standard ||
                          strcmp(work->packages[at - 1].name, bracketed) != 0))
            at--;
        if (at == 0) {
            at = ++work->package_count;
            work->packages[at - 1].standard = standard;
            memcpy(work->packages[at - 1].name, bracketed, sizeof(bracketed));
        }
        work->package_of[i] = (uint32_t)at;
    }
}

static uint32_t new_row(struct work *work, const char *name, const char *path, uint32_t line)
{
    struct top_row *row = &work->rows->items[work->rows->count];
    *row = (struct top_row){ .name = name, .path = path, .line = line };
    return (uint32_t)work->rows->count++;
}

static uint32_t row_of_line(struct work *work, uint32_t function, uint32_t line)
{
    uint64_t hash = ((uint64_t)function << 32 | line) * 0x9e3779b97f4a7c15U;
    size_t mask = work->line_slot_count - 1, at = (size_t)(hash >> 32) & mask;
    for (; work->line_slots[at]; at = (at + 1) & mask) {
        uint32_t row = work->line_slots[at] - 1;
        if (work->line_function[row] == function && work->rows->items[row].line == line)
            return row;
    }
    struct bsk_function what = bsk_profile_function_at(work->question->now, function);
    uint32_t row = new_row(work, what.name, what.path, line);
    work->line_function[row] = function;
    work->line_slots[at] = row + 1;
    return row;
}

static uint32_t row_of(struct work *work, const struct bsk_node *node)
{
    uint32_t package = work->package_of[node->function];
    if (package) {
        struct package *folded = &work->packages[package - 1];
        if (!folded->row) {
            folded->row = 1 + new_row(work, folded->name,
                                      folded->standard ? "standard library" : "site-packages", 0);
            work->rows->items[folded->row - 1].folded = true;
            work->line_function[folded->row - 1] = UINT32_MAX;
        }
        return folded->row - 1;
    }
    if (work->question->view == TOP_LINES)
        return row_of_line(work, node->function, node->line);
    uint32_t *row = &work->function_row[node->function];
    if (!*row) {
        struct bsk_function what = bsk_profile_function_at(work->question->now, node->function);
        *row = 1 + new_row(work, what.name, what.path, what.first_line);
    }
    return *row - 1;
}

/* Next in preorder below `root`, or BSK_NO_NODE; leaves what it climbs out of. */
static uint32_t after(struct work *work, uint32_t node, uint32_t root)
{
    const struct bsk_profile *profile = work->question->now;
    const struct bsk_node *at = bsk_profile_node_at(profile, node);
    if (at->first_child != BSK_NO_NODE)
        return at->first_child;
    while (node != root) {
        work->active[work->node_row[node]]--;
        if (at->next_sibling != BSK_NO_NODE)
            return at->next_sibling;
        node = at->parent;
        at = bsk_profile_node_at(profile, node);
    }
    return BSK_NO_NODE;
}

static void sum_track(struct work *work, uint32_t track)
{
    const struct top_question *question = work->question;
    uint32_t root = bsk_profile_track_root(question->now, track);
    for (uint32_t i = after(work, root, root); i != BSK_NO_NODE; i = after(work, i, root)) {
        struct gain own = gain_of(question->now, question->before, i, question->weight);
        uint32_t at = row_of(work, bsk_profile_node_at(question->now, i));
        struct top_row *row = &work->rows->items[at];
        work->node_row[i] = at;
        row->own_ns += own.weight;
        row->gil_ns += own.gil_ns;
        row->wait_ns += own.wait_ns;
        row->idle_ns += own.idle_ns;
        row->call_ns += own.call_ns;
        row->all_own_ns += gain_of(question->now, question->zero, i, question->weight).weight;
        if (work->active[at]++ == 0) { /* its outermost frame on this path */
            row->total_ns += work->below[i].weight;
            row->all_total_ns += work->all_below[i];
        }
    }
}

/* ---- Rows of threads --------------------------------------------------------------------------
 */

static bool thread_lives(const struct bsk_track *track)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)track->pid, (int)track->tid);
    return access(path, F_OK) == 0;
}

static void sum_threads(struct work *work)
{
    const struct top_question *question = work->question;
    struct top_rows *rows = work->rows;
    size_t tracks = bsk_profile_track_count(question->now);
    size_t nodes = bsk_profile_node_count(question->now);
    for (uint32_t i = 0; i < tracks; i++) {
        struct bsk_track track = bsk_profile_track_at(question->now, i);
        struct top_row *row = &rows->items[new_row(work, track.thread, track.process, 0)];
        row->track = i;
        row->pid = track.pid;
        row->tid = track.tid;
        row->ended = !thread_lives(&track);
        row->call = track.call;
    }
    for (uint32_t i = 0; i < nodes; i++) {
        struct top_row *row = &rows->items[bsk_profile_track_of(question->now, i)];
        struct gain gain = gain_of(question->now, question->before, i, TOP_CPU);
        row->own_ns += gain.cpu_ns;
        row->gil_ns += gain.gil_ns;
        row->wait_ns += gain.wait_ns;
        row->idle_ns += gain.idle_ns;
        row->call_ns += gain.call_ns;
        row->all_own_ns += gain_of(question->now, question->zero, i, TOP_CPU).cpu_ns;
    }
    for (size_t i = 0; i < rows->count; i++) {
        rows->items[i].total_ns = rows->items[i].own_ns;
        rows->items[i].all_total_ns = rows->items[i].all_own_ns;
    }
}

/* ---- Which rows, in which order ---------------------------------------------------------------
 */

static bool is_wanted(const struct top_question *question, const struct top_row *row)
{
    if (question->filter && question->filter[0] && !strcasestr(row->name, question->filter) &&
        !strcasestr(row->path, question->filter))
        return false;
    if (question->view == TOP_THREADS)
        return !row->ended || row->own_ns || question->unfold;
    if (row->all_total_ns || row->total_ns)
        return true;
    /* What only sleeps is shown to who asks for it by the order. */
    return (question->sort == TOP_WAIT && row->wait_ns) ||
           (question->sort == TOP_IDLE && row->idle_ns) ||
           (question->sort == TOP_CALL && row->call_ns);
}

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static uint64_t measure(const struct top_row *row, enum top_column column)
{
    switch (column) {
    case TOP_TOTAL:
        return row->total_ns;
    case TOP_OWN_TIME:
        return row->all_own_ns;
    case TOP_TOTAL_TIME:
        return row->all_total_ns;
    case TOP_GIL_PERCENT:
        return row->gil_ns;
    case TOP_WAIT:
        return row->wait_ns;
    case TOP_IDLE:
        return row->idle_ns;
    case TOP_CALL:
        return row->call_ns;
    default:
        return row->own_ns;
    }
}

static int by_place(const struct top_row *a, const struct top_row *b)
{
    int order = strcmp(a->path, b->path);
    if (order == 0)
        order = by_number(a->line, b->line);
    return order ? order : by_number((uint64_t)a->tid, (uint64_t)b->tid);
}

static int in_order(const void *left, const void *right, void *user)
{
    static const enum top_column ties[] = { TOP_OWN, TOP_OWN_TIME, TOP_TOTAL, TOP_TOTAL_TIME };
    const struct top_row *a = left, *b = right;
    const struct top_question *question = user;
    int order;
    if (question->sort == TOP_NAME)
        order = strcmp(a->name, b->name);
    else if (question->sort == TOP_PLACE)
        order = by_place(a, b);
    else
        order = by_number(measure(b, question->sort), measure(a, question->sort));
    if (question->reverse)
        order = -order;
    for (size_t i = 0; order == 0 && i < sizeof(ties) / sizeof(ties[0]); i++)
        order = by_number(measure(b, ties[i]), measure(a, ties[i]));
    if (order == 0)
        order = strcmp(a->name, b->name);
    return order ? order : by_place(a, b);
}

/* ---- The answer -------------------------------------------------------------------------------
 */

static void sum_machine(struct work *work)
{
    const struct top_question *question = work->question;
    struct top_rows *rows = work->rows;
    size_t nodes = bsk_profile_node_count(question->now);
    size_t tracks = bsk_profile_track_count(question->now);
    for (uint32_t i = 0; i < nodes; i++) {
        struct gain gain = gain_of(question->now, question->before, i, TOP_CPU);
        rows->cpu_ns += gain.cpu_ns;
        rows->gil_ns += gain.gil_ns;
        rows->wait_ns += gain.wait_ns;
        work->active[bsk_profile_track_of(question->now, i)] |= gain.cpu_ns > 0;
    }
    for (uint32_t i = 0; i < tracks; i++) {
        struct bsk_track track = bsk_profile_track_at(question->now, i);
        rows->threads += thread_lives(&track);
        rows->threads_on_cpu += work->active[i];
        work->active[i] = 0;
    }
    uint64_t now = bsk_profile_meta_const(question->now)->duration_ns;
    uint64_t before = question->before ? bsk_profile_meta_const(question->before)->duration_ns : 0;
    rows->interval_ns = less(now, before);
}

static void sum_below(struct work *work)
{
    const struct top_question *question = work->question;
    size_t nodes = bsk_profile_node_count(question->now);
    for (size_t i = nodes; i-- > 0;) { /* a parent's index is smaller than its children's */
        uint32_t index = (uint32_t)i;
        uint32_t parent = bsk_profile_node_at(question->now, index)->parent;
        work->below[i].weight +=
            gain_of(question->now, question->before, index, question->weight).weight;
        work->all_below[i] +=
            gain_of(question->now, question->zero, index, question->weight).weight;
        if (parent != BSK_NO_NODE) {
            work->below[parent].weight += work->below[i].weight;
            work->all_below[parent] += work->all_below[i];
        }
    }
}

static bool make_room(struct work *work)
{
    const struct bsk_profile *now = work->question->now;
    size_t nodes = bsk_profile_node_count(now), functions = bsk_profile_function_count(now);
    size_t rows = nodes + functions + bsk_profile_track_count(now) + 1;
    work->line_slot_count = 64;
    while (work->line_slot_count < 2 * rows)
        work->line_slot_count *= 2;
    work->rows->items = calloc(rows, sizeof(*work->rows->items));
    work->packages = calloc(functions + 1, sizeof(*work->packages));
    work->package_of = calloc(functions + 1, sizeof(*work->package_of));
    work->function_row = calloc(functions + 1, sizeof(*work->function_row));
    work->line_slots = calloc(work->line_slot_count, sizeof(*work->line_slots));
    work->line_function = calloc(rows, sizeof(*work->line_function));
    work->node_row = calloc(nodes + 1, sizeof(*work->node_row));
    work->active = calloc(rows, sizeof(*work->active));
    work->below = calloc(nodes + 1, sizeof(*work->below));
    work->all_below = calloc(nodes + 1, sizeof(*work->all_below));
    work->rows->memory = work->packages;
    return work->rows->items && work->packages && work->package_of && work->function_row &&
           work->line_slots && work->line_function && work->node_row && work->active &&
           work->below && work->all_below;
}

static void work_free(struct work *work)
{
    free(work->package_of);
    free(work->function_row);
    free(work->line_slots);
    free(work->line_function);
    free(work->node_row);
    free(work->active);
    free(work->below);
    free(work->all_below);
}

struct top_rows *top_rows_new(const struct top_question *question)
{
    struct work work = { .question = question, .rows = calloc(1, sizeof(*work.rows)) };
    struct top_rows *rows = work.rows;
    if (!rows || !make_room(&work)) {
        work_free(&work);
        top_rows_free(rows);
        return NULL;
    }
    sum_machine(&work);
    if (question->view == TOP_THREADS) {
        sum_threads(&work);
    } else {
        if (!question->unfold)
            find_packages(&work);
        sum_below(&work);
        for (uint32_t i = 0; i < bsk_profile_track_count(question->now); i++)
            if (question->track == UINT32_MAX || question->track == i)
                sum_track(&work, i);
    }
    work_free(&work);
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (is_wanted(question, &rows->items[i]))
            rows->items[kept++] = rows->items[i];
    rows->count = kept;
    if (kept > 0) {
        struct top_question order = *question;
        qsort_r(rows->items, kept, sizeof(*rows->items), in_order, &order);
    }
    return rows;
}

void top_rows_free(struct top_rows *rows)
{
    if (!rows)
        return;
    free(rows->items);
    free(rows->memory);
    free(rows);
}
