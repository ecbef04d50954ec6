/*
 * One stack. All that a thread's stack is expected to need is read by one system call, in this
 * order: the top and the thread state; the data stack, newest chunk first; frames that lie
 * elsewhere (generators, 3.10's frame objects) where samples before found them; and the top again.
 * Now and then, and always where frames are objects, all of it is read twice in that one call: what
 * stood still meanwhile is proof, and is learnt.
 *
 * The first reading is the sample, whatever the later ones say: they only prove. What it leaves
 * open is told by what was proven before ("filled"), else the stack ends in what could not be told
 * ("unread"). See upward.c, path.c and proof.h.
 */
#include "engine/base/clock.h"
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

/* Brings the pieces of one reading into the thread's memory. */
static bool collect(struct bsk_python *python, const struct bsk_python_thread *thread,
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

/* One more reading of one thread, everything twice. */
static bool read_again(struct bsk_python *python, const struct bsk_python_thread *thread,
                       uint64_t *out_datastack_top)
{
    begin_single(python);
    plan(python, thread, true);
    return bsk_process_read_pieces(python->process, python->pieces, python->piece_count, NULL) ==
               BSK_OK &&
           collect(python, thread, out_datastack_top);
}

/* --- judging -----------------------------------------------------------------------------------
 */

/* A loop that takes as long as a reading looks as if it stood still. But frames tell by themselves
 * whether they are dead, and whether they called. */
static bool is_plausible(struct bsk_python *python, const struct bsk_stack_memory *memory,
                         size_t step)
{
    const struct raw *raw = &memory->path[step].raw;
    const struct raw *caller = step > 0 ? &memory->path[step - 1].raw : NULL;
    if (raw->emptied && raw->known->local_words > 0)
        return false;
    return !caller || caller->known->is_shim ||
           ((caller->calls || raw->after_shim) && bsk_path_can_call(python, memory, caller, raw));
}

/* A frame that was on the stack before and after all the rest was read. */
static bool is_below_tops(const struct bsk_stack_memory *memory, uint64_t address)
{
    if (memory->top == memory->top_after)
        return true;
    const struct chunk *chunk = bsk_chunks_find(memory, address);
    if (!chunk || chunk != memory->chunks) /* an older chunk lies below both */
        return chunk != NULL;
    return address <= memory->top && bsk_chunk_holds(chunk, memory->top) &&
           address <= memory->top_after && bsk_chunk_holds(chunk, memory->top_after);
}

/* What is not proven yet is read once more: steps that are still there, called from the same
 * places, are real. The first reading stays the sample. */
static void prove(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    bool truncated;
    if (!read_again(python, thread, &datastack_top) ||
        !bsk_stack_walk(python, memory, memory->top, datastack_top, &truncated) || truncated)
        return;
    bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
    size_t count = memory->raw_count < memory->path_count ? memory->raw_count : memory->path_count;
    bool called_alike = true;
    for (size_t i = 0; i < count && called_alike; i++) {
        const struct raw *now = &memory->raw[memory->raw_count - 1 - i];
        struct raw *then = &memory->path[i].raw;
        if (!now->stood || now->address != then->address || now->code != then->code ||
            !is_below_tops(memory, now->address))
            break;
        if (python->layout.frame_form != BSK_FRAME_OBJECTS && !is_plausible(python, memory, i))
            break;
        then->stood = true;
        called_alike = now->lasti == then->lasti;
    }
}

/* What waits for others to return does not touch its locals nor its value stack: where those are
 * the same in both readings of the newest chunk, the program did not go round meanwhile and come
 * back to where it was. Of all below the last frame there among the first `count` steps of the
 * path: that frame itself works on between two calls of a generator. */
static bool below_unchanged(const struct bsk_stack_memory *memory, size_t count)
{
    const struct chunk *chunk = memory->chunks;
    for (size_t i = count; i-- > 0 && memory->chunk_count > 0;) {
        uint64_t address = memory->path[i].raw.address;
        if (!bsk_chunk_holds(chunk, address))
            continue;
        uint64_t bytes = address - chunk->base;
        return bytes <= memory->again_have && bytes <= chunk->have &&
               memcmp(chunk->copy, chunk->again, bytes) == 0;
    }
    return false;
}

/* Learns the walk from the top where it is proven to be of one instant; of one that leaves the data
 * stack its outer part, too, as all was read from there inwards and back again. The data stack is
 * one copy; what lies elsewhere is read after it, and it takes more to prove that it belongs there.
 * False: it is not proven, or not all of it. */
static bool learn_still(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    bool whole = !memory->moved && !memory->unproven, outside = false;
    memory->path_reading = 0; /* it is no path that was found from below */
    if (!bsk_path_from_raw(python, memory))
        return false;
    size_t still = 0;
    for (; still < memory->path_count && (whole || memory->path[still].raw.stood) &&
           is_plausible(python, memory, still);
         still++)
        outside = outside || !bsk_chunks_find(memory, memory->path[still].raw.address);
    whole = whole && still == memory->path_count;
    if (outside ? !below_unchanged(memory, still) : !whole)
        return false;
    bsk_path_begin(memory, still);
    bsk_path_learn(python, memory);
    bsk_bridges_note(python, memory);
    return whole;
}

/* A path that is not known yet: some more readings, which only teach. At usual rates there is time
 * for them, and a program soon has no path that is new, unless it is one of generators that move
 * faster than they can be read: there many lessons are worth it, up to half a second in all. */
static void study(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    enum { LESSONS_FIRST = 64, LESSONS = 8, LESSONS_ENOUGH = 1 << 16 };
    struct bsk_stack_memory *memory = thread->memory;
    size_t count = memory->path_count;
    if (python->now_ns < memory->study_due_ns)
        return;
    int lessons = memory->lessons < LESSONS_ENOUGH ? LESSONS_FIRST : LESSONS;
    memory->study_due_ns = python->now_ns + STUDY_EVERY_NS;
    struct step *path = malloc(count * sizeof(*path));
    if (!path)
        return;
    memcpy(path, memory->path, count * sizeof(*path));
    for (int i = 0; i < lessons; i++) {
        uint64_t datastack_top;
        bool truncated;
        memory->lessons++;
        if (read_again(python, thread, &datastack_top) &&
            bsk_stack_walk(python, memory, memory->top, datastack_top, &truncated) && !truncated) {
            bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
            (void)learn_still(python, memory);
        }
    }
    memory->path_count = memory->path_valid = memory->path_same = memory->frames_valid = 0;
    for (size_t i = 0; i < count; i++) {
        if (!bsk_path_push(python, memory, &path[i].raw))
            break;
    }
    free(path);
}

/* From the path to the answer: as much of it as is proven, and what is known to be above. */
static bool settle(struct bsk_python *python, struct bsk_python_thread *thread,
                   enum bsk_upward found)
{
    struct bsk_stack_memory *memory = thread->memory;
    size_t proven = bsk_path_proven(python, memory);
    if (proven < memory->path_count) {
        prove(python, thread);
        proven = bsk_path_proven(python, memory);
    }
    if (proven < memory->path_count || memory->bridged) {
        study(python, thread);
        proven = bsk_path_proven(python, memory);
    }
    if (proven == 0)
        return false;
    thread->filled = memory->bridged;
    if (proven < memory->path_count || found != BSK_UPWARD_WHOLE) {
        memory->path_count = proven;
        thread->filled = found != BSK_UPWARD_HEAP && bsk_path_fill(python, memory);
        thread->unread = !thread->filled;
    }
    if (bsk_path_resolve(python, thread))
        return true;
    thread->filled = thread->unread = false;
    return false;
}

enum outcome { READ, MOVED, GARBAGE };

/* The walk from the top, where it is proven to be of one instant. */
static enum outcome judge_still(struct bsk_python *python, struct bsk_python_thread *thread,
                                uint64_t datastack_top)
{
    struct bsk_stack_memory *memory = thread->memory;
    if (!bsk_stack_walk(python, memory, memory->top, datastack_top, &thread->truncated)) {
        memory->met_count = 0;
        return GARBAGE;
    }
    bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
    for (size_t i = 0; i < memory->ahead_count && i < HOT_MAX; i++)
        bsk_hot_note(memory, memory->ahead[i]);
    if (!learn_still(python, memory))
        return MOVED;
    bool heap = false;
    for (size_t i = 0; i < memory->raw_count && !heap; i++)
        heap = !bsk_chunks_find(memory, memory->raw[i].address);
    if (heap)
        memory->heap_left = HEAP_LASTS;
    return bsk_path_resolve(python, thread) ? READ : GARBAGE;
}

/* Who sleeps stands still: its stack is the walk from the top, once all of it was read twice and
 * was the same, the top too. What is met for the first time was read once: so it is read again. */
static enum outcome judge_asleep(struct bsk_python *python, struct bsk_python_thread *thread,
                                 uint64_t *datastack_top)
{
    enum { READINGS = 3 };
    struct bsk_stack_memory *memory = thread->memory;
    for (int i = 0; i < READINGS && memory->twice && !memory->moved && memory->top != 0; i++) {
        memory->path_reading = 0; /* it is no path that was found from below */
        if (!bsk_stack_walk(python, memory, memory->top, *datastack_top, &thread->truncated))
            break;
        bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
        if (!memory->moved && !memory->unproven)
            return bsk_path_from_raw(python, memory) && bsk_path_resolve(python, thread) ? READ
                                                                                         : GARBAGE;
        if (!memory->moved && !read_again(python, thread, datastack_top))
            memory->moved = true; /* what it left is of two readings */
    }
    return MOVED;
}

static enum outcome judge_chunks(struct bsk_python *python, struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    if (!collect(python, thread, &datastack_top))
        return GARBAGE;
    if (memory->top == 0 && memory->top_after == 0) {
        memory->path_valid = memory->path_same = memory->path_count = 0;
        thread->depth = 0;
        return bsk_chunks_first_frame(memory, datastack_top) == 0 ? READ : GARBAGE;
    }
    if (thread->sleeps && !thread->holds_gil && /* it may have woken up since that was known */
        judge_asleep(python, thread, &datastack_top) == READ)
        return READ;
    if (memory->heap_left > 0)
        memory->heap_left--;
    if (memory->twice && judge_still(python, thread, datastack_top) == READ)
        return READ;
    enum bsk_upward found = bsk_stack_upward(python, memory);
    if (found == BSK_UPWARD_WHOLE && !memory->bridged) {
        bsk_path_note(python, memory);
        if (memory->heap_left > 0 && bsk_path_proven(python, memory) == memory->path_count)
            bsk_bridges_note(python, memory);
    }
    switch (found) {
    case BSK_UPWARD_WHOLE:
    case BSK_UPWARD_CALLS:
        return settle(python, thread, found) ? READ : MOVED;
    case BSK_UPWARD_HEAP: /* what is below is sure */
        memory->bridged = false;
        memory->heap_left = HEAP_LASTS;
        study(python, thread);
        return memory->path_count > 0 && settle(python, thread, found) ? READ : MOVED;
    case BSK_UPWARD_GARBAGE:
        break;
    }
    return GARBAGE;
}

/*
 * 3.10 and older: frames are objects on the heap, and no data stack tells the first one. A chain
 * that was cut (a frame that has just ended has no f_back) looks like a short stack. The code that
 * a thread's stacks end in is nearly always one and the same: a shorter stack that ends elsewhere
 * is cut, a deeper one shows that we were wrong, and many in a row show that the program really
 * went on to something else.
 */
static bool reaches_base(struct bsk_stack_memory *memory)
{
    enum { MISSES_MAX = 100 * TRIES, LOOKS_FIRST = TRIES }; /* a second at 100 Hz */
    if (memory->path_count == 0)
        return true;
    uint64_t outermost = memory->path[0].raw.code;
    bool looking = memory->base_looks < LOOKS_FIRST; /* the deepest of these begins */
    memory->base_looks += looking;
    if (memory->base_code != outermost && memory->path_count <= memory->base_depth &&
        (looking || ++memory->base_misses < MISSES_MAX))
        return false;
    if (memory->base_code != outermost || memory->path_count > memory->base_depth)
        memory->base_depth = memory->path_count;
    memory->base_code = outermost;
    memory->base_misses = 0;
    return memory->base_looks == LOOKS_FIRST;
}

/* Whether one more reading finds the same stack. */
static bool stands_again(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    for (size_t i = 0; i < memory->path_count; i++)
        memory->path[i].raw.stood = false;
    memory->raw_count = 0;
    prove(python, thread);
    bool still = !memory->moved && !memory->unproven && memory->raw_count == memory->path_count;
    for (size_t i = 0; still && i < memory->path_count; i++)
        still = memory->path[i].raw.stood;
    return still;
}

static enum outcome judge_objects(struct bsk_python *python, struct bsk_python_thread *thread)
{
    enum { LOOKS = 1, LOOKS_RARE = 3, MOVES_OF = 64 };
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    if (!collect(python, thread, &datastack_top))
        return GARBAGE;
    if (memory->top == 0) {
        memory->path_valid = memory->path_same = memory->path_count = 0;
        thread->depth = 0;
        return READ;
    }
    bool whole = bsk_stack_walk(python, memory, memory->top, 0, &thread->truncated);
    bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
    if (!whole || !bsk_path_from_raw(python, memory) ||
        (!thread->truncated && !reaches_base(memory)))
        return GARBAGE;
    bool still = !memory->moved;
    if (still && memory->unproven) /* it is new, or has grown */
        still = stands_again(python, thread);
    memory->moves += still ? 0 : (MOVES_ALL - memory->moves) / MOVES_OF;
    memory->moves -= still ? memory->moves / MOVES_OF : 0;
    /* Frames on the heap are read one by one, over a microsecond: two wrong readings agree too
     * often for a proof to be lent to stacks that moved. */
    if (!still)
        return MOVED;
    bsk_path_learn(python, memory);
    if (!bsk_path_likely(python, memory))
        return MOVED;
    /* Where many readings move, those that agree do so by chance. What lasts agrees again. */
    bool rare = memory->moves >= MOVES_ALL / 4 && bsk_path_is_rare(python, memory);
    int looks = rare ? LOOKS_RARE : memory->moves >= MOVES_ALL / 2 ? LOOKS : 0;
    for (int i = 0; i < looks; i++)
        if (!stands_again(python, thread))
            return MOVED;
    return bsk_path_resolve(python, thread) ? READ : GARBAGE;
}

static enum outcome judge(struct bsk_python *python, struct bsk_python_thread *thread)
{
    thread->truncated = thread->filled = thread->unread = false;
    thread->memory->path_same = 0;
    return python->layout.frame_form == BSK_FRAME_OBJECTS ? judge_objects(python, thread)
                                                          : judge_chunks(python, thread);
}

/* --- all stacks of one sample ------------------------------------------------------------------
 */

int bsk_python_read_stacks(struct bsk_python *python, struct bsk_python_thread **wanted,
                           size_t count, bool *out_threads_changed, struct bsk_error *err)
{
    enum { GAP_NS = 50000000 };
    python->piece_count = 0;
    bsk_states_plan(python);
    uint64_t before_ns = python->before_ns;
    if (python->now_ns - before_ns > GAP_NS) /* nobody saw what it did for so long */
        bsk_codes_stood(python->codes, before_ns + GAP_NS, python->now_ns);
    python->moved = false;
    python->before_ns = python->now_ns;
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
        enum outcome outcome = GARBAGE;
        thread->frames = NULL;
        thread->depth = thread->kept = 0;
        bsk_states_of(python, thread);
        for (int try = 0; try < TRIES && outcome == GARBAGE; try++) {
            /* Garbage is read again; what merely moved is not, as that would prefer stacks that
             * stand still. */
            if (try > 0) {
                begin_single(python);
                plan(python, thread, true);
                rc = bsk_process_read_pieces(python->process, python->pieces, python->piece_count,
                                             err);
                if (rc < 0)
                    break;
            }
            outcome = judge(python, thread);
        }
        end_single(python);
        if (rc < 0)
            return rc;
        python->moved = python->moved || outcome != READ;
        thread->has_stack = outcome == READ && thread->depth > 0;
        thread->torn = outcome != READ;
        thread->answers += thread->has_stack;
        if (!thread->has_stack) {
            thread->memory->frames_valid = 0;
            thread->filled = thread->unread = false;
        }
    }
    if (!python->moved && python->before_ns - before_ns <= GAP_NS)
        bsk_codes_stood(python->codes, before_ns, python->before_ns);
    return BSK_OK;
}
