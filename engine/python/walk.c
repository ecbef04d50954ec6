/*
 * A stack followed from the top, frame by frame along `previous`: in the copies of the chunks, in
 * what was read ahead, or by a read of its own.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

static size_t ahead_slot(const struct bsk_stack_memory *memory, uint64_t address)
{
    size_t at = (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
                (memory->ahead_slot_count - 1);
    while (memory->ahead_slots[at] && memory->ahead[memory->ahead_slots[at] - 1] != address)
        at = (at + 1) & (memory->ahead_slot_count - 1);
    return at;
}

void bsk_stack_remember_met(struct bsk_stack_memory *memory, uint32_t frame_bytes)
{
    uint64_t *met = memory->met;
    size_t met_capacity = memory->met_capacity;
    memory->met = memory->ahead;
    memory->met_capacity = memory->ahead_capacity;
    memory->ahead = met;
    memory->ahead_capacity = met_capacity;
    memory->ahead_count = memory->met_count;
    memory->met_count = 0;
    if (memory->ahead_count == 0)
        return;
    size_t slots = memory->ahead_slot_count ? memory->ahead_slot_count : 64;
    while (slots < 2 * memory->ahead_count)
        slots *= 2;
    if (slots != memory->ahead_slot_count) {
        /* `ahead_bytes` and its kin hold half as many as there are slots */
        uint32_t *grown = realloc(memory->ahead_slots, slots * sizeof(*grown));
        if (grown)
            memory->ahead_slots = grown;
        uint8_t *bytes = realloc(memory->ahead_bytes, slots / 2 * frame_bytes);
        if (bytes)
            memory->ahead_bytes = bytes;
        size_t twice = slots / 2 < PROVE_AHEAD_MAX ? slots / 2 : PROVE_AHEAD_MAX;
        uint8_t *again = realloc(memory->ahead_again, twice * frame_bytes);
        if (again)
            memory->ahead_again = again;
        if (!grown || !bytes || !again) {
            memory->ahead_count = 0;
            return;
        }
        memory->ahead_slot_count = slots;
    }
    memset(memory->ahead_slots, 0, memory->ahead_slot_count * sizeof(memory->ahead_slots[0]));
    size_t count = memory->ahead_count;
    for (size_t i = 0; i < count; i++)
        memory->ahead_slots[ahead_slot(memory, memory->ahead[i])] = (uint32_t)i + 1;
}

/* Its index + 1 in `ahead`; 0: it was not read with the rest. */
static uint32_t read_ahead(const struct bsk_python *python, const struct bsk_stack_memory *memory,
                           uint64_t address)
{
    uint32_t slot = memory->ahead_count > 0 ? memory->ahead_slots[ahead_slot(memory, address)] : 0;
    bool ok = slot > 0 && bsk_piece_ok(python, memory->piece_ahead + memory->ahead_count - slot);
    return ok ? slot : 0;
}

struct view {
    const uint8_t *bytes, *again; /* `again` NULL: was not read twice */
};

/* The bytes of the frame at `address`, from what was read or by a read of its own into `scratch`.
 */
static bool view_frame(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t address,
                       size_t *chunk_hint, uint8_t *scratch, struct view *out)
{
    uint32_t size = bsk_frame_bytes(&python->layout);
    size_t hint = *chunk_hint;
    for (size_t i = 0; i < memory->chunk_count; i++) {
        size_t index = (hint + i) % memory->chunk_count;
        struct chunk *chunk = &memory->chunks[index];
        if (address < chunk->base || address - chunk->base + size > chunk->bytes)
            continue;
        uint32_t offset = (uint32_t)(address - chunk->base);
        bool was_there = offset + size <= chunk->have;
        if (!was_there && !bsk_chunk_extend(python, chunk, offset + size + AHEAD_SLACK_BYTES))
            return false;
        *chunk_hint = index;
        out->bytes = chunk->copy + offset;
        out->again = index == 0 && was_there && offset + size <= memory->again_have
                         ? chunk->again + offset
                         : NULL;
        if (index != 0 && was_there)
            out->again = out->bytes; /* older chunks: below the part of the stack that moves */
        return true;
    }
    if (bsk_room_for_one(&memory->met, memory->met_count, &memory->met_capacity,
                         sizeof(memory->met[0])))
        memory->met[memory->met_count++] = address;
    uint32_t slot = memory->twice ? read_ahead(python, memory, address) : 0;
    if (slot > 0) {
        out->bytes = memory->ahead_bytes + (size_t)(slot - 1) * size;
        if (slot > PROVE_AHEAD_MAX)
            out->again = out->bytes; /* far below the part of the stack that moves */
        else
            out->again = bsk_piece_ok(python, memory->piece_ahead_again + slot - 1)
                             ? memory->ahead_again + (size_t)(slot - 1) * size
                             : NULL;
        return true;
    }
    if (bsk_process_read(python->process, address, scratch, size, NULL) < 0)
        return false;
    out->bytes = scratch;
    out->again = NULL;
    return true;
}

uint64_t bsk_frame_lasti(const struct bsk_layout *layout, const uint8_t *frame)
{
    if (layout->frame_form == BSK_FRAME_OBJECTS)
        return (uint64_t)(int64_t)bsk_i32(frame, layout->frame.lasti);
    return bsk_u64(frame, layout->frame.lasti);
}

void bsk_frame_raw(const struct bsk_layout *layout, const uint8_t *frame, uint64_t address,
                   struct raw *out)
{
    uint64_t code = bsk_u64(frame, layout->frame.code) & ~layout->tag_mask;
    uint64_t lasti = bsk_frame_lasti(layout, frame);
    *out = (struct raw){
        .address = address,
        .code = code,
        .lasti = lasti,
        .place = layout->frame_form == BSK_FRAME_OBJECTS ? lasti : lasti - code,
        .tlbc_index = layout->frame.tlbc_index ? bsk_i32(frame, layout->frame.tlbc_index) : 0,
        .after_shim = layout->minor == 11 && frame[layout->frame.owner - 1] != 0,
    };
    if (layout->frame_form == BSK_FRAME_OBJECTS)
        return;
    /* One that stands before its first instruction has just been pushed, whatever it says. */
    bool begun = out->place > layout->code.bytecode;
    out->calls = bsk_layout_calls(layout, frame) && begun;
    out->runs = !bsk_layout_calls(layout, frame) && (begun || layout->minor <= 13);
    if (layout->minor >= 14)
        out->emptied = bsk_u64(frame, layout->frame.lasti + 8) == address + layout->frame.size;
    else
        out->emptied = layout->minor >= 12 && bsk_i32(frame, layout->frame.calls) == 0;
}

bool bsk_frame_on_stack(const struct bsk_layout *layout, const uint8_t *frame_with_state)
{
    /* gi_frame_state is the last of four chars before gi_iframe; FRAME_EXECUTING. 3.11 to 3.15. */
    return frame_with_state[STATE_BYTES - 5] == (layout->minor >= 15 ? 4 : 0);
}

/* Proof that a frame stood still between the two readings: what it runs, who called it and, where
 * it is not the innermost one, from where it calls. */
static bool stood_still(const struct bsk_layout *layout, const struct view *view, bool innermost)
{
    return bsk_u64(view->bytes, layout->frame.code) == bsk_u64(view->again, layout->frame.code) &&
           bsk_u64(view->bytes, layout->frame.previous) ==
               bsk_u64(view->again, layout->frame.previous) &&
           (innermost ||
            bsk_frame_lasti(layout, view->bytes) == bsk_frame_lasti(layout, view->again));
}

bool bsk_stack_walk(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t top,
                    uint64_t datastack_top, bool *out_truncated)
{
    const struct bsk_layout *layout = &python->layout;
    uint8_t scratch[FRAME_MAX_BYTES];
    size_t chunk_hint = 0, shims = 0;
    bool after_shim = false;
    uint64_t must_meet = bsk_chunks_first_frame(memory, datastack_top);
    memory->raw_count = memory->met_count = 0;
    *out_truncated = false;
    for (uint64_t address = top; address != 0;) {
        struct view view;
        if (address % 8 != 0 || !view_frame(python, memory, address, &chunk_hint, scratch, &view) ||
            !view.bytes)
            return false;
        bool stood = view.again && (view.again == view.bytes ||
                                    stood_still(layout, &view, memory->raw_count == 0));
        if (!view.again)
            memory->unproven = true;
        else if (!stood)
            memory->moved = true;
        if (address == must_meet)
            must_meet = 0;
        unsigned owner = layout->frame.owner ? view.bytes[layout->frame.owner] : 0;
        uint64_t previous = bsk_u64(view.bytes, layout->frame.previous);
        if (owner > 31)
            return false;
        if (layout->shim_owners & 1u << owner) {
            if (++shims > SHIMS_MAX)
                return false;
            after_shim = true;
        } else {
            if (memory->raw_count == BSK_STACK_MAX_DEPTH) {
                *out_truncated = true;
                return true;
            }
            if (!bsk_room_for_one(&memory->raw, memory->raw_count, &memory->raw_capacity,
                                  sizeof(memory->raw[0])))
                return false;
            struct raw *raw = &memory->raw[memory->raw_count++];
            bsk_frame_raw(layout, view.bytes, address, raw);
            raw->stood = stood;
            if (raw != memory->raw && after_shim)
                raw[-1].after_shim = true;
            after_shim = false;
        }
        if (previous == address)
            return false;
        address = previous;
    }
    return must_meet == 0;
}
