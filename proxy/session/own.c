/*
 * Messages of our own, to either side: whole, between two messages that pass, and to the editor
 * only as fast as it reads.
 */
#include "engine/base/json.h"
#include "proxy/session/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void unlink_own(struct dap_own_queue *queue, struct dap_own **link)
{
    struct dap_own *own = *link;
    *link = own->next;
    if (queue->last == &own->next)
        queue->last = link;
    if (own->droppable)
        queue->droppable_bytes -= own->size;
    free(own);
}

void dap_own_send(struct dap_session *session, enum dap_side to, const char *body, size_t size,
                  const char *replaces, bool droppable)
{
    struct dap_own_queue *queue = &session->own[to];
    if (!queue->last)
        queue->last = &queue->first;
    for (struct dap_own **link = &queue->first; *replaces && *link; link = &(*link)->next) {
        if (strcmp((*link)->replaces, replaces) == 0) {
            unlink_own(queue, link);
            break;
        }
    }
    char header[40];
    int header_bytes = snprintf(header, sizeof(header), "Content-Length: %zu\r\n\r\n", size);
    size_t whole = (size_t)header_bytes + size;
    /* One alone may be larger: the diagnostics of a file with 10,000 hot lines are. */
    if (droppable && queue->droppable_bytes && queue->droppable_bytes + whole > OWN_MAX_BYTES) {
        session->dropped++;
        return;
    }
    struct dap_own *own = malloc(sizeof(*own) + whole);
    if (!own) {
        session->dropped++;
        return;
    }
    own->next = NULL;
    own->droppable = droppable;
    own->by = session->in_extension ? DAP_PARTY_EXTENSION : DAP_PARTY_SESSION;
    own->header_bytes = (size_t)header_bytes;
    own->size = whole;
    snprintf(own->replaces, sizeof(own->replaces), "%s", replaces);
    memcpy(own->bytes, header, (size_t)header_bytes);
    memcpy(own->bytes + header_bytes, body, size);
    *queue->last = own;
    queue->last = &own->next;
    if (droppable)
        queue->droppable_bytes += whole;
}

void dap_own_flush(struct dap_session *session, enum dap_side to)
{
    struct dap_own_queue *queue = &session->own[to];
    struct dap_flow *flow = &session->flows[!to];
    const struct dap_host *host = session->host;
    if (!queue->first || !dap_flow_at_boundary(flow))
        return;
    if (flow->input && !flow->parked && flow->message > flow->span) {
        host->write(session->host_user, to, flow->input + flow->span, flow->message - flow->span);
        flow->span = flow->message;
    }
    while (queue->first) {
        struct dap_own *own = queue->first;
        if (to == DAP_EDITOR && own->droppable &&
            host->waiting(session->host_user, to) > EDITOR_BUSY_BYTES)
            return;
        host->write(session->host_user, to, own->bytes, own->size);
        if (host->trace)
            dap_trace(session, own->by, (enum dap_party)to, own->bytes + own->header_bytes,
                      own->size - own->header_bytes, DAP_TRACE_FIRST | DAP_TRACE_LAST);
        unlink_own(queue, &queue->first);
    }
}

void dap_own_free(struct dap_own_queue *queue)
{
    while (queue->first)
        unlink_own(queue, &queue->first);
}

size_t dap_session_waiting_bytes(const struct dap_session *session)
{
    return session->own[DAP_EDITOR].droppable_bytes +
           session->host->waiting(session->host_user, DAP_EDITOR);
}

static void begin_message(struct dap_session *session, struct bsk_json *json, const char *type)
{
    bsk_json_begin(json, '{');
    bsk_json_field_int(json, "seq", session->next_editor_seq++);
    bsk_json_field_text(json, "type", type);
}

void dap_answer(struct dap_session *session, int64_t request_seq, const char *command,
                struct json_object *body, const struct bsk_error *failure)
{
    struct bsk_buffer out = { 0 };
    struct bsk_json json = { .out = &out };
    begin_message(session, &json, "response");
    bsk_json_field_int(&json, "request_seq", request_seq);
    bsk_json_field_bool(&json, "success", !failure);
    bsk_json_field_text(&json, "command", command);
    if (failure) {
        char sentence[1100];
        bsk_error_sentence(failure, sentence, sizeof(sentence));
        bsk_json_field_text(&json, "message", sentence);
        bsk_json_key(&json, "body");
        bsk_json_begin(&json, '{');
        bsk_json_key(&json, "error");
        bsk_json_begin(&json, '{');
        bsk_json_field_int(&json, "id", 7300 - (int64_t)failure->code); /* ours begin at 7300 */
        bsk_json_field_text(&json, "format", sentence);
        bsk_json_field_bool(&json, "showUser", true);
        bsk_json_end(&json, '}');
        bsk_json_end(&json, '}');
    } else if (body) {
        size_t length = 0;
        const char *text = json_object_to_json_string_length(
            body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &length);
        bsk_json_key(&json, "body");
        bsk_json_raw(&json, text, length);
    }
    bsk_json_end(&json, '}');
    if (!out.failed)
        dap_own_send(session, DAP_EDITOR, out.data, out.size, "", false);
    bsk_buffer_free(&out);
}

/* The public functions are the extension's; rules use those that these are made of. */
static bool extension_speaks(struct dap_session *session)
{
    bool outer = session->in_extension;
    dap_enter(session);
    session->in_extension = true;
    return outer;
}

static void extension_spoke(struct dap_session *session, bool outer)
{
    session->in_extension = outer;
    dap_leave(session);
}

void dap_session_respond(struct dap_session *session, const struct dap_request *request,
                         struct json_object *body)
{
    bool outer = extension_speaks(session);
    dap_answer(session, request->seq, request->command, body, NULL);
    json_object_put(body);
    extension_spoke(session, outer);
}

void dap_session_refuse(struct dap_session *session, const struct dap_request *request,
                        const struct bsk_error *err)
{
    bool outer = extension_speaks(session);
    dap_answer(session, request->seq, request->command, NULL, err);
    extension_spoke(session, outer);
}

void dap_event(struct dap_session *session, const char *event, const char *body, size_t body_bytes,
               enum dap_urgency urgency)
{
    struct bsk_buffer out = { 0 };
    struct bsk_json json = { .out = &out };
    begin_message(session, &json, "event");
    bsk_json_field_text(&json, "event", event);
    if (body) {
        bsk_json_key(&json, "body");
        bsk_json_raw(&json, body, body_bytes);
    }
    bsk_json_end(&json, '}');
    if (!out.failed)
        dap_own_send(session, DAP_EDITOR, out.data, out.size, urgency == DAP_NEWEST ? event : "",
                     urgency != DAP_MUST_ARRIVE);
    bsk_buffer_free(&out);
}

void dap_session_event(struct dap_session *session, const char *event, const char *body,
                       size_t body_bytes, enum dap_urgency urgency)
{
    bool outer = extension_speaks(session);
    dap_event(session, event, body, body_bytes, urgency);
    extension_spoke(session, outer);
}

void dap_session_output(struct dap_session *session, const char *category, const char *text,
                        const char *path, uint32_t line)
{
    struct bsk_buffer out = { 0 };
    struct bsk_json json = { .out = &out };
    bsk_json_begin(&json, '{');
    bsk_json_field_text(&json, "category", category);
    bsk_json_field_text(&json, "output", text);
    if (path) {
        const char *slash = strrchr(path, '/');
        bsk_json_key(&json, "source");
        bsk_json_begin(&json, '{');
        bsk_json_field_text(&json, "name", slash ? slash + 1 : path);
        bsk_json_field_text(&json, "path", path);
        bsk_json_end(&json, '}');
        bsk_json_field_uint(&json, "line", line);
    }
    bsk_json_end(&json, '}');
    if (!out.failed)
        dap_session_event(session, "output", out.data, out.size, DAP_MAY_DROP);
    bsk_buffer_free(&out);
}
