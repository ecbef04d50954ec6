/* The JSON of the family basilisk.memory.*; docs/protocol has its schemas. */
#include "proxy/commands/family.h"
#include "proxy/commands/memory_words.h"

#include <stdio.h>

static void add_uint(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key,
                           json_object_new_int64(value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

static void add_int(struct json_object *object, const char *key, int64_t value)
{
    json_object_object_add(object, key, json_object_new_int64(value));
}

static void add_seconds(struct json_object *object, const char *key, double value)
{
    char text[64];
    snprintf(text, sizeof(text), "%.3f", value);
    json_object_object_add(object, key, json_object_new_double_s(value, text));
}

static void add_true(struct json_object *object, const char *key, bool value)
{
    if (value)
        json_object_object_add(object, key, json_object_new_boolean(1));
}

struct json_object *dap_memory_start_body(const struct dap_memory_result *result)
{
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    add_int(body, "pid", result->pid);
    dap_add_text(body, "python", result->python);
    add_uint(body, "frames", result->frames);
    json_object_object_add(body, "foreign", json_object_new_boolean(result->foreign));
    return body;
}

static struct json_object *types_array(const struct bsk_memory_snapshot *snapshot)
{
    struct json_object *types = json_object_new_array();
    for (size_t i = 0; i < snapshot->type_count && i < BSK_MEMORY_TOP_SITES; i++) {
        const struct bsk_memory_type *type = &snapshot->types[i];
        struct json_object *row = json_object_new_object();
        dap_add_text(row, "type", type->name);
        add_uint(row, "count", type->count);
        add_uint(row, "bytes", type->bytes);
        json_object_array_add(types, row);
    }
    return types;
}

static struct json_object *site_object(const struct dap_memory_result *result,
                                       const struct bsk_memory_site *site)
{
    struct json_object *row = json_object_new_object();
    int64_t growth_bytes = 0, growth_count = 0;
    dap_add_text(row, "path", site->path);
    add_uint(row, "line", site->line);
    dap_add_text(row, "function", site->function ? site->function : "");
    add_uint(row, "bytes", site->bytes);
    add_uint(row, "count", site->count);
    add_uint(row, "averageBytes", site->count ? site->bytes / site->count : 0);
    if (site->text && site->text[0])
        dap_add_text(row, "text", site->text);
    if (bsk_memory_history_growth(result->history, result->snapshot, site, &growth_bytes,
                                  &growth_count)) {
        add_int(row, "growthBytes", growth_bytes);
        add_int(row, "growthCount", growth_count);
    }
    return row;
}

struct json_object *dap_memory_snapshot_body(const struct dap_memory_result *result)
{
    const struct bsk_memory_snapshot *snapshot = result->snapshot;
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    add_uint(body, "number", snapshot->number);
    add_int(body, "pid", snapshot->pid);
    add_seconds(body, "time", (double)snapshot->unix_ns / 1e9);
    add_seconds(body, "uptimeSeconds", snapshot->uptime_s);
    add_seconds(body, "workSeconds", snapshot->work_s);
    add_seconds(body, "stoppedSeconds", snapshot->stopped_s);
    add_uint(body, "tracedBytes", snapshot->traced_bytes);
    add_uint(body, "peakBytes", snapshot->peak_bytes);
    add_uint(body, "rssBytes", snapshot->rss_bytes);
    add_uint(body, "startRssBytes", snapshot->start_rss_bytes);
    add_uint(body, "trackerBytes", snapshot->tracker_bytes);
    add_uint(body, "debuggerBytes", snapshot->debugger_bytes);
    add_uint(body, "blocks", snapshot->blocks);
    add_uint(body, "objects", snapshot->object_count);
    add_uint(body, "restBytes", snapshot->rest_bytes);
    add_uint(body, "frames", snapshot->frames);
    add_true(body, "foreign", snapshot->foreign);
    add_true(body, "atExit", snapshot->at_exit);
    struct json_object *gc = json_object_new_object();
    for (int i = 0; i < 3; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%d", i);
        struct json_object *generation = json_object_new_object();
        add_uint(generation, "collections", snapshot->gc[i].collections);
        add_uint(generation, "collected", snapshot->gc[i].collected);
        add_uint(generation, "uncollectable", snapshot->gc[i].uncollectable);
        json_object_object_add(gc, key, generation);
    }
    json_object_object_add(body, "gc", gc);
    json_object_object_add(body, "truncated", json_object_new_boolean(snapshot->truncated));
    if (snapshot->missing[0])
        dap_add_text(body, "missing", snapshot->missing);
    if (result->warning[0])
        dap_add_text(body, "warning", result->warning);
    struct json_object *paths = json_object_new_object();
    if (result->heapprofile[0])
        dap_add_text(paths, "heapprofile", result->heapprofile);
    json_object_object_add(body, "paths", paths);
    struct json_object *sites = json_object_new_array();
    for (size_t i = 0; i < snapshot->top_count; i++)
        json_object_array_add(sites, site_object(result, &snapshot->sites[i]));
    json_object_object_add(body, "sites", sites);
    json_object_object_add(body, "types", types_array(snapshot));
    return body;
}
