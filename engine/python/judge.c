/*
 * What one reading of a thread's stack is worth, where frames lie on a data stack (3.11 and later):
 * the walk from the top, where it is proven to be of one instant; else what is found from below, as
 * far as that is proven. docs/sampling.md says what is believed and why.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

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

void bsk_stack_prove(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    bool truncated;
    if (!bsk_stack_read_again(python, thread, &datastack_top) ||
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
        if (python->layout.frame_form != BSK_FRAME_OBJECTS &&
            !bsk_path_is_plausible(python, memory, i))
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
           bsk_path_is_plausible(python, memory, still);
         still++) {
        outside = outside || !bsk_chunks_find(memory, memory->path[still].raw.address);
        if (still > 0 && !bsk_witness_call(python, memory, &memory->path[still - 1].raw,
                                           &memory->path[still].raw, 1)) {
            bsk_path_mark(python, memory, still);
            break;
        }
    }
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
        if (bsk_stack_read_again(python, thread, &datastack_top) &&
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
        bsk_stack_prove(python, thread);
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

/* The walk from the top, where it is proven to be of one instant. */
static enum bsk_stack_outcome judge_still(struct bsk_python *python,
                                          struct bsk_python_thread *thread, uint64_t datastack_top)
{
    struct bsk_stack_memory *memory = thread->memory;
    if (!bsk_stack_walk(python, memory, memory->top, datastack_top, &thread->truncated)) {
        memory->met_count = 0;
        return BSK_STACK_GARBAGE;
    }
    bsk_stack_remember_met(memory, bsk_frame_bytes(&python->layout));
    for (size_t i = 0; i < memory->ahead_count && i < HOT_MAX; i++)
        bsk_hot_note(memory, memory->ahead[i]);
    if (!learn_still(python, memory))
        return BSK_STACK_MOVED;
    bool heap = false;
    for (size_t i = 0; i < memory->raw_count && !heap; i++)
        heap = !bsk_chunks_find(memory, memory->raw[i].address);
    if (heap)
        memory->heap_left = HEAP_LASTS;
    return bsk_path_resolve(python, thread) ? BSK_STACK_READ : BSK_STACK_GARBAGE;
}

/* Who sleeps stands still: its stack is the walk from the top, once all of it was read twice and
 * was the same, the top too. What is met for the first time was read once: so it is read again. */
static enum bsk_stack_outcome judge_asleep(struct bsk_python *python,
                                           struct bsk_python_thread *thread,
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
            return bsk_path_from_raw(python, memory) && bsk_path_resolve(python, thread)
                       ? BSK_STACK_READ
                       : BSK_STACK_GARBAGE;
        if (!memory->moved && !bsk_stack_read_again(python, thread, datastack_top))
            memory->moved = true; /* what it left is of two readings */
    }
    return BSK_STACK_MOVED;
}

enum bsk_stack_outcome bsk_judge_chunks(struct bsk_python *python, struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t datastack_top;
    if (!bsk_stack_collect(python, thread, &datastack_top))
        return BSK_STACK_GARBAGE;
    if (memory->top == 0 && memory->top_after == 0) {
        memory->path_valid = memory->path_same = memory->path_count = 0;
        thread->depth = 0;
        return bsk_chunks_first_frame(memory, datastack_top) == 0 ? BSK_STACK_READ
                                                                  : BSK_STACK_GARBAGE;
    }
    if (thread->sleeps && !thread->holds_gil && /* it may have woken up since that was known */
        judge_asleep(python, thread, &datastack_top) == BSK_STACK_READ)
        return BSK_STACK_READ;
    if (memory->refused_reading == memory->reading)
        return BSK_STACK_GARBAGE;
    if (memory->heap_left > 0)
        memory->heap_left--;
    if (memory->twice && judge_still(python, thread, datastack_top) == BSK_STACK_READ)
        return BSK_STACK_READ;
    if (memory->refused_reading == memory->reading)
        return BSK_STACK_GARBAGE;
    enum bsk_upward found = bsk_stack_upward(python, memory);
    if (found == BSK_UPWARD_WHOLE && !memory->bridged) {
        bsk_path_note(python, memory);
        if (memory->heap_left > 0 && bsk_path_proven(python, memory) == memory->path_count)
            bsk_bridges_note(python, memory);
    }
    switch (found) {
    case BSK_UPWARD_WHOLE:
    case BSK_UPWARD_CALLS:
        return settle(python, thread, found) ? BSK_STACK_READ : BSK_STACK_MOVED;
    case BSK_UPWARD_HEAP: /* what is below is sure */
        memory->bridged = false;
        memory->heap_left = HEAP_LASTS;
        study(python, thread);
        return memory->path_count > 0 && settle(python, thread, found) ? BSK_STACK_READ
                                                                       : BSK_STACK_MOVED;
    case BSK_UPWARD_GARBAGE:
        break;
    }
    return BSK_STACK_GARBAGE;
}
