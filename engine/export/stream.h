/*
 * Bytes on their way to a file, for formats that are not JSON: buffered, with one look at the end.
 *
 *     struct bsk_stream stream = { .file = out };
 *     bsk_stream_text(&stream, "samples ");
 *     bsk_stream_uint(&stream, 4000);
 *     rc = bsk_stream_finish(&stream, err);
 *
 * What fails is kept until bsk_stream_finish(), which gives the memory back in every case. Memory
 * does not grow with what is written.
 */
#ifndef BSK_EXPORT_STREAM_H
#define BSK_EXPORT_STREAM_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stdint.h>
#include <stdio.h>

struct bsk_stream {
    FILE *file; /* NULL: everything stays in `held`, whose owner is the caller then */
    struct bsk_buffer held;
    int io_errno; /* of the first write that failed, or 0 */
};

void bsk_stream_bytes(struct bsk_stream *stream, const void *bytes, size_t size);
void bsk_stream_text(struct bsk_stream *stream, const char *text);
void bsk_stream_printf(struct bsk_stream *stream, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bsk_stream_uint(struct bsk_stream *stream, uint64_t value);

/* With up to `decimals` (0..9) digits after the point, zeroes at the end left out. `value` is not
 * negative and below 10^9. */
void bsk_stream_fixed(struct bsk_stream *stream, double value, int decimals);

/* Fails with BSK_E_IO or BSK_E_MEMORY when anything since the start went wrong. */
int bsk_stream_finish(struct bsk_stream *stream, struct bsk_error *err);

#endif
