#include "engine/memory/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16 << 10 };

struct chunk {
    struct chunk *before;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

struct bsk_arena {
    struct chunk *chunks;
};

struct bsk_arena *bsk_arena_new(void)
{
    return calloc(1, sizeof(struct bsk_arena));
}

void bsk_arena_free(struct bsk_arena *arena)
{
    if (!arena)
        return;
    for (struct chunk *chunk = arena->chunks; chunk;) {
        struct chunk *before = chunk->before;
        free(chunk);
        chunk = before;
    }
    free(arena);
}

void *bsk_arena_get(struct bsk_arena *arena, size_t bytes)
{
    struct chunk *chunk = arena->chunks;
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = malloc(sizeof(*chunk) + size);
        if (!chunk)
            return NULL;
        *chunk = (struct chunk){ .before = arena->chunks, .size = size };
        arena->chunks = chunk;
    }
    void *got = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return got;
}

const char *bsk_arena_text_n(struct bsk_arena *arena, const char *text, size_t bytes)
{
    char *copy = bsk_arena_get(arena, bytes + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return copy;
}

const char *bsk_arena_text(struct bsk_arena *arena, const char *text)
{
    return bsk_arena_text_n(arena, text, strlen(text));
}
