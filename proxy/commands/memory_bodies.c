/* The JSON of the family basilisk.memory.*; docs/protocol has its schemas. */
#include "proxy/commands/family.h"
#include "proxy/commands/memory_words.h"

#include "engine/base/json.h"

#include <stdio.h>
#include <string.h>

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

static struct json_object *stack_array(const struct bsk_memory_frame *frames, uint32_t count)
{
    struct json_object *stack = json_object_new_array();
    for (uint32_t i = 0; i < count; i++) {
        struct json_object *frame = json_object_new_object();
        dap_add_text(frame, "path", frames[i].path);
        add_uint(frame, "line", frames[i].line);
        dap_add_text(frame, "function", frames[i].function ? frames[i].function : "");
        json_object_array_add(stack, frame);
    }
    return stack;
}

/* How a line was reached, where that is known. */
static void add_stack(struct json_object *row, const struct bsk_memory_frame *frames,
                      uint32_t count, uint64_t samples)
{
    if (count < 2)
        return;
    json_object_object_add(row, "stack", stack_array(frames, count));
    dap_add_text(row, "stackFrom", samples > 0 ? "inferred" : "traced");
    if (samples > 0)
        add_uint(row, "stackSamples", samples);
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
    add_stack(row, site->stack, site->stack_count, site->stack_samples);
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

static struct json_object *leak_object(const struct bsk_leak *leak)
{
    struct json_object *row = json_object_new_object();
    dap_add_text(row, "path", leak->path);
    add_uint(row, "line", leak->line);
    dap_add_text(row, "function", leak->function ? leak->function : "");
    if (leak->text && leak->text[0])
        dap_add_text(row, "text", leak->text);
    add_int(row, "growthBytes", leak->growth_bytes);
    add_int(row, "growthCount", leak->growth_count);
    add_uint(row, "bytes", leak->bytes);
    add_uint(row, "count", leak->count);
    add_int(row, "confidence", leak->confidence);
    dap_add_text(row, "band", bsk_leak_band_name(leak->band));
    struct json_object *reasons = json_object_new_array();
    for (int i = 0; i < 3; i++) {
        struct json_object *holder = json_object_new_object();
        if (!leak->reasons[i][0]) {
            json_object_put(holder);
            continue;
        }
        dap_add_text(holder, "text", leak->reasons[i]);
        json_object_array_add(reasons, json_object_get(json_object_object_get(holder, "text")));
        json_object_put(holder);
    }
    json_object_object_add(row, "reasons", reasons);
    if (leak->user_path &&
        (leak->user_line != leak->line || strcmp(leak->user_path, leak->path) != 0)) {
        dap_add_text(row, "userPath", leak->user_path);
        add_uint(row, "userLine", leak->user_line);
    }
    add_stack(row, leak->stack, leak->stack_count, leak->stack_samples);
    if (leak->evidence.holder[0])
        dap_add_text(row, "holder", leak->evidence.holder);
    return row;
}

struct json_object *dap_memory_diff_body(const struct dap_memory_result *result)
{
    const struct bsk_memory_diff *diff = result->diff;
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    add_uint(body, "from", diff->from);
    add_uint(body, "to", diff->to);
    add_int(body, "tracedGrowthBytes", diff->traced_growth);
    add_int(body, "rssGrowthBytes", diff->rss_growth);
    add_seconds(body, "workSeconds", diff->work_s);
    struct json_object *leaks = json_object_new_array();
    for (size_t i = 0; i < diff->leak_count && i < BSK_DIFF_LEAKS; i++)
        json_object_array_add(leaks, leak_object(&diff->leaks[i]));
    json_object_object_add(body, "leaks", leaks);
    struct json_object *types = json_object_new_array();
    for (size_t i = 0; i < diff->type_count; i++) {
        struct json_object *row = json_object_new_object();
        dap_add_text(row, "type", diff->types[i].name);
        add_int(row, "growthCount", diff->types[i].growth_count);
        add_int(row, "growthBytes", diff->types[i].growth_bytes);
        add_uint(row, "count", diff->types[i].count);
        add_uint(row, "bytes", diff->types[i].bytes);
        json_object_array_add(types, row);
    }
    json_object_object_add(body, "types", types);
    if (diff->native_note[0])
        dap_add_text(body, "native", diff->native_note);
    if (diff->missing[0])
        dap_add_text(body, "missing", diff->missing);
    if (result->diff_note && result->diff_note[0])
        dap_add_text(body, "note", result->diff_note);
    if (dap_diff_hint(result)[0])
        dap_add_text(body, "hint", dap_diff_hint(result));
    if (result->place) {
        struct json_object *place = json_object_new_object();
        dap_add_text(place, "path", result->place->path);
        add_uint(place, "line", result->place->line);
        json_object_object_add(body, "place", place);
    }
    return body;
}

struct json_object *dap_memory_collect_body(const struct dap_memory_result *result)
{
    const struct dap_memory_collected *collected = result->collected;
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    add_uint(body, "collected", collected->collected);
    add_uint(body, "uncollectable", collected->uncollectable);
    add_int(body, "freedTracedBytes", collected->freed_traced_bytes);
    add_int(body, "freedRssBytes", collected->freed_rss_bytes);
    return body;
}

struct json_object *dap_memory_objects_body(const struct dap_memory_result *result)
{
    const struct bsk_memory_snapshot *snapshot = result->snapshot;
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", result->session_id);
    add_seconds(body, "t", (double)snapshot->unix_ns / 1e9);
    add_uint(body, "objects", snapshot->object_count);
    add_uint(body, "rssBytes", snapshot->rss_bytes);
    json_object_object_add(body, "types", types_array(snapshot));
    if (snapshot->missing[0])
        dap_add_text(body, "missing", snapshot->missing);
    return body;
}

/* What engine/memory writes, taken over as a tree; NULL when out of memory. */
static struct json_object *parsed(struct bsk_buffer *text)
{
    struct json_tokener *tokener = json_tokener_new_ex(256);
    struct json_object *body = tokener && !text->failed
                                   ? json_tokener_parse_ex(tokener, text->data, (int)text->size)
                                   : NULL;
    json_tokener_free(tokener);
    bsk_buffer_free(text);
    return body;
}

struct json_object *dap_memory_references_body(const struct dap_memory_result *result)
{
    struct bsk_buffer text = { 0 };
    struct bsk_json json = { .out = &text };
    bsk_json_begin(&json, '{');
    bsk_json_field_text(&json, "sessionId", result->session_id);
    bsk_references_json(result->references, result->graph, &json);
    bsk_json_end(&json, '}');
    return parsed(&text);
}

struct json_object *dap_memory_kind_body(const struct dap_memory_result *result)
{
    struct bsk_buffer text = { 0 };
    struct json_object *body = NULL;
    switch (result->kind) {
    case DAP_MEMORY_SNAPSHOT:
        return dap_memory_snapshot_body(result);
    case DAP_MEMORY_DIFF:
        return dap_memory_diff_body(result);
    case DAP_MEMORY_COLLECTED:
        return dap_memory_collect_body(result);
    case DAP_MEMORY_OBJECTS:
        return dap_memory_objects_body(result);
    case DAP_MEMORY_REFERENCES:
        bsk_buffer_text_append(&text, result->graph_json);
        body = parsed(&text);
        if (body)
            dap_add_text(body, "sessionId", result->session_id);
        return body;
    }
    return NULL;
}

struct json_object *dap_memory_inspect_body(const struct dap_memory_result *result)
{
    struct bsk_buffer text = { 0 };
    bsk_buffer_text_append(&text, result->inspected);
    struct json_object *body = parsed(&text);
    if (body && json_object_is_type(body, json_type_object)) {
        dap_add_text(body, "sessionId", result->session_id);
        add_uint(body, "graph", result->graph);
    }
    return body;
}
