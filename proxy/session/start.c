/* How a session begins, and what it learns of its debuggee on the way. */
#include "proxy/session/inside.h"

#include "proxy/wire/locate.h"

#include <stdio.h>
#include <string.h>

static void copy_text(char *to, size_t size, struct json_object *object, const char *key)
{
    snprintf(to, size, "%s", json_text(object, key));
}

/* ---- initialize
 * ------------------------------------------------------------------------------------ */

enum dap_verdict on_initialize(struct dap_session *session, struct dap_message *message)
{
    struct json_object *arguments = json_member(message_json(session, message), "arguments");
    struct dap_client *client = &session->client;
    session->initialize_seen = true;
    session->initialize_seq = message->scan->seq;
    bsk_buffer_clear(&session->initialize);
    bsk_buffer_append(&session->initialize, message->bytes, message->size);
    copy_text(client->id, sizeof(client->id), arguments, "clientID");
    client->ansi = json_flag(arguments, "supportsANSIStyling", false);
    client->progress = json_flag(arguments, "supportsProgressReporting", false);
    client->variable_type = json_flag(arguments, "supportsVariableType", false);
    client->lines_start_at_1 = json_flag(arguments, "linesStartAt1", true);
    client->columns_start_at_1 = json_flag(arguments, "columnsStartAt1", true);
    client->custom_events |= json_flag(arguments, "supportsBasiliskEvents", false);
    return DAP_FORWARD;
}

enum dap_verdict on_initialize_answer(struct dap_session *session, struct dap_message *message)
{
    struct json_object *json = message_json(session, message);
    struct json_object *body = json_member(json, "body");
    json_object_put(session->capabilities);
    session->capabilities = json_object_get(body);
    session->initialize_answered = true;
    dap_opt_in_says_so(session);
    return DAP_FORWARD;
}

/* Only debugpy says "ptvsd" and "debugpy" by telemetry before it answers anything. */
enum dap_verdict on_greeting(struct dap_session *session, struct dap_message *message)
{
    struct json_object *body = json_member(message_json(session, message), "body");
    const char *name = json_text(body, "output");
    if (strcmp(json_text(body, "category"), "telemetry") == 0 &&
        (strcmp(name, "ptvsd") == 0 || strcmp(name, "debugpy") == 0)) {
        session->is_debugpy = true;
        copy_text(session->debuggee.adapter_version, sizeof(session->debuggee.adapter_version),
                  json_member(body, "data"), "packageVersion");
    }
    return DAP_FORWARD;
}

enum dap_verdict on_debugpy_sockets(struct dap_session *session, struct dap_message *message)
{
    session->is_debugpy = true;
    return attach_swallows(session, message) ? DAP_TAKE : DAP_FORWARD;
}

/* ---- launch and attach
 * --------------------------------------------------------------------------------- */

static void learn_configuration(struct dap_session *session, struct json_object *arguments)
{
    struct dap_debuggee *debuggee = &session->debuggee;
    debuggee->started = true;
    debuggee->no_debug = json_flag(arguments, "noDebug", false);
    copy_text(debuggee->cwd, sizeof(debuggee->cwd), arguments, "cwd");
    copy_text(debuggee->program, sizeof(debuggee->program), arguments, "program");
    if (debuggee->program[0] == '\0')
        copy_text(debuggee->program, sizeof(debuggee->program), arguments, "module");
}

/* Cuts the `basilisk` key out, and out of every copy of it; true when there was one. */
static bool cut_our_key(struct dap_session *session, const struct dap_message *message)
{
    static const char *const path[] = { "arguments", "basilisk", NULL };
    struct dap_member member;
    size_t size = 0;
    const char *body = message_body(message, &size);
    if (!dap_locate(body, size, path, &member) || !dap_change_begin(session, message))
        return false;
    while (dap_locate(session->changed.data, session->changed.size, path, &member)) {
        if (!dap_splice(session, member.cut_at, member.cut_bytes, ""))
            return false;
    }
    return true;
}

/* The key has asked for something unless it is false or null. */
static void hear_our_key(struct dap_session *session, struct json_object *arguments)
{
    struct json_object *key = json_member(arguments, "basilisk");
    if (!key || (json_object_is_type(key, json_type_boolean) && !json_object_get_boolean(key)))
        return;
    if (session->options.over_tcp && !session->initialize_seen)
        return; /* anyone may have connected */
    session->client.custom_events = true;
    dap_opt_in(session);
    if (session->ext->on_configuration) {
        session->in_extension = true;
        session->ext->on_configuration(session->ext_state, key, arguments);
        session->in_extension = false;
    }
}

enum dap_verdict on_launch(struct dap_session *session, struct dap_message *message)
{
    struct json_object *json = message_json(session, message);
    struct json_object *arguments = json_member(json, "arguments");
    if (!json)
        return DAP_FORWARD;
    learn_configuration(session, arguments);
    bool changed = cut_our_key(session, message);
    hear_our_key(session, arguments);
    return changed ? DAP_CHANGED : DAP_FORWARD;
}

enum dap_verdict on_attach(struct dap_session *session, struct dap_message *message)
{
    struct json_object *json = message_json(session, message);
    struct json_object *arguments = json_member(json, "arguments");
    if (!json)
        return DAP_FORWARD;
    learn_configuration(session, arguments);
    session->debuggee.attached = true;
    bool changed = cut_our_key(session, message);
    hear_our_key(session, arguments);
    if (attach_starts_connecting(session, message, arguments, changed))
        return DAP_TAKE;
    attach_watches_injection(session, message, arguments);
    return changed ? DAP_CHANGED : DAP_FORWARD;
}

enum { WAIT_TO_RUN_MS = 2000 };

enum dap_verdict on_configuration_done(struct dap_session *session, struct dap_message *message)
{
    (void)message;
    if (!session->debuggee.has_channel || !session->ext->on_starting ||
        session->flows[DAP_EDITOR].parked)
        return DAP_FORWARD;
    session->in_extension = true;
    bool waits = session->ext->on_starting(session->ext_state);
    session->in_extension = false;
    if (waits) {
        session->waits_to_run = true;
        session->run_deadline_ns = session_now(session) + WAIT_TO_RUN_MS * MS;
        dap_park(session, &session->flows[DAP_EDITOR]);
    }
    return DAP_FORWARD;
}

void dap_session_let_run(struct dap_session *session)
{
    if (!session->waits_to_run)
        return;
    dap_enter(session);
    session->waits_to_run = false;
    session->run_deadline_ns = 0;
    if (!session->waits_for_release && !session->letting_go)
        dap_unpark(session, &session->flows[DAP_EDITOR]);
    dap_leave(session);
}

void start_tick(struct dap_session *session, uint64_t now_ns)
{
    if (session->run_deadline_ns && session->run_deadline_ns <= now_ns)
        dap_session_let_run(session);
}

/* ---- the debuggee
 * ------------------------------------------------------------------------------------------ */

static void tell_ready(struct dap_session *session, bool has_channel)
{
    session->debuggee.has_channel = has_channel;
    if (session->ready_told)
        return;
    session->ready_told = true;
    if (session->ext->on_ready) {
        session->in_extension = true;
        session->ext->on_ready(session->ext_state, has_channel);
        session->in_extension = false;
    }
}

/* From here on debugpy evaluates, before the program's first line. Other adapters have no channel
 * that we know; their debuggee is there when `process` comes. */
enum dap_verdict on_initialized(struct dap_session *session, struct dap_message *message)
{
    (void)message;
    session->injecting = false;
    session->inject_deadline_ns = 0;
    if (session->is_debugpy && !session->debuggee.no_debug)
        tell_ready(session, true);
    return DAP_FORWARD;
}

enum dap_verdict on_process(struct dap_session *session, struct dap_message *message)
{
    struct json_object *body = json_member(message_json(session, message), "body");
    int64_t pid = json_object_get_int64(json_member(body, "systemProcessId"));
    struct dap_debuggee *debuggee = &session->debuggee;
    if (pid > 0 && pid <= INT32_MAX)
        debuggee->hint_pid = (pid_t)pid;
    if (debuggee->program[0] == '\0')
        copy_text(debuggee->program, sizeof(debuggee->program), body, "name");
    if (!debuggee->has_channel)
        tell_ready(session, false);
    return DAP_FORWARD;
}

enum dap_verdict on_stopped(struct dap_session *session, struct dap_message *message)
{
    struct json_object *body = json_member(message_json(session, message), "body");
    if (json_flag(body, "allThreadsStopped", false) && !session->stopped_told) {
        session->stopped_told = true;
        session->debuggee.stopped = true;
        session->debuggee.stopped_thread = json_object_get_int64(json_member(body, "threadId"));
        if (session->ext->on_stopped)
            session->ext->on_stopped(session->ext_state);
    }
    return DAP_FORWARD;
}

enum dap_verdict on_continued(struct dap_session *session, struct dap_message *message)
{
    (void)message;
    if (session->stopped_told) {
        session->stopped_told = false;
        session->debuggee.stopped = false;
        if (session->ext->on_continued)
            session->ext->on_continued(session->ext_state);
    }
    return DAP_FORWARD;
}
