#include "proxy/wire/stream.h"

#include "engine/base/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, PIPE_BYTES = 1 << 20, CONNECT_TIMEOUT_MS = 10000, ADDRESSES_MAX = 8 };

union handle {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
    uv_tty_t tty;
};

struct connecting {
    struct sockaddr_storage addresses[ADDRESSES_MAX];
    size_t count, next;
    uv_getaddrinfo_t lookup;
    uv_connect_t request;
    uv_timer_t timer;
    dap_connected_fn *done;
    char host[256];
    uint16_t port;
    int error;
    bool timer_open, looking_up;
};

struct dap_stream {
    const struct dap_stream_events *events;
    void *user;
    uv_loop_t *loop;
    union handle in, out;
    uv_stream_t *write_to; /* &in.stream when one handle does both; NULL for a file, or nothing */
    uv_stream_t *read_from;
    uv_idle_t file_reader; /* a plain file is always ready */
    int file_in, file_out; /* -1: none */
    unsigned open_handles;
    bool reading, ended, closing, finishing, writable, connected, in_flight;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct bsk_buffer flying, waiting; /* what libuv holds, and what comes after that */
    struct connecting *connecting;
};

/* Reads are used up before the callback returns, so one buffer serves every stream of the thread.
 */
static char read_buffer[READ_BYTES];

static void on_handle_closed(uv_handle_t *handle)
{
    struct dap_stream *stream = handle->data;
    if (--stream->open_handles > 0)
        return;
    const struct dap_stream_events *events = stream->events;
    void *user = stream->user;
    bsk_buffer_free(&stream->flying);
    bsk_buffer_free(&stream->waiting);
    free(stream->connecting);
    free(stream);
    events->on_closed(user);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

void dap_stream_close(struct dap_stream *stream)
{
    if (!stream || stream->closing)
        return;
    stream->closing = stream->ended = true;
    if (stream->file_in >= 0)
        close(stream->file_in);
    if (stream->file_out >= 0 && stream->file_out != stream->file_in)
        close(stream->file_out);
    stream->file_in = stream->file_out = -1;
    if (stream->read_from)
        close_handle((uv_handle_t *)stream->read_from);
    if (stream->write_to && stream->write_to != stream->read_from)
        close_handle((uv_handle_t *)stream->write_to);
    if (stream->connecting && stream->connecting->timer_open)
        close_handle((uv_handle_t *)&stream->connecting->timer);
    if (stream->connecting && stream->connecting->looking_up)
        uv_cancel((uv_req_t *)&stream->connecting->lookup);
    close_handle((uv_handle_t *)&stream->file_reader);
}

static void end(struct dap_stream *stream, int error)
{
    if (stream->ended)
        return;
    stream->ended = true;
    dap_stream_read(stream, false);
    stream->events->on_end(stream->user, error == UV_EOF ? 0 : error);
}

/* ---- reading
 * ----------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(read_buffer, sizeof(read_buffer));
}

static void on_read(uv_stream_t *from, ssize_t size, const uv_buf_t *buf)
{
    struct dap_stream *stream = from->data;
    if (size > 0 && !stream->closing)
        stream->events->on_bytes(stream->user, buf->base, (size_t)size);
    else if (size < 0)
        end(stream, (int)size);
}

static void on_file_ready(uv_idle_t *idle)
{
    struct dap_stream *stream = idle->data;
    ssize_t size = read(stream->file_in, read_buffer, sizeof(read_buffer));
    if (size > 0)
        stream->events->on_bytes(stream->user, read_buffer, (size_t)size);
    else if (size == 0 || errno != EINTR)
        end(stream, size == 0 ? 0 : -errno);
}

void dap_stream_read(struct dap_stream *stream, bool on)
{
    on &= !stream->ended && !stream->closing;
    if (on == stream->reading || (stream->connecting && on && !stream->connected))
        return;
    stream->reading = on;
    if (stream->file_in >= 0) {
        if (on)
            uv_idle_start(&stream->file_reader, on_file_ready);
        else
            uv_idle_stop(&stream->file_reader);
    } else if (stream->read_from && !uv_is_closing((uv_handle_t *)stream->read_from)) {
        if (on)
            uv_read_start(stream->read_from, on_alloc, on_read);
        else
            uv_read_stop(stream->read_from);
    }
}

/* ---- writing
 * ----------------------------------------------------------------------------------------- */

size_t dap_stream_waiting(const struct dap_stream *stream)
{
    size_t flying = stream->in_flight && stream->write_to
                        ? uv_stream_get_write_queue_size(stream->write_to)
                        : 0;
    return flying + stream->waiting.size;
}

static void write_file(struct dap_stream *stream, const char *bytes, size_t size)
{
    while (size > 0 && stream->file_out >= 0) {
        ssize_t wrote = write(stream->file_out, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            stream->writable = false;
            return;
        }
        bytes += wrote;
        size -= (size_t)wrote;
    }
}

static void start_writing(struct dap_stream *stream);

static void on_shut_down(uv_shutdown_t *request, int status)
{
    (void)status;
    (void)request;
}

/* All is out: end the writing side. A pipe of its own is closed, a shared connection shut down. */
static void stop_writing(struct dap_stream *stream)
{
    stream->writable = false;
    if (!stream->write_to || stream->closing)
        return;
    if (stream->write_to == stream->read_from)
        uv_shutdown(&stream->shutdown, stream->write_to, on_shut_down);
    else
        close_handle((uv_handle_t *)stream->write_to);
}

static void on_written(uv_write_t *request, int status)
{
    struct dap_stream *stream = request->data;
    stream->in_flight = false;
    bsk_buffer_free(&stream->flying);
    if (stream->closing)
        return;
    if (status < 0) {
        stream->writable = false;
        bsk_buffer_free(&stream->waiting);
        end(stream, status);
        return;
    }
    if (stream->waiting.size > 0) {
        start_writing(stream);
        return;
    }
    if (stream->finishing)
        stop_writing(stream);
    if (stream->events->on_drained)
        stream->events->on_drained(stream->user);
}

static void start_writing(struct dap_stream *stream)
{
    stream->flying = stream->waiting;
    stream->waiting = (struct bsk_buffer){ 0 };
    uv_buf_t buf = uv_buf_init(stream->flying.data, (unsigned)stream->flying.size);
    stream->write.data = stream;
    stream->in_flight = true;
    int rc = uv_write(&stream->write, stream->write_to, &buf, 1, on_written);
    if (rc < 0) {
        stream->in_flight = stream->writable = false;
        bsk_buffer_free(&stream->flying);
    }
}

void dap_stream_write(struct dap_stream *stream, const char *bytes, size_t size)
{
    if (!stream->writable || stream->closing || stream->finishing || size == 0)
        return;
    if (!stream->write_to && !stream->connecting) {
        write_file(stream, bytes, size);
        return;
    }
    bool can_write = stream->connected && !stream->in_flight;
    if (can_write && stream->waiting.size == 0) {
        uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)size);
        int wrote = uv_try_write(stream->write_to, &buf, 1);
        if (wrote > 0) {
            bytes += wrote;
            size -= (size_t)wrote;
        }
    }
    if (size == 0)
        return;
    if (!bsk_buffer_append(&stream->waiting, bytes, size)) {
        stream->writable = false; /* out of memory; a hole in the stream would be worse */
        return;
    }
    if (can_write) /* an error of uv_try_write comes again, in on_written */
        start_writing(stream);
}

static bool is_pipe_or_socket(const uv_stream_t *stream)
{
    uv_handle_type type =
        stream ? uv_handle_get_type((const uv_handle_t *)stream) : UV_UNKNOWN_HANDLE;
    return type == UV_NAMED_PIPE || type == UV_TCP;
}

size_t dap_stream_splice(struct dap_stream *from, struct dap_stream *to, uint64_t most)
{
    uv_os_fd_t in, out;
    if (!is_pipe_or_socket(from->read_from) || !is_pipe_or_socket(to->write_to) || !to->connected ||
        !to->writable || to->closing || from->closing || to->in_flight || to->waiting.size > 0 ||
        uv_fileno((uv_handle_t *)from->read_from, &in) < 0 ||
        uv_fileno((uv_handle_t *)to->write_to, &out) < 0)
        return 0;
    if (most > PIPE_BYTES)
        most = PIPE_BYTES;
    ssize_t moved = splice(in, NULL, out, NULL, (size_t)most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    return moved > 0 ? (size_t)moved : 0; /* an end or an error comes again by read or write */
}

void dap_stream_finish_writing(struct dap_stream *stream)
{
    if (!stream || stream->closing || stream->finishing)
        return;
    stream->finishing = true;
    if (dap_stream_waiting(stream) == 0 && !stream->in_flight)
        stop_writing(stream);
}

/* ---- opening
 * ----------------------------------------------------------------------------------------- */

static struct dap_stream *new_stream(uv_loop_t *loop, const struct dap_stream_events *events,
                                     void *user, struct bsk_error *err)
{
    struct dap_stream *stream = calloc(1, sizeof(*stream));
    if (!stream) {
        bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        return NULL;
    }
    stream->loop = loop;
    stream->events = events;
    stream->user = user;
    stream->file_in = stream->file_out = -1;
    uv_idle_init(loop, &stream->file_reader);
    stream->file_reader.data = stream;
    stream->open_handles = 1;
    return stream;
}

/* Opens one descriptor as what it is; NULL with *out_file set for a plain file. */
static int open_one(struct dap_stream *stream, union handle *handle, int fd, uv_stream_t **out,
                    int *out_file)
{
    int rc = 0;
    *out = NULL;
    switch (uv_guess_handle(fd)) {
    case UV_TCP:
        uv_tcp_init(stream->loop, &handle->tcp);
        rc = uv_tcp_open(&handle->tcp, fd);
        if (rc == 0)
            uv_tcp_nodelay(&handle->tcp, 1);
        break;
    case UV_TTY:
        rc = uv_tty_init(stream->loop, &handle->tty, fd, 0);
        if (rc < 0)
            return rc;
        break;
    case UV_NAMED_PIPE:
        fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* fewer turns for large messages; a wish */
        uv_pipe_init(stream->loop, &handle->pipe, 0);
        rc = uv_pipe_open(&handle->pipe, fd);
        break;
    default:
        *out_file = fd;
        return 0;
    }
    handle->handle.data = stream;
    stream->open_handles++;
    *out = &handle->stream;
    return rc;
}

int dap_stream_open(uv_loop_t *loop, int in, int out, const struct dap_stream_events *events,
                    void *user, struct dap_stream **out_stream, struct bsk_error *err)
{
    struct dap_stream *stream = new_stream(loop, events, user, err);
    if (!stream)
        return BSK_E_MEMORY;
    int rc = open_one(stream, &stream->in, in, &stream->read_from, &stream->file_in);
    if (rc == 0 && out == in)
        stream->write_to = stream->read_from, stream->file_out = stream->file_in;
    else if (rc == 0 && out >= 0)
        rc = open_one(stream, &stream->out, out, &stream->write_to, &stream->file_out);
    stream->writable = out >= 0;
    stream->connected = true;
    *out_stream = stream;
    if (rc < 0)
        return bsk_fail(err, BSK_E_IO, NULL, "cannot use descriptors %d and %d: %s", in, out,
                        uv_strerror(rc));
    return BSK_OK;
}

static void open_tcp(struct dap_stream *stream)
{
    uv_tcp_init(stream->loop, &stream->in.tcp);
    stream->in.handle.data = stream;
    stream->open_handles++;
    stream->read_from = stream->write_to = &stream->in.stream;
    stream->writable = true;
}

int dap_stream_accept(uv_tcp_t *listener, const struct dap_stream_events *events, void *user,
                      struct dap_stream **out_stream, struct bsk_error *err)
{
    struct dap_stream *stream = new_stream(listener->loop, events, user, err);
    if (!stream)
        return BSK_E_MEMORY;
    open_tcp(stream);
    stream->connected = true;
    *out_stream = stream;
    int rc = uv_accept((uv_stream_t *)listener, stream->read_from);
    if (rc < 0)
        return bsk_fail(err, BSK_E_IO, NULL, "cannot take a connection: %s", uv_strerror(rc));
    uv_tcp_nodelay(&stream->in.tcp, 1);
    return BSK_OK;
}

/* ---- connecting
 * -------------------------------------------------------------------------------------- */

static void try_next(struct dap_stream *stream);

static void connecting_done(struct dap_stream *stream)
{
    struct connecting *c = stream->connecting;
    struct bsk_error err = { 0 };
    close_handle((uv_handle_t *)&c->timer);
    if (c->error == 0) {
        stream->connected = true;
        uv_tcp_nodelay(&stream->in.tcp, 1);
        if (stream->waiting.size > 0)
            start_writing(stream);
        c->done(stream->user, NULL);
        return;
    }
    bsk_fail(&err, BSK_E_IO, NULL, "cannot connect to %s:%u: %s", c->host, c->port,
             uv_strerror(c->error));
    dap_connected_fn *done = c->done;
    void *user = stream->user;
    dap_stream_close(stream);
    done(user, &err);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct dap_stream *stream = request->data;
    if (stream->closing || status == UV_ECANCELED)
        return; /* the handle was closed, for good or for the next address */
    stream->connecting->error = status;
    if (status == 0) {
        connecting_done(stream);
        return;
    }
    try_next(stream);
}

static void on_retry_closed(uv_handle_t *handle)
{
    struct dap_stream *stream = handle->data;
    stream->open_handles--;
    stream->read_from = stream->write_to = NULL;
    if (stream->closing) {
        stream->open_handles++;
        on_handle_closed(handle);
        return;
    }
    open_tcp(stream);
    struct connecting *c = stream->connecting;
    c->request.data = stream;
    c->error = uv_tcp_connect(&c->request, &stream->in.tcp,
                              (struct sockaddr *)&c->addresses[c->next++], on_connected);
    if (c->error < 0)
        try_next(stream);
}

static void try_next(struct dap_stream *stream)
{
    struct connecting *c = stream->connecting;
    if (c->next >= c->count) {
        connecting_done(stream);
        return;
    }
    uv_close(&stream->in.handle, on_retry_closed); /* a failed socket cannot be used again */
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct dap_stream *stream = timer->data;
    stream->connecting->error = UV_ETIMEDOUT;
    stream->connecting->next = stream->connecting->count;
    connecting_done(stream);
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct dap_stream *stream = request->data;
    struct connecting *c = stream->connecting;
    c->looking_up = false;
    for (struct addrinfo *at = found; at && c->count < ADDRESSES_MAX; at = at->ai_next)
        memcpy(&c->addresses[c->count++], at->ai_addr, at->ai_addrlen);
    uv_freeaddrinfo(found);
    if (stream->closing) {
        on_handle_closed((uv_handle_t *)&stream->file_reader);
        return;
    }
    stream->open_handles--;
    c->error = c->count ? 0 : status ? status : UV_EAI_NONAME;
    try_next(stream);
}

/* Numbers and "localhost" need no resolver (and no thread pool). */
static int find_addresses(struct dap_stream *stream)
{
    struct connecting *c = stream->connecting;
    bool local = strcmp(c->host, "localhost") == 0;
    if (uv_ip4_addr(local ? "127.0.0.1" : c->host, c->port,
                    (struct sockaddr_in *)&c->addresses[c->count]) == 0)
        c->count++;
    if (uv_ip6_addr(local ? "::1" : c->host, c->port,
                    (struct sockaddr_in6 *)&c->addresses[c->count]) == 0)
        c->count++;
    if (c->count > 0) {
        try_next(stream);
        return 0;
    }
    char service[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    snprintf(service, sizeof(service), "%u", c->port);
    c->lookup.data = stream;
    stream->open_handles++; /* the lookup holds the stream until it calls back */
    int rc = uv_getaddrinfo(stream->loop, &c->lookup, on_looked_up, c->host, service, &hints);
    c->looking_up = rc == 0;
    if (rc < 0)
        stream->open_handles--;
    return rc;
}

int dap_stream_connect(uv_loop_t *loop, const char *host, uint16_t port,
                       const struct dap_stream_events *events, dap_connected_fn *done, void *user,
                       struct dap_stream **out_stream, struct bsk_error *err)
{
    struct dap_stream *stream = new_stream(loop, events, user, err);
    struct connecting *c = stream ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        if (stream)
            uv_close((uv_handle_t *)&stream->file_reader, on_handle_closed);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    stream->connecting = c;
    c->done = done;
    c->port = port;
    snprintf(c->host, sizeof(c->host), "%s", host);
    uv_timer_init(loop, &c->timer);
    c->timer.data = stream;
    c->timer_open = true;
    stream->open_handles++;
    uv_timer_start(&c->timer, on_connect_timeout, CONNECT_TIMEOUT_MS, 0);
    open_tcp(stream);
    *out_stream = stream;
    int rc = find_addresses(stream);
    if (rc < 0)
        return bsk_fail(err, BSK_E_IO, NULL, "cannot look up %s: %s", host, uv_strerror(rc));
    return BSK_OK;
}
