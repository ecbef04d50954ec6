/*
 * A stack found from below.
 *
 * The top (current_frame) lies on another page than the frames, so on a thread that calls a lot the
 * two are rarely of one instant. The data stack alone is: frames lie in it one behind the other,
 * each naming the one before, and its newest chunk was copied in one go, from below. A frame tells
 * by itself whether it has called (bsk_layout_calls()), one that has ended whether it is dead, and
 * where a place calls to was learnt from stacks that stood still. Where the top was the same before
 * and after the copy, it settles what is left.
 */
#include "engine/python/memory.h"

struct climb {
    struct bsk_python *python;
    struct bsk_stack_memory *memory;
    size_t chunk;      /* that the frame is in; 0 is the newest */
    uint64_t sure_top; /* where the stack ends for certain, or 0 */
    bool top_out;      /* the top is on the heap */
};

static const uint8_t *frame_at(const struct climb *climb, size_t chunk, uint64_t address)
{
    const struct chunk *in = &climb->memory->chunks[chunk];
    uint64_t offset = address - in->base;
    if (address < in->base || offset + bsk_frame_bytes(&climb->python->layout) > in->have)
        return NULL;
    return in->copy + offset;
}

/* Where a frame that `step` calls would begin. */
static uint64_t slot_above(const struct climb *climb, const struct step *step, size_t *out_chunk)
{
    uint64_t slot = step->raw.address + 8 * (uint64_t)step->raw.known->frame_words;
    const struct chunk *chunk = &climb->memory->chunks[climb->chunk];
    *out_chunk = climb->chunk;
    if (climb->chunk > 0 && chunk->have >= CHUNK_HEADER_BYTES &&
        slot >= chunk->base + CHUNK_HEADER_BYTES + 8 * bsk_u64(chunk->copy, 16)) {
        *out_chunk = climb->chunk - 1;
        slot = climb->memory->chunks[*out_chunk].base + CHUNK_HEADER_BYTES;
    }
    return slot;
}

/* What is above has been popped: what it says is of a call that is over. `called`: the frame below
 * says that it has called this one. */
static bool is_dead(const struct climb *climb, const struct raw *above, bool called)
{
    const struct bsk_layout *layout = &climb->python->layout;
    const struct bsk_stack_memory *memory = climb->memory;
    bool has_locals = above->known->local_words > 0;
    if ((above->emptied && has_locals) || bsk_instruction_made(climb->python, above))
        return true;
    /* Whatever ends it overwrites what says that it runs; 3.11's caller says that it has called
     * until what it called is off the stack. */
    if ((layout->minor <= 13 && above->runs) || (layout->minor == 11 && called))
        return false;
    /* It has saved its stack to be taken off it, not to call; unless something runs above it: a
     * tool's function that is called when others return. From 3.13 on what is popped is emptied,
     * and until then it is asked no more: shares of short calls are nearer to the truth so. */
    if (layout->minor <= 12 && above->calls && climb->sure_top <= above->address &&
        bsk_instruction_at(climb->python, above) == BSK_INSTRUCTION_RETURNS)
        return true;
    if (layout->minor >= 12 && has_locals)
        return false;
    /* It does not tell by itself. */
    return !climb->top_out && memory->top < above->address && memory->top_near < above->address;
}

/* Its caller says that it has called, and it has nothing left to do but to be taken off the stack:
 * `dead`, which up to 3.13 does not make its words unreadable. On 3.11 it still counts as alive. */
static bool is_ending(const struct climb *climb, const struct raw *above, bool dead)
{
    return dead ? climb->python->layout.minor <= 13
                : climb->python->layout.minor == 11 && above->calls &&
                      climb->sure_top <= above->address &&
                      bsk_instruction_at(climb->python, above) == BSK_INSTRUCTION_RETURNS;
}

/* It is neither being made nor being taken off the stack. From 3.14 on that does not show. */
static bool is_settled(const struct climb *climb, const struct raw *above)
{
    return climb->python->layout.minor >= 14 || above->runs ||
           (above->calls &&
            (!above->known || bsk_instruction_at(climb->python, above) != BSK_INSTRUCTION_RETURNS));
}

/* Both frames say that the one has called the other, and that is not known yet. It is believed
 * where the tops say so, too. Else it is only learnt: one call may have ended and another begun
 * while they were copied. `calls`: the place is known to call others. */
static bool is_told(const struct climb *climb, const struct step *step, const struct raw *above,
                    bool deeper, bool calls)
{
    if (!deeper && !above->runs)
        return false;
    enum bsk_pushes pushes =
        calls ? BSK_PUSHES : bsk_instruction_pushes_now(climb->python, &step->raw);
    if (pushes == BSK_PUSHES_NOT)
        return false;
    if (deeper && is_settled(climb, above))
        return true;
    if (above->known && above->runs && pushes == BSK_PUSHES)
        bsk_proof_learn_site(&climb->python->proof, step->raw.known->code.id, step->raw.place,
                             above->known->code.id, BSK_SITE_CALLS);
    return false;
}

/* --- tops that were read first ------------------------------------------------------------------
 *
 * What is read first is of an instant that the program had no say in. What is read after it is not
 * quite: the program waits for its own cache lines, at certain places more than at others. So where
 * a call has just ended, or is about to, it is told as ended or not so that each place on the data
 * stack is the innermost frame's as often as the top that was read first has named it.
 */

static size_t count_slot(uint64_t address)
{
    return (address >> 3) % TOP_COUNTS;
}

static int32_t missing_of(const struct bsk_stack_memory *memory, uint64_t address)
{
    const struct top_count *count = &memory->top_counts[count_slot(address)];
    return count->address == address ? count->missing : 0;
}

static void count_one(struct bsk_stack_memory *memory, uint64_t address, int32_t more)
{
    int32_t missing = missing_of(memory, address) + more;
    if (bsk_chunks_find(memory, address) && missing >= -TOP_MISSING_MAX &&
        missing <= TOP_MISSING_MAX)
        memory->top_counts[count_slot(address)] =
            (struct top_count){ .address = address, .missing = missing };
}

static void count_tops(const struct climb *climb)
{
    struct bsk_stack_memory *memory = climb->memory;
    uint64_t first = memory->top, told = memory->path[memory->path_count - 1].raw.address;
    if (climb->python->layout.minor >= 14 || first == told) /* is_ending() is never asked there */
        return;
    count_one(memory, first, 1);
    count_one(memory, told, -1);
}

static bool is_missing_more(const struct bsk_stack_memory *memory, uint64_t address, uint64_t than,
                            bool else_so)
{
    int32_t missing = missing_of(memory, address), others = missing_of(memory, than);
    return missing == others ? else_so : missing > others;
}

/* --- one step up --------------------------------------------------------------------------------
 */

/* What there is where a frame would begin that the last step of the path has called. */
struct sight {
    struct raw raw;                   /* without a code: nothing, or popped (3.14 and later) */
    enum bsk_instruction instruction; /* of the last step */
    uint8_t flags;                    /* BSK_SITE_* of its place */
    bool direct;                      /* its words say that the last step has called it */
    bool shim;                        /* C code stands between the two */
    bool dead;                        /* its call is over */
    bool deeper; /* the tops say that it runs; no proof: calls of one loop have one place */
    bool proven; /* the path with it is known to exist */
};

static struct sight look_above(const struct climb *climb, const struct step *step,
                               struct bsk_above *out)
{
    const struct bsk_layout *layout = &climb->python->layout;
    const struct bsk_proof *proof = &climb->python->proof;
    *out = (struct bsk_above){ 0 };
    uint64_t slot = out->slot = slot_above(climb, step, &out->chunk);
    const uint8_t *above = frame_at(climb, out->chunk, slot);
    uint64_t previous = above ? bsk_u64(above, layout->frame.previous) : 0;
    bool entry = layout->minor == 11 && above && above[layout->frame.owner - 1] != 0;
    bool outside = previous % 8 == 0 && previous != 0 && !bsk_chunks_find(climb->memory, previous);
    const struct bsk_site *site = bsk_proof_site(proof, step->raw.known->code.id, step->raw.place);
    struct sight sight = { .raw = { .address = slot },
                           .instruction = bsk_instruction_at(climb->python, &step->raw),
                           .flags = site ? site->flags : 0 };
    if (above)
        bsk_frame_raw(layout, above, slot, &sight.raw);
    uint64_t code = sight.raw.code;
    struct bsk_known *known = code ? bsk_codes_peek(climb->python->codes, code) : NULL;
    sight.raw.known = known;
    sight.direct = above && previous == step->raw.address && !entry &&
                   bsk_instruction_may_call(sight.instruction);
    sight.shim = above && (entry ? previous == step->raw.address : layout->shim_owners && outside);
    sight.proven = known && bsk_proof_holds(proof, bsk_path_next_hash(step, known->code.id));
    /* 3.14 and later take the code out of a frame that is popped. */
    sight.dead =
        above && (code == 0 || (known && (sight.direct || sight.shim || outside) &&
                                is_dead(climb, &sight.raw, sight.direct && step->raw.calls)));
    sight.deeper = climb->sure_top >= slot && climb->sure_top != 0 && !sight.dead;
    out->shim = sight.shim;
    out->entered = entry;
    out->known = known;
    out->dead = sight.dead;
    out->direct = sight.direct;
    out->outside = above && outside && !sight.direct ? previous : 0;
    /* Its words are not all its own before its first instruction. */
    out->begun = known && out->outside && sight.raw.place > layout->code.bytecode;
    return sight;
}

/* The one outside that called what is above is the interpreter's own, called from `step`: not a
 * generator that runs for it. */
static bool is_entered(const struct climb *climb, const struct step *step,
                       const struct bsk_above *above)
{
    const struct bsk_layout *layout = &climb->python->layout;
    uint8_t frame[FRAME_MAX_BYTES];
    return above->outside == 0 || (bsk_process_read(climb->python->process, above->outside, frame,
                                                    bsk_frame_bytes(layout), NULL) == BSK_OK &&
                                   bsk_frame_enters(layout, frame, step->raw.address));
}

enum next { LEAF, CALLEE, ENDED, CALLS, HEAP }; /* ENDED: a callee that is the innermost frame */

static enum next what_is_next(const struct climb *climb, const struct step *step,
                              const struct sight *sight, const struct bsk_above *above)
{
    int minor = climb->python->layout.minor;
    bool heap = sight->flags & BSK_SITE_HEAP;
    /* 3.14 and later leave the mark of a call behind: C code may run there now, and call again. */
    bool by_c = sight->shim && !sight->dead && (minor >= 14 || !step->raw.calls);
    if (by_c && ((sight->flags & BSK_SITE_REENTERS && sight->proven) ||
                 (sight->deeper && !heap && is_entered(climb, step, above))))
        return CALLEE;
    if (!step->raw.calls)
        return heap ? HEAP : LEAF;
    /* There, the mark may also be of what a loop's body has called. */
    if (sight->instruction == BSK_INSTRUCTION_RESUMES &&
        (minor < 14 || climb->top_out || (above->outside && !sight->dead && above->begun)))
        return HEAP;
    bool usual = sight->proven || (sight->raw.known && bsk_path_often(climb->python, &step->raw,
                                                                      sight->raw.known->code.id));
    if (sight->direct && !heap && usual && is_ending(climb, &sight->raw, sight->dead))
        return is_missing_more(climb->memory, above->slot, step->raw.address, !sight->dead) ? ENDED
                                                                                            : LEAF;
    if (sight->dead && !heap && (sight->direct || sight->raw.code == 0))
        return LEAF;
    bool calls = sight->flags & BSK_SITE_CALLS;
    if (sight->direct && !sight->dead &&
        (sight->proven ||
         (!heap && (usual || is_told(climb, step, &sight->raw, sight->deeper, calls)))))
        return CALLEE;
    if (heap)
        return HEAP;
    return calls ? CALLS : LEAF; /* it is on its way in or out */
}

/* Where nothing is above on the data stack, the tops tell whether generators run from here.
 * `below`: the frame outside that this part of the data stack was called from; `leads_here`: a top
 * outside was followed down to here. */
static void note_tops(const struct climb *climb, const struct step *step, uint64_t below,
                      bool leads_here)
{
    const struct bsk_stack_memory *memory = climb->memory;
    struct bsk_proof *proof = &climb->python->proof;
    enum bsk_instruction instruction = bsk_instruction_at(climb->python, &step->raw);
    uint32_t id = step->raw.known->code.id;
    /* Of a call it takes the first top alone: what it calls may be over before the next. */
    bool is_call = instruction == BSK_INSTRUCTION_CALLS;
    const uint64_t tops[] = { memory->top, is_call ? memory->top : memory->top_near };
    bool here = false, outside = true;
    for (size_t i = 0; i < 2; i++) {
        here = here || tops[i] == step->raw.address;
        outside = outside && tops[i] != 0 && tops[i] != below && !bsk_chunks_find(memory, tops[i]);
    }
    if ((here && step->raw.calls) || here == outside || instruction == BSK_INSTRUCTION_RETURNS ||
        instruction == BSK_INSTRUCTION_MAKES)
        return;
    bool usual = bsk_proof_note_top(proof, id, step->raw.place, outside);
    if (usual && outside && (leads_here || is_call))
        bsk_proof_mark_site(proof, id, step->raw.place,
                            instruction == BSK_INSTRUCTION_RESUMES
                                ? BSK_SITE_HEAP
                                : BSK_SITE_HEAP | BSK_SITE_HEAP_BY_C);
}

/* What is above is told to be the innermost frame, though its words may say that it has ended. */
static bool push_ended(const struct climb *climb, const struct bsk_above *above)
{
    struct bsk_stack_memory *memory = climb->memory;
    struct raw raw;
    bsk_frame_raw(&climb->python->layout, frame_at(climb, above->chunk, above->slot), above->slot,
                  &raw);
    raw.told = true;
    memory->path_reading = 0; /* the next reading is not to begin with it */
    if (memory->path_count >= BSK_STACK_MAX_DEPTH || !bsk_path_push(climb->python, memory, &raw))
        return false;
    count_tops(climb);
    return true;
}

enum bsk_upward bsk_stack_upward(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    struct climb climb = { .python = python, .memory = memory };
    bool shim = false;
    if (memory->chunk_count == 0)
        return BSK_UPWARD_GARBAGE;
    bool top_in = bsk_chunks_find(memory, memory->top) != NULL;
    bool after_in = bsk_chunks_find(memory, memory->top_near) != NULL;
    climb.top_out = (memory->top != 0 && !top_in) || (memory->top_near != 0 && !after_in);
    climb.chunk = memory->chunk_count - 1;
    climb.sure_top = memory->top == memory->top_near && top_in ? memory->top : 0;
    uint64_t address = memory->chunks[climb.chunk].base + CHUNK_HEADER_BYTES + 8;
    size_t keep = memory->path_reading + 1 == memory->reading
                      ? bsk_chunks_same_steps(memory, bsk_frame_bytes(&python->layout))
                      : 0;
    memory->path_reading = memory->reading;
    /* Where the stack ends may differ although no byte of it does. */
    uint64_t lower = memory->top < memory->top_near ? memory->top : memory->top_near;
    while (keep > 0 && bsk_chunk_holds(&memory->chunks[0], memory->path[keep - 1].raw.address) &&
           memory->path[keep - 1].raw.address > lower && !climb.top_out)
        keep--;
    if (keep > 1) { /* the last one of these is looked at again, since what is above may differ */
        address = memory->path[keep - 1].raw.address;
        shim = memory->path[keep - 1].raw.after_shim;
        while (!bsk_chunk_holds(&memory->chunks[climb.chunk], address))
            climb.chunk--;
        memory->path_count = memory->path_same = keep - 1;
    } else {
        bsk_path_begin(memory, 0);
    }
    bool told = false;
    uint64_t outside = 0; /* the frame there that called what we are climbing now */
    memory->bridged = false;
    for (;;) {
        const uint8_t *frame = frame_at(&climb, climb.chunk, address);
        struct raw raw;
        if (!frame || frame[python->layout.frame.owner] != 0)
            break;
        bsk_frame_raw(&python->layout, frame, address, &raw);
        raw.after_shim = shim;
        raw.told = told;
        told = false;
        if (memory->path_count >= BSK_STACK_MAX_DEPTH || !bsk_path_push(python, memory, &raw))
            break;
        const struct step *step = &memory->path[memory->path_count - 1];
        if (step->raw.known->frame_words == 0)
            return BSK_UPWARD_GARBAGE;
        struct bsk_above above;
        struct sight sight = look_above(&climb, step, &above);
        enum next next = what_is_next(&climb, step, &sight, &above);
        if (next == ENDED)
            return push_ended(&climb, &above) ? BSK_UPWARD_WHOLE : BSK_UPWARD_CALLS;
        address = above.slot;
        shim = above.shim;
        if (next == LEAF) {
            bool leads_here = climb.top_out && bsk_cross_learn(python, memory);
            if (!above.direct || above.dead)
                note_tops(&climb, step, outside, leads_here);
        } else if (next == HEAP) {
            outside = above.outside;
            switch (bsk_cross(python, memory, &above, &shim)) {
            case BSK_CROSS_LEAF:
                next = LEAF;
                break;
            case BSK_CROSS_CALLEE:
                next = CALLEE;
                told = true;
                break;
            case BSK_CROSS_UNKNOWN:
                return BSK_UPWARD_HEAP;
            }
        }
        if (next == LEAF) {
            count_tops(&climb);
            return BSK_UPWARD_WHOLE;
        }
        if (next == CALLS)
            return BSK_UPWARD_CALLS;
        climb.chunk = above.chunk;
    }
    return memory->path_count > 0 ? BSK_UPWARD_CALLS : BSK_UPWARD_GARBAGE;
}
