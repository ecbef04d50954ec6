/*
 * The session object that the binary runs, with all rules on and an extension that uses all of its
 * functions. Input: one byte of options, then steps: a byte (what), two bytes (how many), the
 * bytes.
 *
 * What must hold: what comes out does not depend on how what goes in is cut; what no rule wants
 * comes out as it went in; every answer that was asked for comes exactly once.
 */
#include "engine/base/buffer.h"
#include "proxy/session/host.h"
#include "proxy/wire/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WITH_EXTENSION = 1, OVER_TCP = 2, DEBUGPY = 4, EXCHANGEABLE = 8, OPTED_IN = 16, HOLDS = 32 };

struct world {
    struct dap_session *session;
    struct bsk_buffer out[2], in[2];
    uint64_t now_ns, wake_ns;
    long awaited;
    unsigned options, random;
    bool finished, wants_connection;
};

static struct world *world; /* the one that runs */

static void host_write(void *user, enum dap_side to, const char *bytes, size_t size)
{
    struct world *w = user;
    bsk_buffer_append(&w->out[to], bytes, size);
}

static size_t host_waiting(void *user, enum dap_side to)
{
    (void)user;
    (void)to;
    return 0;
}

static uint64_t host_now(void *user)
{
    return ((struct world *)user)->now_ns;
}

static void host_wake_at(void *user, uint64_t at_ns)
{
    ((struct world *)user)->wake_ns = at_ns;
}

static void host_finish(void *user, const struct bsk_error *why)
{
    struct world *w = user;
    (void)why;
    if (w->finished)
        abort();
    w->finished = true;
}

static bool host_child_port(void *user, const char *host, uint16_t port, uint16_t *out_port)
{
    (void)user;
    (void)host;
    *out_port = (uint16_t)(port ^ 1);
    return true;
}

static void host_reconnect(void *user, const char *host, uint16_t port)
{
    (void)host;
    (void)port;
    ((struct world *)user)->wants_connection = true;
}

static void host_keep(void *user, enum dap_keep keep)
{
    (void)user;
    (void)keep;
}

static void host_trace(void *user, enum dap_party from, enum dap_party to, const char *bytes,
                       size_t size, unsigned flags)
{
    (void)user;
    (void)from;
    (void)to;
    (void)flags;
    if (size) { /* may they be read? */
        (void)*(const volatile char *)bytes;
        (void)*(const volatile char *)(bytes + size - 1);
    }
}

static const struct dap_host host = {
    .write = host_write,
    .waiting = host_waiting,
    .now_ns = host_now,
    .wake_at = host_wake_at,
    .finish = host_finish,
    .child_port = host_child_port,
    .reconnect = host_reconnect,
    .keep = host_keep,
    .trace = host_trace,
};

/* ---- the extension ---- */

static void answered(void *user, int rc, const char *text, size_t bytes,
                     const struct bsk_error *err)
{
    struct world *w = user;
    if (--w->awaited < 0 || (rc < 0) != (err != NULL))
        abort();
    if (rc == BSK_OK && bytes && text[bytes - 1] == '!')
        dap_session_output(w->session, "console", text, "/a/b.py", 7);
}

static void *ext_open(struct dap_session *session, void *parent, void *user)
{
    (void)session;
    (void)parent;
    (void)user;
    return world;
}

static bool ext_has(const char *text)
{
    return strncmp(text, "basilisk.", 9) == 0 || text[0] == '/';
}

static void ask_all(struct world *w)
{
    w->awaited += 3;
    dap_session_run(w->session, "_answer('x')", 100, answered, w);
    dap_session_ask(w->session, "threads", "{}", 100, answered, w);
    dap_session_find_pid(w->session, answered, w);
}

static void ext_on_request(void *state, const struct dap_request *request,
                           struct json_object *arguments)
{
    struct world *w = state;
    ask_all(w);
    if (strcmp(request->command, "basilisk.no") == 0) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_STATE, "do this", "%d", 5);
        dap_session_refuse(w->session, request, &err);
    } else {
        dap_session_respond(w->session, request, json_object_get(arguments));
        dap_session_event(w->session, "basilisk.status", "{}", 2, DAP_MAY_DROP);
    }
}

static void ext_on_console(void *state, const struct dap_request *request, const char *text)
{
    struct world *w = state;
    dap_session_respond(w->session, request, json_object_new_string(text));
}

static bool ext_on_completions(void *state, const char *text, struct json_object *targets)
{
    (void)state;
    json_object_array_add(targets, json_object_new_string(text));
    return text[0] && text[1] != 'n';
}

static void ext_on_configuration(void *state, struct json_object *key,
                                 struct json_object *arguments)
{
    (void)arguments;
    struct world *w = state;
    const char *text = json_object_to_json_string(key);
    dap_session_event(w->session, "basilisk.status", text, strlen(text), DAP_MAY_DROP);
}

static void ext_on_ready(void *state, bool has_channel)
{
    (void)has_channel;
    ask_all(state);
}

static void ext_on_moved(void *state)
{
    struct world *w = state;
    dap_session_event(w->session, "basilisk.status", NULL, 0, DAP_MAY_DROP);
}

static void ext_on_marker(void *state, const char *marker, const char *payload, size_t bytes)
{
    struct world *w = state;
    if (bytes && payload[0] != '{' && payload[0] != '[')
        abort();
    dap_session_output(w->session, "console", marker, NULL, 0);
}

static bool ext_on_ending(void *state)
{
    struct world *w = state;
    ask_all(w);
    return w->options & HOLDS;
}

static const struct dap_extension extension = {
    .open = ext_open,
    .has_request = ext_has,
    .on_request = ext_on_request,
    .has_console = ext_has,
    .on_console = ext_on_console,
    .on_completions = ext_on_completions,
    .on_configuration = ext_on_configuration,
    .on_ready = ext_on_ready,
    .on_stopped = ext_on_moved,
    .on_continued = ext_on_moved,
    .on_marker = ext_on_marker,
    .on_ending = ext_on_ending,
};

/* ---- playing ---- */

static void connect_now(struct world *w, bool works)
{
    struct bsk_error err = { 0 };
    if (!w->wants_connection)
        return;
    w->wants_connection = false;
    bsk_fail(&err, BSK_E_IO, NULL, "refused");
    dap_session_reconnected(w->session, works ? NULL : &err);
}

/* Mostly long, for speed, with runs of single bytes: the input's first byte begins the sequence. */
static size_t next_piece(struct world *w)
{
    w->random = w->random * 1103515245u + 12345u;
    unsigned r = w->random >> 16;
    return r & 7 ? 1 + (r >> 3 & 255) : 1 + (r >> 3 & 3);
}

static void step(struct world *w, unsigned what, const char *bytes, size_t size, bool split)
{
    struct bsk_error err = { 0 };
    enum dap_side side = what & 1 ? DAP_ADAPTER : DAP_EDITOR;
    bsk_fail(&err, BSK_E_GONE, "mend it", "it died");
    switch (what % 16) {
    case 12:
        dap_session_eof(w->session, DAP_EDITOR, NULL);
        break;
    case 13:
        dap_session_eof(w->session, DAP_ADAPTER, what & 16 ? &err : NULL);
        break;
    case 14:
        w->now_ns += (uint64_t)(what >> 4) * 100000000u;
        dap_session_tick(w->session);
        break;
    case 15:
        if (what & 16)
            connect_now(w, what & 32);
        else
            dap_session_release(w->session);
        break;
    default:
        bsk_buffer_append(&w->in[side], bytes, size);
        for (size_t at = 0; at < size;) {
            size_t piece = split ? next_piece(w) : size;
            if (piece > size - at)
                piece = size - at;
            dap_session_feed(w->session, side, bytes + at, piece);
            at += piece;
        }
    }
}

static void play(struct world *w, const uint8_t *data, size_t size, bool split)
{
    world = w;
    w->options = size ? data[0] : 0;
    w->now_ns = 1000000000;
    w->random = w->options + (unsigned)size;
    struct dap_session_options options = {
        .extension = w->options & WITH_EXTENSION ? &extension : NULL,
        .opted_in = w->options & OPTED_IN,
        .over_tcp = w->options & OVER_TCP,
        .adapter_is_debugpy = w->options & DEBUGPY,
        .adapter_is_exchangeable = w->options & EXCHANGEABLE,
    };
    w->session = dap_session_new(&host, w, &options);
    for (size_t at = 1; at + 3 <= size;) {
        unsigned what = data[at];
        size_t bytes = (size_t)data[at + 1] | (size_t)data[at + 2] << 8;
        at += 3;
        if (bytes > size - at)
            bytes = size - at;
        if (what % 16 >= 12)
            bytes = 0;
        step(w, what, (const char *)data + at, bytes, split);
        at += bytes;
    }
    dap_session_free(w->session);
    if (w->awaited != 0)
        abort();
}

/* No rule can want it, whatever the session has seen. */
static bool is_plain(const char *text, size_t size)
{
    static const char *const words[] = {
        "\\",
        "initialize",
        "launch",
        "attach",
        "disconnect",
        "terminate",
        "basilisk",
        "evaluate",
        "cancel",
        "restart",
        "loadedSources",
        "breakpointLocations",
        "readMemory",
        "output",
        "debugpy",
        "Breakpoint",
        "disassemble",
        "writeMemory",
        "stepBack",
        "reverse",
        "process",
        "stopped",
        "continued",
        "exited",
        "startDebugging",
        "completions",
        "10737",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (memmem(text, size, words[i], strlen(words[i])))
            return false;
    }
    return true;
}

/* Is it messages to its end, as far as it goes? What is none is the end of its side. */
static bool is_sound(const struct bsk_buffer *in)
{
    for (size_t at = 0; at < in->size;) {
        uint64_t body = 0;
        ssize_t header = dap_parse_header(in->data + at, in->size - at, &body, NULL);
        if (header < 0)
            return false;
        if (header == 0 || body > in->size - at - (size_t)header)
            break;
        at += (size_t)header + (size_t)body;
    }
    return true;
}

/* Everything that went in came out, except for the last message when it is not decided yet, and for
 * what is behind bytes that are no message. */
static void passed(const struct bsk_buffer *in, const struct bsk_buffer *out)
{
    size_t at = 0;
    if (out->size > in->size || (out->size && memcmp(in->data, out->data, out->size) != 0))
        abort();
    while (at < in->size) {
        uint64_t body = 0;
        ssize_t header = dap_parse_header(in->data + at, in->size - at, &body, NULL);
        if (header <= 0 || body > in->size - at - (size_t)header)
            break;
        at += (size_t)header + (size_t)body;
    }
    if (out->size < at)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world whole = { 0 }, split = { 0 };
    bool ends = false;
    play(&whole, data, size, false);
    play(&split, data, size, true);
    for (int side = 0; side < 2; side++) {
        const struct bsk_buffer *a = &whole.out[side], *b = &split.out[side];
        if (a->size != b->size || (a->size && memcmp(a->data, b->data, a->size) != 0))
            abort();
    }
    for (size_t i = 1; i + 3 <= size;) { /* did a side end, or the clock go on? */
        size_t bytes = data[i] % 16 >= 12 ? 0 : (size_t)data[i + 1] | (size_t)data[i + 2] << 8;
        ends |= data[i] % 16 >= 12;
        i += 3 + bytes;
    }
    if (!ends && !whole.finished && is_sound(&whole.in[0]) && is_sound(&whole.in[1]) &&
        is_plain(whole.in[0].data ? whole.in[0].data : "", whole.in[0].size) &&
        is_plain(whole.in[1].data ? whole.in[1].data : "", whole.in[1].size)) {
        passed(&whole.in[DAP_EDITOR], &whole.out[DAP_ADAPTER]);
        passed(&whole.in[DAP_ADAPTER], &whole.out[DAP_EDITOR]);
    }
    for (int side = 0; side < 2; side++) {
        bsk_buffer_free(&whole.out[side]);
        bsk_buffer_free(&whole.in[side]);
        bsk_buffer_free(&split.out[side]);
        bsk_buffer_free(&split.in[side]);
    }
    return 0;
}
