/*
 * One direction of a session: cuts the stream into messages, asks the rules about each as soon as
 * its keys are known, and writes on what passes in spans as long as they come.
 */
#include "proxy/session/inside.h"

#include <inttypes.h>
#include <string.h>

static void emit(struct dap_session *session, struct dap_flow *flow, const char *bytes, size_t size)
{
    if (size == 0)
        return;
    if (flow->parked && session->waits_for_release && flow->park.size + size > PARKED_MAX_BYTES)
        dap_unpark(session, flow); /* late news for the user is worse than none */
    if (flow->parked)
        bsk_buffer_append(&flow->park, bytes, size);
    else
        session->host->write(session->host_user, flow->to, bytes, size);
}

/* Writes what passes of the input up to `end` and goes on from `next`. */
static void flush_span(struct dap_session *session, struct dap_flow *flow, size_t end, size_t next)
{
    emit(session, flow, flow->input + flow->span, end - flow->span);
    flow->span = next;
}

/* A buffer that held one large message gives its memory back. */
static void forget_held(struct dap_flow *flow)
{
    if (flow->held.capacity > UNDECIDED_MAX_BYTES)
        bsk_buffer_free(&flow->held);
    else
        bsk_buffer_clear(&flow->held);
}

bool dap_flow_at_boundary(const struct dap_flow *flow)
{
    return flow->parked || flow->state != FLOW_PASSES;
}

void dap_park(struct dap_session *session, struct dap_flow *flow)
{
    if (flow->parked)
        return;
    if (flow->input)
        flush_span(session, flow, flow->message, flow->message);
    flow->parked = true;
}

void dap_unpark(struct dap_session *session, struct dap_flow *flow)
{
    if (!flow->parked)
        return;
    if (flow->input)
        flush_span(session, flow, flow->message, flow->message);
    dap_own_flush(session, flow->to); /* what we had to say belongs before what was held back */
    flow->parked = false;
    if (flow->park.size)
        session->host->write(session->host_user, flow->to, flow->park.data, flow->park.size);
    bsk_buffer_free(&flow->park);
}

void dap_flow_reset(struct dap_flow *flow)
{
    flow->state = FLOW_HEADER;
    flow->broken = false;
    forget_held(flow);
}

void dap_flow_free(struct dap_flow *flow)
{
    bsk_buffer_free(&flow->held);
    bsk_buffer_free(&flow->park);
}

/* The party that a message from this side is meant for. */
static enum dap_party party(enum dap_side side)
{
    return side == DAP_EDITOR ? DAP_PARTY_EDITOR : DAP_PARTY_ADAPTER;
}

static void trace_flow(struct dap_session *session, struct dap_flow *flow, enum dap_party to,
                       const char *bytes, size_t size, unsigned flags)
{
    if (session->host->trace)
        dap_trace(session, party(flow->from), to, bytes, size, flags);
}

/* A message that nobody looked into has gone by: remember what awaits an answer, or got one. */
static void note_passed(struct dap_session *session, struct dap_flow *flow)
{
    const struct dap_scan *scan = &flow->scan;
    if (flow->from == DAP_EDITOR && scan->type == DAP_REQUEST && scan->seq >= 0)
        dap_pending_add(session, scan->seq, scan->name, flow->answered);
    else if (flow->from == DAP_ADAPTER && scan->type == DAP_RESPONSE && scan->request_seq >= 0)
        dap_pending_remove(session, scan->request_seq);
}

/* The current message has ended at `at` of the input. */
static void message_ended(struct dap_session *session, struct dap_flow *flow, size_t at)
{
    flow->state = FLOW_HEADER;
    flow->message = at;
    forget_held(flow);
    if (flow->from == DAP_ADAPTER && session->adapter_messages < GREETING_MESSAGES)
        session->adapter_messages++;
    dap_own_flush(session, flow->to);
}

/* All of a message that a rule wants is here, at `bytes`; false when the handler was its end. */
static void hand_over(struct dap_session *session, struct dap_flow *flow, size_t at)
{
    bool in_input = flow->held.size == 0;
    if (!in_input)
        bsk_buffer_append(&flow->held, flow->input + flow->message, at - flow->message);
    struct dap_message message = {
        .from = flow->from,
        .bytes = in_input ? flow->input + flow->message : flow->held.data,
        .size = in_input ? at - flow->message : flow->held.size,
        .header_bytes = flow->header_bytes,
        .scan = &flow->scan,
    };
    if (flow->held.failed) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_MEMORY, NULL, "no memory for a message of %" PRIu64 " bytes",
                 flow->body_bytes);
        flow->broken = true;
        session_finish(session, &err);
        return;
    }
    enum dap_verdict verdict = flow->handle(session, &message);
    size_t body_bytes = 0;
    const char *body = message_body(&message, &body_bytes);
    trace_flow(session, flow, verdict == DAP_FORWARD ? party(flow->to) : DAP_PARTY_SESSION, body,
               body_bytes, DAP_TRACE_FIRST | DAP_TRACE_LAST);
    json_object_put(message.json);

    if (verdict == DAP_FORWARD && in_input) {
        if (flow->parked)
            flush_span(session, flow, at, at);
    } else {
        flush_span(session, flow, flow->message, at);
        if (verdict == DAP_FORWARD) {
            emit(session, flow, message.bytes, message.size);
        } else if (verdict == DAP_CHANGED) {
            struct bsk_buffer whole = { 0 };
            dap_compose(session, &message, &whole);
            emit(session, flow, whole.data, whole.size);
            if (session->host->trace)
                dap_trace(session, DAP_PARTY_SESSION, party(flow->to), session->changed.data,
                          session->changed.size, DAP_TRACE_FIRST | DAP_TRACE_LAST);
            bsk_buffer_free(&whole);
        }
    }
    if (verdict != DAP_TAKE)
        note_passed(session, flow);
    bsk_buffer_free(&session->changed);
}

/* It passes: what was held of it goes first. `at` is how far the input was looked at. */
static void begin_pass(struct dap_session *session, struct dap_flow *flow, size_t at)
{
    flow->state = FLOW_PASSES;
    if (flow->held.size) {
        flush_span(session, flow, flow->message, flow->message);
        emit(session, flow, flow->held.data, flow->held.size);
    }
    if (session->host->trace) {
        size_t header = flow->header_bytes, held = flow->held.size;
        bool last = flow->body_seen == flow->body_bytes;
        size_t skip = held ? 0 : header; /* of the input's part */
        if (held)
            trace_flow(session, flow, party(flow->to), flow->held.data + header, held - header,
                       DAP_TRACE_FIRST);
        trace_flow(session, flow, party(flow->to), flow->input + flow->message + skip,
                   at - flow->message - skip,
                   (held ? 0u : DAP_TRACE_FIRST) | (last ? DAP_TRACE_LAST : 0u));
    }
    forget_held(flow);
}

/* Reads the header; true when it is complete. `*at` moves over what was used. */
static bool take_header(struct dap_session *session, struct dap_flow *flow, size_t *at, size_t size)
{
    struct bsk_error err = { 0 };
    const char *input = flow->input + *at;
    size_t left = size - *at, old = flow->held.size;
    if (old) {
        size_t room = DAP_HEADER_MAX_BYTES - old;
        bsk_buffer_append(&flow->held, input, left < room ? left : room);
    }
    ssize_t rc = old ? dap_parse_header(flow->held.data, flow->held.size, &flow->body_bytes, &err)
                     : dap_parse_header(input, left, &flow->body_bytes, &err);
    if (rc == 0) {
        if (!old) {
            flush_span(session, flow, *at, size);
            bsk_buffer_append(&flow->held, input, left);
        }
        *at = flow->message = flow->span = size;
        return false;
    }
    if (rc < 0) {
        flow->broken = true;
        flush_span(session, flow, flow->message, flow->message);
        forget_held(flow);
        ending_stream_is_broken(session, flow->from, &err);
        return false;
    }
    if (old) {
        flow->held.size = (size_t)rc;
        flow->message = flow->span = *at + (size_t)rc - old;
    }
    *at += (size_t)rc - old;
    flow->header_bytes = (size_t)rc;
    flow->body_seen = 0;
    flow->handle = flow->answered = NULL;
    dap_scan_begin(&flow->scan);
    flow->state = FLOW_UNDECIDED;
    return true;
}

static void decide(struct dap_session *session, struct dap_flow *flow, size_t at)
{
    bool complete = flow->body_seen == flow->body_bytes;
    enum dap_decision decision = dap_decide(session, flow);
    if (decision == DAP_WAIT && complete)
        decision = DAP_PASS;
    if (decision == DAP_COLLECT) {
        flow->state = FLOW_COLLECTS;
    } else if (decision == DAP_PASS) {
        begin_pass(session, flow, at);
    } else if (decision == DAP_DROP) {
        flow->state = FLOW_DROPS;
        flush_span(session, flow, flow->message, at);
        forget_held(flow);
    }
}

void dap_flow_feed(struct dap_session *session, struct dap_flow *flow, const char *bytes,
                   size_t size)
{
    size_t at = 0;
    flow->input = bytes;
    flow->span = flow->message = 0;
    while (!flow->broken) {
        if (flow->state == FLOW_HEADER) {
            if (at == size || !take_header(session, flow, &at, size))
                break;
        }
        uint64_t wanted = flow->body_bytes - flow->body_seen;
        size_t chunk = wanted < size - at ? (size_t)wanted : size - at;
        bool scanned = flow->state == FLOW_UNDECIDED || flow->state == FLOW_COLLECTS ||
                       (flow->state == FLOW_PASSES && flow->body_bytes <= UNDECIDED_MAX_BYTES);
        if (scanned && flow->scan.status == DAP_SCAN_MORE)
            dap_scan_feed(&flow->scan, bytes + at, chunk);
        if (flow->state == FLOW_PASSES && chunk)
            trace_flow(session, flow, party(flow->to), bytes + at, chunk,
                       chunk == wanted ? DAP_TRACE_LAST : 0);
        at += chunk;
        flow->body_seen += chunk;
        if (flow->state == FLOW_UNDECIDED)
            decide(session, flow, at);
        if (flow->body_seen < flow->body_bytes || flow->broken)
            break;
        if (flow->state == FLOW_COLLECTS) {
            hand_over(session, flow, at);
        } else if (flow->state == FLOW_DROPS) {
            flow->span = at;
        } else {
            note_passed(session, flow);
        }
        message_ended(session, flow, at);
    }
    if (flow->broken) {
        flow->input = NULL;
        return;
    }
    bool passes = flow->state == FLOW_PASSES;
    if (flow->state == FLOW_DROPS)
        flow->span = size;
    else
        flush_span(session, flow, passes ? size : flow->message, passes ? size : flow->message);
    if (flow->state == FLOW_UNDECIDED || flow->state == FLOW_COLLECTS)
        bsk_buffer_append(&flow->held, bytes + flow->message, size - flow->message);
    flow->input = NULL;
}

void dap_flow_skip(struct dap_session *session, struct dap_flow *flow, uint64_t size)
{
    flow->body_seen += size;
    if (flow->body_seen == flow->body_bytes) {
        note_passed(session, flow);
        message_ended(session, flow, 0);
    }
}
