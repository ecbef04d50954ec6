/*
 * One peer as a stream of bytes, both ways: the process's own stdin and stdout (pipe, socket,
 * terminal or plain file), the pipes of an adapter, or a TCP connection.
 *
 * What is written goes out at once where the peer takes it; the rest waits in memory, and the owner
 * looks at dap_stream_waiting() and stops reading its other peer (back-pressure).
 *
 * Ownership: the owner holds the stream until on_closed; dap_stream_close() asks for that and is
 * harmless the second time. After it no function but on_closed is called.
 * Threads: the loop's.
 */
#ifndef DAP_WIRE_STREAM_H
#define DAP_WIRE_STREAM_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct dap_stream;

struct dap_stream_events {
    /* The bytes live until the function returns. */
    void (*on_bytes)(void *user, const char *bytes, size_t size);
    /* No more will come, or nothing more can be written: `error` is 0 or a negative libuv code.
     * Comes once. */
    void (*on_end)(void *user, int error);
    void (*on_drained)(void *user); /* nothing waits any more, after something did */
    void (*on_closed)(void *user);  /* the last call; the stream is gone when it returns */
};

/* Takes over both descriptors; they may be equal. `out` below 0: nothing can be written. Not
 * reading yet. */
int dap_stream_open(uv_loop_t *loop, int in, int out, const struct dap_stream_events *events,
                    void *user, struct dap_stream **out_stream, struct bsk_error *err);

/* Takes the connection that waits at `listener`. */
int dap_stream_accept(uv_tcp_t *listener, const struct dap_stream_events *events, void *user,
                      struct dap_stream **out_stream, struct bsk_error *err);

/* Connects by TCP; `done` is called once, later, and on failure the stream is closed by itself
 * (on_closed comes). What is written before that waits. Each address that the name has is tried, 10
 * s in all. */
typedef void dap_connected_fn(void *user, const struct bsk_error *err);
int dap_stream_connect(uv_loop_t *loop, const char *host, uint16_t port,
                       const struct dap_stream_events *events, dap_connected_fn *done, void *user,
                       struct dap_stream **out_stream, struct bsk_error *err);

void dap_stream_read(struct dap_stream *stream, bool on);
void dap_stream_write(struct dap_stream *stream, const char *bytes, size_t size);
size_t dap_stream_waiting(const struct dap_stream *stream);

/*
 * Moves up to `most` bytes that wait at `from` on to `to` inside the kernel, without a copy.
 * Returns how many, 0 when nothing can be moved so now, or ever (none of the two is a pipe,
 * something waits at `to`): then read and write as always.
 */
size_t dap_stream_splice(struct dap_stream *from, struct dap_stream *to, uint64_t most);

/* Ends the writing side once what waits is out; reading goes on. A TCP connection is shut down. */
void dap_stream_finish_writing(struct dap_stream *stream);

/* Closes now; what waits is lost. Accepts NULL. */
void dap_stream_close(struct dap_stream *stream);

#endif
