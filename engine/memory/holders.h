/*
 * What the holder of a leak is called: "list app.CACHE", "dict app.registry.items". The graph knows
 * the way to it from a module or a frame; the names along it are asked of the program:
 *
 *   1. bsk_holders_make(graph, ids, count, &refs)     the ways alone; the graph is not needed more
 *   2. bsk_holders_options(refs) -> a job of bsk_script_references -> bsk_references_label()
 *   3. bsk_holder_name(refs, id, name, sizeof(name))
 *
 * The job goes down from modules and frames, without a look at all objects; nothing of the program
 * runs. Threads: as references.h.
 */
#ifndef BSK_MEMORY_HOLDERS_H
#define BSK_MEMORY_HOLDERS_H

#include "engine/memory/references.h"

enum { BSK_HOLDER_NAME_BYTES = 100, BSK_HOLDERS_MAX = 64, BSK_HOLDER_STEPS = 24 };

/* `ids`: addresses of holders, at most BSK_HOLDERS_MAX count. Those that lie deeper than
 * BSK_HOLDER_STEPS, or below neither module nor frame, are left out: they have no name. Fails with
 * BSK_E_STATE when none is left, BSK_E_MEMORY. bsk_references_free() takes `*out_refs` back. */
int bsk_holders_make(const struct bsk_graph *graph, const uint64_t *ids, size_t count,
                     struct bsk_references **out_refs, struct bsk_error *err);

/* `out` starts zeroed; the caller frees out->text. */
int bsk_holders_options(const struct bsk_references *refs, struct bsk_script_options *out,
                        struct bsk_error *err);

/* False, and `out` as it was, when some step has no name: it is gone by now, or C code holds it. */
bool bsk_holder_name(const struct bsk_references *refs, uint64_t id, char *out, size_t size);

#endif
