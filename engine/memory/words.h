/* What people read about growth. */
#ifndef BSK_MEMORY_WORDS_H
#define BSK_MEMORY_WORDS_H

#include "engine/base/amounts.h"
#include "engine/memory/growth.h"
#include "engine/memory/score.h"

/* Fills leak->reasons: "grew in 5 of 5 intervals, 1.2 MiB each, nothing given back". */
void bsk_leak_reasons(struct bsk_leak *leak, const struct bsk_score *score);

/* A sentence where the process grew by more than tracemalloc saw, else "". */
void bsk_native_note(const struct bsk_memory_snapshot *from, const struct bsk_memory_snapshot *to,
                     char *out, size_t size);

#endif
