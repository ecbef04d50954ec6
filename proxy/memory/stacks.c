/* How the lines that allocate were reached, as the CPU profile that runs meanwhile saw it. */
#include "proxy/memory/inside.h"

#include "engine/export/heapprofile.h"

/* The recording's thread makes the copy within milliseconds; nobody waits longer for it. */
enum { COPY_MS = 500 };

static void on_copy(void *user, struct bsk_profile *profile)
{
    struct op *op = user;
    op->profile = profile;
    op->after_profile(op);
}

void dap_op_profile(struct op *op, void (*next)(struct op *op))
{
    const struct tracking *tracking = op->tracking;
    bsk_profile_free(op->profile);
    op->profile = NULL;
    op->after_profile = next;
    /* While one of its sessions is there, so is what profiles them. */
    if (tracking->member)
        dap_profiling_copy(tracking->memory->profiling, COPY_MS, on_copy, op);
    else
        next(op);
}

void dap_infer_sites(const struct op *op, struct bsk_memory_snapshot *snapshot)
{
    struct bsk_memory_frame stack[BSK_MEMORY_MAX_STACK];
    uint64_t samples = 0;
    for (size_t i = 0; op->profile && i < snapshot->top_count; i++) {
        const struct bsk_memory_site *site = &snapshot->sites[i];
        uint32_t count = bsk_heap_inferred_stack(op->profile, site->path, site->line, stack,
                                                 BSK_MEMORY_MAX_STACK, &samples);
        if (!bsk_memory_snapshot_infer(snapshot, i, stack, count, samples))
            return; /* the others are without, as where no profile runs */
    }
}

void dap_infer_leaks(const struct op *op)
{
    struct bsk_memory_frame stack[BSK_MEMORY_MAX_STACK];
    uint64_t samples = 0;
    for (size_t i = 0; op->profile && i < op->diff->leak_count; i++) {
        const struct bsk_leak *leak = &op->diff->leaks[i];
        uint32_t count = bsk_heap_inferred_stack(op->profile, leak->path, leak->line, stack,
                                                 BSK_MEMORY_MAX_STACK, &samples);
        if (!bsk_memory_diff_infer(op->diff, i, stack, count, samples))
            return;
    }
}
