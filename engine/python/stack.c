/*
 * One stack. All that a thread's stack is expected to need is read by one system call, in this
 * order: the top and the thread state; the data stack, newest chunk first; frames that lie
 * elsewhere (generators, 3.10's frame objects) where samples before found them; and the top again.
 * Now and then, and always where frames are objects, all of it is read twice in that one call: what
 * stood still meanwhile is proof, and is learnt.
 *
 * The first reading is the sample, whatever the later ones say: they only prove. What it leaves
 * open is told by what was proven before ("filled"), else the stack ends in what could not be told
 * ("unread"). See judge.c, upward.c, path.c and proof.h.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

void bsk_stack_memory_free(struct bsk_stack_memory *memory)
{
    if (!memory)
        return;
    for (size_t i = 0; i < memory->chunk_count; i++)
        bsk_chunk_free(&memory->chunks[i]);
    free(memory->chunks);
    free(memory->ahead);
    free(memory->ahead_bytes);
    free(memory->ahead_again);
    free(memory->ahead_slots);
    free(memory->met);
    free(memory->hot_bytes);
    free(memory->raw);
    free(memory->path);
    free(memory->frames);
    free(memory);
}

static uint32_t thread_bytes(const struct bsk_layout *layout)
{
    return layout->thread.needed < THREAD_MAX_BYTES ? layout->thread.needed : THREAD_MAX_BYTES;
}

size_t bsk_add_piece(struct bsk_python *python, uint64_t address, void *dst, uint32_t size)
{
    if (!bsk_room_for_one(&python->pieces, python->piece_count, &python->piece_capacity,
                          sizeof(python->pieces[0])))
        return SIZE_MAX;
    python->pieces[python->piece_count] =
        (struct bsk_piece){ .address = address, .dst = dst, .size = size };
    return python->piece_count++;
}

/* --- planning one reading ----------------------------------------------------------------------
 */

static bool wants_twice(const struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    /* Frames on the heap are read twice where the reading before found them. */
    uint32_t in_turn = memory->heap_left > 0 ? 2 : 1;
    bool seldom = memory->readings >= LEARN_SETTLED && memory->heap_left == 0;
    return python->layout.frame_form == BSK_FRAME_OBJECTS || memory->readings < LEARN_FIRST ||
           memory->readings % (seldom ? LEARN_SELDOM : LEARN_EVERY) < in_turn;
}

/* The newest chunk once more, from the frames on top down to the rest of it. */
static void plan_back(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    const struct chunk *chunk = &memory->chunks[0];
    uint32_t until = chunk->want;
    memory->piece_chunk_again = python->piece_count;
    memory->again_pieces = 0;
    for (size_t i = memory->path_count; i-- > 0 && memory->again_pieces < BACK_PIECES_MAX - 1;) {
        uint64_t offset = memory->path[i].raw.address - chunk->base;
        if (memory->path[i].raw.address <= chunk->base || offset >= until)
            continue;
        bsk_add_piece(python, chunk->base + offset, chunk->again + offset,
                      until - (uint32_t)offset);
        memory->again_pieces++;
        until = (uint32_t)offset;
    }
    bsk_add_piece(python, chunk->base, chunk->again, until);
    memory->again_pieces++;
}

static void plan(struct bsk_python *python, const struct bsk_python_thread *thread, bool twice)
{
    const struct bsk_layout *layout = &python->layout;
    struct bsk_stack_memory *memory = thread->memory;
    uint32_t frame_bytes = bsk_frame_bytes(layout);
    memory->piece_cframe = memory->piece_chunk_again = memory->piece_ahead = SIZE_MAX;
    memory->piece_cframe_again = memory->piece_ahead_again = memory->piece_top_near = SIZE_MAX;
    memory->twice = twice;
    memory->reading++;
    bsk_chunks_turn(memory);

    /* The top is what is read first, see upward.c; the thread state is written at each call, too.
     */
    if (layout->frame_form == BSK_FRAME_CFRAME)
        memory->piece_cframe =
            bsk_add_piece(python, memory->cframe, memory->cframe_bytes, CFRAME_BYTES);
    memory->piece_thread =
        bsk_add_piece(python, thread->address, memory->thread, thread_bytes(layout));
    memory->piece_chunks = python->piece_count;
    for (size_t i = 0; i < memory->chunk_count; i++)
        bsk_add_piece(python, memory->chunks[i].base, memory->chunks[i].copy,
                      memory->chunks[i].want);
    if (twice && layout->frame_form != BSK_FRAME_OBJECTS)
        memory->piece_top_near = bsk_add_piece(python,
                                               layout->frame_form == BSK_FRAME_CFRAME
                                                   ? memory->cframe + layout->cframe_current_frame
                                                   : thread->address + layout->thread.frame,
                                               &memory->top_between, sizeof(memory->top_between));
    /* Outermost first and back again: each call is proven by its caller standing at one place just
     * before and just after the callee was seen. Two passes in one direction would agree by chance
     * on a loop that takes as long as a pass: measured, 40 % of a profile. */
    if (twice) {
        memory->piece_ahead = python->piece_count;
        for (size_t i = memory->ahead_count; i-- > 0;)
            bsk_add_piece(python, memory->ahead[i], memory->ahead_bytes + i * frame_bytes,
                          frame_bytes);
        memory->piece_ahead_again = python->piece_count;
        for (size_t i = 0; i < memory->ahead_count && i < PROVE_AHEAD_MAX; i++)
            bsk_add_piece(python, memory->ahead[i], memory->ahead_again + i * frame_bytes,
                          frame_bytes);
        if (memory->chunk_count > 0 && memory->chunks[0].again)
            plan_back(python, memory);
    }
    if (layout->frame_form == BSK_FRAME_CFRAME)
        memory->piece_cframe_again =
            bsk_add_piece(python, memory->cframe, memory->cframe_again, CFRAME_BYTES);
    memory->piece_top_again = bsk_add_piece(python, thread->address + layout->thread.frame,
                                            &memory->top_again, sizeof(memory->top_again));
    memory->hot_range_count = 0;
    if (!twice && memory->heap_left > 0)
        bsk_hot_plan(python, memory);
}

/* --- what one reading says ---------------------------------------------------------------------
 */

/* The top before and after all the rest; 0: no Python runs on this thread. */
static bool find_tops(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t top = bsk_u64(memory->thread, layout->thread.frame);
    bool again = bsk_piece_ok(python, memory->piece_top_again);
    if (!again || memory->top_again != top)
        memory->moved = true;
    memory->top = top;
    memory->top_after = again ? memory->top_again : 0;
    if (layout->frame_form != BSK_FRAME_CFRAME || top == 0)
        return true;
    uint64_t at = layout->cframe_current_frame;
    if (top != memory->cframe || !bsk_piece_ok(python, memory->piece_cframe)) {
        memory->unproven = true;
        memory->cframe = top;
        if (bsk_process_read(python->process, top, memory->cframe_bytes, CFRAME_BYTES, NULL) < 0)
            return false;
        memory->top_after = bsk_u64(memory->cframe_bytes, at);
    } else if (bsk_piece_ok(python, memory->piece_cframe_again)) {
        memory->top_after = bsk_u64(memory->cframe_again, at);
    } else {
        memory->moved = true;
        memory->top_after = 0;
    }
    memory->top = bsk_u64(memory->cframe_bytes, at);
    if (memory->top != memory->top_after)
        memory->moved = true;
    return true;
}

bool bsk_stack_collect(struct bsk_python *python, const struct bsk_python_thread *thread,
                       uint64_t *out_datastack_top)
{
    const struct bsk_layout *layout = &python->layout;
    struct bsk_stack_memory *memory = thread->memory;
    memory->moved = memory->unproven = false;
    *out_datastack_top = 0;
    if (!bsk_piece_ok(python, memory->piece_thread) ||
        bsk_u64(memory->thread, layout->thread.interp) != thread->interpreter)
        return false;
    for (size_t i = 0; i < memory->chunk_count; i++) {
        const struct bsk_piece *piece = &python->pieces[memory->piece_chunks + i];
        memory->chunks[i].have = piece->ok ? piece->size : 0;
    }
    memory->again_have = 0;
    if (memory->piece_chunk_again != SIZE_MAX) {
        bool whole = true;
        for (size_t i = 0; i < memory->again_pieces; i++)
            whole = whole && bsk_piece_ok(python, memory->piece_chunk_again + i);
        memory->again_have = whole ? memory->chunks[0].have : 0;
    }
    if (!find_tops(python, memory))
        return false;
    memory->top_near = memory->top_after;
    if (bsk_piece_ok(python, memory->piece_top_near) && !memory->unproven)
        memory->top_near = memory->top_between;
    if (layout->thread.datastack_chunk) {
        const uint8_t *words = memory->thread + layout->thread.datastack_chunk;
        *out_datastack_top = bsk_u64(words, 8);
        if (!bsk_chunks_follow(python, memory, bsk_u64(words, 0), *out_datastack_top))
            return false;
    }
    return true;
}

/* The pieces of the common reading are kept while one thread is read by itself. */
static void swap_pieces(struct bsk_python *python)
{
    struct bsk_piece *pieces = python->pieces;
    size_t count = python->piece_count, capacity = python->piece_capacity;
    python->pieces = python->kept_pieces;
    python->piece_count = python->kept_count;
    python->piece_capacity = python->kept_capacity;
    python->kept_pieces = pieces;
    python->kept_count = count;
    python->kept_capacity = capacity;
}

static void begin_single(struct bsk_python *python)
{
    if (!python->single)
        swap_pieces(python);
    python->single = true;
    python->piece_count = 0;
    /* Code that was looked at before what is read now is to be looked at again. */
    python->now_ns = bsk_now_ns();
    python->epoch = 0;
}

static void end_single(struct bsk_python *python)
{
    if (python->single)
        swap_pieces(python);
    python->single = false;
}

static int read_single(struct bsk_python *python, const struct bsk_python_thread *thread,
                       struct bsk_error *err)
{
    begin_single(python);
    plan(python, thread, true);
    bsk_states_plan_epoch(python);
    int rc = bsk_process_read_pieces(python->process, python->pieces, python->piece_count, err);
    if (rc == BSK_OK)
        bsk_states_note_epoch(python);
    return rc;
}

bool bsk_stack_read_again(struct bsk_python *python, const struct bsk_python_thread *thread,
                          uint64_t *out_datastack_top)
{
    return read_single(python, thread, NULL) == BSK_OK &&
           bsk_stack_collect(python, thread, out_datastack_top);
}

static enum bsk_stack_outcome judge(struct bsk_python *python, struct bsk_python_thread *thread)
{
    thread->truncated = thread->filled = thread->unread = false;
    thread->memory->path_same = 0;
    return python->layout.frame_form == BSK_FRAME_OBJECTS ? bsk_judge_objects(python, thread)
                                                          : bsk_judge_chunks(python, thread);
}

/* --- all stacks of one sample ------------------------------------------------------------------
 */

void bsk_python_sampled(struct bsk_python *python, uint64_t time_ns)
{
    enum { GAP_NS = 50000000 }; /* what it did in more nobody saw */
    uint64_t gap_ns = time_ns - python->sampled_ns;
    if (python->moved && python->sampled_ns != 0)
        bsk_codes_ran(python->codes, gap_ns < GAP_NS ? gap_ns : GAP_NS);
    python->sampled_ns = time_ns;
    python->moved = false;
}

int bsk_python_read_stacks(struct bsk_python *python, struct bsk_python_thread **wanted,
                           size_t count, bool *out_threads_changed, struct bsk_error *err)
{
    python->piece_count = 0;
    bsk_states_plan(python);
    for (size_t i = 0; i < count; i++) {
        if (!wanted[i]->memory)
            wanted[i]->memory = calloc(1, sizeof(*wanted[i]->memory));
        struct bsk_stack_memory *memory = wanted[i]->memory;
        if (!memory)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        plan(python, wanted[i], wanted[i]->sleeps || wants_twice(python, memory));
        memory->readings++;
    }
    bsk_states_plan_epoch(python);
    int rc = bsk_process_read_pieces(python->process, python->pieces, python->piece_count, err);
    if (rc < 0)
        return rc;
    *out_threads_changed = bsk_states_take(python);
    for (size_t i = 0; i < count; i++) {
        struct bsk_python_thread *thread = wanted[i];
        enum bsk_stack_outcome outcome = BSK_STACK_GARBAGE;
        thread->frames = NULL;
        thread->depth = thread->kept = 0;
        bsk_states_of(python, thread);
        for (int try = 0; try < TRIES && outcome == BSK_STACK_GARBAGE; try++) {
            /* Garbage is read again; what merely moved is not, as that would prefer stacks that
             * stand still. */
            if (try > 0) {
                rc = read_single(python, thread, err);
                if (rc < 0)
                    break;
            }
            outcome = judge(python, thread);
        }
        end_single(python);
        if (rc < 0)
            return rc;
        python->moved = python->moved || outcome != BSK_STACK_READ;
        thread->has_stack = outcome == BSK_STACK_READ && thread->depth > 0;
        thread->torn = outcome != BSK_STACK_READ;
        thread->answers += thread->has_stack;
        if (!thread->has_stack) {
            thread->memory->frames_valid = thread->memory->codes_seen = 0;
            thread->filled = thread->unread = false;
        }
    }
    return BSK_OK;
}
