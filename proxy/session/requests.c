/* What the editor asks of us: basilisk.* requests, console commands, completions; and what it must
 * not ask of debugpy. */
#include "proxy/session/inside.h"

#include <stdio.h>
#include <string.h>

enum dap_verdict on_basilisk_request(struct dap_session *session, struct dap_message *message)
{
    struct dap_request request = request_of(message);
    struct json_object *json = message_json(session, message);
    if (!json || !session->ext->has_request(request.command))
        return DAP_FORWARD;
    if (session->options.over_tcp && !session->initialize_seen) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_STATE, "send `initialize` first", "No debug session");
        dap_answer(session, request.seq, request.command, NULL, &err);
        return DAP_TAKE;
    }
    session->client.custom_events = true;
    dap_opt_in(session);
    session->in_extension = true;
    session->ext->on_request(session->ext_state, &request, json_member(json, "arguments"));
    session->in_extension = false;
    return DAP_TAKE;
}

enum dap_verdict on_evaluate(struct dap_session *session, struct dap_message *message)
{
    struct json_object *arguments = json_member(message_json(session, message), "arguments");
    const char *text = json_text(arguments, "expression");
    if (strcmp(json_text(arguments, "context"), "repl") != 0 || !session->ext->has_console(text) ||
        (session->options.over_tcp && !session->initialize_seen))
        return DAP_FORWARD;
    struct dap_request request = request_of(message);
    dap_opt_in(session);
    session->in_extension = true;
    session->ext->on_console(session->ext_state, &request, text);
    session->in_extension = false;
    return DAP_TAKE;
}

/* Bytes of `text` before its UTF-16 `column`, counted from 0. */
static size_t bytes_before(const char *text, int64_t column)
{
    size_t at = 0;
    while (text[at] && column > 0) {
        unsigned char lead = (unsigned char)text[at++];
        column -= lead >= 0xf0 ? 2 : 1;
        while (((unsigned char)text[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

/* The line of `text` (from 0) that the cursor is in. */
static const char *line_of(const char *text, int64_t line)
{
    for (; line > 0; line--) {
        const char *newline = strchr(text, '\n');
        if (!newline)
            break;
        text = newline + 1;
    }
    return text;
}

enum dap_verdict on_completions(struct dap_session *session, struct dap_message *message)
{
    struct json_object *arguments = json_member(message_json(session, message), "arguments");
    struct json_object *column = json_member(arguments, "column");
    struct json_object *line = json_member(arguments, "line");
    bool native = json_flag(session->capabilities, "supportsCompletionsRequest", false);
    char text[1024];
    if (!arguments || !session->ext->on_completions)
        return DAP_FORWARD;
    int64_t skip = json_object_get_int(line),
            at = json_object_get_int(column); /* clamped to 32 bits */
    skip -= line && session->client.lines_start_at_1;
    at -= session->client.columns_start_at_1;
    const char *whole = line_of(json_text(arguments, "text"), skip);
    size_t cursor = bytes_before(whole, at);
    snprintf(text, sizeof(text), "%.*s", (int)(cursor < sizeof(text) ? cursor : sizeof(text) - 1),
             whole);

    struct json_object *targets = json_object_new_array();
    bool all = false;
    if (text[0] == '/') {
        session->in_extension = true;
        all = session->ext->on_completions(session->ext_state, text, targets);
        session->in_extension = false;
    }
    if (!all && native) {
        json_object_put(targets);
        return DAP_FORWARD;
    }
    struct json_object *body = json_object_new_object();
    json_object_object_add(body, "targets", targets);
    dap_answer(session, message->scan->seq, "completions", body, NULL);
    json_object_put(body);
    return DAP_TAKE;
}

/* The capability by which an adapter says that it knows the request, for a debugpy of the future.
 */
static const char *capability_of(const char *command)
{
    static const struct {
        const char *command, *capability;
    } known[] = {
        { "cancel", "supportsCancelRequest" },
        { "restart", "supportsRestartRequest" },
        { "restartFrame", "supportsRestartFrame" },
        { "loadedSources", "supportsLoadedSourcesRequest" },
        { "breakpointLocations", "supportsBreakpointLocationsRequest" },
        { "readMemory", "supportsReadMemoryRequest" },
        { "terminateThreads", "supportsTerminateThreadsRequest" },
        { "dataBreakpointInfo", "supportsDataBreakpoints" },
        { "setDataBreakpoints", "supportsDataBreakpoints" },
        { "setInstructionBreakpoints", "supportsInstructionBreakpoints" },
        { "disassemble", "supportsDisassembleRequest" },
        { "writeMemory", "supportsWriteMemoryRequest" },
        { "stepBack", "supportsStepBack" },
        { "reverseContinue", "supportsStepBack" },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].command, command) == 0)
            return known[i].capability;
    }
    return "";
}

enum dap_verdict on_wedging(struct dap_session *session, struct dap_message *message)
{
    struct dap_request request = request_of(message);
    if (json_flag(session->capabilities, capability_of(request.command), false))
        return DAP_FORWARD;
    struct bsk_error err = { 0 };
    bsk_fail(&err, BSK_E_UNSUPPORTED, NULL, "debugpy does not support the request '%s'",
             request.command);
    dap_answer(session, request.seq, request.command, NULL, &err);
    return DAP_TAKE;
}
