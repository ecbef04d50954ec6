/*
 * V8's Profiler.Profile: a tree of nodes with hit counts, and a list of which node was seen when.
 *
 * What a function weighs comes from the hits, which are samples of CPU time; the list gives them an
 * order. Without hits (Chrome's own files may have none) the list gives the weight as well.
 */
#include "engine/import/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NODES = 4000000,
    MAX_SAMPLES = 50000000,
};
#define NONE UINT32_MAX

struct node {
    uint64_t id;
    uint64_t hits;
    uint32_t function;    /* NONE: it is no frame: the root, idle time, a thread */
    uint32_t parent;      /* NONE: it has none */
    uint32_t first_child; /* in `children` */
    uint32_t child_count;
    uint32_t track; /* of what lies below; NONE: as its parent's */
    uint32_t stack; /* in the profile; NONE: it was not needed yet */
    double seen_us; /* of the list, what it was seen for */
    bool is_idle, is_root;
    char *thread; /* the name of the thread that it stands for, or NULL */
};

struct place { /* of an id */
    uint64_t id;
    uint32_t index;
};

struct cpuprofile {
    struct bsk_build *build;
    struct node *nodes;
    size_t count, capacity;
    uint64_t *children; /* ids */
    size_t child_count, child_capacity;
    struct place *places; /* by id */
    struct bsk_buffer name, url, path;
    struct bsk_said said;
    uint32_t *samples; /* by place in the list: the node */
    double *deltas_us;
    size_t sample_count, sample_capacity, delta_count, delta_capacity;
};

static bool out_of_memory(struct bsk_pull *pull)
{
    return bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
}

static bool grow(struct bsk_pull *pull, void *array_at, size_t *capacity, size_t count, size_t most,
                 size_t item_bytes, const char *what)
{
    if (count < *capacity)
        return true;
    if (count >= most)
        return bsk_pull_fail(pull, BSK_E_LIMIT, "more than %zu %s", most, what);
    size_t wanted = *capacity * 2 + 256;
    void *array;
    memcpy(&array, array_at, sizeof(array));
    array = realloc(array, wanted * item_bytes);
    if (!array)
        return out_of_memory(pull);
    memcpy(array_at, &array, sizeof(array));
    *capacity = wanted;
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The path of a file:// URL; anything else stays as it is. */
static const char *path_of(struct cpuprofile *file)
{
    const char *url = bsk_buffer_text(&file->url);
    if (strncmp(url, "file://", 7) != 0)
        return url;
    bsk_buffer_clear(&file->path);
    for (const char *at = url + 7; *at; at++) {
        int high = at[0] == '%' ? hex(at[1]) : -1, low = high >= 0 ? hex(at[2]) : -1;
        char c = low >= 0 && (high | low) ? (char)(high * 16 + low) : *at;
        bsk_buffer_append(&file->path, &c, 1);
        at += low >= 0 && (high | low) ? 2 : 0;
    }
    return bsk_buffer_text(&file->path);
}

static void read_call_frame(struct cpuprofile *file, struct bsk_pull *pull, double *out_line)
{
    struct bsk_span key;
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        if (bsk_pull_is(key, "functionName"))
            bsk_pull_text(pull, &file->name);
        else if (bsk_pull_is(key, "url"))
            bsk_pull_text(pull, &file->url);
        else if (bsk_pull_is(key, "lineNumber"))
            *out_line = bsk_pull_number(pull);
        else
            bsk_pull_skip(pull);
    }
}

/* "MainThread (PID 4711)" below the root, as engine/export writes threads. */
static bool names_thread(const char *name)
{
    const char *at = strstr(name, " (PID ");
    size_t size = strlen(name);
    return at && size > 0 && name[size - 1] == ')';
}

static void read_node(struct cpuprofile *file, struct bsk_pull *pull)
{
    struct node node = { .parent = NONE, .function = NONE, .track = NONE, .stack = NONE };
    struct bsk_span key;
    double line = -1;
    bool has_id = false;
    node.first_child = (uint32_t)file->child_count;
    bsk_buffer_clear(&file->name);
    bsk_buffer_clear(&file->url);
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        if (bsk_pull_is(key, "id")) {
            node.id = bsk_pull_index(pull, UINT32_MAX, "the id of a node");
            has_id = true;
        } else if (bsk_pull_is(key, "hitCount")) {
            node.hits = bsk_pull_index(pull, 1000000000, "a hit count");
        } else if (bsk_pull_is(key, "callFrame")) {
            read_call_frame(file, pull, &line);
        } else if (bsk_pull_is(key, "children") && node.child_count == 0) {
            bsk_pull_array(pull);
            while (bsk_pull_item(pull)) {
                uint64_t id = bsk_pull_index(pull, UINT32_MAX, "the id of a node");
                if (!grow(pull, (void *)&file->children, &file->child_capacity, file->child_count,
                          MAX_NODES, sizeof(*file->children), "children"))
                    break;
                file->children[file->child_count++] = id;
                node.child_count++;
            }
        } else {
            bsk_pull_skip(pull);
        }
    }
    if (!pull->failed && !has_id)
        bsk_pull_fail(pull, BSK_E_FORMAT, "this node has no id");
    if (pull->failed || !grow(pull, (void *)&file->nodes, &file->capacity, file->count, MAX_NODES,
                              sizeof(*file->nodes), "nodes"))
        return;
    const char *name = bsk_buffer_text(&file->name), *path = path_of(file);
    node.is_root = !path[0] && strcmp(name, "(root)") == 0;
    node.is_idle = !path[0] && strcmp(name, "(idle)") == 0;
    if (!path[0] && line < 0 && names_thread(name)) {
        node.thread = strdup(name);
        if (!node.thread)
            out_of_memory(pull);
    } else if (!node.is_root) {
        node.function = bsk_build_function(file->build, name[0] ? name : "(anonymous)", path,
                                           line >= 0 && line < 1e9 ? (uint32_t)line + 1 : 0);
        if (node.function == UINT32_MAX)
            out_of_memory(pull);
    }
    file->nodes[file->count++] = node;
}

static int by_id(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static uint32_t index_of(const struct cpuprofile *file, uint64_t id)
{
    const struct place wanted = { .id = id };
    const struct place *found =
        bsearch(&wanted, file->places, file->count, sizeof(*file->places), by_id);
    return found ? found->index : NONE;
}

static int broken(struct cpuprofile *file, const char *format, uint64_t id)
{
    char text[128];
    snprintf(text, sizeof(text), format, (unsigned long long)id);
    return bsk_fail(file->build->err, BSK_E_FORMAT, NULL, "%.200s: %s", file->build->name, text);
}

static int link_nodes(struct cpuprofile *file)
{
    file->places = malloc((file->count + 1) * sizeof(*file->places));
    if (!file->places)
        return bsk_fail(file->build->err, BSK_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < file->count; i++)
        file->places[i] = (struct place){ file->nodes[i].id, (uint32_t)i };
    qsort(file->places, file->count, sizeof(*file->places), by_id);
    for (size_t i = 1; i < file->count; i++) {
        if (file->places[i].id == file->places[i - 1].id)
            return broken(file, "two nodes have the id %llu", file->places[i].id);
    }
    for (size_t i = 0; i < file->count; i++) {
        const struct node *node = &file->nodes[i];
        for (uint32_t c = 0; c < node->child_count; c++) {
            uint64_t id = file->children[node->first_child + c];
            uint32_t child = index_of(file, id);
            if (child == NONE)
                return broken(file, "node %llu is a child, but there is no such node", id);
            if (file->nodes[child].parent != NONE || child == i)
                return broken(file, "node %llu is the child of two nodes, or its own", id);
            file->nodes[child].parent = (uint32_t)i;
        }
    }
    return BSK_OK;
}

/* The stack of a node in the profile. */
static int stack_of(struct cpuprofile *file, uint32_t index, uint32_t *out_stack)
{
    struct node *nodes = file->nodes;
    *out_stack = nodes[index].stack;
    if (*out_stack != NONE)
        return BSK_OK;
    const char *thread = "";
    bsk_build_begin_stack(file->build);
    size_t steps = 0;
    for (uint32_t i = index; i != NONE; i = nodes[i].parent) {
        if (steps++ > file->count)
            return broken(file, "node %llu hangs below itself", nodes[i].id);
        if (nodes[i].thread)
            thread = nodes[i].thread;
        else if (nodes[i].function != NONE) {
            int rc = bsk_build_frame(file->build, nodes[i].function, 0);
            if (rc < 0)
                return rc;
        }
    }
    bsk_build_turn(file->build);
    int pid = 0;
    const char *pid_at = strstr(thread, " (PID ");
    if (pid_at)
        sscanf(pid_at, " (PID %9d)", &pid);
    uint32_t track = bsk_profile_track(file->build->out->profile, pid, 0, "", thread);
    int rc = bsk_build_stack(file->build, track, out_stack);
    nodes[index].stack = *out_stack;
    return rc;
}

static void read_samples(struct cpuprofile *file, struct bsk_pull *pull)
{
    bsk_pull_array(pull);
    while (bsk_pull_item(pull)) {
        uint64_t id = bsk_pull_index(pull, UINT32_MAX, "the id of a node");
        uint32_t index = pull->failed ? NONE : index_of(file, id);
        if (!pull->failed && index == NONE)
            bsk_pull_fail(pull, BSK_E_FORMAT, "a sample of node %llu, which there is not",
                          (unsigned long long)id);
        if (!grow(pull, (void *)&file->samples, &file->sample_capacity, file->sample_count,
                  MAX_SAMPLES, sizeof(*file->samples), "samples"))
            return;
        if (!pull->failed)
            file->samples[file->sample_count++] = index;
    }
}

static void read_deltas(struct cpuprofile *file, struct bsk_pull *pull)
{
    bsk_pull_array(pull);
    while (bsk_pull_item(pull)) {
        double delta = bsk_pull_number(pull);
        if (!grow(pull, (void *)&file->deltas_us, &file->delta_capacity, file->delta_count,
                  MAX_SAMPLES, sizeof(*file->deltas_us), "samples"))
            return;
        /* Chrome writes some that go back in time; they last for nothing. */
        file->deltas_us[file->delta_count++] = delta > 0 && delta < 1e15 ? delta : 0;
    }
}

/* Sample i lasts until the next one comes. */
static double lasts_us(const struct cpuprofile *file, size_t i)
{
    return i + 1 < file->delta_count ? file->deltas_us[i + 1] : 0;
}

static int weigh(struct cpuprofile *file)
{
    struct bsk_profile *profile = file->build->out->profile;
    uint64_t hits = 0, seen = 0;
    double busy_us = 0, at_us = 0;
    for (size_t i = 0; i < file->sample_count; i++) {
        struct node *node = &file->nodes[file->samples[i]];
        node->seen_us += lasts_us(file, i);
        busy_us += node->is_idle ? 0 : lasts_us(file, i);
        seen += !node->is_idle;
    }
    for (size_t i = 0; i < file->count; i++)
        hits += file->nodes[i].is_idle ? 0 : file->nodes[i].hits;
    double hit_ns = file->said.samples > 0 && file->said.cpu_seconds > 0
                        ? file->said.cpu_seconds * 1e9 / (double)file->said.samples
                    : hits > 0 && busy_us > 0 ? busy_us * 1e3 / (double)hits
                                              : 1e6;
    bool by_hits = hits > 0;
    file->build->out->has_time = busy_us > 0 || file->said.there;
    file->build->out->has_order = busy_us > 0;
    if (!by_hits && seen == 0)
        return BSK_OK;
    for (size_t i = 0; i < file->sample_count; i++) {
        struct node *node = &file->nodes[file->samples[i]];
        double us = lasts_us(file, i), ns = us * 1e3;
        uint32_t stack, samples = 1;
        double begin_us = at_us;
        at_us += us;
        if (node->is_idle || us <= 0 || at_us > 9e15)
            continue;
        if (by_hits) { /* a node's hits are spread over the time that it was seen */
            double part = (double)node->hits * us / node->seen_us;
            ns = part * hit_ns;
            samples = 0;
        }
        int rc = stack_of(file, file->samples[i], &stack);
        if (rc < 0)
            return rc;
        if (ns >= 1)
            bsk_profile_add(profile, stack, (uint64_t)(begin_us * 1e3), (uint64_t)(us * 1e3),
                            (uint64_t)(ns + 0.5), samples);
    }
    for (uint32_t i = 0; by_hits && i < file->count; i++) {
        struct node *node = &file->nodes[i];
        uint32_t stack;
        if (node->hits == 0 || node->is_idle)
            continue;
        int rc = stack_of(file, i, &stack);
        if (rc < 0)
            return rc;
        double ns = node->seen_us > 0 ? 0 : (double)node->hits * hit_ns;
        bsk_profile_add(profile, stack, 0, 0, (uint64_t)(ns + 0.5), (uint32_t)node->hits);
    }
    return BSK_OK;
}

int bsk_read_cpuprofile(struct bsk_build *build, const char *bytes, size_t size)
{
    struct cpuprofile file = { .build = build };
    struct bsk_pull pull = bsk_build_pull(build, bytes, size), samples, deltas;
    bool has_samples = false, has_deltas = false;
    double start_us = 0, end_us = 0;
    struct bsk_span key;
    bsk_pull_object(&pull);
    while (bsk_pull_key(&pull, &key)) {
        if (bsk_pull_is(key, "nodes") && file.count == 0) {
            bsk_pull_array(&pull);
            while (bsk_pull_item(&pull))
                read_node(&file, &pull);
        } else if (bsk_pull_is(key, "samples")) {
            samples = pull;
            has_samples = bsk_pull_skip(&pull);
        } else if (bsk_pull_is(key, "timeDeltas")) {
            deltas = pull;
            has_deltas = bsk_pull_skip(&pull);
        } else if (bsk_pull_is(key, "startTime")) {
            start_us = bsk_pull_number(&pull);
        } else if (bsk_pull_is(key, "endTime")) {
            end_us = bsk_pull_number(&pull);
        } else if (bsk_pull_is(key, "basilisk")) {
            bsk_build_about(build, &pull, &file.said);
        } else {
            bsk_pull_skip(&pull);
        }
    }
    bsk_pull_done(&pull);
    if (!pull.failed && link_nodes(&file) < 0)
        pull.failed = true;
    if (!pull.failed && has_samples && has_deltas) {
        read_samples(&file, &samples);
        read_deltas(&file, &deltas);
        pull.failed = samples.failed || deltas.failed;
    }
    if (!pull.failed) {
        struct bsk_profile_meta *meta = bsk_profile_meta(build->out->profile);
        if (meta->duration_ns == 0 && end_us > start_us && end_us - start_us < 9e15)
            meta->duration_ns = (uint64_t)((end_us - start_us) * 1e3);
        pull.failed = weigh(&file) < 0;
    }
    for (size_t i = 0; i < file.count; i++)
        free(file.nodes[i].thread);
    free(file.nodes);
    free(file.children);
    free(file.places);
    free(file.samples);
    free(file.deltas_us);
    bsk_buffer_free(&file.name);
    bsk_buffer_free(&file.url);
    bsk_buffer_free(&file.path);
    return pull.failed ? build->err->code : BSK_OK;
}
