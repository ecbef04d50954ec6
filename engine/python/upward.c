/*
 * A stack found from below.
 *
 * The top (current_frame) lies on another page than the frames, so on a thread that calls a lot the
 * two are rarely of one instant. The data stack alone is: frames lie in it one behind the other,
 * each naming the one before, and its newest chunk was copied in one go. So when the walk from the
 * top gives a mixture, the frames of that chunk are followed upwards instead, as long as each call
 * is one that was proven before, to the frame that stands where nothing is ever called from. What
 * is called from there and not proven, or lies elsewhere (a generator), ends the attempt: such a
 * stack counts as torn, and is never cut short.
 */
#include "engine/python/memory.h"

static bool raw_at(struct bsk_python *python, const struct chunk *chunk, uint64_t address,
                   struct raw *out)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t offset = address - chunk->base;
    if (address < chunk->base || offset + bsk_frame_bytes(layout) > chunk->have)
        return false;
    const uint8_t *frame = chunk->copy + offset;
    *out = (struct raw){
        .address = address,
        .code = bsk_u64(frame, layout->frame.code) & ~layout->tag_mask,
        .lasti = bsk_frame_lasti(layout, frame),
        .tlbc_index = layout->frame.tlbc_index ? bsk_i32(frame, layout->frame.tlbc_index) : 0,
        .previous = bsk_u64(frame, layout->frame.previous),
    };
    out->known = bsk_codes_peek(python->codes, out->code);
    return out->known && out->known->frame_words > 0;
}

/* `callee` was called by `caller`, or by C code that `caller` called (then a frame of the
 * interpreter's own on the C stack lies between them). */
static bool is_called_by(struct bsk_python *python, const struct raw *callee,
                         const struct raw *caller)
{
    const struct bsk_layout *layout = &python->layout;
    uint8_t shim[FRAME_MAX_BYTES];
    if (callee->previous != caller->address) {
        if (layout->shim_owners == 0 || callee->previous % 8 != 0 ||
            bsk_process_read(python->process, callee->previous, shim, bsk_frame_bytes(layout),
                             NULL) < 0 ||
            shim[layout->frame.owner] > 31 ||
            !(layout->shim_owners & 1u << shim[layout->frame.owner]) ||
            bsk_u64(shim, layout->frame.previous) != caller->address)
            return false;
    }
    return bsk_proof_holds(&python->proof, bsk_proof_call(caller->known->code.id, caller->lasti,
                                                          callee->known->code.id));
}

bool bsk_stack_upward(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    enum { CHUNK_DATA = 24 };
    bool truncated;
    struct raw frame, next;
    if (memory->chunk_count == 0)
        return false;
    const struct chunk *chunk = &memory->chunks[0];
    uint64_t start = chunk->base + CHUNK_DATA + (memory->chunk_count == 1 ? 8 : 0);
    if (!raw_at(python, chunk, start, &frame) ||
        !bsk_stack_walk(python, memory, start, UINT64_MAX, &truncated) || truncated)
        return false;
    memory->first_count = 0;
    while (raw_at(python, chunk, frame.address + 8 * (uint64_t)frame.known->frame_words, &next) &&
           is_called_by(python, &next, &frame)) {
        if (memory->first_count + memory->raw_count >= BSK_STACK_MAX_DEPTH ||
            !bsk_room_for_one(&memory->first, memory->first_count, &memory->first_capacity,
                              sizeof(memory->first[0])))
            return false;
        memory->first[memory->first_count++] = frame = next;
    }
    if (bsk_proof_seen(&python->proof,
                       bsk_proof_call(frame.known->code.id, frame.lasti, BSK_ANY_CALLEE)))
        return false; /* it calls something that we could not tell */
    size_t above = memory->first_count;
    while (memory->raw_capacity < memory->raw_count + above)
        if (!bsk_room_for_one(&memory->raw, memory->raw_capacity, &memory->raw_capacity,
                              sizeof(memory->raw[0])))
            return false;
    memmove(memory->raw + above, memory->raw, memory->raw_count * sizeof(memory->raw[0]));
    for (size_t i = 0; i < above; i++)
        memory->raw[i] = memory->first[above - 1 - i];
    memory->raw_count += above;
    return true;
}
