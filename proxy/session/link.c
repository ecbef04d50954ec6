/* One session's streams and timers. */
#include "proxy/session/link_inside.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void link_note(struct dap_link *link, const char *from, const char *note)
{
    if (link->hub->options->log)
        dap_log_note(link->hub->options->log, link->number, from, note);
}

/* ---- what the session asks of its host
 * -------------------------------------------------------------- */

static void host_write(void *user, enum dap_side to, const char *bytes, size_t size)
{
    struct dap_link *link = user;
    if (to == DAP_ADAPTER) {
        adapter_write(link, bytes, size);
    } else if (link->editor && !link->editor_ended) {
        dap_stream_write(link->editor, bytes, size);
    }
    link_regulate(link);
}

static size_t host_waiting(void *user, enum dap_side to)
{
    struct dap_link *link = user;
    struct dap_stream *stream = to == DAP_EDITOR ? link->editor
                                : link->adapter  ? link->adapter->stream
                                                 : NULL;
    return stream ? dap_stream_waiting(stream) : 0;
}

static uint64_t host_now(void *user)
{
    (void)user;
    return uv_hrtime();
}

static void on_wake(uv_timer_t *timer)
{
    struct dap_link *link = timer->data;
    if (link->session)
        dap_session_tick(link->session);
}

static void host_wake_at(void *user, uint64_t at_ns)
{
    struct dap_link *link = user;
    uint64_t now = uv_hrtime();
    if (link->timers_closed)
        return;
    if (at_ns == 0) {
        uv_timer_stop(&link->wake);
        return;
    }
    uv_update_time(link->hub->loop);
    uv_timer_start(&link->wake, on_wake, at_ns > now ? (at_ns - now + 999999) / 1000000 : 0, 0);
}

static void host_finish(void *user, const struct bsk_error *why)
{
    struct dap_link *link = user;
    if (why) {
        char sentence[1100];
        link->why = *why;
        link->failed = true;
        bsk_error_sentence(why, sentence, sizeof(sentence));
        fprintf(stderr, "basilisk: %s\n", sentence); /* editors show it, or keep it */
    }
    link_begin_end(link);
}

static bool host_child_port(void *user, const char *host, uint16_t port, uint16_t *out_port)
{
    struct dap_link *link = user;
    char note[32];
    if (!hub_child_port(link, host, port, out_port))
        return false;
    snprintf(note, sizeof(note), "child port %u", *out_port);
    link_note(link, "host", note);
    return true;
}

static void host_reconnect(void *user, const char *host, uint16_t port)
{
    adapter_exchange(user, host, port);
}

static const char *host_adapter_errors(void *user)
{
    struct dap_link *link = user;
    return link->adapter ? bsk_buffer_text(&link->adapter->tail) : "";
}

static bool host_injector_runs(void *user)
{
    struct dap_link *link = user;
    struct dap_processes below = { 0 };
    if (!link->adapter || !link->adapter->runs)
        return false;
    dap_processes_add_below(&below, link->adapter->child.pid);
    bool runs = below.count > 0;
    dap_processes_free(&below);
    return runs;
}

static void host_keep(void *user, enum dap_keep keep)
{
    struct dap_link *link = user;
    adapter_look_at_family(link);
    link->keep = keep;
}

static void host_trace(void *user, enum dap_party from, enum dap_party to, const char *bytes,
                       size_t size, unsigned flags)
{
    static const char *const names[] = { "editor", "adapter", "basilisk", "extension" };
    struct dap_link *link = user;
    dap_log_message(link->hub->options->log, link->number, names[from], names[to], bytes, size,
                    (flags & DAP_TRACE_FIRST) != 0, (flags & DAP_TRACE_LAST) != 0);
}

/* clang-format off */
#define HOST_DOES                            \
    .write = host_write,                     \
    .waiting = host_waiting,                 \
    .now_ns = host_now,                      \
    .wake_at = host_wake_at,                 \
    .finish = host_finish,                   \
    .child_port = host_child_port,           \
    .reconnect = host_reconnect,             \
    .adapter_errors = host_adapter_errors,   \
    .injector_runs = host_injector_runs,     \
    .keep = host_keep
/* clang-format on */
static const struct dap_host host_without_log = { HOST_DOES };
static const struct dap_host host_with_log = { HOST_DOES, .trace = host_trace };

/* ---- the editor's stream
 * ------------------------------------------------------------------------------- */

/* Something waits: while a large message passes, reading on would only copy it. */
static size_t busy_bytes(struct dap_link *link, enum dap_side from)
{
    return dap_session_passing(link->session, from) > MOVE_MIN_BYTES ? 0 : BUSY_BYTES;
}

/* A full queue stops the reading of its other side; answers to us are taken all the same. */
void link_regulate(struct dap_link *link)
{
    if (!link->session)
        return;
    size_t to_editor = host_waiting(link, DAP_EDITOR), to_adapter = host_waiting(link, DAP_ADAPTER);
    struct dap_stream *adapter = link->adapter ? link->adapter->stream : NULL;
    if (adapter && !link->adapter->connecting) {
        bool must = dap_session_must_read_adapter(link->session) && to_editor < ANSWERS_MAX_BYTES;
        if (to_editor > busy_bytes(link, DAP_ADAPTER) && !must && !link->ending)
            dap_stream_read(adapter, false);
        else if (to_editor <= RESUME_BYTES || must || link->ending)
            dap_stream_read(adapter, true);
    }
    if (link->editor) {
        if (to_adapter > busy_bytes(link, DAP_EDITOR))
            dap_stream_read(link->editor, false);
        else if (to_adapter <= RESUME_BYTES)
            dap_stream_read(link->editor, true);
    }
}

/* Large messages that pass go from one pipe to the other inside the kernel. */
void link_move(struct dap_link *link, enum dap_side from)
{
    struct dap_stream *adapter = link->adapter ? link->adapter->stream : NULL;
    struct dap_stream *source = from == DAP_EDITOR ? link->editor : adapter;
    struct dap_stream *target = from == DAP_EDITOR ? adapter : link->editor;
    uint64_t left;
    if (link->ending || !source || !target || link->adapter->connecting ||
        (from == DAP_EDITOR ? (!link->adapter->spoke || link->adapter->held) : link->editor_ended))
        return; /* what it may have to be told again, or goes nowhere, is copied */
    for (size_t moved = 0; moved < MOVE_MAX_BYTES;) {
        left = dap_session_passing(link->session, from);
        size_t now = left > MOVE_MIN_BYTES ? dap_stream_splice(source, target, left) : 0;
        if (now == 0)
            break;
        dap_session_passed(link->session, from, now);
        moved += now;
    }
}

static void on_editor_bytes(void *user, const char *bytes, size_t size)
{
    struct dap_link *link = user;
    if (link->ending)
        return;
    dap_session_feed(link->session, DAP_EDITOR, bytes, size);
    link_move(link, DAP_EDITOR);
    if (!link->ending && !link->adapter_tried)
        adapter_start(link); /* a connection that says something sensible */
    link_regulate(link);
}

void link_editor_gone(struct dap_link *link)
{
    if (link->editor_ended || !link->session) /* it may be over, and only wait for its handles */
        return;
    link->editor_ended = true;
    adapter_look_at_family(link);
    link_note(link, "editor", "has ended");
    dap_session_eof(link->session, DAP_EDITOR, NULL);
}

static void on_editor_end(void *user, int error)
{
    (void)error;
    link_editor_gone(user);
}

static void on_editor_drained(void *user)
{
    struct dap_link *link = user;
    if (link->session && !link->ending) {
        dap_session_drained(link->session);
        link_move(link, DAP_ADAPTER);
    }
    link_regulate(link);
}

static void on_editor_closed(void *user)
{
    struct dap_link *link = user;
    link->editor = NULL;
    link_check_end(link);
}

const struct dap_stream_events link_editor_events = {
    .on_bytes = on_editor_bytes,
    .on_end = on_editor_end,
    .on_drained = on_editor_drained,
    .on_closed = on_editor_closed,
};

/* ---- the end
 * -------------------------------------------------------------------------------------------- */

static void on_end_timer(uv_timer_t *timer);

static void set_timer(struct dap_link *link, uint64_t ms)
{
    if (!link->timers_closed)
        uv_timer_start(&link->timer, on_end_timer, ms, 0);
}

/* Sessions of subprocesses go on over this one's adapter. */
static bool has_children(const struct dap_link *link)
{
    for (const struct dap_link *other = link->hub->links; other; other = other->next) {
        if (other->parent == link && !other->ending)
            return true;
    }
    return false;
}

static void step_to_the_end(struct dap_link *link)
{
    if (has_children(link) && !link->hub->stopping) {
        link->ending_since_ns = uv_hrtime();
        set_timer(link, 100);
        return;
    }
    if (!link->adapter_finished) {
        link->adapter_finished = true;
        adapter_look_at_family(link);
        adapter_finish(link);
    }
    uint64_t ms = (uv_hrtime() - link->ending_since_ns) / 1000000;
    if (link->keep == DAP_KEEP_ALL)
        adapter_give_up(link);
    else if (link->keep == DAP_KEEP_DEBUGGEE && ms >= LET_GO_AFTER_MS)
        adapter_let_go(link);
    bool through = adapter_is_through(link);
    bool editor_has_all =
        !link->editor || link->editor_ended || dap_stream_waiting(link->editor) == 0;
    if (through && (editor_has_all || ms >= KILL_AFTER_MS)) {
        adapter_close_all(link);
        dap_stream_close(link->editor);
        link_check_end(link);
        return;
    }
    if (!through && ms >= TERM_AFTER_MS) {
        int number = ms >= KILL_AFTER_MS ? SIGKILL : SIGTERM;
        adapter_look_at_family(link); /* what they started meanwhile goes as well */
        adapter_kill_all(link, number);
    }
    if (ms >= GIVE_UP_AFTER_MS)
        adapter_give_up(link); /* it cannot be killed: leave it to init */
    uv_update_time(link->hub->loop);
    set_timer(link, through || ms < 200 ? 10 : 100);
}

static void on_end_timer(uv_timer_t *timer)
{
    step_to_the_end(timer->data);
}

void link_begin_end(struct dap_link *link)
{
    if (link->ending)
        return;
    link->ending = true;
    link->ending_since_ns = uv_hrtime();
    adapter_look_at_family(link);
    hub_close_ports(&link->ports);
    uv_update_time(link->hub->loop);
    set_timer(link, 0); /* not from inside of a session's function */
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct dap_link *link = handle->data;
    link->open_timers--;
    link_check_end(link);
}

void link_check_end(struct dap_link *link)
{
    if (!link->ending || link->editor || link->adapters)
        return;
    if (!link->timers_closed) {
        link->timers_closed = true;
        dap_session_free(link->session);
        link->session = NULL;
        uv_close((uv_handle_t *)&link->wake, on_timer_closed);
        uv_close((uv_handle_t *)&link->timer, on_timer_closed);
        return;
    }
    if (link->open_timers > 0)
        return;
    struct dap_hub *hub = link->hub;
    hub_link_gone(hub, link);
    bsk_buffer_free(&link->sent);
    dap_processes_free(&link->family);
    free(link);
}

/* ---- the beginning
 * ---------------------------------------------------------------------------------------- */

struct dap_link *link_new(struct dap_hub *hub, bool over_tcp, struct dap_link *parent,
                          struct bsk_error *err)
{
    struct dap_link *link = calloc(1, sizeof(*link));
    if (!link) {
        bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        return NULL;
    }
    link->hub = hub;
    link->number = hub->next_number++;
    link->over_tcp = over_tcp;
    link->parent = parent;
    link->sent.max_bytes = RESEND_MAX_BYTES;
    uv_timer_init(hub->loop, &link->wake);
    uv_timer_init(hub->loop, &link->timer);
    link->wake.data = link->timer.data = link;
    link->open_timers = 2;
    struct dap_session_options options = {
        .extension = hub->options->extension,
        .extension_user = hub->options->extension_user,
        .parent_state = parent ? dap_session_extension_state(parent->session) : NULL,
        .opted_in = parent != NULL,
        .over_tcp = over_tcp,
        .adapter_is_debugpy = !hub->options->connect_host && !hub->options->command && !parent,
        .adapter_is_exchangeable = !parent && !hub->options->connect_host,
    };
    link->session =
        dap_session_new(hub->options->log ? &host_with_log : &host_without_log, link, &options);
    link->next = hub->links;
    hub->links = link;
    char note[80];
    snprintf(note, sizeof(note), "options%s%s%s%s", options.over_tcp ? " tcp" : "",
             options.adapter_is_debugpy ? " debugpy" : "",
             options.adapter_is_exchangeable ? " exchangeable" : "",
             options.opted_in ? " opted-in" : "");
    link_note(link, "host", note);
    if (!link->session) {
        bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        link->ending = true;
        link_check_end(link);
        return NULL;
    }
    return link;
}

void link_start(struct dap_link *link)
{
    dap_stream_read(link->editor, true);
}
