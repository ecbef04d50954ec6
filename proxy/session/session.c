/* The session as a whole: what goes in, what is known of it, and the helpers that its rules share.
 */
#include "proxy/session/inside.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct dap_extension none;

enum { JSON_MAX_DEPTH = 512 };

struct dap_session *dap_session_new(const struct dap_host *host, void *host_user,
                                    const struct dap_session_options *options)
{
    struct dap_session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->host = host;
    session->host_user = host_user;
    session->is_debugpy = options->adapter_is_debugpy;
    session->opted_in = session->client.custom_events = options->opted_in;
    session->options = *options;
    session->ext = options->extension ? options->extension : &none;
    session->flows[DAP_EDITOR].from = session->flows[DAP_ADAPTER].to = DAP_EDITOR;
    session->flows[DAP_ADAPTER].from = session->flows[DAP_EDITOR].to = DAP_ADAPTER;
    session->first_own_seq = session->next_own_seq = FIRST_OWN_SEQ;
    session->next_editor_seq = FIRST_OWN_SEQ;
    session->client.lines_start_at_1 = session->client.columns_start_at_1 = true;
    if (session->ext->open)
        session->ext_state =
            session->ext->open(session, options->parent_state, options->extension_user);
    session->ext_is_open = true;
    return session;
}

void dap_session_free(struct dap_session *session)
{
    if (!session)
        return;
    session->finished = true;
    session->depth = 1; /* nothing is written any more */
    dap_hidden_fail_all(session, BSK_E_GONE, "the debug session has ended");
    if (session->ext_is_open && session->ext->close)
        session->ext->close(session->ext_state);
    for (int side = 0; side < 2; side++) {
        dap_flow_free(&session->flows[side]);
        dap_own_free(&session->own[side]);
    }
    output_free(session);
    bsk_buffer_free(&session->changed);
    bsk_buffer_free(&session->initialize);
    bsk_buffer_free(&session->attach);
    bsk_buffer_free(&session->inject_output);
    json_object_put(session->capabilities);
    if (session->tokener)
        json_tokener_free(session->tokener);
    free(session->pending);
    free(session->hidden);
    free(session);
}

/* ---- what comes in
 * ----------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return b && b < a ? b : a;
}

static void rearm(struct dap_session *session)
{
    uint64_t at = dap_hidden_next(session);
    at = earlier(at, session->release_deadline_ns);
    at = earlier(at, session->linger_deadline_ns);
    at = earlier(at, session->inject_deadline_ns);
    at = earlier(at, output_next(session));
    if (session->run_deadline_ns)
        at = earlier(at, session->run_deadline_ns);
    if (at == UINT64_MAX || session->finished)
        at = 0;
    if (at != session->woken_at_ns) {
        session->woken_at_ns = at;
        session->host->wake_at(session->host_user, at);
    }
}

void dap_enter(struct dap_session *session)
{
    session->depth++;
}

void dap_leave(struct dap_session *session)
{
    if (session->depth == 1) {
        dap_own_flush(session, DAP_ADAPTER);
        dap_own_flush(session, DAP_EDITOR);
        rearm(session);
    }
    session->depth--;
}

void dap_session_feed(struct dap_session *session, enum dap_side from, const char *bytes,
                      size_t size)
{
    struct dap_flow *flow = &session->flows[from];
    if (session->finished || flow->broken || size == 0)
        return;
    dap_enter(session);
    dap_flow_feed(session, flow, bytes, size);
    dap_leave(session);
}

uint64_t dap_session_passing(const struct dap_session *session, enum dap_side from)
{
    const struct dap_flow *flow = &session->flows[from];
    bool unseen = flow->state == FLOW_PASSES && !flow->parked && !session->host->trace &&
                  !session->finished && flow->body_bytes > UNDECIDED_MAX_BYTES;
    return unseen ? flow->body_bytes - flow->body_seen : 0;
}

void dap_session_passed(struct dap_session *session, enum dap_side from, uint64_t size)
{
    dap_enter(session);
    dap_flow_skip(session, &session->flows[from], size);
    dap_leave(session);
}

void dap_session_tick(struct dap_session *session)
{
    if (session->finished)
        return;
    dap_enter(session);
    uint64_t now = session_now(session);
    session->woken_at_ns = 0;
    dap_hidden_tick(session, now);
    output_tick(session, now);
    attach_tick(session, now);
    start_tick(session, now);
    ending_tick(session, now);
    dap_leave(session);
}

void dap_session_drained(struct dap_session *session)
{
    dap_enter(session);
    dap_leave(session);
}

/* ---- what is known
 * -------------------------------------------------------------------------------------- */

const struct dap_client *dap_session_client(const struct dap_session *session)
{
    return &session->client;
}

const struct dap_debuggee *dap_session_debuggee(const struct dap_session *session)
{
    return &session->debuggee;
}

bool dap_session_opted_in(const struct dap_session *session)
{
    return session->opted_in;
}

bool dap_session_must_read_adapter(const struct dap_session *session)
{
    return session->hidden_count > 0;
}

void *dap_session_extension_state(const struct dap_session *session)
{
    return session->ext_state;
}

bool dap_session_has_ended(const struct dap_session *session)
{
    return session->terminated_sent || session->disconnect_answered;
}

uint64_t dap_session_dropped(const struct dap_session *session)
{
    return session->dropped;
}

uint64_t session_now(struct dap_session *session)
{
    return session->host->now_ns(session->host_user);
}

/* ---- opting in
 * -------------------------------------------------------------------------------------------- */

/* Slash commands are offered while they are typed: the adapter's own characters, and '/'. */
void dap_opt_in_says_so(struct dap_session *session)
{
    if (!session->opted_in || session->capabilities_sent || !session->initialize_answered ||
        session->adapter_gone || !session->ext->on_completions)
        return;
    session->capabilities_sent = true;
    struct bsk_buffer body = { 0 };
    bsk_buffer_text_append(&body, "{\"capabilities\":{\"supportsCompletionsRequest\":true,"
                                  "\"completionTriggerCharacters\":[\"/\"");
    struct json_object *theirs = json_member(session->capabilities, "completionTriggerCharacters");
    if (!theirs) {
        bsk_buffer_text_append(&body, ",\".\"");
    } else if (json_object_is_type(theirs, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(theirs); i++) {
            bsk_buffer_text_append(&body, ",");
            bsk_buffer_text_append(
                &body, json_object_to_json_string_ext(json_object_array_get_idx(theirs, i),
                                                      JSON_C_TO_STRING_PLAIN));
        }
    }
    bsk_buffer_text_append(&body, "]}}");
    if (!body.failed)
        dap_event(session, "capabilities", body.data, body.size, DAP_NEWEST);
    bsk_buffer_free(&body);
}

void dap_opt_in(struct dap_session *session)
{
    session->opted_in = true;
    dap_opt_in_says_so(session);
}

/* ---- helpers of the handlers
 * -------------------------------------------------------------------------------- */

const char *message_body(const struct dap_message *message, size_t *out_bytes)
{
    *out_bytes = message->size - message->header_bytes;
    return message->bytes + message->header_bytes;
}

struct json_object *json_parse(struct dap_session *session, const char *text, size_t size)
{
    if (!session->tokener)
        session->tokener = json_tokener_new_ex(JSON_MAX_DEPTH);
    if (!session->tokener || size > INT_MAX)
        return NULL;
    json_tokener_reset(session->tokener);
    return json_tokener_parse_ex(session->tokener, text, (int)size);
}

struct json_object *message_json(struct dap_session *session, struct dap_message *message)
{
    if (message->json_tried)
        return message->json;
    message->json_tried = true;
    size_t size = 0;
    const char *body = message_body(message, &size);
    message->json = json_parse(session, body, size);
    if (message->json && !json_object_is_type(message->json, json_type_object)) {
        json_object_put(message->json);
        message->json = NULL;
    }
    return message->json;
}

struct json_object *json_member(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (object && json_object_is_type(object, json_type_object))
        json_object_object_get_ex(object, key, &value);
    return value;
}

const char *json_text(struct json_object *object, const char *key)
{
    struct json_object *value = json_member(object, key);
    return value && json_object_is_type(value, json_type_string) ? json_object_get_string(value)
                                                                 : "";
}

bool json_flag(struct json_object *object, const char *key, bool otherwise)
{
    struct json_object *value = json_member(object, key);
    return value && json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value)
                                                                  : otherwise;
}

struct dap_request request_of(const struct dap_message *message)
{
    struct dap_request request = { .seq = message->scan->seq };
    snprintf(request.command, sizeof(request.command), "%s", message->scan->name);
    return request;
}

bool dap_change_begin(struct dap_session *session, const struct dap_message *message)
{
    size_t size = 0;
    const char *body = message_body(message, &size);
    bsk_buffer_free(&session->changed);
    return bsk_buffer_append(&session->changed, body, size);
}

bool dap_splice(struct dap_session *session, size_t at, size_t cut_bytes, const char *insert)
{
    struct bsk_buffer *body = &session->changed;
    size_t length = strlen(insert);
    if (!bsk_buffer_reserve(body, length))
        return false;
    char *from = body->data + at + cut_bytes;
    memmove(body->data + at + length, from, body->size - at - cut_bytes);
    memcpy(body->data + at, insert, length);
    body->size = body->size - cut_bytes + length;
    return true;
}

void dap_compose(struct dap_session *session, const struct dap_message *message,
                 struct bsk_buffer *out)
{
    static const char name[] = "Content-Length:";
    const char *at = message->bytes, *end = at + message->header_bytes;
    while (at < end && strncasecmp(at, name, sizeof(name) - 1) != 0)
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    const char *after = memchr(at, '\r', (size_t)(end - at));
    bsk_buffer_append(out, message->bytes, (size_t)(at - message->bytes) + sizeof(name) - 1);
    bsk_buffer_printf(out, " %zu", session->changed.size);
    bsk_buffer_append(out, after, (size_t)(end - after));
    bsk_buffer_append(out, session->changed.data, session->changed.size);
}

void dap_trace(struct dap_session *session, enum dap_party from, enum dap_party to,
               const char *bytes, size_t size, unsigned flags)
{
    if (session->host->trace)
        session->host->trace(session->host_user, from, to, bytes, size, flags);
}

void dap_trace_whole(struct dap_session *session, enum dap_party from, enum dap_party to,
                     const struct bsk_buffer *message)
{
    uint64_t body = 0;
    ssize_t header = dap_parse_header(message->data, message->size, &body, NULL);
    if (header > 0)
        dap_trace(session, from, to, message->data + header, message->size - (size_t)header,
                  DAP_TRACE_FIRST | DAP_TRACE_LAST);
}
