/* A link's adapter: started or connected to, watched, exchanged, and ended. */
#include "proxy/session/link_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void start_process(struct dap_link *link, size_t python);

/* ---- lives
 * ------------------------------------------------------------------------------------------ */

static void free_when_done(struct dap_adapter *adapter)
{
    struct dap_link *link = adapter->link;
    if (!adapter->closing || adapter->open_handles > 0 || adapter->runs)
        return;
    struct dap_adapter **at = &link->adapters;
    while (*at != adapter)
        at = &(*at)->next;
    *at = adapter->next;
    if (link->adapter == adapter)
        link->adapter = NULL;
    bsk_buffer_free(&adapter->tail);
    free(adapter);
    link_check_end(link);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct dap_adapter *adapter = handle->data;
    adapter->open_handles--;
    free_when_done(adapter);
}

static struct dap_adapter *new_adapter(struct dap_link *link)
{
    struct dap_adapter *adapter = calloc(1, sizeof(*adapter));
    if (!adapter)
        return NULL;
    adapter->link = link;
    adapter->next = link->adapters;
    link->adapters = adapter;
    uv_timer_init(link->hub->loop, &adapter->timer);
    adapter->timer.data = adapter;
    adapter->open_handles = 1;
    return adapter;
}

static void close_adapter(struct dap_adapter *adapter)
{
    if (adapter->closing)
        return;
    adapter->closing = true;
    dap_stream_close(adapter->stream);
    dap_stream_close(adapter->errors);
    uv_close((uv_handle_t *)&adapter->timer, on_timer_closed);
}

/* ---- how it failed
 * ---------------------------------------------------------------------------------- */

/* The last line that says something. */
static void last_line(struct bsk_buffer *tail, char *out, size_t size)
{
    const char *text = bsk_buffer_text(tail);
    size_t end = strlen(text);
    while (end > 0 && strchr(" \r\n\t", text[end - 1]))
        end--;
    size_t from = end;
    while (from > 0 && text[from - 1] != '\n')
        from--;
    snprintf(out, size, "%.*s", (int)(end - from), text + from);
}

/* ".../python3: No module named debugpy": the interpreter runs, and pip can mend it. */
static bool lacks_debugpy(struct dap_adapter *adapter)
{
    const char *text = bsk_buffer_text(&adapter->tail);
    return strstr(text, "No module named") && strstr(text, "debugpy");
}

static void describe_death(struct dap_adapter *adapter, struct bsk_error *err)
{
    const struct dap_hub_options *options = adapter->link->hub->options;
    char line[300], hint[400] = "", status[64] = "";
    last_line(&adapter->tail, line, sizeof(line));
    if (!adapter->is_process) {
        bsk_fail(err, BSK_E_GONE, NULL, "the debug adapter has closed the connection");
        return;
    }
    if (!adapter->runs && WIFSIGNALED(adapter->status))
        snprintf(status, sizeof(status), " (killed by signal %d)", WTERMSIG(adapter->status));
    else if (!adapter->runs)
        snprintf(status, sizeof(status), " (exit code %d)", WEXITSTATUS(adapter->status));
    if (!options->command && lacks_debugpy(adapter))
        snprintf(hint, sizeof(hint), "run `%s -m pip install debugpy`",
                 options->pythons[adapter->python]);
    bsk_fail(err, BSK_E_GONE, hint, "%s%s%s%s",
             adapter->spoke ? "the debug adapter has ended unexpectedly"
                            : "the debug adapter did not start",
             status, line[0] ? ": " : "", line);
}

static void tell_session(struct dap_link *link, const struct bsk_error *err)
{
    char note[1100] = "has ended";
    if (err)
        bsk_error_sentence(err, note, sizeof(note));
    link_note(link, "adapter", note);
    struct bsk_error gone = { .code = BSK_E_GONE };
    snprintf(gone.message, sizeof(gone.message), "%s", err ? err->message : "");
    snprintf(gone.hint, sizeof(gone.hint), "%s", err ? err->hint : "");
    dap_session_eof(link->session, DAP_ADAPTER, err ? &gone : NULL);
}

/* It will say no more. */
static void died(struct dap_adapter *adapter)
{
    struct dap_link *link = adapter->link;
    const struct dap_hub_options *options = link->hub->options;
    struct bsk_error err = { 0 };
    if (adapter->gone)
        return;
    adapter->gone = true;
    bool current = link->adapter == adapter;
    bool orderly = dap_session_has_ended(link->session);
    describe_death(adapter, &err);
    bool try_next = current && !adapter->spoke && adapter->is_process && !options->command &&
                    lacks_debugpy(adapter) && !link->sent.failed && !link->ending &&
                    options->pythons[adapter->python + 1];
    if (current && !link->first_failure.code)
        link->first_failure = err;
    size_t python = adapter->python;
    if (current)
        link->adapter = NULL;
    close_adapter(adapter);
    if (try_next)
        start_process(link, python + 1);
    else if (current && !link->ending && !link->awaited)
        tell_session(link, orderly ? NULL : &link->first_failure);
}

/* ---- its streams
 * -------------------------------------------------------------------------------------- */

enum {
    LAST_BYTES_MS = 50,
    GREETING_MS = 2,            /* all of it comes in one go */
    GREETING_AT_LAST_MS = 1000, /* it does not greet: some other debugpy */
};

static void on_grace_over(uv_timer_t *timer)
{
    died(timer->data);
}

/* A process has ended when it is reaped and its pipes are read to the end; another that it started
 * may hold them open, so only a moment is given. */
static void settle(struct dap_adapter *adapter)
{
    if (adapter->closing || adapter->gone)
        return;
    bool pipes_ended = adapter->output_ended && adapter->errors_ended;
    if (!adapter->is_process ? adapter->output_ended : !adapter->runs && pipes_ended) {
        died(adapter);
    } else if (!adapter->runs || adapter->output_ended) {
        uv_update_time(adapter->link->hub->loop);
        uv_timer_start(&adapter->timer, on_grace_over,
                       adapter->runs ? EXIT_AFTER_EOF_MS : LAST_BYTES_MS, 0);
        if (!adapter->runs)
            dap_stream_read(adapter->stream, true); /* what it said last, whoever is slow */
    }
}

void adapter_reaped(struct dap_adapter *adapter, int status)
{
    adapter->runs = false;
    adapter->status = status;
    settle(adapter);
    free_when_done(adapter);
}

/* What was sent is with an adapter that works: no other one needs it. */
static void forget_sent(struct dap_link *link)
{
    bsk_buffer_free(&link->sent);
    link->sent.failed = true; /* never again */
}

/*
 * debugpy greets from one thread and answers `initialize` from another; what is there when it
 * starts makes them race, and then even its sequence numbers may come out of order. So it may greet
 * first.
 */
static void let_in(struct dap_adapter *adapter)
{
    struct dap_link *link = adapter->link;
    if (!adapter->held)
        return;
    adapter->held = false;
    if (adapter->runs && !adapter->output_ended)
        uv_timer_stop(&adapter->timer); /* else it counts its last moments */
    if (adapter->stream && link->adapter == adapter && link->sent.size)
        dap_stream_write(adapter->stream, link->sent.data, link->sent.size);
    if (adapter->spoke)
        forget_sent(link);
}

static void on_greeted(uv_timer_t *timer)
{
    let_in(timer->data);
}

static void on_bytes(void *user, const char *bytes, size_t size)
{
    struct dap_adapter *adapter = user;
    struct dap_link *link = adapter->link;
    if (link->adapter != adapter || adapter->gone)
        return;
    if (!adapter->spoke) {
        adapter->spoke = true;
        if (adapter->held)
            uv_timer_start(&adapter->timer, on_greeted, GREETING_MS, 0);
        else
            forget_sent(link);
    }
    dap_session_feed(link->session, DAP_ADAPTER, bytes, size);
    link_move(link, DAP_ADAPTER);
    link_regulate(link);
}

static void on_end(void *user, int error)
{
    struct dap_adapter *adapter = user;
    (void)error;
    adapter->output_ended = true;
    settle(adapter);
}

static void on_drained(void *user)
{
    struct dap_adapter *adapter = user;
    if (adapter->link->adapter == adapter)
        link_move(adapter->link, DAP_EDITOR);
    link_regulate(adapter->link);
}

static void on_closed(void *user)
{
    struct dap_adapter *adapter = user;
    adapter->stream = NULL;
    adapter->open_handles--;
    free_when_done(adapter);
}

static const struct dap_stream_events adapter_events = { on_bytes, on_end, on_drained, on_closed };

/* What it complains of goes on to our stderr, where the editor looks for it; the end is kept. */
static void on_error_bytes(void *user, const char *bytes, size_t size)
{
    struct dap_adapter *adapter = user;
    ssize_t ignored = write(STDERR_FILENO, bytes, size);
    (void)ignored;
    size_t skip = size > STDERR_TAIL_BYTES ? size - STDERR_TAIL_BYTES : 0;
    bsk_buffer_append(&adapter->tail, bytes + skip, size - skip);
    if (adapter->tail.size > STDERR_TAIL_BYTES)
        bsk_buffer_consume(&adapter->tail, adapter->tail.size - STDERR_TAIL_BYTES);
}

static void on_errors_end(void *user, int error)
{
    struct dap_adapter *adapter = user;
    (void)error;
    adapter->errors_ended = true;
    settle(adapter);
}

static void on_errors_closed(void *user)
{
    struct dap_adapter *adapter = user;
    adapter->errors = NULL;
    adapter->open_handles--;
    free_when_done(adapter);
}

static const struct dap_stream_events error_events = { on_error_bytes, on_errors_end, NULL,
                                                       on_errors_closed };

/* ---- starting
 * ------------------------------------------------------------------------------------------ */

static void open_pipes(struct dap_adapter *adapter, struct bsk_error *err)
{
    uv_loop_t *loop = adapter->link->hub->loop;
    dap_stream_open(loop, adapter->child.out, adapter->child.in, &adapter_events, adapter,
                    &adapter->stream, err);
    dap_stream_open(loop, adapter->child.err, -1, &error_events, adapter, &adapter->errors, err);
    adapter->open_handles += (adapter->stream != NULL) + (adapter->errors != NULL);
}

static void start_process(struct dap_link *link, size_t python)
{
    const struct dap_hub_options *options = link->hub->options;
    struct bsk_error err = { 0 };
    char *module[] = { NULL, "-m", "debugpy.adapter", NULL };
    char *const *argv = options->command;
    if (!argv) {
        module[0] = options->pythons[python];
        argv = module;
    }
    struct dap_adapter *adapter = new_adapter(link);
    if (!adapter)
        return;
    adapter->python = python;
    link->adapter_tried = true;
    if (!argv[0])
        bsk_fail(&err, BSK_E_IO, "give one with --python", "no python3 was found");
    else
        dap_child_start(argv, &adapter->child, &err);
    if (err.code) {
        if (!options->command && argv[0])
            snprintf(err.hint, sizeof(err.hint), "give the right one with --python");
        if (!link->first_failure.code)
            link->first_failure = err;
        close_adapter(adapter);
        if (argv[0] && !options->command && options->pythons[python + 1])
            start_process(link, python + 1);
        else
            tell_session(link, &link->first_failure);
        return;
    }
    adapter->is_process = adapter->runs = true;
    open_pipes(adapter, &err);
    link->adapter = adapter;
    if (!options->command) {
        adapter->held = true;
        uv_update_time(link->hub->loop);
        uv_timer_start(&adapter->timer, on_greeted, GREETING_AT_LAST_MS, 0);
    } else if (link->sent.size) {
        dap_stream_write(adapter->stream, link->sent.data, link->sent.size);
    }
    dap_stream_read(adapter->stream, true);
    dap_stream_read(adapter->errors, true);
}

void adapter_start(struct dap_link *link)
{
    const struct dap_hub_options *options = link->hub->options;
    if (options->connect_host)
        adapter_connect(link, options->connect_host, options->connect_port);
    else
        start_process(link, 0);
}

/* ---- connecting
 * ------------------------------------------------------------------------------------------ */

static void tell_reconnected(struct dap_link *link, const struct bsk_error *err)
{
    char note[1100] = "connected";
    if (err)
        bsk_error_sentence(err, note, sizeof(note));
    link_note(link, "host", note);
    dap_session_reconnected(link->session, err);
}

static void on_connected(void *user, const struct bsk_error *failure)
{
    struct dap_adapter *adapter = user;
    struct dap_link *link = adapter->link;
    struct bsk_error err = failure ? *failure : (struct bsk_error){ 0 };
    adapter->connecting = false;
    if (failure) {
        adapter->gone = true;
        snprintf(err.hint, sizeof(err.hint),
                 "is `python -m debugpy --listen` running there, and still waiting?");
    }
    if (link->awaited == adapter) {
        link->awaited = NULL;
        if (!failure) {
            /* The spare one is not needed any more; it ends as its input does. */
            if (link->adapter)
                dap_stream_finish_writing(link->adapter->stream);
            link->adapter = adapter;
            dap_stream_read(adapter->stream, true);
        }
        if (!link->ending)
            tell_reconnected(link, failure ? &err : NULL);
        if (failure && !link->adapter && !link->ending)
            tell_session(link, &err);
    } else if (failure) {
        link->adapter = NULL;
        if (!link->ending)
            tell_session(link, &err);
    } else {
        dap_stream_read(adapter->stream, true);
    }
    if (failure)
        close_adapter(adapter);
}

static struct dap_adapter *connect_to(struct dap_link *link, const char *host, uint16_t port,
                                      struct bsk_error *err)
{
    struct dap_adapter *adapter = new_adapter(link);
    link->adapter_tried = true;
    if (!adapter) {
        bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        return NULL;
    }
    adapter->connecting = true;
    int rc = dap_stream_connect(link->hub->loop, host, port, &adapter_events, on_connected, adapter,
                                &adapter->stream, err);
    adapter->open_handles += adapter->stream != NULL;
    if (rc < 0) {
        adapter->gone = true;
        close_adapter(adapter);
        return NULL;
    }
    return adapter;
}

void adapter_connect(struct dap_link *link, const char *host, uint16_t port)
{
    struct bsk_error err = { 0 };
    link->adapter = connect_to(link, host, port, &err);
    if (link->adapter && link->sent.size)
        dap_stream_write(link->adapter->stream, link->sent.data, link->sent.size);
    bsk_buffer_free(&link->sent);
    link->sent.failed = true;
    if (!link->adapter)
        tell_session(link, &err);
}

void adapter_exchange(struct dap_link *link, const char *host, uint16_t port)
{
    struct bsk_error err = { 0 };
    link->awaited = connect_to(link, host, port, &err);
    if (!link->awaited)
        tell_reconnected(link, &err);
}

/* ---- writing and ending
 * ------------------------------------------------------------------------------------ */

void adapter_write(struct dap_link *link, const char *bytes, size_t size)
{
    struct dap_adapter *adapter = link->adapter;
    if ((!adapter || !adapter->spoke || adapter->held) &&
        !bsk_buffer_append(&link->sent, bytes, size) && adapter)
        let_in(adapter); /* too much to keep: what was kept goes first */
    if (adapter && adapter->stream && !adapter->gone && !adapter->held)
        dap_stream_write(adapter->stream, bytes, size);
}

void adapter_look_at_family(struct dap_link *link)
{
    dap_processes_prune(&link->family);
    for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next) {
        if (adapter->runs)
            dap_processes_add_below(&link->family, adapter->child.pid);
    }
    for (size_t i = 0, count = link->family.count; i < count; i++)
        dap_processes_add_below(&link->family, link->family.list[i].pid);
}

void adapter_finish(struct dap_link *link)
{
    for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next) {
        if (adapter->is_process || dap_stream_waiting(adapter->stream) > 0) {
            dap_stream_finish_writing(adapter->stream);
            dap_stream_read(adapter->stream, true); /* it must not block on a full pipe */
        } else {
            close_adapter(adapter);
        }
    }
}

void adapter_close_all(struct dap_link *link)
{
    for (struct dap_adapter *adapter = link->adapters, *next; adapter; adapter = next) {
        next = adapter->next;
        close_adapter(adapter);
    }
}

void adapter_kill_all(struct dap_link *link, int signal_number)
{
    for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next) {
        if (adapter->runs)
            kill(adapter->child.pid, signal_number);
    }
    if (link->keep == DAP_KEEP_NOTHING)
        dap_processes_kill(&link->family, signal_number);
}

void adapter_give_up(struct dap_link *link)
{
    for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next)
        adapter->runs = false;
    dap_processes_free(&link->family);
}

/* The launcher, a child of the adapter, would kill the debuggee, its own child, when it hears that
 * the adapter has gone: so it goes first, and unheard. */
void adapter_let_go(struct dap_link *link)
{
    for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next) {
        struct dap_processes launchers = { 0 };
        if (!adapter->runs)
            continue;
        dap_processes_add_children(&launchers, adapter->child.pid);
        dap_processes_kill(&launchers, SIGKILL);
        dap_processes_free(&launchers);
        kill(adapter->child.pid, SIGKILL);
    }
}

bool adapter_is_through(struct dap_link *link)
{
    for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next) {
        if (adapter->runs ||
            (!adapter->is_process && adapter->stream && dap_stream_waiting(adapter->stream) > 0))
            return false;
    }
    return link->keep != DAP_KEEP_NOTHING || dap_processes_prune(&link->family) == 0;
}
