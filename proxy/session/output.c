/*
 * Payload markers in what programs print: `__BASILISK_MEM__{...}` to the end of the line.
 *
 * Only sessions that opted in are looked at. debugpy cuts output anywhere (at 4,096 bytes, or at
 * each write), so a line is put together again over the events of one category: what was captured
 * is cut out of the events by offset, in their original bytes, and everything else goes on as it
 * came. When text ends in what could begin a marker, that tail alone waits, for the next event of
 * its category or 50 ms.
 */
#include "proxy/session/inside.h"

#include "proxy/wire/locate.h"

#include <stdio.h>
#include <string.h>

enum { CAPTURE_MAX_BYTES = 1 << 20, TAIL_WAIT_MS = 50 };

static const char *const markers[] = { "__BASILISK_MEM__", "__BASILISK_DIFF__", "__BASILISK_GC__",
                                       "__BASILISK_REFS__", "__BASILISK_OBJECTS__" };
enum { MARKER_COUNT = sizeof(markers) / sizeof(markers[0]) };

/* One output event being looked at: `raw` is its text as JSON writes it, without the quotes.
 * Escapes stay escapes: what we look for has none, and a line ends with the two bytes \n. */
struct piece {
    const char *raw;
    size_t size;
};

enum match { NO_MATCH, CUT_OFF, WHOLE };

/* Is `raw` a marker with the beginning of a payload, or the beginning of that? */
static enum match match_marker(const char *raw, size_t size, const char *marker)
{
    size_t length = strlen(marker);
    if (memcmp(raw, marker, size < length ? size : length) != 0)
        return NO_MATCH;
    while (length < size && raw[length] == ' ')
        length++;
    if (length >= size)
        return CUT_OFF;
    return raw[length] == '{' || raw[length] == '[' ? WHOLE : NO_MATCH;
}

/* Where the first marker begins in `raw` from `at` on, or `size`. */
static size_t find_marker(const char *raw, size_t size, size_t at, bool *out_whole)
{
    for (; at < size; at++) {
        const char *underscore = memchr(raw + at, '_', size - at);
        if (!underscore)
            break;
        at = (size_t)(underscore - raw);
        for (size_t i = 0; i < MARKER_COUNT; i++) {
            enum match match = match_marker(underscore, size - at, markers[i]);
            *out_whole = match == WHOLE;
            if (match != NO_MATCH)
                return at;
        }
    }
    return size;
}

/* The end of the line that `at` is in: the offset of its \n (two bytes of JSON), or `size`. */
static size_t find_line_end(const char *raw, size_t size, size_t at)
{
    while (at < size) {
        const char *backslash = memchr(raw + at, '\\', size - at);
        if (!backslash)
            break;
        at = (size_t)(backslash - raw);
        if (at + 1 < size && raw[at + 1] == 'n')
            return at;
        at += 2;
    }
    return size;
}

static struct dap_marker_capture *capture_of(struct dap_session *session, const char *category)
{
    for (size_t i = 0; i < MARKER_CATEGORIES; i++) {
        struct dap_marker_capture *capture = &session->captures[i];
        if (capture->category[0] == '\0')
            snprintf(capture->category, sizeof(capture->category), "%s", category);
        if (strcmp(capture->category, category) == 0)
            return capture;
    }
    return NULL; /* a fifth category: not looked at */
}

/* A whole line, as JSON writes it: tells the extension. */
static void deliver(struct dap_session *session, struct bsk_buffer *line)
{
    struct bsk_buffer quoted = { 0 };
    bsk_buffer_append(&quoted, "\"", 1);
    bsk_buffer_append(&quoted, line->data, line->size);
    bsk_buffer_append(&quoted, "\"", 1);
    struct json_object *text = quoted.failed ? NULL : json_parse(session, quoted.data, quoted.size);
    bsk_buffer_free(&quoted);
    const char *plain = text ? json_object_get_string(text) : "";
    size_t size = text ? (size_t)json_object_get_string_len(text) : 0;
    for (size_t i = 0; i < MARKER_COUNT && session->ext->on_marker; i++) {
        size_t length = strlen(markers[i]);
        if (size < length || memcmp(plain, markers[i], length) != 0)
            continue;
        const char *payload = plain + length;
        size_t bytes = size - length;
        while (bytes && strchr(" \t:\r", *payload) && *payload)
            payload++, bytes--;
        while (bytes && strchr(" \t\r", payload[bytes - 1]) && payload[bytes - 1])
            bytes--;
        session->in_extension = true;
        session->ext->on_marker(session->ext_state, markers[i], payload, bytes);
        session->in_extension = false;
        break;
    }
    json_object_put(text);
    bsk_buffer_clear(line);
}

/* Sends text (as JSON writes it) that was kept back and is no marker after all. */
static void give_back(struct dap_session *session, struct dap_marker_capture *capture)
{
    if (capture->tail.size > 0) {
        struct bsk_buffer body = { 0 };
        bsk_buffer_printf(&body, "{\"seq\":%lld,\"type\":\"event\",\"event\":\"output\",\"body\":",
                          (long long)session->next_editor_seq++);
        bsk_buffer_printf(&body, "{\"category\":\"%s\",\"output\":\"", capture->category);
        bsk_buffer_append(&body, capture->tail.data, capture->tail.size);
        bsk_buffer_text_append(&body, "\"}}");
        if (!body.failed)
            dap_own_send(session, DAP_EDITOR, body.data, body.size, "", false);
        bsk_buffer_free(&body);
    }
    bsk_buffer_free(&capture->tail);
    capture->capturing = false;
    capture->deadline_ns = 0;
}

/* Goes through one event's text: appends to `keep` what the editor is to see. */
static void sort_text(struct dap_session *session, struct dap_marker_capture *capture,
                      struct piece text, struct bsk_buffer *keep)
{
    struct bsk_buffer joined = { 0 };
    size_t at = 0;
    if (!capture->capturing && capture->tail.size > 0) {
        /* The tail of the last event and this one together. */
        bsk_buffer_append(&joined, capture->tail.data, capture->tail.size);
        bsk_buffer_append(&joined, text.raw, text.size);
        bsk_buffer_free(&capture->tail);
        text = (struct piece){ joined.data, joined.size };
    }
    capture->deadline_ns = 0;
    while (at < text.size || capture->capturing) {
        if (capture->capturing) {
            size_t end = find_line_end(text.raw, text.size, at);
            if (capture->tail.size + (end - at) > CAPTURE_MAX_BYTES) {
                /* Too long to be ours: the program's words go back to its user. */
                bsk_buffer_append(keep, capture->tail.data, capture->tail.size);
                bsk_buffer_free(&capture->tail);
                capture->capturing = false;
                bsk_buffer_append(keep, text.raw + at, end - at);
                at = end;
                continue;
            }
            bsk_buffer_append(&capture->tail, text.raw + at, end - at);
            at = end;
            if (end == text.size)
                break;
            at += 2;
            capture->capturing = false;
            deliver(session, &capture->tail);
            continue;
        }
        bool whole = false;
        size_t marker = find_marker(text.raw, text.size, at, &whole);
        bsk_buffer_append(keep, text.raw + at, marker - at);
        at = marker;
        if (whole) {
            capture->capturing = true;
        } else if (marker < text.size) {
            bsk_buffer_append(&capture->tail, text.raw + at, text.size - at);
            capture->deadline_ns = session_now(session) + TAIL_WAIT_MS * MS;
            break;
        }
    }
    bsk_buffer_free(&joined);
}

static bool could_hold_marker(const struct dap_message *message)
{
    size_t size = 0;
    bool whole = false;
    const char *body = message_body(message, &size);
    if (memmem(body, size, "__BASILISK_", 11))
        return true;
    /* The text's end is somewhere before a quote; a tail of underscores and capitals before one. */
    for (const char *at = body; (at = memmem(at, size - (size_t)(at - body), "_", 1)); at++) {
        const char *quote = memchr(at, '"', size - (size_t)(at - body));
        size_t length = quote ? (size_t)(quote - at) : 0;
        if (length > 0 && length < 24 && find_marker(at, length, 0, &whole) < length)
            return true;
    }
    return false;
}

static bool any_tail(const struct dap_session *session)
{
    for (size_t i = 0; i < MARKER_CATEGORIES; i++) {
        if (session->captures[i].tail.size > 0)
            return true;
    }
    return false;
}

static enum dap_verdict look_for_markers(struct dap_session *session, struct dap_message *message)
{
    static const char *const path[] = { "body", "output", NULL };
    size_t size = 0;
    const char *body = message_body(message, &size);
    struct dap_member member;
    struct json_object *json_body = json_member(message_json(session, message), "body");
    const char *category = json_text(json_body, "category");
    if (!*category)
        category = "console"; /* the protocol's default */
    struct dap_marker_capture *capture =
        strcmp(category, "telemetry") == 0 || strpbrk(category, "\"\\") || strlen(category) > 31
            ? NULL
            : capture_of(session, category);
    if (!json_body || !capture || !dap_locate(body, size, path, &member) ||
        member.value_bytes < 2 || body[member.value_at] != '"')
        return DAP_FORWARD;
    struct piece text = { body + member.value_at + 1, member.value_bytes - 2 };
    struct bsk_buffer keep = { 0 };
    sort_text(session, capture, text, &keep);
    enum dap_verdict verdict = DAP_FORWARD;
    if (keep.size == 0 && text.size > 0) {
        verdict = DAP_TAKE;
    } else if (keep.size != text.size ||
               (keep.size && memcmp(keep.data, text.raw, text.size) != 0)) {
        const char *kept = bsk_buffer_text(&keep);
        if (dap_change_begin(session, message) &&
            dap_splice(session, member.value_at + 1, text.size, kept))
            verdict = DAP_CHANGED;
    }
    bsk_buffer_free(&keep);
    return verdict;
}

enum dap_verdict on_output(struct dap_session *session, struct dap_message *message)
{
    /* Other adapters than debugpy never greet, so that all they print comes by here: it must cost
     * next to nothing. */
    static const char telemetry[] = "telemetry";
    if ((session->greeting_left || !session->ready_told) &&
        memmem(message->bytes, message->size, telemetry, sizeof(telemetry) - 1)) {
        on_greeting(session, message);
        if (attach_swallows(session, message))
            return DAP_TAKE;
    }
    if (session->injecting) {
        struct json_object *body = json_member(message_json(session, message), "body");
        attach_hears_output(session, json_text(body, "category"), json_text(body, "output"));
    }
    if (!session->opted_in || (!any_tail(session) && !could_hold_marker(message)))
        return DAP_FORWARD;
    return look_for_markers(session, message);
}

void output_tick(struct dap_session *session, uint64_t now_ns)
{
    for (size_t i = 0; i < MARKER_CATEGORIES; i++) {
        struct dap_marker_capture *capture = &session->captures[i];
        if (capture->deadline_ns && capture->deadline_ns <= now_ns)
            give_back(session, capture);
    }
}

uint64_t output_next(const struct dap_session *session)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < MARKER_CATEGORIES; i++) {
        if (session->captures[i].deadline_ns && session->captures[i].deadline_ns < next)
            next = session->captures[i].deadline_ns;
    }
    return next;
}

/* The program has ended: a last line needs no newline; what might have begun one is what it is. */
void output_flush(struct dap_session *session)
{
    for (size_t i = 0; i < MARKER_CATEGORIES; i++) {
        struct dap_marker_capture *capture = &session->captures[i];
        if (capture->capturing)
            deliver(session, &capture->tail);
        capture->capturing = false;
        give_back(session, capture);
    }
}

void output_free(struct dap_session *session)
{
    for (size_t i = 0; i < MARKER_CATEGORIES; i++)
        bsk_buffer_free(&session->captures[i].tail);
}
