#include "engine/profile/profile.h"

#include "engine/profile/columns.h"
#include "engine/profile/timeline.h"

#include <stdlib.h>
#include <string.h>

/* A hash table of indexes into an array that holds the keys: open addressing, linear probing. */
struct table {
    uint32_t *slots; /* EMPTY, or an index */
    uint32_t capacity, count;
};

struct function {
    uint32_t name, path; /* offsets into the text */
    uint32_t first_line;
    enum bsk_function_kind kind;
};

struct track {
    pid_t pid, tid;
    uint32_t process, thread, first_thread, call; /* offsets into the text */
    uint32_t root;
};

struct bsk_profile {
    struct bsk_profile_meta meta;
    char *text; /* every string once, each with its terminator; "" at 0 */
    struct function *functions;
    struct track *tracks;
    struct bsk_node *nodes;
    uint32_t *node_tracks; /* beside `nodes` */
    uint32_t text_size, function_count, track_count, node_count;
    uint32_t text_capacity, function_capacity, track_capacity, node_capacity;
    struct table strings_table, functions_table, tracks_table, nodes_table;
    struct bsk_timeline timeline;
    struct bsk_columns columns;
    uint64_t cpu_ns, samples, lost;
};

enum { FIRST_SLOTS = 64 };
#define EMPTY UINT32_MAX
#define FAILED UINT32_MAX

/* Hashing */

static uint32_t mix(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15ULL;
    h = (h ^ h >> 29 ^ c) * 0xbf58476d1ce4e5b9ULL;
    return (uint32_t)(h >> 32);
}

static uint32_t text_hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */
    for (const char *c = text; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3ULL;
    return (uint32_t)(h ^ h >> 32);
}

static uint32_t hash_of_string(const struct bsk_profile *p, uint32_t offset)
{
    return text_hash(p->text + offset);
}

static uint32_t hash_of_function(const struct bsk_profile *p, uint32_t index)
{
    const struct function *f = &p->functions[index];
    return mix(f->name, f->path, f->first_line * 2 + f->kind);
}

static uint32_t hash_of_track(const struct bsk_profile *p, uint32_t index)
{
    return mix((uint32_t)p->tracks[index].pid, (uint32_t)p->tracks[index].tid, 0);
}

static uint32_t hash_of_node(const struct bsk_profile *p, uint32_t index)
{
    return mix(p->nodes[index].parent, p->nodes[index].function, p->nodes[index].line);
}

typedef uint32_t hash_of(const struct bsk_profile *p, uint32_t index);

static void put(struct table *table, uint32_t hash, uint32_t index)
{
    uint32_t mask = table->capacity - 1, at = hash & mask;
    while (table->slots[at] != EMPTY)
        at = (at + 1) & mask;
    table->slots[at] = index;
}

/* Makes room for one more, so that a later put() cannot fail. */
static bool prepare(const struct bsk_profile *p, struct table *table, hash_of *hash)
{
    if ((uint64_t)table->count * 4 < (uint64_t)table->capacity * 3)
        return true;
    if (table->capacity > UINT32_MAX / 4)
        return false;
    struct table wider = { .capacity = table->capacity ? table->capacity * 2 : FIRST_SLOTS,
                           .count = table->count };
    wider.slots = malloc((size_t)wider.capacity * sizeof(uint32_t));
    if (!wider.slots)
        return false;
    memset(wider.slots, 0xff, (size_t)wider.capacity * sizeof(uint32_t));
    for (uint32_t i = 0; i < table->capacity; i++) {
        if (table->slots[i] != EMPTY)
            put(&wider, hash(p, table->slots[i]), table->slots[i]);
    }
    free(table->slots);
    *table = wider;
    return true;
}

/* Room for `extra` more items; by half, since doubling would waste more than we want to hold. */
static bool grow(void *array_at, uint32_t *capacity, uint32_t count, size_t extra,
                 size_t item_bytes)
{
    uint64_t needed = (uint64_t)count + extra;
    if (needed <= *capacity)
        return true;
    uint64_t wanted = (uint64_t)*capacity + *capacity / 2 + 16;
    if (wanted < needed)
        wanted = needed;
    if (wanted >= UINT32_MAX)
        return false;
    void *array;
    memcpy(&array, array_at, sizeof(array));
    array = realloc(array, (size_t)wanted * item_bytes);
    if (!array)
        return false;
    memcpy(array_at, &array, sizeof(array));
    *capacity = (uint32_t)wanted;
    return true;
}

/* The offset of `text`, added when it is new; FAILED when out of memory. */
static uint32_t intern(struct bsk_profile *p, const char *text)
{
    if (!text || !*text)
        return 0;
    if (!prepare(p, &p->strings_table, hash_of_string))
        return FAILED;
    uint32_t hash = text_hash(text), mask = p->strings_table.capacity - 1;
    for (uint32_t at = hash & mask; p->strings_table.slots[at] != EMPTY; at = (at + 1) & mask) {
        if (strcmp(p->text + p->strings_table.slots[at], text) == 0)
            return p->strings_table.slots[at];
    }
    size_t bytes = strlen(text) + 1;
    if (!grow((void *)&p->text, &p->text_capacity, p->text_size, bytes, 1))
        return FAILED;
    uint32_t offset = p->text_size;
    memcpy(p->text + offset, text, bytes);
    p->text_size += (uint32_t)bytes;
    put(&p->strings_table, hash, offset);
    p->strings_table.count++;
    return offset;
}

uint32_t bsk_profile_function(struct bsk_profile *p, const char *name, const char *path,
                              uint32_t first_line, enum bsk_function_kind kind)
{
    struct function wanted = { .first_line = first_line, .kind = kind };
    wanted.name = intern(p, name);
    wanted.path = intern(p, path);
    if (wanted.name == FAILED || wanted.path == FAILED ||
        !prepare(p, &p->functions_table, hash_of_function) ||
        !grow((void *)&p->functions, &p->function_capacity, p->function_count, 1,
              sizeof(*p->functions)))
        return UINT32_MAX;
    uint32_t index = p->function_count;
    p->functions[index] = wanted; /* there already, so that it can be hashed */
    uint32_t hash = hash_of_function(p, index), mask = p->functions_table.capacity - 1;
    for (uint32_t at = hash & mask; p->functions_table.slots[at] != EMPTY; at = (at + 1) & mask) {
        const struct function *f = &p->functions[p->functions_table.slots[at]];
        if (f->name == wanted.name && f->path == wanted.path && f->first_line == first_line &&
            f->kind == kind)
            return p->functions_table.slots[at];
    }
    put(&p->functions_table, hash, index);
    p->functions_table.count++;
    return p->function_count++;
}

/* The child of `parent` (BSK_NO_NODE: the root of track `function`), added when it is new. */
static uint32_t child(struct bsk_profile *p, uint32_t track, uint32_t parent, uint32_t function,
                      uint32_t line)
{
    uint32_t hash = mix(parent, function, line);
    if (p->nodes_table.capacity) {
        uint32_t mask = p->nodes_table.capacity - 1;
        for (uint32_t at = hash & mask; p->nodes_table.slots[at] != EMPTY; at = (at + 1) & mask) {
            const struct bsk_node *node = &p->nodes[p->nodes_table.slots[at]];
            if (node->parent == parent && node->function == function && node->line == line)
                return p->nodes_table.slots[at];
        }
    }
    uint32_t tracks_capacity = p->node_capacity, index = p->node_count;
    if (!prepare(p, &p->nodes_table, hash_of_node) ||
        !grow((void *)&p->node_tracks, &tracks_capacity, index, 1, sizeof(*p->node_tracks)) ||
        !grow((void *)&p->nodes, &p->node_capacity, index, 1, sizeof(*p->nodes)))
        return BSK_NO_NODE; /* `node_tracks` may be the longer one now; that does no harm */
    p->nodes[index] = (struct bsk_node){ .parent = parent,
                                         .first_child = BSK_NO_NODE,
                                         .next_sibling = BSK_NO_NODE,
                                         .function = function,
                                         .line = line };
    p->node_tracks[index] = track;
    if (parent != BSK_NO_NODE) {
        p->nodes[index].depth = p->nodes[parent].depth + 1;
        p->nodes[index].next_sibling = p->nodes[parent].first_child;
        p->nodes[parent].first_child = index;
    }
    put(&p->nodes_table, hash, index);
    p->nodes_table.count++;
    return p->node_count++;
}

uint32_t bsk_profile_track(struct bsk_profile *p, pid_t pid, pid_t tid, const char *process,
                           const char *thread)
{
    uint32_t process_text = intern(p, process), thread_text = intern(p, thread);
    if (process_text == FAILED || thread_text == FAILED ||
        !prepare(p, &p->tracks_table, hash_of_track))
        return UINT32_MAX;
    uint32_t hash = mix((uint32_t)pid, (uint32_t)tid, 0), mask = p->tracks_table.capacity - 1;
    for (uint32_t at = hash & mask; p->tracks_table.slots[at] != EMPTY; at = (at + 1) & mask) {
        const struct track *t = &p->tracks[p->tracks_table.slots[at]];
        if (t->pid == pid && t->tid == tid && t->process == process_text &&
            (t->thread == thread_text || t->first_thread == thread_text))
            return p->tracks_table.slots[at];
    }
    uint32_t index = p->track_count;
    if (!grow((void *)&p->tracks, &p->track_capacity, index, 1, sizeof(*p->tracks)) ||
        !bsk_timeline_add_track(&p->timeline, index))
        return UINT32_MAX;
    uint32_t root = child(p, index, BSK_NO_NODE, index, 0);
    if (root == BSK_NO_NODE)
        return UINT32_MAX;
    p->tracks[index] = (struct track){ .pid = pid,
                                       .tid = tid,
                                       .process = process_text,
                                       .thread = thread_text,
                                       .first_thread = thread_text,
                                       .root = root };
    put(&p->tracks_table, hash, index);
    p->tracks_table.count++;
    return p->track_count++;
}

uint32_t bsk_profile_stack(struct bsk_profile *p, uint32_t track,
                           const struct bsk_profile_frame *frames, size_t depth)
{
    if (track >= p->track_count)
        return BSK_NO_NODE;
    uint32_t node = p->tracks[track].root;
    for (size_t i = 0; i < depth && node != BSK_NO_NODE; i++) {
        if (frames[i].function >= p->function_count)
            return BSK_NO_NODE;
        node = child(p, track, node, frames[i].function, frames[i].line);
    }
    return node;
}

uint32_t bsk_profile_step(struct bsk_profile *p, uint32_t parent, uint32_t function, uint32_t line)
{
    if (parent >= p->node_count || function >= p->function_count)
        return BSK_NO_NODE;
    return child(p, p->node_tracks[parent], parent, function, line);
}

void bsk_profile_name_track(struct bsk_profile *p, uint32_t track, const char *thread)
{
    uint32_t text = track < p->track_count ? intern(p, thread) : FAILED;
    if (text != FAILED)
        p->tracks[track].thread = text; /* out of memory: it keeps the name that it has */
}

void bsk_profile_add_states(struct bsk_profile *p, uint32_t node, uint64_t gil_ns, uint64_t wait_ns,
                            uint64_t idle_ns)
{
    if (node == BSK_NO_NODE)
        return;
    p->nodes[node].gil_ns += gil_ns;
    p->nodes[node].wait_ns += wait_ns;
    p->nodes[node].idle_ns += idle_ns;
}

void bsk_profile_saw_column(struct bsk_profile *p, uint32_t node, uint32_t column, uint32_t count)
{
    if (node < p->node_count)
        bsk_columns_seen(&p->columns, node, column, count);
}

void bsk_profile_called_from(struct bsk_profile *p, uint32_t node, uint32_t column)
{
    if (node < p->node_count)
        bsk_columns_called(&p->columns, node, column);
}

void bsk_profile_add_call_time(struct bsk_profile *p, uint32_t node, uint64_t call_ns)
{
    if (node != BSK_NO_NODE)
        p->nodes[node].call_ns += call_ns;
}

void bsk_profile_note_call(struct bsk_profile *p, uint32_t track, const char *call)
{
    uint32_t text = track < p->track_count ? intern(p, call) : FAILED;
    if (text != FAILED)
        p->tracks[track].call = text;
}

void bsk_profile_add(struct bsk_profile *p, uint32_t node, uint64_t start_ns, uint64_t wall_ns,
                     uint64_t cpu_ns, uint32_t samples)
{
    uint32_t lost = samples ? samples : 1;
    if (node >= p->node_count) {
        p->lost += lost;
        return;
    }
    p->nodes[node].self_ns += cpu_ns;
    p->nodes[node].samples += samples;
    p->cpu_ns += cpu_ns;
    p->samples += samples;
    if (wall_ns > 0)
        bsk_profile_add_run(p, node, start_ns, wall_ns, cpu_ns, samples);
}

void bsk_profile_add_run(struct bsk_profile *p, uint32_t node, uint64_t start_ns, uint64_t wall_ns,
                         uint64_t cpu_ns, uint32_t samples)
{
    const struct bsk_timeline_tree tree = { p->nodes, p->node_tracks, p->node_count };
    if (node >= p->node_count ||
        !bsk_timeline_add(&p->timeline, &tree, node, start_ns, wall_ns, cpu_ns, samples))
        p->lost += samples ? samples : 1;
}

void bsk_profile_coarsen(struct bsk_profile *p, size_t max_runs)
{
    const struct bsk_timeline_tree tree = { p->nodes, p->node_tracks, p->node_count };
    bsk_timeline_limit(&p->timeline, &tree, max_runs);
}

struct bsk_profile *bsk_profile_new(size_t max_runs)
{
    struct bsk_profile *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    bsk_timeline_init(&p->timeline, max_runs ? max_runs : BSK_PROFILE_MAX_RUNS);
    if (!grow((void *)&p->text, &p->text_capacity, 0, 1, 1)) {
        free(p);
        return NULL;
    }
    p->text[p->text_size++] = '\0';
    return p;
}

struct bsk_profile *bsk_profile_like(const struct bsk_profile *profile)
{
    struct bsk_profile *p = bsk_profile_new(profile->timeline.max_runs);
    if (!p)
        return NULL;
    p->meta = profile->meta;
    p->lost = profile->lost;
    p->timeline.window_ns = profile->timeline.window_ns;
    p->timeline.max_depth = profile->timeline.max_depth;
    return p;
}

static bool copy_table(struct table *table)
{
    const uint32_t *slots = table->slots;
    if (!slots)
        return true;
    table->slots = malloc((size_t)table->capacity * sizeof(*slots));
    if (table->slots)
        memcpy(table->slots, slots, (size_t)table->capacity * sizeof(*slots));
    return table->slots != NULL;
}

/* Puts a copy of its first `count` items in the place of `array`; NULL stands for none. */
static bool copy_array(void *array_at, uint32_t count, uint32_t *capacity, size_t item_bytes)
{
    void *array, *copy = NULL;
    memcpy(&array, array_at, sizeof(array));
    bool done = true;
    if (count > 0) {
        copy = malloc(count * item_bytes);
        if (copy)
            memcpy(copy, array, count * item_bytes);
        done = copy != NULL;
    }
    memcpy(array_at, &copy, sizeof(copy));
    *capacity = done ? count : 0;
    return done;
}

struct bsk_profile *bsk_profile_clone(const struct bsk_profile *profile)
{
    struct bsk_profile *p = malloc(sizeof(*p));
    if (!p)
        return NULL;
    *p = *profile;
    /* Every copy is tried, so that each pointer is ours or NULL when we free after a failure. */
    uint32_t tracks_capacity;
    bool done = copy_array((void *)&p->text, p->text_size, &p->text_capacity, 1);
    done &= copy_array((void *)&p->functions, p->function_count, &p->function_capacity,
                       sizeof(*p->functions));
    done &= copy_array((void *)&p->tracks, p->track_count, &p->track_capacity, sizeof(*p->tracks));
    done &= copy_array((void *)&p->nodes, p->node_count, &p->node_capacity, sizeof(*p->nodes));
    done &= copy_array((void *)&p->node_tracks, p->node_count, &tracks_capacity,
                       sizeof(*p->node_tracks));
    done &= copy_table(&p->strings_table);
    done &= copy_table(&p->functions_table);
    done &= copy_table(&p->tracks_table);
    done &= copy_table(&p->nodes_table);
    const struct bsk_timeline_tree tree = { profile->nodes, profile->node_tracks,
                                            profile->node_count };
    done &= bsk_timeline_clone(&p->timeline, &tree);
    done &= bsk_columns_clone(&p->columns);
    if (done)
        return p;
    bsk_profile_free(p);
    return NULL;
}

void bsk_profile_free(struct bsk_profile *p)
{
    if (!p)
        return;
    bsk_timeline_free(&p->timeline);
    bsk_columns_free(&p->columns);
    free(p->text);
    free(p->functions);
    free(p->tracks);
    free(p->nodes);
    free(p->node_tracks);
    free(p->strings_table.slots);
    free(p->functions_table.slots);
    free(p->tracks_table.slots);
    free(p->nodes_table.slots);
    free(p);
}

/* Reading */

struct bsk_profile_meta *bsk_profile_meta(struct bsk_profile *p)
{
    return &p->meta;
}

const struct bsk_profile_meta *bsk_profile_meta_const(const struct bsk_profile *p)
{
    return &p->meta;
}

size_t bsk_profile_function_count(const struct bsk_profile *p)
{
    return p->function_count;
}

struct bsk_function bsk_profile_function_at(const struct bsk_profile *p, uint32_t function)
{
    const struct function *f = &p->functions[function];
    return (struct bsk_function){ .name = p->text + f->name,
                                  .path = p->text + f->path,
                                  .first_line = f->first_line,
                                  .kind = f->kind };
}

size_t bsk_profile_track_count(const struct bsk_profile *p)
{
    return p->track_count;
}

bool bsk_track_is_other(struct bsk_track track)
{
    return strcmp(track.thread, BSK_THREAD_NOT_PYTHON) == 0 ||
           strcmp(track.thread, BSK_THREAD_UNREADABLE) == 0;
}

struct bsk_track bsk_profile_track_at(const struct bsk_profile *p, uint32_t track)
{
    const struct track *t = &p->tracks[track];
    return (struct bsk_track){ .pid = t->pid,
                               .tid = t->tid,
                               .process = p->text + t->process,
                               .thread = p->text + t->thread,
                               .call = p->text + t->call };
}

uint32_t bsk_profile_track_root(const struct bsk_profile *p, uint32_t track)
{
    return p->tracks[track].root;
}

uint32_t bsk_profile_track_of(const struct bsk_profile *p, uint32_t node)
{
    return p->node_tracks[node];
}

bool bsk_profile_has_columns(const struct bsk_profile *p)
{
    return p->columns.node_capacity > 0;
}

uint32_t bsk_profile_call_column(const struct bsk_profile *p, uint32_t node)
{
    return bsk_columns_call(&p->columns, node);
}

bool bsk_profile_next_column(const struct bsk_profile *p, uint32_t node, uint32_t *at,
                             uint32_t *out_column, uint32_t *out_count)
{
    uint32_t number = *at                               ? p->columns.seen[*at - 1].next
                      : node < p->columns.node_capacity ? p->columns.nodes[node].first
                                                        : 0;
    if (number == 0)
        return false;
    *at = number;
    *out_column = p->columns.seen[number - 1].column;
    *out_count = p->columns.seen[number - 1].count;
    return true;
}

size_t bsk_profile_node_count(const struct bsk_profile *p)
{
    return p->node_count;
}

const struct bsk_node *bsk_profile_node_at(const struct bsk_profile *p, uint32_t node)
{
    return &p->nodes[node];
}

uint64_t bsk_profile_cpu_ns(const struct bsk_profile *p)
{
    return p->cpu_ns;
}

uint64_t bsk_profile_samples(const struct bsk_profile *p)
{
    return p->samples;
}

uint64_t bsk_profile_lost(const struct bsk_profile *p)
{
    return p->lost;
}

uint64_t bsk_profile_window_ns(const struct bsk_profile *p)
{
    return p->timeline.window_ns;
}

size_t bsk_profile_bytes(const struct bsk_profile *p)
{
    size_t slots = (size_t)p->strings_table.capacity + p->functions_table.capacity +
                   p->tracks_table.capacity + p->nodes_table.capacity;
    return sizeof(*p) + p->text_capacity + p->function_capacity * sizeof(*p->functions) +
           p->track_capacity * sizeof(*p->tracks) +
           p->node_capacity * (sizeof(*p->nodes) + sizeof(*p->node_tracks)) +
           slots * sizeof(uint32_t) + bsk_timeline_bytes(&p->timeline) +
           bsk_columns_bytes(&p->columns);
}

bool bsk_profile_next_run(const struct bsk_profile *p, size_t *at, struct bsk_run *out_run)
{
    /* Sorting changes no answer, so a reader may do it: profiles are never const objects. */
    struct bsk_timeline *timeline = (struct bsk_timeline *)&p->timeline;
    const struct bsk_timeline_tree tree = { p->nodes, p->node_tracks, p->node_count };
    if (*at == 0)
        bsk_timeline_sort(timeline, &tree);
    return bsk_timeline_next(timeline, &tree, at, out_run);
}
