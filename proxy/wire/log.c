#include "proxy/wire/log.h"

#include "engine/base/buffer.h"
#include "engine/base/clock.h"
#include "proxy/wire/validate.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WHOLE_MAX_BYTES = 1 << 20, QUEUE_MAX_BYTES = 16 << 20 };

/* A message that goes by, of one direction of one session. */
struct lane {
    struct lane *next;
    unsigned session;
    char from[16], to[16];
    struct bsk_buffer body; /* what came so far; nothing more once it streams */
    double time;
    bool lost;
};

struct dap_log {
    /* The caller's: */
    struct lane *lanes;
    struct lane *streaming;   /* its line is half written */
    bool cut;                 /* a piece of it did not fit */
    struct bsk_buffer behind; /* lines that wait for its end */
    size_t lost;              /* messages, since the last line that said so */
    uint64_t began_ns;
    /* Shared with the writer: */
    pthread_mutex_t lock;
    pthread_cond_t bell;
    struct bsk_buffer queue;
    bool stop;
    /* The writer's: */
    pthread_t writer;
    int fd;
};

/* ---- the writer's thread
 * ------------------------------------------------------------------------------ */

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, bytes, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return; /* a full disk costs the log, not the session */
        bytes += wrote;
        size -= (size_t)wrote;
    }
}

static void *write_queue(void *argument)
{
    struct dap_log *log = argument;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        while (log->queue.size == 0 && !log->stop)
            pthread_cond_wait(&log->bell, &log->lock);
        if (log->queue.size == 0)
            break;
        struct bsk_buffer taken = log->queue;
        log->queue = (struct bsk_buffer){ .max_bytes = QUEUE_MAX_BYTES };
        pthread_mutex_unlock(&log->lock);
        write_all(log->fd, taken.data, taken.size);
        bsk_buffer_free(&taken);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

int dap_log_open(const char *path, struct dap_log **out_log, struct bsk_error *err)
{
    sigset_t all, before;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct dap_log *log = fd < 0 ? NULL : calloc(1, sizeof(*log));
    if (!log) {
        int rc =
            bsk_fail(err, BSK_E_IO, NULL, "cannot write the log %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    log->fd = fd;
    log->began_ns = bsk_now_ns();
    log->queue.max_bytes = QUEUE_MAX_BYTES;
    log->behind.max_bytes = QUEUE_MAX_BYTES;
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->bell, NULL);
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&log->writer, NULL, write_queue, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        close(fd);
        free(log);
        return bsk_fail(err, BSK_E_IO, NULL, "cannot start the log's thread: %s", strerror(rc));
    }
    *out_log = log;
    return BSK_OK;
}

/* ---- lines
 * ---------------------------------------------------------------------------------------------- */

/* False when the disk is so slow that there is no room. */
static bool push(struct dap_log *log, const char *bytes, size_t size)
{
    pthread_mutex_lock(&log->lock);
    bool fits =
        log->queue.size + size <= QUEUE_MAX_BYTES && bsk_buffer_append(&log->queue, bytes, size);
    if (fits)
        pthread_cond_signal(&log->bell);
    pthread_mutex_unlock(&log->lock);
    return fits;
}

static void push_line(struct dap_log *log, const struct bsk_buffer *line)
{
    char missing[128];
    if (log->streaming) {
        if (log->behind.size + line->size > QUEUE_MAX_BYTES ||
            !bsk_buffer_append(&log->behind, line->data, line->size))
            log->lost++;
        return;
    }
    if (log->lost > 0) {
        int length =
            snprintf(missing, sizeof(missing),
                     "{\"time\":%.6f,\"from\":\"log\",\"note\":\"%zu messages are missing\"}\n",
                     (double)(bsk_now_ns() - log->began_ns) / 1e9, log->lost);
        if (push(log, missing, (size_t)length))
            log->lost = 0;
    }
    if (line->failed || !push(log, line->data, line->size))
        log->lost++;
}

static void begin_line(struct bsk_buffer *line, const struct lane *lane)
{
    bsk_buffer_printf(line, "{\"time\":%.6f,\"session\":%u,\"from\":\"%s\",\"to\":\"%s\",",
                      lane->time, lane->session, lane->from, lane->to);
}

/* Bytes as the inside of a JSON text; what is no ASCII stays as it is, so that nothing is lost. */
static void escape(struct bsk_buffer *out, const char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t plain = at;
        while (plain < size && (unsigned char)bytes[plain] >= 0x20 && bytes[plain] != '"' &&
               bytes[plain] != '\\')
            plain++;
        bsk_buffer_append(out, bytes + at, plain - at);
        at = plain;
        if (at == size)
            break;
        if (bytes[at] == '"' || bytes[at] == '\\')
            bsk_buffer_printf(out, "\\%c", bytes[at]);
        else
            bsk_buffer_printf(out, "\\u%04x", (unsigned char)bytes[at]);
        at++;
    }
}

static void write_whole(struct dap_log *log, struct lane *lane)
{
    struct bsk_buffer line = { 0 };
    begin_line(&line, lane);
    if (dap_is_json(lane->body.data, lane->body.size)) {
        bsk_buffer_text_append(&line, "\"message\":");
        size_t from = line.size;
        bsk_buffer_append(&line, lane->body.data, lane->body.size);
        for (size_t at = from; at < line.size; at++) {
            if (line.data[at] == '\n' || line.data[at] == '\r')
                line.data[at] = ' '; /* between tokens: inside a text they are escaped */
        }
    } else {
        bsk_buffer_text_append(&line, "\"text\":\"");
        escape(&line, lane->body.data, lane->body.size);
        bsk_buffer_text_append(&line, "\"");
    }
    bsk_buffer_text_append(&line, "}\n");
    push_line(log, &line);
    bsk_buffer_free(&line);
}

/* ---- large messages
 * -------------------------------------------------------------------------------------- */

static void stream_piece(struct dap_log *log, const char *bytes, size_t size)
{
    struct bsk_buffer text = { 0 };
    if (log->cut)
        return;
    escape(&text, bytes, size);
    log->cut = text.failed || !push(log, text.data, text.size);
    bsk_buffer_free(&text);
}

static void begin_stream(struct dap_log *log, struct lane *lane)
{
    struct bsk_buffer line = { 0 };
    begin_line(&line, lane);
    bsk_buffer_text_append(&line, "\"text\":\"");
    if (line.failed || !push(log, line.data, line.size)) {
        lane->lost = true;
        log->lost++;
    } else {
        log->streaming = lane;
        log->cut = false;
        stream_piece(log, lane->body.data, lane->body.size);
    }
    bsk_buffer_free(&line);
    bsk_buffer_free(&lane->body);
}

static void end_stream(struct dap_log *log)
{
    const char *end = log->cut ? "\",\"cut\":true}\n" : "\"}\n";
    size_t size = strlen(end);
    pthread_mutex_lock(&log->lock); /* past the ceiling: a line must end */
    log->queue.max_bytes = 0;
    bsk_buffer_append(&log->queue, end, size);
    log->queue.max_bytes = QUEUE_MAX_BYTES;
    pthread_cond_signal(&log->bell);
    pthread_mutex_unlock(&log->lock);
    log->streaming = NULL;
    if (log->behind.size && !push(log, log->behind.data, log->behind.size))
        log->lost++;
    bsk_buffer_free(&log->behind);
}

/* ---- what callers use
 * ------------------------------------------------------------------------------------- */

static struct lane *lane_of(struct dap_log *log, unsigned session, const char *from)
{
    struct lane *lane = log->lanes;
    while (lane && (lane->session != session || strcmp(lane->from, from) != 0))
        lane = lane->next;
    if (lane)
        return lane;
    lane = calloc(1, sizeof(*lane));
    if (!lane)
        return NULL;
    lane->session = session;
    snprintf(lane->from, sizeof(lane->from), "%s", from);
    lane->next = log->lanes;
    log->lanes = lane;
    return lane;
}

static void forget(struct dap_log *log, struct lane *lane)
{
    struct lane **at = &log->lanes;
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    bsk_buffer_free(&lane->body);
    free(lane);
}

void dap_log_message(struct dap_log *log, unsigned session, const char *from, const char *to,
                     const char *bytes, size_t size, bool first, bool last)
{
    struct lane *lane = lane_of(log, session, from);
    if (!lane)
        return;
    if (first) {
        bsk_buffer_clear(&lane->body);
        lane->lost = false;
        lane->time = (double)(bsk_now_ns() - log->began_ns) / 1e9;
        snprintf(lane->to, sizeof(lane->to), "%s", to);
    }
    if (log->streaming == lane) {
        stream_piece(log, bytes, size);
    } else if (!lane->lost) {
        bsk_buffer_append(&lane->body, bytes, size);
        if (lane->body.size > WHOLE_MAX_BYTES && !log->streaming) {
            begin_stream(log, lane);
        } else if (lane->body.size > QUEUE_MAX_BYTES) {
            lane->lost = true;
            log->lost++;
            bsk_buffer_free(&lane->body);
        }
    }
    if (!last)
        return;
    if (log->streaming == lane)
        end_stream(log);
    else if (!lane->lost)
        write_whole(log, lane);
    forget(log, lane);
}

void dap_log_note(struct dap_log *log, unsigned session, const char *from, const char *note)
{
    struct bsk_buffer line = { 0 };
    bsk_buffer_printf(&line, "{\"time\":%.6f,\"session\":%u,\"from\":\"%s\",\"note\":\"",
                      (double)(bsk_now_ns() - log->began_ns) / 1e9, session, from);
    escape(&line, note, strlen(note));
    bsk_buffer_text_append(&line, "\"}\n");
    push_line(log, &line);
    bsk_buffer_free(&line);
}

void dap_log_close(struct dap_log *log)
{
    if (!log)
        return;
    if (log->streaming) {
        log->cut = true;
        end_stream(log);
    }
    pthread_mutex_lock(&log->lock);
    log->stop = true;
    pthread_cond_signal(&log->bell);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->writer, NULL);
    while (log->lanes)
        forget(log, log->lanes);
    bsk_buffer_free(&log->queue);
    bsk_buffer_free(&log->behind);
    pthread_cond_destroy(&log->bell);
    pthread_mutex_destroy(&log->lock);
    close(log->fd);
    free(log);
}
