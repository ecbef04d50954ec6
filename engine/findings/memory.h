/*
 * BSK-PROF-MEM diagnostics of one file, as an LSP `Diagnostic[]`: lines that allocated what was not
 * freed, from a confidence of medium up.
 *
 * They stand on the user's line where the stack is known, else on the allocating line. `data` has
 * growthBytes, confidence, band and, where it differs, the allocating path and line.
 */
#ifndef BSK_FINDINGS_MEMORY_H
#define BSK_FINDINGS_MEMORY_H

#include "engine/findings/diagnostics.h"
#include "engine/memory/growth.h"

/* Paths of files that have warnings, each once, in the diff's order; `paths` has room for
 * leak_count; the text is the diff's. Returns how many. */
size_t bsk_memory_finding_paths(const struct bsk_memory_diff *diff, const char **paths);

/* Writes the array of `path`; `cache` may be NULL. Lines outside [1, 2^31) are left out. */
void bsk_memory_findings_write(struct bsk_source_cache *cache, const struct bsk_memory_diff *diff,
                               const char *path, struct bsk_json *out);

#endif
