/* Payloads that somebody else has made: printed by the program behind a marker, or handed in by an
 * editor. docs/protocol has their JSON. */
#include "proxy/memory/inside.h"

#include "engine/memory/arena.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *marker;
    enum dap_memory_kind kind;
} markers[] = {
    { "__BASILISK_MEM__", DAP_MEMORY_SNAPSHOT },    { "__BASILISK_DIFF__", DAP_MEMORY_DIFF },
    { "__BASILISK_GC__", DAP_MEMORY_COLLECTED },    { "__BASILISK_REFS__", DAP_MEMORY_REFERENCES },
    { "__BASILISK_OBJECTS__", DAP_MEMORY_OBJECTS },
};

/* ---- Reading -----------------------------------------------------------------------------------
 */

static int wrong(struct op *op, const char *what)
{
    return bsk_fail(&op->err, BSK_E_FORMAT,
                    "docs/protocol/README.md tells what each marker carries",
                    "The payload of %s is not as it should be: %s", op->marker, what);
}

/* False when it is there and no number from 0 on. */
static bool number_of(struct json_object *object, const char *key, bool needed, uint64_t *out)
{
    struct json_object *value = NULL;
    *out = 0;
    if (!json_object_object_get_ex(object, key, &value))
        return !needed;
    double real = json_object_get_double(value);
    if (!(json_object_is_type(value, json_type_int) ||
          json_object_is_type(value, json_type_double)) ||
        !(real >= 0 && real < 9e18))
        return false;
    *out =
        json_object_is_type(value, json_type_int) ? json_object_get_uint64(value) : (uint64_t)real;
    return true;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value) ||
        !json_object_is_type(value, json_type_string) || json_object_get_string_len(value) == 0)
        return NULL;
    return json_object_get_string(value);
}

static int read_sites(struct op *op, struct json_object *rows, struct bsk_memory_snapshot *snapshot)
{
    struct bsk_arena *arena = snapshot->memory;
    size_t count = json_object_array_length(rows);
    struct bsk_memory_site *sites = bsk_arena_get(arena, (count + 1) * sizeof(*sites));
    if (!sites)
        return bsk_fail(&op->err, BSK_E_MEMORY, NULL, "out of memory");
    memset(sites, 0, (count + 1) * sizeof(*sites));
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        uint64_t line;
        const char *path = json_object_is_type(row, json_type_object) ? text_of(row, "path") : NULL;
        if (!path || !number_of(row, "line", true, &line) || line < 1 || line > INT32_MAX ||
            !number_of(row, "bytes", true, &sites[i].bytes) ||
            !number_of(row, "count", false, &sites[i].count))
            return wrong(op, "each of `sites` needs path, line and bytes");
        const char *function = text_of(row, "function");
        sites[i].path = sites[i].user_path = bsk_arena_text(arena, path);
        sites[i].function = bsk_arena_text(arena, function ? function : "");
        sites[i].text = "";
        if (!sites[i].path || !sites[i].function)
            return bsk_fail(&op->err, BSK_E_MEMORY, NULL, "out of memory");
        sites[i].line = sites[i].user_line = (uint32_t)line;
        sites[i].origin = bsk_code_origin(path);
        snapshot->blocks += sites[i].count;
    }
    snapshot->sites = sites;
    snapshot->site_count = count;
    snapshot->top_count = count < BSK_MEMORY_TOP_SITES ? count : BSK_MEMORY_TOP_SITES;
    snapshot->has_sites = true;
    return BSK_OK;
}

static int read_types(struct op *op, struct json_object *rows, struct bsk_memory_snapshot *snapshot)
{
    struct bsk_arena *arena = snapshot->memory;
    size_t count = json_object_array_length(rows);
    struct bsk_memory_type *types = bsk_arena_get(arena, (count + 1) * sizeof(*types));
    if (!types)
        return bsk_fail(&op->err, BSK_E_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        const char *name = json_object_is_type(row, json_type_object) ? text_of(row, "type") : NULL;
        if (!name || !number_of(row, "count", true, &types[i].count) ||
            !number_of(row, "bytes", false, &types[i].bytes))
            return wrong(op, "each of `types` needs type and count");
        types[i].name = bsk_arena_text(arena, name);
        if (!types[i].name)
            return bsk_fail(&op->err, BSK_E_MEMORY, NULL, "out of memory");
        snapshot->object_count += types[i].count;
        snapshot->has_type_bytes |= types[i].bytes > 0;
    }
    snapshot->types = types;
    snapshot->type_count = count;
    snapshot->has_types = true;
    return BSK_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const struct bsk_memory_site *one = a, *other = b;
    return (one->bytes < other->bytes) - (one->bytes > other->bytes);
}

/* op->snapshot */
static int read_snapshot(struct op *op, struct json_object *payload, bool needs_sites)
{
    struct bsk_memory_snapshot *snapshot = op->snapshot = calloc(1, sizeof(*snapshot));
    struct json_object *sites = NULL, *types = NULL;
    struct timespec now;
    uint64_t work_ms = 0;
    if (!snapshot || !(snapshot->memory = bsk_arena_new()))
        return bsk_fail(&op->err, BSK_E_MEMORY, NULL, "out of memory");
    clock_gettime(CLOCK_REALTIME, &now);
    snapshot->unix_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    snapshot->pid = op->tracking->pid;
    json_object_object_get_ex(payload, "sites", &sites);
    json_object_object_get_ex(payload, "types", &types);
    if (needs_sites ? !json_object_is_type(sites, json_type_array)
                    : !json_object_is_type(types, json_type_array))
        return wrong(op, needs_sites ? "`sites` is no list" : "`types` is no list");
    if (types && !json_object_is_type(types, json_type_array))
        return wrong(op, "`types` is no list");
    if (!number_of(payload, "tracedBytes", false, &snapshot->traced_bytes) ||
        !number_of(payload, "peakBytes", false, &snapshot->peak_bytes) ||
        !number_of(payload, "rssBytes", false, &snapshot->rss_bytes) ||
        !number_of(payload, "workMilliseconds", false, &work_ms))
        return wrong(op,
                     "tracedBytes, peakBytes, rssBytes and workMilliseconds are numbers from 0 on");
    snapshot->work_s = (double)work_ms / 1e3;
    int rc = needs_sites ? read_sites(op, sites, snapshot) : BSK_OK;
    if (rc == BSK_OK && types)
        rc = read_types(op, types, snapshot);
    if (rc != BSK_OK)
        return rc;
    if (needs_sites) {
        qsort((void *)snapshot->sites, snapshot->site_count, sizeof(*snapshot->sites), by_bytes);
        if (snapshot->traced_bytes == 0)
            for (size_t i = 0; i < snapshot->site_count; i++)
                snapshot->traced_bytes += snapshot->sites[i].bytes;
        if (snapshot->peak_bytes < snapshot->traced_bytes)
            snapshot->peak_bytes = snapshot->traced_bytes;
    }
    return BSK_OK;
}

static int read_collected(struct op *op, struct json_object *payload)
{
    uint64_t traced, rss;
    if (!number_of(payload, "collected", true, &op->collected.collected) ||
        !number_of(payload, "uncollectable", false, &op->collected.uncollectable) ||
        !number_of(payload, "freedTracedBytes", false, &traced) ||
        !number_of(payload, "freedRssBytes", false, &rss))
        return wrong(op, "`collected` must be a number from 0 on");
    op->collected.freed_traced_bytes = (int64_t)traced;
    op->collected.freed_rss_bytes = (int64_t)rss;
    op->result.collected = &op->collected;
    return BSK_OK;
}

static int read_graph(struct op *op, struct json_object *payload)
{
    struct json_object *nodes = NULL, *edges = NULL;
    if (!json_object_object_get_ex(payload, "nodes", &nodes) ||
        !json_object_is_type(nodes, json_type_array) ||
        !json_object_object_get_ex(payload, "edges", &edges) ||
        !json_object_is_type(edges, json_type_array))
        return wrong(op, "`nodes` and `edges` are lists");
    bsk_buffer_text_append(&op->text,
                           json_object_to_json_string_ext(payload, JSON_C_TO_STRING_NOSLASHESCAPE));
    op->result.graph_json = bsk_buffer_text(&op->text);
    return BSK_OK;
}

static int read_diff(struct op *op, struct json_object *payload)
{
    uint64_t from, to;
    if (!number_of(payload, "from", false, &from) || !number_of(payload, "to", false, &to) ||
        from > UINT32_MAX || to > UINT32_MAX)
        return wrong(op, "from and to are numbers of snapshots");
    op->from = (uint32_t)from;
    op->to = (uint32_t)to;
    return bsk_memory_history_diff(op->tracking->history, op->from, op->to, &op->diff, &op->err);
}

static int read_payload(struct op *op, struct json_object *payload)
{
    if (!json_object_is_type(payload, json_type_object))
        return wrong(op, "it is no object");
    switch (op->result.kind) {
    case DAP_MEMORY_DIFF:
        return read_diff(op, payload);
    case DAP_MEMORY_COLLECTED:
        return read_collected(op, payload);
    case DAP_MEMORY_REFERENCES:
        return read_graph(op, payload);
    case DAP_MEMORY_OBJECTS:
        return read_snapshot(op, payload, false);
    default:
        break;
    }
    int rc = read_snapshot(op, payload, true);
    if (rc != BSK_OK)
        return rc;
    struct bsk_memory_snapshot *snapshot = op->snapshot;
    op->snapshot = NULL;
    bsk_memory_snapshot_explain(snapshot, NULL);
    dap_write_heapprofile(op, snapshot);
    rc = bsk_memory_history_add(op->tracking->history, snapshot, &op->err);
    if (rc == BSK_OK)
        op->result.snapshot = bsk_memory_history_get(op->tracking->history, 0);
    return rc;
}

/* On a worker. */
static void understand(struct op *op)
{
    struct json_tokener *tokener = json_tokener_new_ex(64);
    struct json_object *payload =
        tokener ? json_tokener_parse_ex(tokener, op->said.data, (int)op->said.size) : NULL;
    bool whole = payload && json_tokener_get_error(tokener) == json_tokener_success;
    size_t end = whole ? json_tokener_get_parse_end(tokener) : 0;
    if (!whole || strspn(op->said.data + end, " \t\r\n") != op->said.size - end)
        op->rc = bsk_fail(&op->err, BSK_E_FORMAT, NULL, "The payload of %s is no JSON", op->marker);
    else
        op->rc = read_payload(op, payload);
    json_object_put(payload);
    json_tokener_free(tokener);
}

static void understood(struct op *op)
{
    const struct dap_memory *memory = op->tracking->memory;
    struct dap_session *session = dap_memory_audience(op->tracking);
    if (op->result.kind == DAP_MEMORY_SNAPSHOT)
        op->tracking->last_number = op->result.snapshot->number;
    if (op->result.kind == DAP_MEMORY_OBJECTS)
        op->result.snapshot = op->snapshot;
    op->result.diff = op->diff;
    if (session)
        memory->listener->handed_in(session, dap_op_result(op), memory->user);
    dap_op_end(op);
}

static void begin(struct op *op)
{
    dap_op_work(op, understand, understood);
}

/* A tracking that was made for what turned out to be nothing. */
static void after(struct op *op)
{
    if (op->rc != BSK_OK)
        dap_tracking_forget(op->tracking);
}

/* ---- What was handed in ------------------------------------------------------------------------
 */

void dap_memory_ingest(struct dap_memory *memory, struct dap_session *session,
                       const char *session_id, const char *output, size_t bytes, bool by_itself,
                       dap_memory_fn *done, void *user)
{
    const char *found = NULL;
    size_t which = 0;
    for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
        const char *at = memmem(output, bytes, markers[i].marker, strlen(markers[i].marker));
        if (at && (!found || at < found)) {
            found = at;
            which = i;
        }
    }
    struct tracking *tracking = NULL;
    bool is_new = false;
    if (session_id && !(tracking = dap_tracking_of(memory, session, session_id, done, user)))
        return;
    if (!found) {
        dap_memory_fail_at_once(
            done, user, BSK_E_FORMAT,
            "it is one of __BASILISK_MEM__, _DIFF__, _GC__, _REFS__ and _OBJECTS__",
            "No marker in payload");
        return;
    }
    const char *payload = found + strlen(markers[which].marker);
    size_t left = bytes - (size_t)(payload - output);
    while (left > 0 && strchr(" \t:", *payload) && *payload)
        payload++, left--;
    const char *newline = memchr(payload, '\n', left);
    if (newline)
        left = (size_t)(newline - payload);
    if (left > DAP_PAYLOAD_MAX_BYTES) {
        char message[120];
        snprintf(message, sizeof(message), "The payload of %s is over 1 MiB",
                 markers[which].marker);
        dap_memory_fail_at_once(done, user, BSK_E_LIMIT, "hand in the largest sites alone",
                                message);
        return;
    }
    if (!tracking)
        tracking = dap_tracking_for_payloads(memory, session, &is_new);
    struct op *op = tracking ? dap_op_new(tracking, session, begin, done, user) : NULL;
    if (!op) {
        if (!tracking)
            dap_memory_fail_at_once(done, user, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    op->by_itself = by_itself;
    op->marker = markers[which].marker;
    op->result.kind = markers[which].kind;
    op->after = is_new ? after : NULL;
    bsk_buffer_append(&op->said, payload, left);
    bsk_buffer_append(&op->said, "", 1); /* a string for what reads it */
    if (!op->said.failed)
        op->said.size--;
    dap_op_submit(op);
}
