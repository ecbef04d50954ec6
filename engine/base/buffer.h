/*
 * A growing byte buffer with a ceiling.
 *
 * Ownership: the buffer owns `data`; bsk_buffer_free() gives it back and leaves the buffer empty
 * and usable. A zeroed struct is an empty buffer with no ceiling. Bytes are not terminated; use
 * bsk_buffer_text() where C wants a string.
 *
 * A failed append (out of memory, or past the ceiling) leaves what was there, sets `failed` and
 * makes every later append fail too: a writer may append many times and look once.
 */
#ifndef BSK_BASE_BUFFER_H
#define BSK_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct bsk_buffer {
    char *data;
    size_t size;
    size_t capacity;
    size_t max_bytes; /* 0 means no ceiling but memory */
    bool failed;
};

/* Makes room for `extra` bytes and returns where they go, or NULL; `size` does not move. */
char *bsk_buffer_reserve(struct bsk_buffer *buffer, size_t extra);

/* These return false when they failed, now or before. `bytes` may be NULL when `size` is 0. */
bool bsk_buffer_append(struct bsk_buffer *buffer, const void *bytes, size_t size);
bool bsk_buffer_text_append(struct bsk_buffer *buffer, const char *text);
bool bsk_buffer_printf(struct bsk_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes `size` bytes off the front. */
void bsk_buffer_consume(struct bsk_buffer *buffer, size_t size);

/* The content as a C string, which lives until the next call; "" when it failed. */
const char *bsk_buffer_text(struct bsk_buffer *buffer);

void bsk_buffer_clear(struct bsk_buffer *buffer); /* keeps the memory, forgets `failed` */
void bsk_buffer_free(struct bsk_buffer *buffer);

#endif
