/*
 * What we understand. A new message is one line here and one function; everything else passes.
 */
#include "proxy/session/inside.h"

#include <string.h>

/* The adapter says what it is, before or soon after it answers `initialize`: debugpy's order
 * varies. */
static bool greeting_matters(const struct dap_session *session)
{
    return session->greeting_left || (session->greeting_seen != GREETING_WHOLE &&
                                      session->adapter_messages < GREETING_MESSAGES);
}

/* Later, what programs print is looked at for markers once the session has opted in, and for an
 * injection's complaints. */
static bool output_matters(const struct dap_session *session)
{
    return session->opted_in || session->injecting || greeting_matters(session);
}

static bool opted_in(const struct dap_session *session)
{
    return session->opted_in;
}

/* These get no answer from debugpy, and nothing after them does. For any other adapter they pass.
 */
static bool is_debugpy(const struct dap_session *session)
{
    return session->is_debugpy;
}

static bool knows_requests(const struct dap_session *session)
{
    return session->ext->has_request != NULL;
}

static bool knows_console(const struct dap_session *session)
{
    return session->ext->has_console != NULL;
}

enum { EVENT_BYTES = 64 << 10, OUTPUT_BYTES = 3 << 20 };

static const struct dap_rule rules[] = {
    { DAP_EDITOR, DAP_REQUEST, "initialize", on_initialize, on_initialize_answer, NULL, 0 },
    { DAP_EDITOR, DAP_REQUEST, "launch", on_launch, NULL, NULL, 0 },
    { DAP_EDITOR, DAP_REQUEST, "attach", on_attach, on_attach_answer, NULL, 0 },
    { DAP_EDITOR, DAP_REQUEST, "disconnect", on_disconnect, on_disconnect_answer, NULL, 0 },
    { DAP_EDITOR, DAP_REQUEST, "terminate", on_terminate, NULL, NULL, 0 },
    { DAP_EDITOR, DAP_REQUEST, "basilisk.", on_basilisk_request, NULL, knows_requests, 0 },
    { DAP_EDITOR, DAP_REQUEST, "evaluate", on_evaluate, NULL, knows_console, EVENT_BYTES },
    { DAP_EDITOR, DAP_REQUEST, "completions", on_completions, NULL, opted_in, EVENT_BYTES },

    { DAP_EDITOR, DAP_REQUEST, "cancel", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "restart", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "restartFrame", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "loadedSources", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "breakpointLocations", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "readMemory", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "terminateThreads", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "dataBreakpointInfo", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "setDataBreakpoints", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "setInstructionBreakpoints", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "disassemble", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "writeMemory", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "stepBack", on_wedging, NULL, is_debugpy, 0 },
    { DAP_EDITOR, DAP_REQUEST, "reverseContinue", on_wedging, NULL, is_debugpy, 0 },

    { DAP_EDITOR, DAP_REQUEST, "configurationDone", on_configuration_done, NULL, opted_in, 0 },

    { DAP_ADAPTER, DAP_EVENT, "output", on_output, NULL, output_matters, OUTPUT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "debugpySockets", on_debugpy_sockets, NULL, greeting_matters,
      EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "initialized", on_initialized, NULL, NULL, EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "process", on_process, NULL, NULL, EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "stopped", on_stopped, NULL, NULL, EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "continued", on_continued, NULL, NULL, EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "exited", on_ended, NULL, NULL, EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "terminated", on_ended, NULL, NULL, EVENT_BYTES },
    { DAP_ADAPTER, DAP_EVENT, "debugpyAttach", on_debugpy_attach, NULL, opted_in, 0 },
    { DAP_ADAPTER, DAP_REQUEST, "startDebugging", on_start_debugging, NULL, opted_in, 0 },
};

static bool name_matches(const struct dap_rule *rule, const char *name)
{
    if (rule->name[0] != name[0])
        return false;
    size_t length = strlen(rule->name);
    return rule->name[length - 1] == '.' ? strncmp(rule->name, name, length) == 0
                                         : strcmp(rule->name, name) == 0;
}

/* `type` DAP_TYPE_UNKNOWN: is there a rule for the name at all? */
static const struct dap_rule *find_rule(const struct dap_session *session,
                                        const struct dap_flow *flow, enum dap_message_type type)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct dap_rule *rule = &rules[i];
        size_t ceiling = rule->max_bytes ? rule->max_bytes : COLLECT_MAX_BYTES;
        if (rule->from == flow->from && (type == DAP_TYPE_UNKNOWN || rule->type == type) &&
            name_matches(rule, flow->scan.name) && flow->body_bytes <= ceiling &&
            (!rule->applies || rule->applies(session)))
            return rule;
    }
    return NULL;
}

static enum dap_decision by_name(struct dap_session *session, struct dap_flow *flow)
{
    const struct dap_rule *rule = find_rule(session, flow, flow->scan.type);
    if (!rule)
        return DAP_PASS;
    if (flow->scan.type == DAP_TYPE_UNKNOWN)
        return DAP_WAIT;
    flow->handle = rule->handle;
    flow->answered = rule->answered;
    return DAP_COLLECT;
}

static enum dap_decision of_response(struct dap_session *session, struct dap_flow *flow)
{
    if (flow->from == DAP_EDITOR)
        return DAP_PASS; /* to the adapter's runInTerminal or startDebugging; we ask nothing */
    if (!(flow->scan.found & DAP_KEY_REQUEST_SEQ))
        return DAP_WAIT;
    int64_t seq = flow->scan.request_seq;
    if (dap_hidden_is_ours(session, seq)) {
        if (flow->body_bytes > COLLECT_MAX_BYTES)
            dap_hidden_too_large(session, seq);
        if (!dap_hidden_is_awaited(session, seq))
            return DAP_DROP; /* it comes too late: whoever asked was told so */
        flow->handle = dap_on_hidden_answer;
        return DAP_COLLECT;
    }
    const struct dap_pending *pending = dap_pending_find(session, seq);
    if (!pending || !pending->answered || flow->body_bytes > COLLECT_MAX_BYTES)
        return DAP_PASS;
    flow->handle = pending->answered;
    return DAP_COLLECT;
}

static enum dap_decision undecided(const struct dap_session *session, const struct dap_flow *flow)
{
    if (flow->body_seen <= UNDECIDED_MAX_BYTES)
        return DAP_WAIT;
    bool might_be_ours = flow->from == DAP_ADAPTER && session->hidden_count > 0;
    bool has_rule = (flow->scan.found & (DAP_KEY_COMMAND | DAP_KEY_EVENT)) != 0;
    return (might_be_ours || has_rule) && flow->body_bytes <= COLLECT_MAX_BYTES ? DAP_WAIT
                                                                                : DAP_PASS;
}

enum dap_decision dap_decide(struct dap_session *session, struct dap_flow *flow)
{
    const struct dap_scan *scan = &flow->scan;
    bool over = scan->status != DAP_SCAN_MORE || flow->body_seen == flow->body_bytes;
    enum dap_decision decision = DAP_WAIT;

    if (session->swallowing_greeting && flow->from == DAP_ADAPTER) {
        flow->handle = on_second_greeting;
        return flow->body_bytes <= COLLECT_MAX_BYTES ? DAP_COLLECT : DAP_DROP;
    }
    if (session->adapter_gone && flow->from == DAP_EDITOR) {
        flow->handle = on_request_without_adapter;
        return flow->body_bytes <= COLLECT_MAX_BYTES ? DAP_COLLECT : DAP_DROP;
    }
    if (scan->type == DAP_RESPONSE)
        decision = of_response(session, flow);
    else if (scan->type == DAP_TYPE_OTHER)
        decision = DAP_PASS;
    else if (scan->found & (DAP_KEY_COMMAND | DAP_KEY_EVENT))
        decision = by_name(session, flow);
    /* A name without type from the adapter may be the command of an answer to us. */
    if (decision == DAP_PASS && scan->type == DAP_TYPE_UNKNOWN && flow->from == DAP_ADAPTER)
        decision = DAP_WAIT;
    if (decision != DAP_WAIT)
        return decision;
    return over ? DAP_PASS : undecided(session, flow);
}
