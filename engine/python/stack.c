/*
 * One stack. All that a thread's stack is expected to need is read by one system call, in this
 * order: the thread state with its top; the data stack, newest chunk first; frames that lie
 * elsewhere (generators, 3.10's frame objects) where the sample before found them; these again, the
 * newest chunk again, the top again. What is still missing is read by itself.
 *
 * The first reading is the sample: it is walked. The second only proves that it did not move. See
 * proof.h for what becomes of a stack that did.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

void bsk_stack_memory_free(struct bsk_stack_memory *memory)
{
    if (!memory)
        return;
    for (size_t i = 0; i < memory->chunk_count; i++) {
        free(memory->chunks[i].copy);
        free(memory->chunks[i].again);
    }
    free(memory->chunks);
    free(memory->ahead);
    free(memory->ahead_bytes);
    free(memory->ahead_again);
    free(memory->ahead_slots);
    free(memory->met);
    free(memory->raw);
    free(memory->first);
    free(memory->frames);
    free(memory);
}

bool bsk_room_for_one(void *array, size_t count, size_t *capacity, size_t item_bytes)
{
    void **items = array;
    if (count < *capacity)
        return true;
    size_t bigger = *capacity ? *capacity * 2 : 32;
    void *grown = realloc(*items, bigger * item_bytes);
    if (!grown)
        return false;
    *items = grown;
    *capacity = bigger;
    return true;
}

static uint32_t thread_bytes(const struct bsk_layout *layout)
{
    return layout->thread.size < THREAD_MAX_BYTES ? layout->thread.size : THREAD_MAX_BYTES;
}

uint32_t bsk_frame_bytes(const struct bsk_layout *layout)
{
    return layout->frame.size < FRAME_MAX_BYTES ? layout->frame.size : FRAME_MAX_BYTES;
}

/* --- planning one reading ----------------------------------------------------------------------
 */

static size_t add_piece(struct bsk_python *python, uint64_t address, void *dst, uint32_t size)
{
    if (!bsk_room_for_one(&python->pieces, python->piece_count, &python->piece_capacity,
                          sizeof(python->pieces[0])))
        return SIZE_MAX;
    python->pieces[python->piece_count] =
        (struct bsk_piece){ .address = address, .dst = dst, .size = size };
    return python->piece_count++;
}

static bool piece_ok(const struct bsk_python *python, size_t index)
{
    return index < python->piece_count && python->pieces[index].ok;
}

static void plan(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    const struct bsk_layout *layout = &python->layout;
    struct bsk_stack_memory *memory = thread->memory;
    uint32_t frame_bytes = bsk_frame_bytes(layout);
    memory->piece_cframe = memory->piece_chunk_again = SIZE_MAX;
    memory->piece_cframe_again = SIZE_MAX;

    memory->piece_thread = add_piece(python, thread->address, memory->thread, thread_bytes(layout));
    if (layout->frame_form == BSK_FRAME_CFRAME)
        memory->piece_cframe =
            add_piece(python, memory->cframe, memory->cframe_bytes, CFRAME_BYTES);
    memory->piece_chunks = python->piece_count;
    for (size_t i = 0; i < memory->chunk_count; i++)
        add_piece(python, memory->chunks[i].base, memory->chunks[i].copy, memory->chunks[i].want);
    /* Outermost first and back again: each call is proven by its caller standing at one place just
     * before and just after the callee was seen. Two passes in one direction would agree by chance
     * on a loop that takes as long as a pass: measured, 40 % of a profile. */
    memory->piece_ahead = python->piece_count;
    for (size_t i = memory->ahead_count; i-- > 0;)
        add_piece(python, memory->ahead[i], memory->ahead_bytes + i * frame_bytes, frame_bytes);
    memory->piece_ahead_again = python->piece_count;
    for (size_t i = 0; i < memory->ahead_count && i < PROVE_AHEAD_MAX; i++)
        add_piece(python, memory->ahead[i], memory->ahead_again + i * frame_bytes, frame_bytes);
    if (memory->chunk_count > 0 && memory->chunks[0].again)
        memory->piece_chunk_again = add_piece(python, memory->chunks[0].base,
                                              memory->chunks[0].again, memory->chunks[0].want);
    if (layout->frame_form == BSK_FRAME_CFRAME)
        memory->piece_cframe_again =
            add_piece(python, memory->cframe, memory->cframe_again, CFRAME_BYTES);
    memory->piece_top_again = add_piece(python, thread->address + layout->thread.frame,
                                        memory->top_again, sizeof(memory->top_again[0]));
}

/* --- the data stack ----------------------------------------------------------------------------
 */

static bool make_room(struct chunk *chunk, uint32_t bytes, bool twice)
{
    if (chunk->room < bytes) {
        uint8_t *copy = realloc(chunk->copy, bytes);
        if (copy)
            chunk->copy = copy;
        uint8_t *again = chunk->again && copy ? realloc(chunk->again, bytes) : NULL;
        if (again)
            chunk->again = again;
        if (!copy || (chunk->again && !again))
            return false;
        chunk->room = bytes;
    }
    if (twice && !chunk->again)
        chunk->again = malloc(chunk->room);
    return !twice || chunk->again;
}

/* Reads the part of the chunk up to `until` that is still missing. */
static bool extend(struct bsk_python *python, struct chunk *chunk, uint32_t until)
{
    if (until > chunk->bytes)
        until = chunk->bytes;
    if (until <= chunk->have)
        return true;
    if (!make_room(chunk, until, false) ||
        bsk_process_read(python->process, chunk->base + chunk->have, chunk->copy + chunk->have,
                         until - chunk->have, NULL) < 0)
        return false;
    chunk->have = until;
    return true;
}

static void drop_chunks(struct bsk_stack_memory *memory, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++) {
        free(memory->chunks[i].copy);
        free(memory->chunks[i].again);
    }
    if (count == 0)
        return;
    memmove(memory->chunks + from, memory->chunks + from + count,
            (memory->chunk_count - from - count) * sizeof(memory->chunks[0]));
    memory->chunk_count -= count;
}

/*
 * Brings the list of chunks in line with what this sample's thread state says is the newest one:
 * dropped where the stack has shrunk, read now where it has grown. `top` is datastack_top.
 */
static bool follow_chunks(struct bsk_python *python, struct bsk_stack_memory *memory,
                          uint64_t newest, uint64_t top)
{
    size_t keep = 0;
    while (keep < memory->chunk_count && memory->chunks[keep].base != newest)
        keep++;
    if (keep < memory->chunk_count) {
        drop_chunks(memory, 0, keep);
        if (keep > 0)
            memory->piece_chunk_again = SIZE_MAX; /* that was the one that is gone */
    } else if (newest != 0) {
        struct chunk *fresh = NULL;
        size_t count = 0, capacity = 0, known = 0;
        bool ok = true;
        for (uint64_t base = newest; base != 0 && ok;) {
            uint64_t header[3]; /* previous, size in bytes, top in words */
            for (known = 0; known < memory->chunk_count; known++)
                if (memory->chunks[known].base == base)
                    break;
            if (known < memory->chunk_count)
                break;
            ok = count < CHUNKS_MAX && bsk_room_for_one(&fresh, count, &capacity, sizeof(*fresh)) &&
                 bsk_process_read(python->process, base, header, sizeof(header), NULL) == BSK_OK &&
                 header[1] >= sizeof(header) && header[1] <= CHUNK_MAX_BYTES;
            if (!ok)
                break;
            uint64_t used = base == newest && top > base ? top - base + AHEAD_SLACK_BYTES
                                                         : sizeof(header) + 8 * header[2];
            if (used > header[1])
                used = header[1];
            fresh[count++] = (struct chunk){ .base = base,
                                             .bytes = (uint32_t)header[1],
                                             .want = (uint32_t)used };
            base = header[0];
        }
        if (ok && known >= memory->chunk_count)
            drop_chunks(memory, 0, memory->chunk_count);
        else if (ok)
            drop_chunks(memory, 0, known);
        while (ok && memory->chunk_capacity < memory->chunk_count + count)
            ok = bsk_room_for_one(&memory->chunks, memory->chunk_capacity, &memory->chunk_capacity,
                                  sizeof(memory->chunks[0]));
        if (!ok) {
            free(fresh);
            return false;
        }
        if (count > 0) {
            memmove(memory->chunks + count, memory->chunks,
                    memory->chunk_count * sizeof(memory->chunks[0]));
            memcpy(memory->chunks, fresh, count * sizeof(*fresh));
        }
        memory->chunk_count += count;
        free(fresh);
        memory->unproven = true;
        memory->piece_chunk_again = SIZE_MAX;
        for (size_t i = 0; i < count; i++)
            if (!extend(python, &memory->chunks[i], memory->chunks[i].want))
                return false;
    }
    for (size_t i = 0; i < memory->chunk_count; i++) {
        struct chunk *chunk = &memory->chunks[i];
        uint64_t used;
        if (i == 0)
            used = top > chunk->base ? top - chunk->base + AHEAD_SLACK_BYTES : AHEAD_SLACK_BYTES;
        else if (chunk->have >= 24)
            used = 24 + 8 * bsk_u64(chunk->copy, 16); /* its own `top`, set when the next began */
        else
            used = chunk->want;
        chunk->want = used < chunk->bytes ? (uint32_t)used : chunk->bytes;
        if (!make_room(chunk, chunk->want, i == 0))
            chunk->want = 0;
    }
    return true;
}

/* --- frames ------------------------------------------------------------------------------------
 */

static size_t ahead_slot(const struct bsk_stack_memory *memory, uint64_t address)
{
    size_t at = (size_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
                (memory->ahead_slot_count - 1);
    while (memory->ahead_slots[at] && memory->ahead[memory->ahead_slots[at] - 1] != address)
        at = (at + 1) & (memory->ahead_slot_count - 1);
    return at;
}

/* What the walk met becomes what the next reading reads ahead. */
static void remember_met(struct bsk_stack_memory *memory, uint32_t frame_bytes)
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
        if (!was_there && !extend(python, chunk, offset + size + AHEAD_SLACK_BYTES))
            return false;
        *chunk_hint = index;
        out->bytes = chunk->copy + offset;
        out->again = index == 0 && was_there && piece_ok(python, memory->piece_chunk_again) &&
                             offset + size <= python->pieces[memory->piece_chunk_again].size
                         ? chunk->again + offset
                         : NULL;
        if (index != 0 && was_there)
            out->again = out->bytes; /* older chunks: below the part of the stack that moves */
        return true;
    }
    if (bsk_room_for_one(&memory->met, memory->met_count, &memory->met_capacity,
                         sizeof(memory->met[0])))
        memory->met[memory->met_count++] = address;
    if (memory->ahead_count > 0) {
        uint32_t slot = memory->ahead_slots[ahead_slot(memory, address)];
        if (slot > 0 && piece_ok(python, memory->piece_ahead + memory->ahead_count - slot)) {
            out->bytes = memory->ahead_bytes + (size_t)(slot - 1) * size;
            if (slot > PROVE_AHEAD_MAX)
                out->again = out->bytes; /* far below the part of the stack that moves */
            else
                out->again = piece_ok(python, memory->piece_ahead_again + slot - 1)
                                 ? memory->ahead_again + (size_t)(slot - 1) * size
                                 : NULL;
            return true;
        }
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

/* The first frame that a thread ever pushed lies one word into its oldest chunk. While the data
 * stack holds anything, a chain that does not go through it is no whole stack (a coroutine that
 * has ended has no `previous`). */
static uint64_t first_frame(const struct bsk_stack_memory *memory, uint64_t top)
{
    enum { CHUNK_DATA = 24 };
    if (memory->chunk_count == 0)
        return 0;
    uint64_t first = memory->chunks[memory->chunk_count - 1].base + CHUNK_DATA + 8;
    return memory->chunk_count == 1 && top <= first ? 0 : first;
}

bool bsk_stack_walk(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t top,
                    uint64_t datastack_top, bool *out_truncated)
{
    const struct bsk_layout *layout = &python->layout;
    uint8_t scratch[FRAME_MAX_BYTES];
    size_t chunk_hint = 0, shims = 0;
    uint64_t must_meet = first_frame(memory, datastack_top);
    memory->raw_count = memory->met_count = 0;
    *out_truncated = false;
    for (uint64_t address = top; address != 0;) {
        struct view view;
        if (address % 8 != 0 || !view_frame(python, memory, address, &chunk_hint, scratch, &view))
            return false;
        if (!view.again)
            memory->unproven = true;
        else if (view.again != view.bytes && !stood_still(layout, &view, memory->raw_count == 0))
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
        } else {
            if (memory->raw_count == BSK_STACK_MAX_DEPTH) {
                *out_truncated = true;
                return true;
            }
            if (!bsk_room_for_one(&memory->raw, memory->raw_count, &memory->raw_capacity,
                                  sizeof(memory->raw[0])))
                return false;
            memory->raw[memory->raw_count++] = (struct raw){
                .address = address,
                .code = bsk_u64(view.bytes, layout->frame.code) & ~layout->tag_mask,
                .lasti = bsk_frame_lasti(layout, view.bytes),
                .tlbc_index =
                    layout->frame.tlbc_index ? bsk_i32(view.bytes, layout->frame.tlbc_index) : 0,
            };
        }
        if (previous == address)
            return false;
        address = previous;
    }
    return must_meet == 0;
}

/* --- from raw frames to named ones -------------------------------------------------------------
 */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool look_up_codes(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    for (size_t i = 0; i < memory->raw_count; i++) {
        struct raw *raw = &memory->raw[i];
        if (i > 0 && raw->code == memory->raw[i - 1].code)
            raw->known = memory->raw[i - 1].known; /* recursion */
        else if (bsk_codes_get(python->codes, raw->code, &raw->known) < 0)
            return false;
    }
    return true;
}

/* Frames that the interpreter puts between a class and its __init__ look like the program's own. */
static void drop_inner_shims(struct bsk_stack_memory *memory)
{
    size_t kept = 0;
    for (size_t i = 0; i < memory->raw_count; i++)
        if (!memory->raw[i].known->is_shim)
            memory->raw[kept++] = memory->raw[i];
    memory->raw_count = kept;
}

static bool resolve(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    enum { SLICE = 256 };
    bool same = true;
    uint64_t now = now_ns();
    if (!look_up_codes(python, memory))
        return false;
    for (size_t i = 0; i < memory->raw_count; i += SLICE) {
        struct bsk_known *known[SLICE];
        size_t count = memory->raw_count - i < SLICE ? memory->raw_count - i : SLICE;
        for (size_t k = 0; k < count; k++)
            known[k] = memory->raw[i + k].known;
        same = bsk_codes_check(python->codes, known, count, now) && same;
    }
    if (!same && !look_up_codes(python, memory))
        return false;
    drop_inner_shims(memory);
    while (memory->frame_capacity < memory->raw_count)
        if (!bsk_room_for_one(&memory->frames, memory->frame_capacity, &memory->frame_capacity,
                              sizeof(memory->frames[0])))
            return false;
    for (size_t i = 0; i < memory->raw_count; i++) {
        const struct raw *raw = &memory->raw[i];
        memory->frames[i].code = &raw->known->code;
        memory->frames[i].address = raw->address;
        if (!bsk_codes_line(python->codes, raw->known, raw->lasti, raw->tlbc_index,
                            &memory->frames[i].line))
            return false;
    }
    return true;
}

static uint64_t call_into(const struct bsk_stack_memory *memory, size_t callee)
{
    const struct raw *caller = &memory->raw[callee + 1];
    return bsk_proof_call(caller->known->code.id, caller->lasti,
                          memory->raw[callee].known->code.id);
}

static bool every_call_proven(const struct bsk_python *python,
                              const struct bsk_stack_memory *memory)
{
    /* Frames on the heap are read one by one, over a microsecond: two wrong readings agree too
     * often (measured: up to 1 in 100) for a proof to be lent to other stacks. */
    if (python->layout.frame_form == BSK_FRAME_OBJECTS)
        return false;
    for (size_t i = 0; i + 1 < memory->raw_count; i++)
        if (!bsk_proof_holds(&python->proof, call_into(memory, i)))
            return false;
    return true;
}

static void learn_calls(struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    for (size_t i = 0; i + 1 < memory->raw_count; i++) {
        const struct raw *caller = &memory->raw[i + 1];
        bsk_proof_learn(&python->proof, call_into(memory, i));
        bsk_proof_learn(&python->proof,
                        bsk_proof_call(caller->known->code.id, caller->lasti, BSK_ANY_CALLEE));
    }
}

/* --- one stack ---------------------------------------------------------------------------------
 */

/* The top of this sample; 0 with true: no Python runs on this thread. */
static bool find_top(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t *out_top)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t top = bsk_u64(memory->thread, layout->thread.frame);
    if (!piece_ok(python, memory->piece_top_again) || memory->top_again[0] != top)
        memory->moved = true;
    if (layout->frame_form != BSK_FRAME_CFRAME) {
        *out_top = top;
        return true;
    }
    uint64_t cframe = top;
    if (cframe == 0) {
        *out_top = 0;
        return true;
    }
    if (cframe != memory->cframe || !piece_ok(python, memory->piece_cframe)) {
        memory->unproven = true;
        memory->cframe = cframe;
        if (bsk_process_read(python->process, cframe, memory->cframe_bytes, CFRAME_BYTES, NULL) < 0)
            return false;
    } else if (!piece_ok(python, memory->piece_cframe_again) ||
               memcmp(memory->cframe_bytes + layout->cframe_current_frame,
                      memory->cframe_again + layout->cframe_current_frame, 8) != 0) {
        memory->moved = true;
    }
    *out_top = bsk_u64(memory->cframe_bytes, layout->cframe_current_frame);
    return true;
}

enum outcome { READ, MOVED, GARBAGE };

/* From the pieces of one reading to memory->raw. */
static bool collect(struct bsk_python *python, const struct bsk_python_thread *thread,
                    bool *out_truncated)
{
    const struct bsk_layout *layout = &python->layout;
    struct bsk_stack_memory *memory = thread->memory;
    uint64_t top = 0, datastack_top = 0;
    memory->moved = memory->unproven = false;
    memory->raw_count = 0;
    if (!piece_ok(python, memory->piece_thread) ||
        bsk_u64(memory->thread, layout->thread.interp) != thread->interpreter)
        return false;
    for (size_t i = 0; i < memory->chunk_count; i++) {
        const struct bsk_piece *piece = &python->pieces[memory->piece_chunks + i];
        memory->chunks[i].have = piece->ok ? piece->size : 0;
    }
    if (!find_top(python, memory, &top))
        return false;
    if (layout->thread.datastack_chunk) {
        const uint8_t *words = memory->thread + layout->thread.datastack_chunk;
        datastack_top = bsk_u64(words, 8);
        if (!follow_chunks(python, memory, bsk_u64(words, 0), datastack_top))
            return false;
    }
    if (top == 0) /* no Python runs here, unless frames say that it does */
        return first_frame(memory, datastack_top) == 0;
    bool whole = bsk_stack_walk(python, memory, top, datastack_top, out_truncated);
    remember_met(memory, bsk_frame_bytes(layout));
    return whole;
}

static void swap_walks(struct bsk_stack_memory *memory)
{
    struct raw *raw = memory->raw;
    size_t count = memory->raw_count, capacity = memory->raw_capacity;
    memory->raw = memory->first;
    memory->raw_count = memory->first_count;
    memory->raw_capacity = memory->first_capacity;
    memory->first = raw;
    memory->first_count = count;
    memory->first_capacity = capacity;
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
}

static void end_single(struct bsk_python *python)
{
    if (python->single)
        swap_pieces(python);
    python->single = false;
}

/* Something was read only once, which is so when a stack is new or has grown. A whole second
 * reading, itself proven, says whether that stack exists; the first one stays the sample. */
static bool prove(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    bool truncated;
    swap_walks(memory);
    begin_single(python);
    plan(python, thread);
    bool same = bsk_process_read_pieces(python->process, python->pieces, python->piece_count,
                                        NULL) == BSK_OK &&
                collect(python, thread, &truncated) && !memory->moved && !memory->unproven &&
                memory->raw_count == memory->first_count;
    for (size_t i = 0; same && i < memory->raw_count; i++)
        same = memory->raw[i].address == memory->first[i].address &&
               memory->raw[i].code == memory->first[i].code &&
               (i == 0 || memory->raw[i].lasti == memory->first[i].lasti);
    swap_walks(memory);
    return same;
}

/*
 * Where no data stack tells the first frame, a chain that was cut (a frame that has just ended has
 * no f_back) looks like a short stack. The code that a thread's stacks end in is nearly always one
 * and the same: a shorter stack that ends elsewhere is cut, a deeper one shows that we were wrong,
 * and many in a row show that the program really went on to something else.
 */
static bool reaches_base(const struct bsk_layout *layout, struct bsk_stack_memory *memory)
{
    enum { MISSES_MAX = 100 * TRIES, LOOKS_FIRST = TRIES }; /* a second at 100 Hz */
    if (layout->frame_form != BSK_FRAME_OBJECTS || memory->raw_count == 0)
        return true;
    uint64_t outermost = memory->raw[memory->raw_count - 1].code;
    bool looking = memory->base_looks < LOOKS_FIRST; /* the deepest of these begins */
    memory->base_looks += looking;
    if (memory->base_code != outermost && memory->raw_count <= memory->base_depth &&
        (looking || ++memory->base_misses < MISSES_MAX))
        return false;
    if (memory->base_code != outermost || memory->raw_count > memory->base_depth)
        memory->base_depth = memory->raw_count;
    memory->base_code = outermost;
    memory->base_misses = 0;
    return memory->base_looks == LOOKS_FIRST;
}

/* One reading, judged. Uses python->pieces again when it needs another one. */
static enum outcome judge(struct bsk_python *python, struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    if (!collect(python, thread, &thread->truncated) || !resolve(python, memory))
        return GARBAGE;
    if (!thread->truncated && !reaches_base(&python->layout, memory))
        return GARBAGE;
    bool still = !memory->moved;
    if (still && memory->unproven)
        still = prove(python, thread);
    if (still)
        learn_calls(python, memory);
    else if (!every_call_proven(python, memory) &&
             !(bsk_stack_upward(python, memory) && resolve(python, memory) &&
               every_call_proven(python, memory)))
        return MOVED;
    thread->frames = memory->frames;
    thread->depth = memory->raw_count;
    return READ;
}

static void plan_heads(struct bsk_python *python)
{
    const struct bsk_layout *layout = &python->layout;
    add_piece(python, python->runtime + layout->runtime.interpreters_head,
              &python->interpreters_head_now, sizeof(python->interpreters_head_now));
    for (size_t i = 0; i < python->interpreter_count; i++)
        add_piece(python, python->interpreters[i].address + layout->interpreter.threads_head,
                  &python->interpreters[i].threads_head_now, sizeof(uint64_t));
}

static bool heads_changed(const struct bsk_python *python)
{
    if (!piece_ok(python, 0) || python->interpreters_head_now != python->interpreters_head)
        return true;
    for (size_t i = 0; i < python->interpreter_count; i++)
        if (!piece_ok(python, i + 1) ||
            python->interpreters[i].threads_head_now != python->interpreters[i].threads_head)
            return true;
    return false;
}

int bsk_python_read_stacks(struct bsk_python *python, struct bsk_python_thread **wanted,
                           size_t count, bool *out_threads_changed, struct bsk_error *err)
{
    python->piece_count = 0;
    plan_heads(python);
    for (size_t i = 0; i < count; i++) {
        if (!wanted[i]->memory)
            wanted[i]->memory = calloc(1, sizeof(*wanted[i]->memory));
        if (!wanted[i]->memory)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        plan(python, wanted[i]);
    }
    int rc = bsk_process_read_pieces(python->process, python->pieces, python->piece_count, err);
    if (rc < 0)
        return rc;
    *out_threads_changed = heads_changed(python);
    for (size_t i = 0; i < count; i++) {
        struct bsk_python_thread *thread = wanted[i];
        enum outcome outcome = GARBAGE;
        thread->frames = NULL;
        thread->depth = 0;
        thread->truncated = false;
        for (int try = 0; try < TRIES && outcome == GARBAGE; try++) {
            /* Garbage is read again; what merely moved is not, as that would prefer stacks that
             * stand still. */
            if (try > 0) {
                begin_single(python);
                plan(python, thread);
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
        thread->has_stack = outcome == READ && thread->depth > 0;
        thread->torn = outcome != READ;
    }
    return BSK_OK;
}
