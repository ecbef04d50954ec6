#include "engine/memory/snapshot.h"

#include "engine/base/strings.h"
#include "engine/memory/arena.h"
#include "engine/memory/traces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FOLDERS = 8, PATH_BYTES = 4096 };

/* Fills a snapshot; what it points to is the arena's. */
struct filling {
    struct bsk_memory_snapshot *snapshot;
    struct bsk_arena *arena;
    const struct bsk_memory_job_result *result;
    struct bsk_traces traces;
    bool estimated;     /* the traces are a sample of the blocks */
    const char **paths; /* by the traces' path: a copy that is terminated */
    enum bsk_code_origin *origins;
    bool *theirs; /* by path: ours or the debugger's */
    struct bsk_error *err;
};

static int no_memory(struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
}

/* ---- sites -------------------------------------------------------------------------------------
 */

static bool is_theirs(const char *path, const struct bsk_value *folders)
{
    char folder[PATH_BYTES];
    if (strcmp(path, "<basilisk>") == 0)
        return true;
    size_t count = folders && folders->kind == BSK_VALUE_LIST ? folders->count : 0;
    for (size_t i = 0; i < count && i < MAX_FOLDERS; i++) {
        const struct bsk_value *item = folders->items[i];
        if (item->kind != BSK_VALUE_TEXT || item->bytes == 0 || item->bytes >= sizeof(folder))
            continue;
        memcpy(folder, item->text, item->bytes);
        folder[item->bytes] = '\0';
        if (bsk_path_below(path, folder))
            return true;
    }
    return false;
}

static int name_paths(struct filling *f)
{
    size_t count = f->traces.path_count + 1;
    const struct bsk_value *folders = bsk_value_field(f->result->value, "debugger");
    char path[PATH_BYTES], plain[PATH_BYTES];
    f->paths = calloc(count, sizeof(*f->paths));
    f->origins = calloc(count, sizeof(*f->origins));
    f->theirs = calloc(count, sizeof(*f->theirs));
    if (!f->paths || !f->origins || !f->theirs)
        return no_memory(f->err);
    for (size_t i = 0; i < f->traces.path_count; i++) {
        size_t size = f->traces.paths[i].bytes;
        size = size < sizeof(path) - 1 ? size : sizeof(path) - 1;
        memcpy(path, f->traces.paths[i].text, size);
        path[size] = '\0';
        bsk_utf8_copy(plain, sizeof(plain), path);
        f->paths[i] = bsk_arena_text(f->arena, plain);
        if (!f->paths[i])
            return no_memory(f->err);
        f->origins[i] = bsk_code_origin(plain);
        f->theirs[i] = is_theirs(plain, folders);
    }
    return BSK_OK;
}

static int larger_site(const void *a, const void *b)
{
    const struct bsk_memory_site *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    int order = strcmp(x->path, y->path);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* What a site is while stacks are added up; the commonest stack decides what is shown. */
struct tally {
    uint64_t bytes, count, best_bytes;
    uint32_t best_stack;
};

static void describe(const struct filling *f, struct bsk_memory_site *site, uint32_t frame)
{
    const struct bsk_trace_frame *at = &f->traces.frames[frame];
    *site = (struct bsk_memory_site){
        .path = f->paths[at->path],
        .line = at->line,
        .function = "",
        .text = "",
        .origin = f->origins[at->path],
        .user_path = f->paths[at->path],
        .user_line = at->line,
    };
}

static bool add_stack(const struct filling *f, struct bsk_memory_site *site,
                      const struct bsk_trace_stack *stack)
{
    uint32_t kept = stack->depth < BSK_MEMORY_MAX_STACK ? stack->depth : BSK_MEMORY_MAX_STACK;
    struct bsk_memory_frame *frames = NULL;
    if (stack->depth < 2)
        return true;
    frames = bsk_arena_get(f->arena, kept * sizeof(*frames));
    if (!frames)
        return false;
    bool found = site->origin == BSK_ORIGIN_USER;
    for (uint32_t i = 0; i < stack->depth; i++) {
        const struct bsk_trace_frame *at = &f->traces.frames[f->traces.frames_of[stack->first + i]];
        if (i < kept)
            frames[i] = (struct bsk_memory_frame){ f->paths[at->path], at->line, "" };
        if (!found && f->origins[at->path] == BSK_ORIGIN_USER && !f->theirs[at->path]) {
            site->user_path = f->paths[at->path];
            site->user_line = at->line;
            found = true;
        }
    }
    site->stack = frames;
    site->stack_count = kept;
    site->stack_bytes = stack->bytes;
    return true;
}

static int fill_sites(struct filling *f)
{
    struct bsk_memory_snapshot *s = f->snapshot;
    const struct bsk_traces *t = &f->traces;
    struct bsk_memory_site *sites = NULL;
    struct tally *tallies = calloc(t->frame_count + 1, sizeof(*tallies));
    size_t count = 0;
    int rc = tallies ? BSK_OK : no_memory(f->err);
    for (size_t i = 0; rc == BSK_OK && i < t->stack_count; i++) {
        const struct bsk_trace_stack *stack = &t->stacks[i];
        if (stack->blocks == 0)
            continue;
        if (stack->depth == 0) { /* allocated with no Python running: nobody's line */
            s->rest_bytes += stack->bytes;
            s->rest_count += stack->blocks;
            continue;
        }
        uint32_t frame = t->frames_of[stack->first];
        if (f->theirs[t->frames[frame].path]) {
            s->debugger_bytes += stack->bytes;
            continue;
        }
        struct tally *tally = &tallies[frame];
        count += tally->count == 0;
        if (tally->count == 0 || stack->bytes > tally->best_bytes) {
            tally->best_bytes = stack->bytes;
            tally->best_stack = (uint32_t)i;
        }
        tally->bytes += stack->bytes;
        tally->count += stack->blocks;
    }
    if (rc == BSK_OK) {
        sites = malloc((count + 1) * sizeof(*sites));
        rc = sites ? BSK_OK : no_memory(f->err);
    }
    size_t at = 0;
    for (size_t i = 0; rc == BSK_OK && i < t->frame_count; i++) {
        if (tallies[i].count == 0)
            continue;
        describe(f, &sites[at], (uint32_t)i);
        sites[at].bytes = tallies[i].bytes;
        sites[at].count = tallies[i].count;
        sites[at].stack_count = tallies[i].best_stack; /* until it is known who is kept */
        at++;
    }
    if (rc == BSK_OK && sites) {
        qsort(sites, count, sizeof(*sites), larger_site);
        for (size_t i = BSK_MEMORY_MAX_SITES; i < count; i++) {
            s->rest_bytes += sites[i].bytes;
            s->rest_count += sites[i].count;
        }
        s->site_count = count < BSK_MEMORY_MAX_SITES ? count : BSK_MEMORY_MAX_SITES;
        s->top_count = s->site_count < BSK_MEMORY_TOP_SITES ? s->site_count : BSK_MEMORY_TOP_SITES;
        struct bsk_memory_site *kept = bsk_arena_get(f->arena, (s->site_count + 1) * sizeof(*kept));
        if (kept)
            memcpy(kept, sites, s->site_count * sizeof(*kept));
        s->sites = kept;
        for (size_t i = 0; kept && i < s->site_count; i++) {
            const struct bsk_trace_stack *best = &t->stacks[kept[i].stack_count];
            kept[i].stack_count = 0;
            if (!add_stack(f, &kept[i], best))
                kept = NULL;
        }
        rc = kept ? BSK_OK : no_memory(f->err);
    }
    if (f->estimated) { /* what the sample has not come upon is somewhere */
        uint64_t told = t->bytes;
        s->rest_bytes += s->traced_bytes > told ? s->traced_bytes - told : 0;
    } else {
        s->traced_bytes = t->bytes; /* as of the dump, a moment later than what tracemalloc said */
        s->blocks = t->blocks;
        s->has_sites = rc == BSK_OK;
    }
    free(tallies);
    free(sites);
    return rc;
}

/* ---- types -------------------------------------------------------------------------------------
 */

/* One row of the answer's types, and what the dump says of its objects. */
struct counted {
    uint64_t address, count, measured, bytes;
};

struct counting {
    struct counted *rows; /* by address */
    size_t count;
    const unsigned char *measured; /* addresses, as many as sizes */
    size_t measured_count;
};

static int by_address(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    return (x->address > y->address) - (x->address < y->address);
}

static uint64_t word_at(const unsigned char *bytes, size_t index)
{
    uint64_t word = 0;
    memcpy(&word, bytes + index * 8, 8);
    return word;
}

/* NULL: a type that came too late to be named. */
static struct counted *row_of(const struct counting *counting, uint64_t address)
{
    const struct counted key = { .address = address };
    if (!counting->rows)
        return NULL;
    return bsearch(&key, counting->rows, counting->count, sizeof(key), by_address);
}

static void on_size(void *user, size_t index, int64_t bytes)
{
    struct counting *counting = user;
    if (index >= counting->measured_count || bytes < 0)
        return;
    struct counted *row = row_of(counting, word_at(counting->measured, index));
    if (row) {
        row->measured++;
        row->bytes += (uint64_t)bytes;
    }
}

static int by_type_name(const void *a, const void *b)
{
    return strcmp(((const struct bsk_memory_type *)a)->name,
                  ((const struct bsk_memory_type *)b)->name);
}

static int larger_type(const void *a, const void *b)
{
    const struct bsk_memory_type *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static bool is_debuggers(const char *name)
{
    static const char *const modules[] = { "_pydevd_", "_pydev_", "pydevd", "debugpy." };
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
        if (bsk_starts_with(name, modules[i]))
            return true;
    }
    return false;
}

static int64_t item_integer(const struct bsk_value *list, size_t at)
{
    return at < list->count && list->items[at]->kind == BSK_VALUE_INTEGER ? list->items[at]->integer
                                                                          : 0;
}

/* [name, address, bytes of the fixed part, 1 where that is all] */
static int read_type(struct filling *f, const struct bsk_value *row, const struct counted *counted,
                     struct bsk_memory_type *out)
{
    char name[512], plain[512];
    size_t size = row->items[0]->bytes < sizeof(name) - 1 ? row->items[0]->bytes : sizeof(name) - 1;
    memcpy(name, row->items[0]->text, size);
    name[size] = '\0';
    bsk_utf8_copy(plain, sizeof(plain), name);
    int64_t basic = item_integer(row, 2);
    *out = (struct bsk_memory_type){ .name = bsk_arena_text(f->arena, plain),
                                     .count = counted->count };
    if (basic > 0 && basic < 1 << 30)
        out->bytes = (uint64_t)basic * counted->count;
    if (item_integer(row, 3) == 0 && counted->measured > 0)
        out->bytes =
            (uint64_t)((double)counted->bytes / (double)counted->measured * (double)counted->count +
                       0.5);
    return out->name ? BSK_OK : no_memory(f->err);
}

static bool is_row(const struct bsk_value *row)
{
    return row->kind == BSK_VALUE_LIST && row->count == 4 &&
           row->items[0]->kind == BSK_VALUE_TEXT && row->items[1]->kind == BSK_VALUE_INTEGER;
}

/* Fills counting->rows. Each address is looked up among a few hundred: neighbours are often of one
 * type, so the last answer is tried first. */
static int count_objects(struct filling *f, const struct bsk_value *rows, const unsigned char *dump,
                         size_t size, struct counting *counting)
{
    static const char broken[] = "the census is not what our script writes";
    const struct bsk_value *value = f->result->value;
    uint64_t objects = bsk_value_bytes(value, "objects");
    uint64_t measured = bsk_value_bytes(value, "measured");
    size_t used = 0;
    counting->rows = calloc(rows->count + 1, sizeof(*counting->rows));
    if (!counting->rows)
        return no_memory(f->err);
    if (objects > size / 8 || measured > size / 8 - objects)
        return bsk_fail(f->err, BSK_E_FORMAT, NULL, broken);
    for (size_t i = 0; i < rows->count; i++) {
        if (!is_row(rows->items[i]))
            return bsk_fail(f->err, BSK_E_FORMAT, NULL, broken);
        counting->rows[i].address = (uint64_t)rows->items[i]->items[1]->integer;
    }
    counting->count = rows->count;
    qsort(counting->rows, counting->count, sizeof(*counting->rows), by_address);
    struct counted *row = NULL;
    for (size_t i = 0; i < objects; i++) {
        uint64_t address = word_at(dump, i);
        if (!row || row->address != address)
            row = row_of(counting, address);
        if (row)
            row->count++;
    }
    counting->measured = dump + objects * 8;
    counting->measured_count = (size_t)measured;
    return bsk_numbers_read(dump + (objects + measured) * 8, size - (objects + measured) * 8,
                            on_size, counting, &used, f->err);
}

static int fill_types(struct filling *f, const unsigned char *dump, size_t size)
{
    struct bsk_memory_snapshot *s = f->snapshot;
    const struct bsk_value *rows = bsk_value_field(f->result->value, "types");
    if (!rows || rows->kind != BSK_VALUE_LIST)
        return BSK_OK;
    struct counting counting = { 0 };
    struct bsk_memory_type *types = bsk_arena_get(f->arena, (rows->count + 1) * sizeof(*types));
    int rc = types ? count_objects(f, rows, dump, size, &counting) : no_memory(f->err);
    s->has_type_bytes = bsk_value_integer(f->result->value, "measured", -1) >= 0;
    size_t count = 0;
    for (size_t i = 0; rc == BSK_OK && i < rows->count; i++) {
        const struct bsk_value *row = rows->items[i];
        const struct counted *counted = row_of(&counting, (uint64_t)row->items[1]->integer);
        if (!counted || counted->count == 0)
            continue;
        rc = read_type(f, row, counted, &types[count]);
        if (rc == BSK_OK && !is_debuggers(types[count].name))
            count++;
    }
    if (rc == BSK_OK && types) {
        size_t kept = 0; /* classes of one name are one line */
        qsort(types, count, sizeof(*types), by_type_name);
        for (size_t i = 0; i < count; i++) {
            if (kept > 0 && strcmp(types[kept - 1].name, types[i].name) == 0) {
                types[kept - 1].count += types[i].count;
                types[kept - 1].bytes += types[i].bytes;
            } else {
                types[kept++] = types[i];
            }
        }
        if (!s->has_type_bytes) {
            for (size_t i = 0; i < kept; i++)
                types[i].bytes = 0;
        }
        qsort(types, kept, sizeof(*types), larger_type);
        s->types = types;
        s->type_count = kept < BSK_MEMORY_MAX_TYPES ? kept : BSK_MEMORY_MAX_TYPES;
        s->has_types = true;
        s->object_count = bsk_value_bytes(f->result->value, "objects");
    }
    free(counting.rows);
    return rc;
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

static void fill_numbers(struct bsk_memory_snapshot *s, const struct bsk_memory_job_result *result)
{
    const struct bsk_value *value = result->value;
    s->unix_ns = (int64_t)(bsk_value_real(value, "unix", 0) * 1e9);
    s->uptime_s = bsk_value_real(value, "uptime", 0);
    s->work_s = bsk_value_real(value, "work", 0);
    s->stopped_s = bsk_value_real(value, "cost", result->cpu_seconds);
    s->pid = (pid_t)bsk_value_integer(value, "pid", 0);
    s->frames = (uint32_t)bsk_value_integer(value, "frames", 0);
    s->foreign = bsk_value_is_true(value, "foreign");
    s->at_exit = bsk_value_is_true(value, "at_exit");
    s->traced_bytes = bsk_value_bytes(value, "traced");
    s->peak_bytes = bsk_value_bytes(value, "peak");
    s->tracker_bytes = bsk_value_bytes(value, "tracker");
    s->rss_bytes = bsk_value_bytes(value, "rss");
    s->start_rss_bytes = bsk_value_bytes(value, "start_rss");
    const struct bsk_value *gc = bsk_value_field(value, "gc");
    for (size_t i = 0; gc && gc->kind == BSK_VALUE_LIST && i < gc->count && i < 3; i++) {
        const struct bsk_value *of = gc->items[i];
        if (of->kind != BSK_VALUE_LIST)
            continue;
        s->gc[i].collections = (uint64_t)item_integer(of, 0);
        s->gc[i].collected = (uint64_t)item_integer(of, 1);
        s->gc[i].uncollectable = (uint64_t)item_integer(of, 2);
    }
}

static bool says_missing(const struct bsk_value *value, const char *what)
{
    const struct bsk_value *list = bsk_value_field(value, "missing");
    for (size_t i = 0; list && list->kind == BSK_VALUE_LIST && i < list->count; i++) {
        const struct bsk_value *item = list->items[i];
        if (item->kind == BSK_VALUE_TEXT && item->bytes == strlen(what) &&
            memcmp(item->text, what, item->bytes) == 0)
            return true;
    }
    return false;
}

static void fill_missing(struct bsk_memory_snapshot *s, const struct bsk_value *value)
{
    bool sites = says_missing(value, "sites"), types = says_missing(value, "types");
    s->truncated = sites || types;
    uint64_t looked = bsk_value_bytes(value, "looked");
    if (sites && looked > 0)
        snprintf(s->missing, sizeof(s->missing),
                 "lines are estimated from %llu of %llu objects and what they refer to%s: about "
                 "%llu blocks would stop the program for longer than the budget allows",
                 (unsigned long long)looked, (unsigned long long)bsk_value_bytes(value, "of"),
                 types ? ", and no types" : "",
                 (unsigned long long)bsk_value_bytes(value, "about"));
    else if (sites)
        snprintf(s->missing, sizeof(s->missing),
                 "no lines%s: about %lld blocks would stop the program for longer, or take more "
                 "memory, than the budget allows",
                 types ? " and no types" : "", (long long)bsk_value_integer(value, "about", 0));
    else if (types)
        snprintf(s->missing, sizeof(s->missing),
                 "no types: there are too many objects for the budget");
}

/* How many objects one of this list stands for; 0: the list is of all blocks. */
static double weight_of(const struct bsk_value *value, int64_t list)
{
    enum { MOST = 1 << 30 };
    const struct bsk_value *weights = bsk_value_field(value, "weights");
    if (!weights || weights->kind != BSK_VALUE_LIST || (uint64_t)list >= weights->count ||
        weights->items[list]->kind != BSK_VALUE_REAL)
        return 0;
    double weight = weights->items[list]->real;
    return weight > 0 && weight < MOST ? weight : 0;
}

/* An estimate never tells of more than there is; its blocks were thousandths. */
static void fit_estimate(struct bsk_traces *traces, uint64_t traced)
{
    double scale = traces->bytes > traced ? (double)traced / (double)traces->bytes : 1;
    traces->bytes = 0;
    for (size_t i = 0; i < traces->stack_count; i++) {
        struct bsk_trace_stack *stack = &traces->stacks[i];
        uint64_t blocks = (uint64_t)((double)stack->blocks / 1000 * scale + 0.5);
        stack->blocks = stack->blocks > 0 && blocks == 0 ? 1 : blocks;
        stack->bytes = (uint64_t)((double)stack->bytes * scale);
        traces->bytes += stack->bytes;
    }
}

int bsk_memory_snapshot_new(const struct bsk_memory_job_result *result,
                            struct bsk_memory_snapshot **out_snapshot, struct bsk_error *err)
{
    const struct bsk_value *value = result->value;
    struct bsk_memory_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return no_memory(err);
    struct filling f = {
        .snapshot = snapshot, .arena = bsk_arena_new(), .result = result, .err = err
    };
    snapshot->memory = f.arena;
    const unsigned char *at = result->dump;
    size_t left = result->dump_bytes;
    int rc = f.arena ? BSK_OK : no_memory(err);
    if (rc == BSK_OK && bsk_value_field(value, "tracing") && !bsk_value_is_true(value, "tracing"))
        rc = bsk_fail(err, BSK_E_STATE, "start memory tracking first",
                      "Memory is not tracked: tracemalloc is off");
    int64_t lists = bsk_value_integer(value, "lists", 0);
    for (int64_t i = 0; rc == BSK_OK && i < lists; i++) {
        size_t used = 0;
        if (left == 0)
            rc = bsk_fail(err, BSK_E_FORMAT, NULL, "the dump is broken: it ends too early");
        else
            f.traces.weight = weight_of(value, i);
        if (rc == BSK_OK)
            rc = bsk_traces_read(&f.traces, at, left, &used, err);
        at += used;
        left -= used;
    }
    if (rc == BSK_OK) {
        fill_numbers(snapshot, result);
        fill_missing(snapshot, value);
    }
    f.estimated = says_missing(value, "sites");
    if (rc == BSK_OK && bsk_value_field(value, "lists") && (!f.estimated || lists > 0)) {
        if (f.estimated)
            fit_estimate(&f.traces, snapshot->traced_bytes);
        rc = name_paths(&f);
        if (rc == BSK_OK)
            rc = fill_sites(&f);
    }
    if (rc == BSK_OK)
        rc = fill_types(&f, at, left);
    free((void *)f.paths);
    free(f.origins);
    free(f.theirs);
    bsk_traces_free(&f.traces);
    if (rc < 0)
        bsk_memory_snapshot_free(snapshot);
    else
        *out_snapshot = snapshot;
    return rc;
}

void bsk_memory_snapshot_free(struct bsk_memory_snapshot *snapshot)
{
    if (!snapshot)
        return;
    bsk_arena_free(snapshot->memory);
    free(snapshot);
}
