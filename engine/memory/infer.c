/* Stacks that were not traced but seen by a sampler, which somebody above has looked up. */
#include "engine/memory/arena.h"
#include "engine/memory/growth.h"

/* NULL: out of memory. */
static struct bsk_memory_frame *copy_of(struct bsk_arena *arena,
                                        const struct bsk_memory_frame *frames, uint32_t count)
{
    struct bsk_memory_frame *copy = bsk_arena_get(arena, count * sizeof(*copy));
    for (uint32_t i = 0; copy && i < count; i++) {
        copy[i] = (struct bsk_memory_frame){ bsk_arena_text(arena, frames[i].path), frames[i].line,
                                             bsk_arena_text(arena, frames[i].function) };
        if (!copy[i].path || !copy[i].function)
            return NULL;
    }
    return copy;
}

/* The first frame that is the user's code, or the innermost. */
static const struct bsk_memory_frame *users(const struct bsk_memory_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (bsk_code_origin(frames[i].path) == BSK_ORIGIN_USER)
            return &frames[i];
    }
    return frames;
}

static uint32_t kept_of(uint32_t count)
{
    return count < BSK_MEMORY_MAX_STACK ? count : BSK_MEMORY_MAX_STACK;
}

bool bsk_memory_snapshot_infer(struct bsk_memory_snapshot *snapshot, size_t index,
                               const struct bsk_memory_frame *frames, uint32_t count,
                               uint64_t samples)
{
    struct bsk_memory_site *site = (struct bsk_memory_site *)&snapshot->sites[index];
    bool traced = site->stack_count > 1 && site->stack_samples == 0;
    if (traced || count < 2 || samples == 0)
        return true;
    count = kept_of(count);
    const struct bsk_memory_frame *stack = copy_of(snapshot->memory, frames, count);
    if (!stack)
        return false;
    site->stack = stack;
    site->stack_count = count;
    site->stack_samples = samples;
    site->stack_bytes = 0;
    site->user_path = users(stack, count)->path;
    site->user_line = users(stack, count)->line;
    return true;
}

bool bsk_memory_diff_infer(struct bsk_memory_diff *diff, size_t index,
                           const struct bsk_memory_frame *frames, uint32_t count, uint64_t samples)
{
    struct bsk_leak *leak = &diff->leaks[index];
    bool traced = leak->stack_count > 1 && leak->stack_samples == 0;
    if (traced || count < 2 || samples == 0)
        return true;
    count = kept_of(count);
    const struct bsk_memory_frame *stack = copy_of(diff->memory, frames, count);
    if (!stack)
        return false;
    leak->stack = stack;
    leak->stack_count = count;
    leak->stack_samples = samples;
    leak->user_path = users(stack, count)->path;
    leak->user_line = users(stack, count)->line;
    return true;
}
