#include "engine/base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *bsk_buffer_reserve(struct bsk_buffer *buffer, size_t extra)
{
    if (buffer->failed)
        return NULL;
    if (extra <= buffer->capacity - buffer->size)
        return buffer->data + buffer->size;
    if (extra > SIZE_MAX / 2 - buffer->size ||
        (buffer->max_bytes && buffer->size + extra > buffer->max_bytes)) {
        buffer->failed = true;
        return NULL;
    }
    size_t capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < buffer->size + extra)
        capacity *= 2;
    char *grown = realloc(buffer->data, capacity);
    if (!grown) {
        buffer->failed = true;
        return NULL;
    }
    buffer->data = grown;
    buffer->capacity = capacity;
    return buffer->data + buffer->size;
}

bool bsk_buffer_append(struct bsk_buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0)
        return !buffer->failed;
    if (buffer->max_bytes && buffer->size + size > buffer->max_bytes)
        buffer->failed = true; /* capacity may be larger than the ceiling */
    char *at = bsk_buffer_reserve(buffer, size);
    if (!at)
        return false;
    memcpy(at, bytes, size);
    buffer->size += size;
    return true;
}

bool bsk_buffer_text_append(struct bsk_buffer *buffer, const char *text)
{
    return bsk_buffer_append(buffer, text, strlen(text));
}

bool bsk_buffer_printf(struct bsk_buffer *buffer, const char *format, ...)
{
    char small[256];
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (needed < 0) {
        buffer->failed = true;
        return false;
    }
    if ((size_t)needed < sizeof(small))
        return bsk_buffer_append(buffer, small, (size_t)needed);
    char *large = malloc((size_t)needed + 1);
    if (!large) {
        buffer->failed = true;
        return false;
    }
    va_start(args, format);
    vsnprintf(large, (size_t)needed + 1, format, args);
    va_end(args);
    bool done = bsk_buffer_append(buffer, large, (size_t)needed);
    free(large);
    return done;
}

void bsk_buffer_consume(struct bsk_buffer *buffer, size_t size)
{
    if (size >= buffer->size) {
        buffer->size = 0;
        return;
    }
    memmove(buffer->data, buffer->data + size, buffer->size - size);
    buffer->size -= size;
}

const char *bsk_buffer_text(struct bsk_buffer *buffer)
{
    size_t max_bytes = buffer->max_bytes;
    buffer->max_bytes = 0; /* the terminator does not count against the ceiling */
    char *end = bsk_buffer_reserve(buffer, 1);
    buffer->max_bytes = max_bytes;
    if (!end)
        return "";
    *end = '\0';
    return buffer->data;
}

void bsk_buffer_clear(struct bsk_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

void bsk_buffer_free(struct bsk_buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->size = buffer->capacity = 0;
    buffer->failed = false;
}
