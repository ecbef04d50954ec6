/*
 * V8's Profiler.Profile, which VS Code and Chrome's DevTools open by themselves.
 *
 * Sample i lasts until sample i + 1: timeDeltas[i + 1], as in VS Code's and DevTools' models. So
 * the first delta is 0, and one more sample, of no length, closes the last stretch; the deltas then
 * add up to endTime - startTime exactly. Weights in hitCount and positionTicks are CPU samples, and
 * do not depend on the timeline.
 */
#include "engine/base/strings.h"
#include "engine/export/about.h"
#include "engine/export/export.h"
#include "engine/export/pairs.h"
#include "engine/export/tree.h"
#include "engine/export/wall.h"

#include <stdlib.h>
#include <string.h>

struct stretch {
    uint32_t node; /* in the tree */
    uint64_t start_us;
};

struct stretches {
    const struct bsk_tree *tree;
    struct stretch *items;
    size_t count, capacity;
    bool failed;
};

enum { IDLE_NODE = 1 };

static void add_stretch(uint32_t node, uint64_t start_us, uint64_t end_us, void *user)
{
    struct stretches *list = user;
    uint32_t at = node == BSK_NO_NODE ? IDLE_NODE : list->tree->node_of[node];
    if (start_us == end_us || list->failed ||
        (list->count > 0 && list->items[list->count - 1].node == at))
        return;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity + list->capacity / 2 + 256;
        struct stretch *items = realloc(list->items, capacity * sizeof(*items));
        if (!items) {
            list->failed = true;
            return;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct stretch){ at, start_us };
}

struct writer {
    const struct bsk_profile *profile;
    const struct bsk_tree *tree;
    struct bsk_json *json;
    struct bsk_pairs scripts; /* by the address of the path, which is one for equal paths */
    struct bsk_buffer text;
};

static void call_frame(struct writer *w, const char *name, const char *path, int64_t line)
{
    bsk_buffer_clear(&w->text);
    if (path[0] == '/')
        bsk_file_url(&w->text, path);
    else
        bsk_buffer_text_append(&w->text, path);
    uint32_t script = 0; /* 0: no script at all */
    if (path[0])
        script = 1 + bsk_pair(&w->scripts, (uint32_t)((uint64_t)(uintptr_t)path >> 32),
                              (uint32_t)(uintptr_t)path);
    char script_id[16];
    snprintf(script_id, sizeof(script_id), "%u", script);
    bsk_json_key(w->json, "callFrame");
    bsk_json_begin(w->json, '{');
    bsk_json_field_text(w->json, "functionName", name);
    bsk_json_field_text(w->json, "scriptId", script_id);
    bsk_json_key(w->json, "url");
    bsk_json_text_n(w->json, w->text.data, w->text.size);
    bsk_json_field_int(w->json, "lineNumber", line);
    bsk_json_field_int(w->json, "columnNumber", line < 0 ? -1 : 0);
    bsk_json_end(w->json, '}');
}

static void node_frame(struct writer *w, const struct bsk_tree_node *node)
{
    char name[512];
    switch (node->kind) {
    case BSK_TREE_ROOT:
        call_frame(w, "(root)", "", -1);
        break;
    case BSK_TREE_IDLE:
        call_frame(w, "(idle)", "", -1);
        break;
    case BSK_TREE_PRUNED:
        call_frame(w, "(pruned)", "", -1);
        break;
    case BSK_TREE_TRACK: {
        struct bsk_track track = bsk_profile_track_at(w->profile, node->index);
        snprintf(name, sizeof(name), "%.480s (PID %d)", track.thread, (int)track.pid);
        call_frame(w, name, "", -1);
        break;
    }
    case BSK_TREE_FUNCTION: {
        struct bsk_function function = bsk_profile_function_at(w->profile, node->index);
        bool special = function.kind == BSK_FUNCTION_SPECIAL;
        int64_t line = function.first_line > 0 ? (int64_t)function.first_line - 1 : 0;
        call_frame(w, function.name, function.path, special ? -1 : line);
        break;
    }
    }
}

static void write_node(struct writer *w, uint32_t index)
{
    const struct bsk_tree_node *node = &w->tree->nodes[index];
    bsk_json_begin(w->json, '{');
    bsk_json_field_uint(w->json, "id", index + 1);
    node_frame(w, node);
    bsk_json_field_uint(w->json, "hitCount", node->hits);
    if (node->child_count > 0) {
        bsk_json_key(w->json, "children");
        bsk_json_begin(w->json, '[');
        for (uint32_t i = 0; i < node->child_count; i++)
            bsk_json_uint(w->json, w->tree->children[node->first_child + i] + 1);
        bsk_json_end(w->json, ']');
    }
    if (node->tick_count > 0) {
        bsk_json_key(w->json, "positionTicks");
        bsk_json_begin(w->json, '[');
        for (uint32_t i = 0; i < node->tick_count; i++) {
            const struct bsk_tick *tick = &w->tree->ticks[node->first_tick + i];
            bsk_json_begin(w->json, '{');
            bsk_json_field_uint(w->json, "line", tick->line);
            bsk_json_field_uint(w->json, "ticks", tick->samples);
            bsk_json_end(w->json, '}');
        }
        bsk_json_end(w->json, ']');
    }
    bsk_json_end(w->json, '}');
}

static void write_samples(struct bsk_json *json, const struct stretches *list, uint64_t end_us)
{
    bsk_json_key(json, "samples");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < list->count; i++)
        bsk_json_uint(json, list->items[i].node + 1);
    if (list->count > 0)
        bsk_json_uint(json, list->items[list->count - 1].node + 1);
    bsk_json_end(json, ']');
    bsk_json_key(json, "timeDeltas");
    bsk_json_begin(json, '[');
    uint64_t last_us = 0;
    for (size_t i = 0; i < list->count; i++) {
        bsk_json_uint(json, list->items[i].start_us - last_us);
        last_us = list->items[i].start_us;
    }
    if (list->count > 0)
        bsk_json_uint(json, end_us - last_us);
    bsk_json_end(json, ']');
}

static int write_cpuprofile(const struct bsk_profile *profile, FILE *out, struct bsk_error *err)
{
    struct bsk_tree tree = { 0 };
    struct stretches list = { .tree = &tree };
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = out };
    struct writer w = { .profile = profile, .tree = &tree, .json = &json };
    int rc;
    if (!bsk_tree_make(profile, BSK_TREE_MAX_NODES, &tree) ||
        !bsk_wall_walk(profile, add_stretch, &list) || list.failed) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a cpuprofile");
        goto out;
    }
    int64_t started_ns = bsk_profile_meta_const(profile)->started_unix_ns;
    uint64_t start_us = started_ns > 0 ? (uint64_t)started_ns / 1000 : 0;
    uint64_t wall_us = bsk_wall_us(profile);
    bsk_json_begin(&json, '{');
    bsk_json_key(&json, "nodes");
    bsk_json_begin(&json, '[');
    for (uint32_t i = 0; i < tree.count; i++)
        write_node(&w, i);
    bsk_json_end(&json, ']');
    bsk_json_field_uint(&json, "startTime", start_us);
    bsk_json_field_uint(&json, "endTime", start_us + wall_us);
    write_samples(&json, &list, wall_us);
    bsk_export_about(profile, &json);
    bsk_json_field_uint(&json, "prunedNodes", tree.pruned);
    bsk_json_end(&json, '}');
    bsk_json_end(&json, '}');
    bsk_buffer_append(&buffer, "\n", 1);
    rc = w.text.failed
             ? bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a cpuprofile")
             : bsk_json_finish(&json, err);
out:
    bsk_tree_free(&tree);
    bsk_pairs_free(&w.scripts);
    bsk_buffer_free(&w.text);
    bsk_buffer_free(&buffer);
    free(list.items);
    return rc;
}

const struct bsk_exporter bsk_export_cpuprofile = { "cpuprofile", ".cpuprofile", write_cpuprofile };
