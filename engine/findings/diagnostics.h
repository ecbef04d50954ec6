/*
 * BSK-PROF diagnostics of one hot file, as an LSP `Diagnostic[]`.
 *
 * BSK-PROF-LINE for lines and BSK-PROF-FUNC for functions, severity warning (2), source "basilisk";
 * the range is the line's text (0-based, UTF-16 columns) where the source can be read, else
 * characters 0 to 1000, which clients cut at the line's end. `data` has percent, samples and level.
 * Where each line's text lies is kept in the cache for as long as the file's size and time of
 * change stay the same (64 files, 32 MiB; source.h).
 *
 * Threads: one at a time per cache.
 */
#ifndef BSK_FINDINGS_DIAGNOSTICS_H
#define BSK_FINDINGS_DIAGNOSTICS_H

#include "engine/base/json.h"
#include "engine/findings/heat.h"

struct bsk_source_cache;

struct bsk_source_cache *bsk_source_cache_new(void);        /* NULL: out of memory */
void bsk_source_cache_free(struct bsk_source_cache *cache); /* accepts NULL */

/* Writes the array; `cache` may be NULL: then no source is read. */
void bsk_diagnostics_write(struct bsk_source_cache *cache, const struct bsk_hot_file *file,
                           struct bsk_json *out);

#endif
