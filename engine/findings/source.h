/*
 * Where the text of each line of a source file begins and ends, in UTF-16 units, as editors count.
 *
 * A cache: a file is read once and again when its size or time of change differ. It holds the 64
 * files asked for last, and at most 32 MiB. Files over 16 MiB, lines past the millionth and what is
 * no regular file are not read.
 */
#ifndef BSK_FINDINGS_SOURCE_H
#define BSK_FINDINGS_SOURCE_H

#include "engine/findings/diagnostics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bsk_source;

struct bsk_columns {
    uint32_t start, end; /* of the text between the blanks, from 0; `end` is past the last one */
};

/* NULL when it cannot be read. Lives until the next call with this cache. */
const struct bsk_source *bsk_source_of(struct bsk_source_cache *cache, const char *path);

/* `line` from 1. False when there is no such line, or its bytes are not UTF-8. */
bool bsk_source_line(const struct bsk_source *source, uint32_t line, struct bsk_columns *out);

#endif
