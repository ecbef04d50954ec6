/* What holds something alive: the reference graph, and one node of it. */
#include "proxy/memory/inside.h"

#include "engine/base/json.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_MS = 5000, EXPRESSION_MS = 10000 };

static struct dap_session *session_of(const struct op *op)
{
    return op->tracking->member ? op->tracking->member->session : NULL;
}

static bool is_stopped(const struct op *op)
{
    struct dap_session *session = session_of(op);
    return session && dap_session_debuggee(session)->stopped;
}

/* ---- The graph ---------------------------------------------------------------------------------
 */

static void keep_graph(struct op *op)
{
    struct tracking *tracking = op->tracking;
    uint32_t number = ++tracking->next_graph;
    struct kept_graph *kept = &tracking->graphs[number % KEPT_GRAPHS];
    bsk_references_free(kept->references);
    *kept = (struct kept_graph){
        .number = number, .turn = op->turn, .stopped = op->has_repr, .references = op->references
    };
    op->references = NULL;
    op->result.references = kept->references;
    op->result.graph = number;
}

static void label(struct op *op)
{
    op->rc = bsk_references_label(op->references, op->job_result->value, &op->err);
}

static void labelled(struct op *op)
{
    keep_graph(op);
    dap_op_end(op);
}

static void on_labels(struct op *op)
{
    dap_op_work(op, label, labelled);
}

static void ask_labels(struct op *op)
{
    struct bsk_script_options options = { 0 };
    /* repr() runs the program's code: only where it stands, and still the same stop. */
    struct member *member = op->tracking->member;
    op->has_repr = op->has_repr && is_stopped(op) && member->turns == op->turn;
    op->rc = bsk_references_label_options(op->references, op->has_repr, &options, &op->err);
    if (op->rc == BSK_OK) {
        dap_op_script(op, &bsk_script_references, &options, on_labels);
        return;
    }
    bsk_buffer_free(&options.text);
    dap_op_end(op);
}

static void title_of(const struct op *op, const struct bsk_references_site *site, char *out,
                     size_t size)
{
    if (site) {
        const char *slash = strrchr(site->path, '/');
        snprintf(out, size, "%.250s:%" PRIu32, slash ? slash + 1 : site->path, site->line);
    } else {
        snprintf(out, size, "%.290s", op->type ? op->type : op->expression);
    }
}

static void make_graph(struct op *op)
{
    struct bsk_nodes targets = { 0 };
    char title[300];
    struct bsk_references_site one = { .path = op->path, .line = op->line };
    const struct bsk_references_site *sites = op->path ? &one : op->leaks;
    size_t site_count = op->path ? 1 : op->leak_count;
    op->rc = bsk_graph_read(op->job_result->dump, op->job_result->dump_bytes, &op->graph, &op->err);
    if (op->rc != BSK_OK)
        return;
    title_of(op, site_count ? sites : NULL, title, sizeof(title));
    if (op->type)
        op->rc = bsk_graph_of_type(op->graph, op->type, &targets, &op->err);
    else
        op->rc = bsk_graph_of_group(op->graph, 0, &targets, &op->err);
    /* A leak may be of text alone, which nothing tracks: then the next one tells more. */
    for (size_t i = 1; op->rc == BSK_OK && targets.count == 0 && i < site_count; i++) {
        bsk_nodes_free(&targets);
        title_of(op, &sites[i], title, sizeof(title));
        op->rc = bsk_graph_of_group(op->graph, (uint32_t)i, &targets, &op->err);
    }
    if (op->rc == BSK_OK && targets.count == 0)
        op->rc = bsk_fail(&op->err, BSK_E_STATE,
                          site_count ? "what it allocated may be text or buffers: ask for the type "
                                       "that holds them"
                                     : "it may be a number or a text, which nothing tracks",
                          "No object of %s is in the graph", title);
    if (op->rc == BSK_OK)
        op->rc = bsk_references_make(op->graph, &targets, title, BSK_REFERENCES_MAX_NODES,
                                     &op->references, &op->err);
    bsk_nodes_free(&targets);
    bsk_graph_free(op->graph);
    op->graph = NULL;
}

static void ask_frame(struct op *op);

static void made_graph(struct op *op)
{
    ask_labels(op);
}

/* "Foo" may be a type, or a name where the program stands. */
static void after_either(uv_work_t *work, int cancelled)
{
    (void)cancelled;
    struct op *op = work->data;
    if (op->rc == BSK_E_STATE && op->either && is_stopped(op)) {
        free(op->type);
        op->type = NULL;
        op->expression = op->either;
        op->either = NULL;
        op->rc = BSK_OK;
        memset(&op->err, 0, sizeof(op->err));
        ask_frame(op);
    } else if (op->rc != BSK_OK) {
        dap_op_end(op);
    } else {
        made_graph(op);
    }
}

static void make_on_worker(uv_work_t *work)
{
    make_graph(work->data);
}

static void on_dump(struct op *op)
{
    op->work.data = op;
    uv_queue_work(op->tracking->memory->loop, &op->work, make_on_worker, after_either);
}

static void ask_graph(struct op *op)
{
    struct bsk_references_site site = { .path = op->path, .line = op->line };
    struct bsk_references_wish wish = { .sites = op->path ? &site : op->leaks,
                                        .site_count = op->path ? 1 : op->leak_count,
                                        .expression = op->expression != NULL };
    struct bsk_script_options options = { 0 };
    op->rc = bsk_references_options(&wish, &options, &op->err);
    if (op->rc == BSK_OK) {
        dap_op_script(op, &bsk_script_references, &options, on_dump);
        return;
    }
    bsk_buffer_free(&options.text);
    dap_op_end(op);
}

/* ---- An expression -----------------------------------------------------------------------------
 */

/* What the debuggee had to say to it, or NULL: the caller frees the object. */
static struct json_object *response_of(const char *text, size_t bytes,
                                       struct json_object **out_body)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *message =
        tokener && bytes < 1 << 24 ? json_tokener_parse_ex(tokener, text, (int)bytes) : NULL;
    json_tokener_free(tokener);
    *out_body = NULL;
    if (message && json_object_is_type(message, json_type_object))
        json_object_object_get_ex(message, "body", out_body);
    return message;
}

static void fail_with(struct op *op, int rc, const struct bsk_error *err)
{
    op->rc = rc;
    op->err = *err;
    dap_op_end(op);
}

static void on_given(void *user, int rc, const char *text, size_t bytes,
                     const struct bsk_error *err)
{
    struct op *op = user;
    struct json_object *body = NULL;
    if (rc != BSK_OK) {
        fail_with(op, rc, err);
        return;
    }
    struct json_object *message = response_of(text, bytes, &body);
    struct json_object *success = NULL, *reason = NULL, *result = NULL;
    json_object_object_get_ex(message, "success", &success);
    json_object_object_get_ex(message, "message", &reason);
    if (json_object_is_type(body, json_type_object))
        json_object_object_get_ex(body, "result", &result);
    const char *value = result ? json_object_get_string(result) : "";
    if (json_object_get_boolean(success) && strcmp(value, "'basilisk'") == 0) {
        ask_graph(op);
    } else {
        const char *said = reason && json_object_is_type(reason, json_type_string)
                               ? json_object_get_string(reason)
                               : value;
        size_t length = strlen(said);
        while (length > 0 && (said[length - 1] == '\n' || said[length - 1] == ' '))
            length--;
        size_t from = length;
        while (from > 0 && said[from - 1] != '\n')
            from--; /* a traceback's last line */
        char sentence[400];
        snprintf(sentence, sizeof(sentence),
                 "No such type, and \"%.100s\" cannot be evaluated: %.*s", op->expression,
                 (int)(length - from < 200 ? length - from : 200), said + from);
        dap_op_fail(op, BSK_E_STATE, NULL, sentence);
    }
    json_object_put(message);
}

static void on_frame(void *user, int rc, const char *text, size_t bytes,
                     const struct bsk_error *err)
{
    struct op *op = user;
    struct json_object *body = NULL, *frames = NULL, *id = NULL;
    struct dap_session *session = session_of(op);
    if (rc != BSK_OK || !session) {
        struct bsk_error gone = { 0 };
        bsk_fail(&gone, BSK_E_GONE, NULL, "the debug session has ended");
        fail_with(op, rc != BSK_OK ? rc : BSK_E_GONE, rc != BSK_OK ? err : &gone);
        return;
    }
    struct json_object *message = response_of(text, bytes, &body);
    if (json_object_is_type(body, json_type_object) &&
        json_object_object_get_ex(body, "stackFrames", &frames) &&
        json_object_is_type(frames, json_type_array) && json_object_array_length(frames) > 0)
        json_object_object_get_ex(json_object_array_get_idx(frames, 0), "id", &id);
    if (!id) {
        json_object_put(message);
        dap_op_fail(op, BSK_E_STATE, "set a breakpoint where the expression has a value",
                    "Not paused");
        return;
    }
    /* It is evaluated by the program's own frame, and kept where the script finds it. */
    struct json_object *arguments = json_object_new_object();
    struct bsk_buffer expression = { 0 };
    bsk_buffer_printf(&expression,
                      "(setattr(__import__('sys').modules['_basilisk'].agent, 'graph_target', "
                      "[(%s\n)]) or 'basilisk')",
                      op->expression);
    json_object_object_add(arguments, "expression",
                           json_object_new_string(bsk_buffer_text(&expression)));
    json_object_object_add(arguments, "frameId", json_object_get(id));
    json_object_object_add(arguments, "context", json_object_new_string("watch"));
    bsk_buffer_free(&expression);
    dap_session_ask(session, "evaluate", json_object_to_json_string(arguments), EXPRESSION_MS,
                    on_given, op);
    json_object_put(arguments);
    json_object_put(message);
}

static void ask_frame(struct op *op)
{
    struct dap_session *session = session_of(op);
    char arguments[120];
    snprintf(arguments, sizeof(arguments),
             "{\"threadId\":%" PRId64 ",\"startFrame\":0,\"levels\":1}",
             session ? dap_session_debuggee(session)->stopped_thread : 0);
    if (!session)
        dap_op_fail(op, BSK_E_GONE, NULL, "the debug session has ended");
    else
        dap_session_ask(session, "stackTrace", arguments, FRAME_MS, on_frame, op);
}

/* ---- Which target ------------------------------------------------------------------------------
 */

static void find_top_leak(struct op *op)
{
    struct bsk_memory_diff *diff = NULL;
    op->rc = bsk_memory_history_diff(op->tracking->history, 0, 0, &diff, &op->err);
    if (op->rc == BSK_OK && diff->leak_count == 0)
        op->rc = bsk_fail(&op->err, BSK_E_STATE, "name a type: /memrefs TYPE",
                          "Nothing has grown between the last two snapshots");
    for (size_t i = 0; op->rc == BSK_OK && i < diff->leak_count && i < LIKELY_LEAKS; i++) {
        char *path = strdup(diff->leaks[i].path);
        if (!path)
            op->rc = bsk_fail(&op->err, BSK_E_MEMORY, NULL, "out of memory");
        else
            op->leaks[op->leak_count++] =
                (struct bsk_references_site){ .path = path, .line = diff->leaks[i].line };
    }
    bsk_memory_diff_free(diff);
}

void dap_begin_references(struct op *op)
{
    struct tracking *tracking = op->tracking;
    if (!tracking->member || tracking->state != TRACKING_RUNS) {
        dap_op_fail(op, BSK_E_STATE, "start it again, and ask while it is tracked",
                    tracking->was_stopped
                        ? "Memory is not tracked any more: it was stopped"
                        : "Memory is not tracked any more: the program has ended");
        return;
    }
    op->turn = tracking->member->turns;
    op->has_repr = is_stopped(op);
    if (op->expression && !is_stopped(op)) {
        dap_op_fail(
            op, BSK_E_STATE,
            "pause it, or let it stop at a breakpoint: an expression runs the program's code",
            "Not paused");
        return;
    }
    if (op->expression)
        ask_frame(op);
    else if (op->type || op->path)
        ask_graph(op);
    else
        dap_op_work(op, find_top_leak, ask_graph);
}

/* ---- One node ----------------------------------------------------------------------------------
 */

static struct kept_graph *graph_of(struct op *op)
{
    struct kept_graph *kept = &op->tracking->graphs[op->graph_number % KEPT_GRAPHS];
    return op->graph_number && kept->number == op->graph_number ? kept : NULL;
}

static void inspected(struct op *op)
{
    struct kept_graph *kept = graph_of(op);
    struct bsk_json json = { .out = &op->text };
    bsk_json_begin(&json, '{');
    op->rc = bsk_references_inspect_json(kept->references, op->id, op->job_result->value, &json,
                                         &op->err);
    bsk_json_end(&json, '}');
    op->result.inspected = bsk_buffer_text(&op->text);
    op->result.graph = op->graph_number;
    dap_op_end(op);
}

void dap_begin_inspect(struct op *op)
{
    struct kept_graph *kept = graph_of(op);
    struct member *member = op->tracking->member;
    struct bsk_script_options options = { 0 };
    if (!kept) {
        dap_op_fail(op, BSK_E_STATE,
                    "basilisk.memory.references makes one, and answers with its number",
                    "Unknown graph: it was never made, or newer ones have taken its place");
        return;
    }
    if (!member || op->tracking->state != TRACKING_RUNS) {
        dap_op_fail(op, BSK_E_STATE, NULL, "The program has ended: its objects are gone");
        return;
    }
    if (!kept->stopped || !is_stopped(op) || member->turns != kept->turn) {
        dap_op_fail(op, BSK_E_STATE,
                    "stop the program, make a graph there, and inspect it before it goes on",
                    kept->stopped
                        ? "The program has gone on since the graph was made: its objects may be "
                          "others by now"
                        : "Not paused");
        return;
    }
    op->rc = bsk_references_inspect_options(kept->references, op->id, true, &options, &op->err);
    if (op->rc == BSK_OK) {
        dap_op_script(op, &bsk_script_references, &options, inspected);
        return;
    }
    bsk_buffer_free(&options.text);
    dap_op_end(op);
}
