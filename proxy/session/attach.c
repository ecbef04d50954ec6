/*
 * The two ways to attach that debugpy's adapter cannot do, or cannot fail at, over stdio.
 *
 * `connect`: a fresh adapter would listen for a debuggee that never comes, for what listens there
 * is an adapter already. So the session goes over to that one: it gets the editor's `initialize`
 * again, its greeting is swallowed, then the attach and what the editor has sent since.
 *
 * `processId`: where gdb cannot inject, debugpy 1.8.14 and newer never answer, and older ones say
 * only that they waited in vain. What the injector complained of comes as output, or not at all.
 */
#include "proxy/session/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    DETAILS_MS = 300,     /* "Attach to PID failed." comes first, the reason in the next event */
    INJECTION_MS = 14000, /* no sign of life in 15 s, and nothing that still injects */
    INJECTION_AGAIN_MS = 500, /* it still runs: look again */
    INJECT_OUTPUT_MAX_BYTES = 64 << 10,
};

/* ---- by connect
 * ---------------------------------------------------------------------------------------- */

bool attach_starts_connecting(struct dap_session *session, struct dap_message *message,
                              struct json_object *arguments, bool changed)
{
    struct json_object *connect = json_member(arguments, "connect");
    int64_t port = json_object_get_int64(json_member(connect, "port"));
    const char *host = json_text(connect, "host");
    if (!session->options.adapter_is_exchangeable || !session->host->reconnect ||
        session->reconnecting || !(session->is_debugpy || session->adapter_gone) || port <= 0 ||
        port > 65535 || session->initialize.size == 0)
        return false;
    bsk_buffer_clear(&session->attach);
    if (changed)
        dap_compose(session, message, &session->attach);
    else
        bsk_buffer_append(&session->attach, message->bytes, message->size);
    session->attach_request = request_of(message);
    session->reconnecting = true;
    dap_park(session, &session->flows[DAP_EDITOR]);
    session->host->reconnect(session->host_user, host[0] ? host : "127.0.0.1", (uint16_t)port);
    return true;
}

void dap_session_reconnected(struct dap_session *session, const struct bsk_error *err)
{
    if (!session->reconnecting || session->finished)
        return;
    dap_enter(session);
    session->reconnecting = false;
    if (err) {
        bsk_buffer_free(&session->attach);
        dap_answer(session, session->attach_request.seq, "attach", NULL, err);
        session->debuggee.started = false;
        dap_unpark(session, &session->flows[DAP_EDITOR]);
    } else if (session->flows[DAP_ADAPTER].state == FLOW_PASSES) {
        struct bsk_error half = { 0 };
        bsk_fail(&half, BSK_E_STATE, NULL, "the spare adapter was cut off in mid-message");
        session_finish(session, &half);
    } else {
        dap_flow_reset(&session->flows[DAP_ADAPTER]);
        session->had_no_adapter = session->adapter_gone;
        session->adapter_gone = session->death_told = session->terminated_sent = false;
        session->ending_told = false;
        session->is_debugpy = session->swallowing_greeting = true;
        session->greeting_left = session->greeting_seen;
        session->adapter_messages = 0;
        session->host->write(session->host_user, DAP_ADAPTER, session->initialize.data,
                             session->initialize.size);
        dap_trace_whole(session, DAP_PARTY_SESSION, DAP_PARTY_ADAPTER, &session->initialize);
    }
    dap_leave(session);
}

/* Is it a part of the second greeting, which the editor has had from the spare adapter? Debugpy
 * does not always send all of it before it answers `initialize`. */
bool attach_swallows(struct dap_session *session, struct dap_message *message)
{
    unsigned bit = 0;
    if (strcmp(message->scan->name, "debugpySockets") == 0) {
        bit = GREETING_SOCKETS;
    } else {
        struct json_object *body = json_member(message_json(session, message), "body");
        const char *text = json_text(body, "output");
        if (strcmp(json_text(body, "category"), "telemetry") == 0)
            bit = strcmp(text, "ptvsd") == 0     ? GREETING_PTVSD
                  : strcmp(text, "debugpy") == 0 ? GREETING_DEBUGPY
                                                 : 0;
    }
    bool swallow = (session->greeting_left & bit) != 0;
    session->greeting_left &= ~bit;
    session->greeting_seen |= bit;
    return swallow;
}

/* An editor that was greeted by us alone, having no adapter, learns now what there is. */
static void tell_capabilities(struct dap_session *session)
{
    struct bsk_buffer body = { 0 };
    bsk_buffer_printf(
        &body, "{\"capabilities\":%s}",
        json_object_to_json_string_ext(session->capabilities, JSON_C_TO_STRING_PLAIN));
    if (!body.failed)
        dap_event(session, "capabilities", body.data, body.size, DAP_MUST_ARRIVE);
    bsk_buffer_free(&body);
}

enum dap_verdict on_second_greeting(struct dap_session *session, struct dap_message *message)
{
    const struct dap_scan *scan = message->scan;
    if (scan->type == DAP_EVENT && strcmp(scan->name, "output") == 0) {
        on_greeting(session, message);
        return attach_swallows(session, message) ? DAP_TAKE : DAP_FORWARD;
    }
    if (scan->type == DAP_EVENT && strcmp(scan->name, "debugpySockets") == 0)
        return attach_swallows(session, message) ? DAP_TAKE : DAP_FORWARD;
    if (scan->type != DAP_RESPONSE || scan->request_seq != session->initialize_seq)
        return DAP_FORWARD;
    on_initialize_answer(session, message);
    session->swallowing_greeting = false;
    if (session->had_no_adapter && session->capabilities)
        tell_capabilities(session);
    dap_pending_add(session, session->attach_request.seq, "attach", on_attach_answer);
    session->host->write(session->host_user, DAP_ADAPTER, session->attach.data,
                         session->attach.size);
    dap_trace_whole(session, DAP_PARTY_SESSION, DAP_PARTY_ADAPTER, &session->attach);
    bsk_buffer_free(&session->attach);
    dap_unpark(session, &session->flows[DAP_EDITOR]);
    return DAP_TAKE;
}

/* ---- by process id
 * ------------------------------------------------------------------------------------- */

void attach_watches_injection(struct dap_session *session, struct dap_message *message,
                              struct json_object *arguments)
{
    if (!session->is_debugpy || !json_member(arguments, "processId") ||
        json_member(arguments, "listen") || json_member(arguments, "subProcessId"))
        return;
    session->injecting = true;
    session->attach_request = request_of(message);
    session->inject_deadline_ns = session_now(session) + INJECTION_MS * MS;
}

/* What the debugger itself said: the line after the command that it ran. Else its last short line
 * that names an error. */
static void find_reason(struct bsk_buffer *output, char *out, size_t size)
{
    const char *text = bsk_buffer_text(output), *line = text;
    bool after_command = false;
    snprintf(out, size, "debugpy could not inject itself into the process");
    while (*line) {
        size_t length = strcspn(line, "\n");
        const char *words = line + strspn(line, " \t");
        size_t bytes = (size_t)(line + length - words);
        bool short_enough = words < line + length && bytes < 300;
        if (after_command && short_enough && strncmp(words, "E+", 2) != 0) {
            snprintf(out, size, "%.*s", (int)bytes, words);
            return;
        }
        if (strncmp(words, "Running: ", 9) == 0)
            after_command = true;
        else if (short_enough && (memmem(words, bytes, "Error: ", 7)))
            snprintf(out, size, "%.*s", (int)bytes, words);
        line += length + (line[length] == '\n');
    }
}

static void fail_injection(struct dap_session *session)
{
    struct bsk_error err = { 0 };
    char reason[320];
    session->injecting = false;
    session->inject_deadline_ns = 0;
    if (session->inject_output.size == 0 && session->host->adapter_errors)
        bsk_buffer_text_append(&session->inject_output,
                               session->host->adapter_errors(session->host_user));
    find_reason(&session->inject_output, reason, sizeof(reason));
    size_t length = strlen(reason);
    if (length && reason[length - 1] == '.')
        reason[length - 1] = '\0'; /* the hint goes on behind it */
    bsk_buffer_free(&session->inject_output);
    bsk_fail(&err, BSK_E_PERMISSION,
             "start the program with `python -m debugpy --listen 5678 PROGRAM` and attach by "
             "`connect`",
             "Attach to PID failed: %s", reason);
    session->attach_refused = true;
    dap_answer(session, session->attach_request.seq, "attach", NULL, &err);
    /* Its adapter hears nothing any more, until it gives up or for good: the session goes on
     * without it, as far as a disconnect. */
    session->death = err;
    session->adapter_gone = true;
    struct dap_pending *pending = dap_pending_find(session, session->attach_request.seq);
    if (pending)
        dap_pending_remove(session, pending->seq);
    ending_adapter_is_gone(session);
    session->linger_deadline_ns = 0;
}

void attach_hears_output(struct dap_session *session, const char *category, const char *text)
{
    static const char sentence[] = "Attach to PID failed.";
    if (!session->injecting || strcmp(category, "telemetry") == 0)
        return;
    if (session->inject_output.size < INJECT_OUTPUT_MAX_BYTES) {
        bsk_buffer_text_append(&session->inject_output, text);
        bsk_buffer_append(&session->inject_output, "\n", 1);
    }
    if (strstr(text, sentence))
        session->inject_deadline_ns = session_now(session) + DETAILS_MS * MS;
}

void attach_tick(struct dap_session *session, uint64_t now_ns)
{
    if (!session->injecting || session->inject_deadline_ns > now_ns)
        return;
    bool said_so = strstr(bsk_buffer_text(&session->inject_output), "Attach to PID failed.");
    if (!said_so && session->host->injector_runs &&
        session->host->injector_runs(session->host_user))
        session->inject_deadline_ns = now_ns + INJECTION_AGAIN_MS * MS;
    else
        fail_injection(session);
}

enum dap_verdict on_attach_answer(struct dap_session *session, struct dap_message *message)
{
    (void)message;
    session->injecting = false;
    session->inject_deadline_ns = 0;
    bsk_buffer_free(&session->inject_output);
    return DAP_FORWARD;
}
