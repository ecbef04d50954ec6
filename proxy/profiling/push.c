#include "proxy/profiling/push.h"

#include "engine/base/json.h"

struct push {
    struct dap_session *session;
    struct dap_diagnostics *diagnostics;
    struct bsk_source_cache *sources;
    struct bsk_json json; /* of the heat event */
    size_t files;
};

static void write_file(const struct bsk_hot_file *file, void *user)
{
    struct push *push = user;
    struct bsk_json *json = &push->json;
    push->files++;
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "path", file->path);
    bsk_json_key(json, "lines");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < file->line_count; i++) {
        const struct bsk_hot_line *line = &file->lines[i];
        bsk_json_begin(json, '{');
        bsk_json_field_uint(json, "line", line->line);
        bsk_json_field_double(json, "percent", line->percent, 1);
        bsk_json_field_uint(json, "samples", line->samples);
        bsk_json_field_text(json, "level", bsk_level_name(line->level));
        bsk_json_field_text(json, "function", line->function);
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
    bsk_json_key(json, "functions");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < file->function_count; i++) {
        const struct bsk_hot_function *function = &file->functions[i];
        bsk_json_begin(json, '{');
        bsk_json_field_text(json, "name", function->name);
        bsk_json_field_uint(json, "line", function->line);
        bsk_json_field_double(json, "percent", function->percent, 1);
        bsk_json_field_double(json, "totalPercent", function->total_percent, 1);
        bsk_json_field_uint(json, "samples", function->samples);
        bsk_json_field_text(json, "level", bsk_level_name(function->level));
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
    bsk_json_end(json, '}');
}

static void send_diagnostics(const struct bsk_hot_file *file, void *user)
{
    struct push *push = user;
    struct bsk_buffer list = { 0 };
    struct bsk_json json = { .out = &list };
    if (file->line_count + file->function_count > 0) {
        bsk_diagnostics_write(push->sources, file, &json);
    } else {
        bsk_json_begin(&json, '[');
        bsk_json_end(&json, ']');
    }
    if (!list.failed)
        dap_diagnostics_say(push->diagnostics, push->session, push->diagnostics, file->path,
                            list.data, list.size);
    bsk_buffer_free(&list);
}

bool dap_push_heat(struct dap_session *session, struct dap_diagnostics *diagnostics,
                   struct bsk_source_cache *sources, const struct bsk_heat *before,
                   const struct bsk_heat *now, uint32_t version, bool always)
{
    struct bsk_buffer body = { 0 };
    struct push push = {
        .session = session, .diagnostics = diagnostics, .sources = sources, .json = { .out = &body }
    };
    bsk_json_begin(&push.json, '{');
    bsk_json_field_uint(&push.json, "version", version);
    bsk_json_key(&push.json, "files");
    bsk_json_begin(&push.json, '[');
    bsk_heat_changes(before, now, write_file, &push);
    bsk_json_end(&push.json, ']');
    bsk_json_end(&push.json, '}');
    bool wanted = (push.files > 0 || always) && !body.failed;
    if (wanted) {
        dap_session_event(session, "basilisk.heat", body.data, body.size, DAP_MUST_ARRIVE);
        bsk_heat_changes(before, now, send_diagnostics, &push);
    }
    bsk_buffer_free(&body);
    return wanted;
}

void dap_push_no_diagnostics(struct dap_session *session, struct dap_diagnostics *diagnostics)
{
    dap_diagnostics_clear(diagnostics, session, diagnostics);
}
