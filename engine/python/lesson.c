/*
 * Lessons: a chain of frames outside of the data stack that is not known yet, read once more in as
 * few pieces as can be.
 *
 * A whole reading has a dozen pieces and takes as many half microseconds; a generator that C code
 * drives does not stand still for so long, and at usual rates it would be an accident to learn it
 * at all. Its frames, between two copies of the data stack below them, take one microsecond.
 *
 * What is learnt was on the stack at one instant: no byte below the chain has changed between the
 * two copies, neither locals nor value stacks, and each frame of the chain says that it is on the
 * stack, and was called by the next one, each time that it was read: outermost first and back. What
 * the innermost one has called is not learnt here: it was tried, and on 3.14 a generator that calls
 * one function on one line and another on the next was learnt to call each from the other's line.
 */
#include "engine/python/chain.h"

#include <stdlib.h>
#include <string.h>

enum { OUTSIDE_BYTES = STATE_BYTES + FRAME_MAX_BYTES, BELOW_MAX_BYTES = 64 << 10 };

struct lesson {
    uint8_t *below, *again;                          /* the newest chunk, before and after */
    uint32_t below_bytes;                            /* up to where a frame above would begin */
    uint8_t out[BSK_LESSON_HOPS_MAX][OUTSIDE_BYTES]; /* outermost last, as in memory->open */
    uint8_t back[BSK_LESSON_HOPS_MAX][OUTSIDE_BYTES];
};

/* One reading, to be planned. */
struct plan {
    struct bsk_piece pieces[2 + 2 * BSK_LESSON_HOPS_MAX];
    size_t count;
};

static void add(struct plan *plan, uint64_t address, void *dst, uint32_t size)
{
    plan->pieces[plan->count++] = (struct bsk_piece){ address, dst, size, false };
}

/* The entry frames lie where they always lie on the C stack, and say the same each time: they are
 * read around the rest, so that the two copies are as near to each other as can be. */
static bool read_lesson(struct bsk_python *python, const struct bsk_stack_memory *memory,
                        struct lesson *lesson)
{
    const struct bsk_open_chain *open = &memory->open;
    const struct hop *hops = open->hops;
    uint32_t frame_bytes = bsk_frame_bytes(&python->layout);
    uint32_t each = STATE_BYTES + frame_bytes;
    struct plan plan = { .count = 0 };
    size_t frames = 0;
    for (size_t i = 0; i < open->hop_count; i++)
        if (hops[i].shim)
            add(&plan, hops[i].address - STATE_BYTES, lesson->out[i], each);
        else
            frames++;
    add(&plan, open->base, lesson->below, lesson->below_bytes);
    for (size_t i = open->hop_count; i-- > 0;)
        if (!hops[i].shim)
            add(&plan, hops[i].address - STATE_BYTES, lesson->out[i], each);
    for (size_t i = 0; i < open->hop_count && frames > 1; i++)
        if (!hops[i].shim)
            add(&plan, hops[i].address - STATE_BYTES, lesson->back[i], each);
    add(&plan, open->base, lesson->again, lesson->below_bytes);
    for (size_t i = 0; i < open->hop_count; i++)
        if (hops[i].shim)
            add(&plan, hops[i].address - STATE_BYTES, lesson->back[i], each);
    if (bsk_process_read_pieces(python->process, plan.pieces, plan.count, NULL) != BSK_OK)
        return false;
    for (size_t i = 0; i < plan.count; i++)
        if (!plan.pieces[i].ok)
            return false;
    for (size_t i = 0; i < open->hop_count && frames == 1; i++)
        if (!hops[i].shim) /* one alone is read once: the copies are before and after it */
            memcpy(lesson->back[i], lesson->out[i], each);
    return memcmp(lesson->below, lesson->again, lesson->below_bytes) == 0;
}

/* The frames of the path that the chain leaves from are those of the sample. */
static bool stands_below(const struct bsk_python *python, const struct bsk_stack_memory *memory,
                         const struct lesson *lesson)
{
    const struct bsk_open_chain *open = &memory->open;
    for (size_t i = 0; i <= open->shore; i++) {
        const struct raw *then = &memory->path[i].raw;
        struct raw now;
        bsk_frame_raw(&python->layout, lesson->below + (then->address - open->base), then->address,
                      &now);
        if (now.code != then->code || now.lasti != then->lasti || now.calls != then->calls)
            return false;
    }
    return true;
}

/* The chain as it was read on the way out; false where the way back says otherwise. */
static bool take_chain(struct bsk_python *python, const struct bsk_stack_memory *memory,
                       const struct lesson *lesson, struct chain *out)
{
    const struct bsk_open_chain *open = &memory->open;
    const struct bsk_layout *layout = &python->layout;
    struct chain back = { .count = 0 };
    out->count = out->hop_count = 0;
    out->after_shim = false;
    for (size_t i = 0; i < open->hop_count; i++) {
        uint64_t next, next_back;
        size_t before = out->count;
        uint64_t address = open->hops[i].address;
        uint64_t wanted = i + 1 < open->hop_count ? open->hops[i + 1].address
                                                  : memory->path[open->shore].raw.address;
        if (!bsk_chain_add(python, lesson->out[i], address, out, &next) ||
            !bsk_chain_add(python, lesson->back[i], address, &back, &next_back) || next != wanted ||
            next_back != wanted || out->count != back.count)
            return false;
        if (out->count == before) /* the interpreter's own */
            continue;
        const struct raw *there = &out->raw[before], *again = &back.raw[before];
        if (there->code != again->code || (before > 0 && there->lasti != again->lasti) ||
            !bsk_frame_on_stack(layout, lesson->out[i]) ||
            !bsk_frame_on_stack(layout, lesson->back[i]))
            return false;
    }
    return out->count > 0;
}

static void learn(struct bsk_python *python, struct bsk_stack_memory *memory,
                  const struct lesson *lesson)
{
    struct chain chain;
    const struct raw *shore = &memory->path[memory->open.shore].raw;
    if (!stands_below(python, memory, lesson) || !take_chain(python, memory, lesson, &chain) ||
        !bsk_chain_can_be(python, memory, &chain, shore, false))
        return;
    bsk_path_begin(memory, memory->open.shore + 1);
    for (size_t i = chain.count; i-- > 0;)
        if (!bsk_path_push(python, memory, &chain.raw[i]))
            return;
    for (size_t i = 0; i < memory->path_count; i++)
        if (!bsk_path_is_plausible(python, memory, i))
            return;
    bsk_path_learn(python, memory);
    bsk_bridges_note(python, memory);
}

void bsk_lesson_open(struct bsk_stack_memory *memory, const struct bsk_above *above,
                     const struct chain *chain)
{
    struct bsk_open_chain *open = &memory->open;
    const struct chunk *chunk = &memory->chunks[0];
    uint64_t below_bytes = above->slot - chunk->base;
    if (memory->bridged || open->hop_count > 0 || !chain->whole || chain->count == 0 ||
        above->chunk != 0 || chain->hop_count > BSK_LESSON_HOPS_MAX ||
        below_bytes > BELOW_MAX_BYTES || below_bytes > chunk->bytes)
        return;
    for (size_t i = 0; i < memory->path_count; i++)
        if (!bsk_chunk_holds(chunk, memory->path[i].raw.address))
            return;
    open->base = chunk->base;
    open->shore = memory->path_count - 1;
    open->slot = above->slot;
    open->hop_count = chain->hop_count;
    memcpy(open->hops, chain->hops, chain->hop_count * sizeof(open->hops[0]));
}

void bsk_lesson_take(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    enum { LESSONS_FIRST = 64, LESSONS = 4, LESSONS_ENOUGH = 1 << 17 };
    const struct bsk_open_chain *open = &memory->open;
    if (memory->chunk_count == 0 || memory->chunks[0].base != open->base)
        return; /* the stack has grown or shrunk by a chunk since */
    uint32_t below_bytes = (uint32_t)(open->slot - open->base);
    struct lesson *lesson = malloc(sizeof(*lesson) + 2 * (size_t)below_bytes);
    if (!lesson)
        return;
    lesson->below = (uint8_t *)(lesson + 1);
    lesson->again = lesson->below + below_bytes;
    lesson->below_bytes = below_bytes;
    int lessons = memory->chain_lessons < LESSONS_ENOUGH ? LESSONS_FIRST : LESSONS;
    memory->chain_lessons += (uint32_t)lessons;
    for (int i = 0; i < lessons; i++)
        if (read_lesson(python, memory, lesson))
            learn(python, memory, lesson);
    free(lesson);
}
