/*
 * V8's SamplingHeapProfile, which VS Code and Chrome's DevTools open by themselves.
 *
 * The selfSize of all nodes add up to the snapshot's traced bytes. The top 100 sites are nodes,
 * what is beyond them is one node "(other lines)", what the debugger and Basilisk hold is
 * "(debugger)"; a snapshot whose lines are missing has one node "(lines not measured)", and one
 * that holds nothing has no children. With stacks (traced, or joined from a profile) the callers
 * are nodes above.
 */
#ifndef BSK_EXPORT_HEAPPROFILE_H
#define BSK_EXPORT_HEAPPROFILE_H

#include "engine/memory/snapshot.h"

#include <stdio.h>

struct bsk_profile;

/* `profile` may be NULL: what the sampler saw meanwhile. A site without a traced stack gets the
 * heaviest stack of it that ends on the site's line. */
int bsk_heapprofile_write(const struct bsk_memory_snapshot *snapshot,
                          const struct bsk_profile *profile, FILE *out, struct bsk_error *err);

/* The same under `path` in one step (base/publish.h). */
int bsk_heapprofile_file(const struct bsk_memory_snapshot *snapshot,
                         const struct bsk_profile *profile, const char *path,
                         struct bsk_error *err);

/* The stack of `profile` with the most samples that ends on this line, innermost first; at most
 * `max` frames; 0: the sampler saw none. `out_samples` (may be NULL): how many. Text is the
 * profile's. */
uint32_t bsk_heap_inferred_stack(const struct bsk_profile *profile, const char *path, uint32_t line,
                                 struct bsk_memory_frame *out, uint32_t max, uint64_t *out_samples);

#endif
