#include "engine/export/stream.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { FLUSH_BYTES = 64 << 10 };

static void flush(struct bsk_stream *stream)
{
    struct bsk_buffer *held = &stream->held;
    if (!stream->file)
        return;
    if (held->size > 0 && fwrite(held->data, 1, held->size, stream->file) != held->size &&
        !stream->io_errno)
        stream->io_errno = errno ? errno : EIO;
    held->size = 0;
}

void bsk_stream_bytes(struct bsk_stream *stream, const void *bytes, size_t size)
{
    bsk_buffer_append(&stream->held, bytes, size);
    if (stream->held.size >= FLUSH_BYTES)
        flush(stream);
}

void bsk_stream_text(struct bsk_stream *stream, const char *text)
{
    bsk_stream_bytes(stream, text, strlen(text));
}

void bsk_stream_printf(struct bsk_stream *stream, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size > 0)
        bsk_stream_bytes(stream, text,
                         (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
}

/* By hand: exports write these by the hundred thousand. */
void bsk_stream_uint(struct bsk_stream *stream, uint64_t value)
{
    char digits[20], *at = digits + sizeof(digits);
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    bsk_stream_bytes(stream, at, (size_t)(digits + sizeof(digits) - at));
}

void bsk_stream_fixed(struct bsk_stream *stream, double value, int decimals)
{
    uint64_t scale = 1;
    for (int i = 0; i < decimals; i++)
        scale *= 10;
    uint64_t parts = (uint64_t)(value * (double)scale + 0.5);
    bsk_stream_uint(stream, parts / scale);
    parts %= scale;
    if (parts == 0)
        return;
    char digits[10] = ".";
    size_t size = 1;
    for (scale /= 10; parts > 0; scale /= 10) {
        digits[size++] = (char)('0' + parts / scale);
        parts %= scale;
    }
    bsk_stream_bytes(stream, digits, size);
}

int bsk_stream_finish(struct bsk_stream *stream, struct bsk_error *err)
{
    flush(stream);
    bool failed = stream->held.failed;
    bsk_buffer_free(&stream->held);
    if (failed)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a profile");
    if (stream->io_errno)
        return bsk_fail(err, BSK_E_IO, "is the disk full?", "cannot write: %s",
                        strerror(stream->io_errno));
    return BSK_OK;
}
