/*
 * How a session ends: the debuggee ends, the editor ends it or goes away, or the adapter dies. The
 * extension has the last word before the editor hears of it.
 */
#include "engine/base/json.h"
#include "proxy/session/inside.h"

#include <stdio.h>
#include <string.h>

enum {
    LAST_WORD_MS = 3000,           /* for writing what a recording of ten minutes found */
    LAST_WORD_NO_EDITOR_MS = 1000, /* nobody waits for it, and 5 s later nothing may be left */
    LET_GO_MS = 1000,
    LINGER_MS = 1000, /* after `terminated` of ours an editor says disconnect */
};

static bool tell_ending(struct dap_session *session)
{
    if (session->ending_told)
        return session->waits_for_release;
    session->ending_told = true;
    if (session->ext->on_ending) {
        session->in_extension = true;
        session->waits_for_release = true; /* so that a release from inside counts */
        bool waits = session->ext->on_ending(session->ext_state);
        session->waits_for_release &= waits;
        session->in_extension = false;
    }
    if (session->waits_for_release)
        session->release_deadline_ns = session_now(session) + LAST_WORD_MS * MS;
    return session->waits_for_release;
}

void session_finish(struct dap_session *session, const struct bsk_error *why)
{
    if (session->finished)
        return;
    dap_own_flush(session, DAP_EDITOR);
    dap_own_flush(session, DAP_ADAPTER);
    session->finished = true;
    dap_hidden_fail_all(session, BSK_E_GONE, "the debug session has ended");
    session->host->finish(session->host_user, why);
}

static void debuggee_has_ended(struct dap_session *session)
{
    session->debuggee.ended = true;
    session->debuggee.has_channel = false;
    dap_hidden_fail_all(session, BSK_E_GONE, "the program has ended");
}

/* `exited` and `terminated`. */
enum dap_verdict on_ended(struct dap_session *session, struct dap_message *message)
{
    output_flush(session);
    debuggee_has_ended(session);
    bool waits = tell_ending(session);
    if (strcmp(message->scan->name, "terminated") == 0) {
        if (session->attach_refused)
            return DAP_TAKE; /* it was said when the attach was refused */
        session->terminated_sent = true;
    }
    if (waits)
        dap_park(session, &session->flows[DAP_ADAPTER]);
    return DAP_FORWARD;
}

/* ---- the editor ends it
 * -------------------------------------------------------------------------------- */

static enum dap_verdict hold_request(struct dap_session *session)
{
    /* One that is being written out already has nothing left to wait for. */
    if (tell_ending(session) && !session->flows[DAP_ADAPTER].parked)
        dap_park(session, &session->flows[DAP_EDITOR]);
    return DAP_FORWARD;
}

/* Its output goes into pipes that debugpy's launcher reads, or did: without a reader its next line
 * would kill it. Nobody will see that output any more, so it may go nowhere. */
static const char let_go_script[] = "import os, stat\n"
                                    "for fd in (1, 2):\n"
                                    "    try:\n"
                                    "        if stat.S_ISFIFO(os.fstat(fd).st_mode):\n"
                                    "            null = os.open(os.devnull, os.O_WRONLY)\n"
                                    "            os.dup2(null, fd)\n"
                                    "            os.close(null)\n"
                                    "    except OSError:\n"
                                    "        pass\n"
                                    "_answer('free')\n";

static void on_let_go(void *user, int rc, const char *text, size_t bytes,
                      const struct bsk_error *err)
{
    struct dap_session *session = user;
    (void)text;
    (void)bytes;
    (void)err;
    session->letting_go = false;
    if (session->finished)
        return;
    session->host->keep(session->host_user, rc == BSK_OK ? DAP_KEEP_DEBUGGEE : DAP_KEEP_ALL);
    if (!session->waits_for_release)
        dap_unpark(session, &session->flows[DAP_EDITOR]);
    if (session->editor_gone && !session->waits_for_release) /* else it ends when it is released */
        session->linger_deadline_ns = session_now(session);
}

static void keep_debuggee(struct dap_session *session)
{
    session->host->keep(session->host_user, DAP_KEEP_ALL);
    if (!session->debuggee.has_channel)
        return;
    session->letting_go = true;
    dap_park(session, &session->flows[DAP_EDITOR]);
    dap_run(session, let_go_script, LET_GO_MS, on_let_go, session);
}

enum dap_verdict on_disconnect(struct dap_session *session, struct dap_message *message)
{
    dap_session_let_run(session);
    struct json_object *arguments = json_member(message_json(session, message), "arguments");
    if (session->reconnecting || session->swallowing_greeting) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_GONE, NULL, "the debug session was ended before it began");
        dap_answer(session, session->attach_request.seq, "attach", NULL, &err);
        dap_answer(session, message->scan->seq, "disconnect", NULL, NULL);
        session->disconnect_answered = true;
        session->linger_deadline_ns = session_now(session);
        return DAP_TAKE;
    }
    bool kill = json_flag(arguments, "terminateDebuggee", true) || session->debuggee.attached;
    enum dap_verdict verdict = hold_request(session);
    if (session->host->keep && !kill && session->is_debugpy)
        keep_debuggee(session);
    return verdict;
}

enum dap_verdict on_terminate(struct dap_session *session, struct dap_message *message)
{
    (void)message;
    dap_session_let_run(session);
    return hold_request(session);
}

enum dap_verdict on_disconnect_answer(struct dap_session *session, struct dap_message *message)
{
    (void)message;
    session->disconnect_answered = true;
    return DAP_FORWARD;
}

/* ---- the adapter is gone
 * --------------------------------------------------------------------------------- */

static void adapter_failure(const struct dap_session *session, struct bsk_error *err)
{
    if (session->death.code)
        *err = session->death;
    else
        bsk_fail(err, BSK_E_GONE, NULL, "the debug adapter has ended");
}

/* The least that an adapter can answer; what asks for more fails with the reason. */
static void answer_initialize(struct dap_session *session, int64_t seq)
{
    struct json_object *body = json_object_new_object();
    json_object_object_add(body, "supportsConfigurationDoneRequest", json_object_new_boolean(1));
    dap_answer(session, seq, "initialize", body, NULL);
    json_object_put(body);
    session->initialize_answered = true;
}

static void send_terminated(struct dap_session *session)
{
    static const char event[] = "terminated";
    if (session->terminated_sent)
        return;
    session->terminated_sent = true;
    dap_event(session, event, NULL, 0, DAP_MUST_ARRIVE);
}

static void fail_request(struct dap_session *session, int64_t seq, const char *command)
{
    struct bsk_error err = { 0 };
    adapter_failure(session, &err);
    if (strcmp(command, "initialize") == 0) {
        answer_initialize(session, seq);
    } else if (strcmp(command, "disconnect") == 0 || strcmp(command, "terminate") == 0) {
        dap_answer(session, seq, command, NULL, NULL);
        session->disconnect_answered |= strcmp(command, "disconnect") == 0;
    } else {
        dap_answer(session, seq, command, NULL, &err);
    }
}

/* What the editor still waits for will not come. */
void ending_adapter_is_gone(struct dap_session *session)
{
    if (session->death_told)
        return;
    session->death_told = true;
    bool was_up = session->initialize_answered && session->debuggee.started;
    bool asked_to_start = session->debuggee.started;
    dap_unpark(session, &session->flows[DAP_ADAPTER]);
    if (session->flows[DAP_ADAPTER].state == FLOW_PASSES) {
        /* Half a message is on the wire: nothing can be said after it. */
        session_finish(session, session->death.code ? &session->death : NULL);
        return;
    }
    while (session->pending_count > 0) {
        struct dap_pending pending = session->pending[0];
        dap_pending_remove(session, pending.seq);
        fail_request(session, pending.seq, pending.command);
    }
    if (asked_to_start)
        send_terminated(session);
    if (session->disconnect_answered || session->editor_gone)
        session_finish(session, NULL);
    else if (was_up)
        session->linger_deadline_ns = session_now(session) + LINGER_MS * MS;
}

enum dap_verdict on_request_without_adapter(struct dap_session *session,
                                            struct dap_message *message)
{
    const struct dap_scan *scan = message->scan;
    if (scan->type != DAP_REQUEST || scan->seq < 0)
        return DAP_TAKE;
    struct json_object *json = message_json(session, message);
    bool attach = strcmp(scan->name, "attach") == 0, launch = strcmp(scan->name, "launch") == 0;
    if (strcmp(scan->name, "initialize") == 0)
        on_initialize(session, message);
    if (attach && attach_starts_connecting(session, message, json_member(json, "arguments"), false))
        return DAP_TAKE;
    if (strncmp(scan->name, "basilisk.", 9) == 0 && session->ext->has_request &&
        session->ext->has_request(scan->name))
        return on_basilisk_request(session, message);
    if (!session->death_told) {
        dap_pending_add(session, scan->seq, scan->name, NULL);
        return DAP_TAKE;
    }
    fail_request(session, scan->seq, scan->name);
    if (attach || launch)
        send_terminated(session);
    if (session->disconnect_answered)
        session->linger_deadline_ns = session_now(session); /* after this message is dealt with */
    return DAP_TAKE;
}

/* ---- the way out
 * ------------------------------------------------------------------------------------------- */

bool dap_session_editor_gone(const struct dap_session *session)
{
    return session->editor_gone;
}

void dap_session_hold(struct dap_session *session)
{
    session->more_releases++;
}

static void release(struct dap_session *session)
{
    if (!session->waits_for_release)
        return;
    dap_enter(session);
    session->waits_for_release = false;
    session->release_deadline_ns = 0;
    dap_unpark(session, &session->flows[DAP_ADAPTER]);
    if (!session->reconnecting && !session->letting_go)
        dap_unpark(session, &session->flows[DAP_EDITOR]);
    if (session->editor_gone && !session->in_extension && !session->letting_go)
        session_finish(session, NULL);
    else if (session->editor_gone)
        session->linger_deadline_ns = session_now(session);
    else if (session->adapter_gone)
        ending_adapter_is_gone(session);
    dap_leave(session);
}

void dap_session_release(struct dap_session *session)
{
    if (session->more_releases > 0)
        session->more_releases--;
    else
        release(session);
}

void dap_session_eof(struct dap_session *session, enum dap_side from, const struct bsk_error *err)
{
    if (session->finished)
        return;
    dap_enter(session);
    if (from == DAP_EDITOR && !session->editor_gone) {
        session->editor_gone = true;
        bool waits = tell_ending(session);
        if (waits)
            session->release_deadline_ns = session_now(session) + LAST_WORD_NO_EDITOR_MS * MS;
        else if (!session->letting_go)
            session_finish(session, NULL);
    } else if (from == DAP_ADAPTER && !session->adapter_gone && !session->reconnecting) {
        output_flush(session);
        session->adapter_gone = true;
        if (err)
            session->death = *err;
        debuggee_has_ended(session);
        if (!session->waits_for_release && !tell_ending(session))
            ending_adapter_is_gone(session);
    }
    dap_leave(session);
}

/* An adapter that speaks something else is as good as dead; an editor that does cannot be told
 * much. */
void ending_stream_is_broken(struct dap_session *session, enum dap_side from,
                             const struct bsk_error *err)
{
    if (from == DAP_ADAPTER) {
        dap_session_eof(session, DAP_ADAPTER, err);
        return;
    }
    if (session->initialize_seen) {
        struct bsk_buffer body = { 0 };
        struct bsk_json json = { .out = &body };
        bsk_json_begin(&json, '{');
        bsk_json_field_text(&json, "category", "important");
        bsk_json_key(&json, "output");
        char sentence[1100], line[1200];
        bsk_error_sentence(err, sentence, sizeof(sentence));
        snprintf(line, sizeof(line), "Basilisk ends the session: %s\n", sentence);
        bsk_json_text(&json, line);
        bsk_json_end(&json, '}');
        if (!body.failed)
            dap_event(session, "output", body.data, body.size, DAP_MAY_DROP);
        bsk_buffer_free(&body);
    }
    session_finish(session, err);
}

void ending_tick(struct dap_session *session, uint64_t now_ns)
{
    if (session->release_deadline_ns && session->release_deadline_ns <= now_ns)
        release(session);
    if (session->linger_deadline_ns && session->linger_deadline_ns <= now_ns) {
        session->linger_deadline_ns = 0;
        session_finish(session, NULL);
    }
}
