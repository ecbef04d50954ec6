/* What people read about growth. */
#ifndef BSK_MEMORY_WORDS_H
#define BSK_MEMORY_WORDS_H

#include "engine/memory/growth.h"
#include "engine/memory/score.h"

/* "0 B", "950 B", "1.2 KB", "36 MB": decimal units, at most three digits. */
void bsk_bytes_text(uint64_t bytes, char *out, size_t size);

/* Fills leak->reasons: "grew in 5 of 5 intervals, 1.2 MB each, nothing given back". */
void bsk_leak_reasons(struct bsk_leak *leak, const struct bsk_score *score);

/* A sentence where the process grew by more than tracemalloc saw, else "". */
void bsk_native_note(const struct bsk_memory_snapshot *from, const struct bsk_memory_snapshot *to,
                     char *out, size_t size);

#endif
