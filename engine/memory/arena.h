/* Memory that is given back all at once: text and arrays of a snapshot or a diff. */
#ifndef BSK_MEMORY_ARENA_H
#define BSK_MEMORY_ARENA_H

#include <stddef.h>

struct bsk_arena;

struct bsk_arena *bsk_arena_new(void);        /* NULL: out of memory */
void bsk_arena_free(struct bsk_arena *arena); /* accepts NULL */

/* Uninitialised, fit for any type; NULL: out of memory. They live as long as the arena. */
void *bsk_arena_get(struct bsk_arena *arena, size_t bytes);
/* A copy. */
const char *bsk_arena_text(struct bsk_arena *arena, const char *text);
const char *bsk_arena_text_n(struct bsk_arena *arena, const char *text, size_t bytes);

#endif
