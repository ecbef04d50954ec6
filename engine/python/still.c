/*
 * Stacks of threads that stand still, because the caller has stopped them: what is read of them is
 * of one instant, however many reads it takes. So the walk from the top is the stack, and there is
 * nothing to prove (judge.c) and nothing to fill in.
 */
#include "engine/python/memory.h"

#include <stdlib.h>

static void begin(struct bsk_stack_memory *memory)
{
    memory->reading++; /* so that nothing is compared with the reading before */
    memory->path_same = memory->again_have = 0;
    memory->twice = memory->moved = memory->unproven = false;
    memory->piece_thread = memory->piece_ahead = memory->piece_ahead_again =
        memory->piece_chunk_again = SIZE_MAX;
    bsk_chunks_turn(memory);
}

/* The thread state, the top, and the chunks as far as they are in use. */
static bool read_chunks(struct bsk_python *python, const struct bsk_python_thread *thread,
                        uint64_t *out_datastack_top)
{
    const struct bsk_layout *layout = &python->layout;
    struct bsk_stack_memory *memory = thread->memory;
    uint32_t bytes =
        layout->thread.needed < THREAD_MAX_BYTES ? layout->thread.needed : THREAD_MAX_BYTES;
    *out_datastack_top = 0;
    if (bsk_process_read(python->process, thread->address, memory->thread, bytes, NULL) < 0 ||
        bsk_u64(memory->thread, layout->thread.interp) != thread->interpreter)
        return false;
    /* Read with the states once more, which are told together. */
    memory->piece_thread = bsk_add_piece(python, thread->address, memory->thread, bytes);
    memory->top = bsk_u64(memory->thread, layout->thread.frame);
    if (layout->frame_form == BSK_FRAME_CFRAME && memory->top != 0) {
        memory->cframe = memory->top;
        if (bsk_process_read(python->process, memory->cframe, memory->cframe_bytes, CFRAME_BYTES,
                             NULL) < 0)
            return false;
        memory->top = bsk_u64(memory->cframe_bytes, layout->cframe_current_frame);
    }
    memory->top_after = memory->top;
    if (layout->thread.datastack_chunk == 0)
        return true;
    const uint8_t *words = memory->thread + layout->thread.datastack_chunk;
    *out_datastack_top = bsk_u64(words, 8);
    if (!bsk_chunks_follow(python, memory, bsk_u64(words, 0), *out_datastack_top))
        return false;
    for (size_t i = 0; i < memory->chunk_count; i++)
        if (!bsk_chunk_extend(python, &memory->chunks[i], memory->chunks[i].want))
            return false;
    return true;
}

/* Fills memory->raw; false: it could not be read whole. */
static bool walk(struct bsk_python *python, struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    begin(memory);
    memory->raw_count = 0;
    if (!read_chunks(python, thread, &datastack_top))
        return false;
    if (memory->top == 0)
        return true;
    bool whole = bsk_stack_walk(python, memory, memory->top, datastack_top, &thread->truncated);
    bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
    return whole;
}

/* From memory->raw to the answer. */
static bool tell(struct bsk_python *python, struct bsk_python_thread *thread)
{
    enum { TRIES_OF_CODES = 3 }; /* codes that are new are held against the stack once more */
    struct bsk_stack_memory *memory = thread->memory;
    for (int i = 0; i < TRIES_OF_CODES; i++)
        if (bsk_path_from_raw(python, memory) && bsk_path_resolve(python, thread))
            return true;
    return false;
}

int bsk_python_read_still(struct bsk_python *python, struct bsk_python_thread **wanted,
                          size_t count, bool *out_threads_changed, struct bsk_error *err)
{
    python->piece_count = 0;
    bsk_states_plan(python);
    for (size_t i = 0; i < count; i++) {
        struct bsk_python_thread *thread = wanted[i];
        if (!thread->memory)
            thread->memory = calloc(1, sizeof(*thread->memory));
        if (!thread->memory)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        thread->frames = NULL;
        thread->depth = thread->kept = 0;
        thread->truncated = thread->filled = thread->unread = false;
        thread->torn = !walk(python, thread);
    }
    bsk_states_plan_epoch(python); /* asked after the stacks */
    int rc = bsk_process_read_pieces(python->process, python->pieces, python->piece_count, err);
    if (rc < 0)
        return rc;
    *out_threads_changed = bsk_states_take(python);
    for (size_t i = 0; i < count; i++) {
        struct bsk_python_thread *thread = wanted[i];
        bsk_states_of(python, thread);
        if (!thread->torn && thread->memory->raw_count > 0)
            thread->torn = !tell(python, thread);
        thread->has_stack = !thread->torn && thread->depth > 0;
        thread->answers += thread->has_stack;
        if (!thread->has_stack)
            thread->memory->frames_valid = thread->memory->path_valid = thread->memory->codes_seen =
                0;
    }
    return BSK_OK;
}
