/*
 * Where a stack leaves its data stack: generators and coroutines, each at a place of its own, and
 * the interpreter's entry frames on the C stack.
 *
 * The data stack was copied in one go; it tells the frame below (the shore we stand on), whether it
 * has called, and mostly what runs above: a frame on the data stack names the one that called it.
 * Where nothing is above, the thread's top names the innermost. From there on down each frame names
 * its caller, as far as that can be read before it moves. What is missing is filled in from chains
 * that were seen whole (bridges.h), or said to be missing, by one frame "(unread)".
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

/* --- reading ahead -----------------------------------------------------------------------------
 */

static size_t hot_place(const struct bsk_stack_memory *memory, uint64_t address)
{
    size_t low = 0, high = memory->hot_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memory->hot[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void bsk_hot_note(struct bsk_stack_memory *memory, uint64_t address)
{
    size_t at = hot_place(memory, address);
    if (at < memory->hot_count && memory->hot[at].address == address) {
        memory->hot[at].history |= 1;
        return;
    }
    if (memory->hot_count == HOT_MAX)
        return;
    memmove(memory->hot + at + 1, memory->hot + at,
            (memory->hot_count - at) * sizeof(memory->hot[0]));
    memory->hot[at] = (struct hot){ .address = address, .history = 1 };
    memory->hot_count++;
}

void bsk_hot_plan(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    uint32_t frame_bytes = bsk_frame_bytes(&python->layout), used = 0;
    size_t kept = 0;
    struct hot_range *range = NULL;
    memory->hot_range_count = 0;
    memory->piece_hot = python->piece_count;
    for (size_t i = 0; i < memory->hot_count; i++) {
        struct hot hot = memory->hot[i];
        bool twice = (hot.history & (hot.history - 1)) != 0;
        hot.history = (uint16_t)(hot.history << 1);
        if (hot.history == 0)
            continue;
        memory->hot[kept++] = hot;
        if (!twice) /* it may never be met again */
            continue;
        uint64_t end = hot.address + frame_bytes;
        if (range && end <= range->begin + range->bytes)
            continue;
        if (range && hot.address < range->begin + range->bytes + HOT_GAP_BYTES &&
            used + (end - range->begin - range->bytes) <= HOT_BYTES) {
            used += (uint32_t)(end - range->begin) - range->bytes;
            range->bytes = (uint32_t)(end - range->begin);
            continue;
        }
        if (memory->hot_range_count == HOT_RANGES_MAX || used + frame_bytes > HOT_BYTES)
            continue;
        range = &memory->hot_ranges[memory->hot_range_count++];
        *range = (struct hot_range){ .begin = hot.address, .bytes = frame_bytes, .offset = used };
        used += frame_bytes;
    }
    if (!memory->hot_bytes)
        memory->hot_bytes = malloc(HOT_BYTES);
    memory->hot_count = kept;
    if (!memory->hot_bytes)
        memory->hot_range_count = 0;
    for (size_t i = 0; i < memory->hot_range_count; i++)
        bsk_add_piece(python, memory->hot_ranges[i].begin,
                      memory->hot_bytes + memory->hot_ranges[i].offset,
                      memory->hot_ranges[i].bytes);
}

static const uint8_t *find_hot(const struct bsk_python *python,
                               const struct bsk_stack_memory *memory, uint64_t address,
                               uint32_t frame_bytes)
{
    for (size_t i = 0; i < memory->hot_range_count; i++) {
        const struct hot_range *range = &memory->hot_ranges[i];
        if (address >= range->begin && address - range->begin + frame_bytes <= range->bytes)
            return bsk_piece_ok(python, memory->piece_hot + i)
                       ? memory->hot_bytes + range->offset + (address - range->begin)
                       : NULL;
    }
    return NULL;
}

/* --- one chain ---------------------------------------------------------------------------------
 */

struct chain {
    struct raw raw[CHAIN_MAX]; /* innermost first */
    size_t count;
    bool whole;      /* it reaches the frame below */
    bool after_shim; /* C code stands between it and what it called */
};

/* Follows the frames from `address` down to `shore`. */
static void follow(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t address,
                   uint64_t shore, struct chain *out)
{
    const struct bsk_layout *layout = &python->layout;
    uint32_t frame_bytes = bsk_frame_bytes(layout);
    uint8_t scratch[FRAME_MAX_BYTES];
    out->count = 0;
    out->whole = out->after_shim = false;
    bool after_shim = false;
    for (int hops = 0, reads = 0; hops < CHAIN_MAX; hops++) {
        if (address == shore) {
            out->whole = true;
            if (out->count > 0)
                out->raw[out->count - 1].after_shim |= after_shim;
            else
                out->after_shim = after_shim;
            return;
        }
        if (address == 0 || address % 8 != 0 || bsk_chunks_find(memory, address))
            return;
        const uint8_t *frame = memory->twice ? bsk_ahead_find(python, memory, address)
                                             : find_hot(python, memory, address, frame_bytes);
        if (!frame) {
            if (++reads > CHAIN_READS_MAX ||
                bsk_process_read(python->process, address, scratch, frame_bytes, NULL) < 0)
                return;
            frame = scratch;
        }
        bsk_hot_note(memory, address);
        unsigned owner = frame[layout->frame.owner];
        if (owner > 31)
            return;
        if (layout->shim_owners & 1u << owner) {
            after_shim = true;
        } else {
            struct raw *raw = &out->raw[out->count];
            bsk_frame_raw(layout, frame, address, raw);
            raw->known = raw->code ? bsk_codes_peek(python->codes, raw->code) : NULL;
            if (!raw->known || raw->tlbc_index != 0)
                return;
            if (out->count > 0)
                raw[-1].after_shim |= after_shim;
            else
                out->after_shim = after_shim;
            out->count++;
            after_shim = false;
        }
        address = bsk_u64(frame, layout->frame.previous);
    }
}

/* A chain that was read while it moved may be a mixture of two: one that cannot be is known by what
 * its frames are about to do. */
static bool can_be(struct bsk_python *python, const struct bsk_stack_memory *memory,
                   const struct chain *chain, const struct raw *shore, bool has_callee)
{
    for (size_t i = 0; i < chain->count; i++) {
        const struct raw *caller = i + 1 < chain->count ? &chain->raw[i + 1] : shore;
        if (!bsk_path_can_call(python, memory, caller, &chain->raw[i]))
            return false;
    }
    if (!has_callee || chain->after_shim)
        return true;
    enum bsk_instruction instruction =
        bsk_instruction_at(python, chain->count > 0 ? &chain->raw[0] : shore);
    return instruction != BSK_INSTRUCTION_RETURNS && instruction != BSK_INSTRUCTION_RESUMES;
}

/* Puts the chain on the path where it is known to exist, with the callee on it. */
static bool push_whole(struct bsk_python *python, struct bsk_stack_memory *memory,
                       const struct chain *chain, const struct bsk_known *callee)
{
    size_t shore = memory->path_count;
    bool held = chain->whole;
    for (size_t i = chain->count; held && i-- > 0;) {
        held = bsk_path_push(python, memory, &chain->raw[i]);
        if (!held)
            break;
        const struct step *step = &memory->path[memory->path_count - 1];
        held = bsk_proof_holds(&python->proof, step->hash) &&
               bsk_path_is_no_chance(python, &step[-1].raw, step->raw.known->code.id);
    }
    const struct step *last = &memory->path[memory->path_count - 1];
    if (held && callee)
        held = bsk_proof_holds(&python->proof, bsk_path_next_hash(last, callee->code.id)) &&
               bsk_path_is_no_chance(python, &last->raw, callee->code.id);
    if (!held)
        bsk_path_begin(memory, shore);
    return held;
}

/* Puts one on the path that was seen. */
static bool push_seen(struct bsk_python *python, struct bsk_stack_memory *memory,
                      const struct bsk_bridge_key *key, uint64_t lot)
{
    const struct bsk_bridge *bridge = bsk_bridges_find(&python->bridges, key, lot);
    size_t shore = memory->path_count;
    if (!bridge)
        return false;
    for (uint32_t i = 0; i < bridge->count; i++) {
        const struct bsk_bridge_step *step = &python->bridges.steps[bridge->first + i];
        struct bsk_known *known = bsk_codes_by_id(python->codes, step->code_id);
        struct raw raw = { .told = true, .calls = true, .after_shim = step->after_shim };
        if (known && !known->gone) {
            raw.known = known;
            raw.code = known->address;
            raw.place = step->place;
            raw.lasti = raw.code + raw.place;
        }
        if (!raw.known || !bsk_path_push(python, memory, &raw)) {
            bsk_path_begin(memory, shore);
            return false;
        }
    }
    memory->bridged = true;
    return true;
}

/* The one outside runs, and the frame below is where it was: so the one runs for the other. */
static bool runs_now(struct bsk_python *python, const struct raw *shore,
                     const struct raw *innermost)
{
    const struct bsk_layout *layout = &python->layout;
    uint32_t frame_bytes = bsk_frame_bytes(layout);
    uint8_t below[2][FRAME_MAX_BYTES], there[FRAME_MAX_BYTES];
    struct bsk_piece pieces[] = {
        { shore->address, below[0], frame_bytes, false },
        { innermost->address, there, frame_bytes, false },
        { shore->address, below[1], frame_bytes, false },
    };
    if (bsk_process_read_pieces(python->process, pieces, 3, NULL) != BSK_OK || !pieces[0].ok ||
        !pieces[1].ok || !pieces[2].ok || bsk_u64(there, layout->frame.previous) == 0 ||
        (bsk_u64(there, layout->frame.code) & ~layout->tag_mask) != innermost->code)
        return false;
    for (size_t i = 0; i < 2; i++)
        if ((bsk_u64(below[i], layout->frame.code) & ~layout->tag_mask) != shore->code ||
            bsk_frame_lasti(layout, below[i]) != shore->lasti)
            return false;
    return true;
}

/* Frames that are there and are not known, and what is known to be above them. */
static bool push_gap(struct bsk_python *python, struct bsk_stack_memory *memory,
                     const struct raw *innermost)
{
    struct bsk_known *unread = bsk_codes_unread(python->codes);
    size_t shore = memory->path_count;
    struct raw raw = { .known = unread, .code = 1, .told = true, .calls = true };
    bool pushed = unread && bsk_path_push(python, memory, &raw);
    if (pushed && innermost) {
        raw = *innermost;
        raw.told = true;
        pushed = bsk_path_push(python, memory, &raw);
    }
    if (!pushed)
        bsk_path_begin(memory, shore);
    memory->bridged = memory->bridged || pushed;
    return pushed;
}

enum bsk_cross bsk_cross(struct bsk_python *python, struct bsk_stack_memory *memory,
                         const struct bsk_above *above, bool *out_shim)
{
    const struct step *shore = &memory->path[memory->path_count - 1];
    const struct raw at_shore = shore->raw;
    const struct bsk_layout *layout = &python->layout;
    const struct bsk_site *site =
        bsk_proof_site(&python->proof, shore->raw.known->code.id, shore->raw.place);
    /* The later one first: it is nearer to what is read next. */
    const uint64_t tops[] = { memory->top_after, memory->top };
    bool called = above->outside && !above->dead && above->begun;
    uint64_t inside = called ? above->outside : 0;
    memory->heap_left = HEAP_LASTS;
    uint64_t from = bsk_path_next_hash(shore, 0);
    /* A generator is called directly here, and the frame says that it has not. */
    bool ashore = !called && layout->minor <= 13 && !shore->raw.calls && site &&
                  !(site->flags & BSK_SITE_HEAP_BY_C);
    for (size_t i = 0; i < 2 && !inside && !ashore; i++) {
        if (tops[i] == shore->raw.address && !shore->raw.calls)
            ashore = true;
        else if (tops[i] != 0 && !bsk_chunks_find(memory, tops[i]))
            inside = tops[i];
    }
    if (ashore)
        return BSK_CROSS_LEAF;

    struct chain chain = { .count = 0 };
    if (inside)
        follow(python, memory, inside, shore->raw.address, &chain);
    chain.whole = chain.whole && can_be(python, memory, &chain, &at_shore, called);
    *out_shim = called && chain.after_shim;
    enum bsk_cross across = called ? BSK_CROSS_CALLEE : BSK_CROSS_LEAF;
    if (push_whole(python, memory, &chain, called ? above->known : NULL))
        return across;

    const struct raw *innermost = chain.count > 0 ? &chain.raw[0] : NULL;
    struct bsk_bridge_key key = { .from = from,
                                  .innermost = innermost ? innermost->known->code.id : 0,
                                  .callee = called ? above->known->code.id : BSK_BRIDGE_END };
    uint64_t lot = (python->lot = bsk_proof_mix(python->lot + 1)) >> 16;
    if (innermost && push_seen(python, memory, &key, lot))
        return across;
    if (called)
        return push_gap(python, memory, NULL) ? across : BSK_CROSS_UNKNOWN;
    if (!innermost)
        return BSK_CROSS_UNKNOWN;
    bool known = bsk_bridges_know_leaf(&python->bridges, from, key.innermost);
    if ((!known || lot % VERIFY_EVERY == 0) && runs_now(python, &at_shore, innermost))
        bsk_bridges_learn_leaf(&python->bridges, from, key.innermost);
    return known && push_gap(python, memory, innermost) ? across : BSK_CROSS_UNKNOWN;
}

void bsk_cross_learn(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    const struct raw *shore = &memory->path[memory->path_count - 1].raw;
    const uint64_t tops[] = { memory->top_after, memory->top };
    struct chain chain = { .count = 0 };
    for (size_t i = 0; i < 2 && !chain.whole; i++)
        if (tops[i] != 0 && !bsk_chunks_find(memory, tops[i]))
            follow(python, memory, tops[i], shore->address, &chain);
    if (!chain.whole || chain.count == 0 || !can_be(python, memory, &chain, shore, false))
        return;
    memory->heap_left = HEAP_LASTS;
    const struct raw *callee = &chain.raw[chain.count - 1];
    if (callee->known && (callee->after_shim || shore->calls))
        bsk_proof_learn_site(
            &python->proof, shore->known->code.id, shore->place, callee->known->code.id,
            callee->after_shim ? BSK_SITE_HEAP | BSK_SITE_HEAP_BY_C : BSK_SITE_HEAP);
}

void bsk_bridges_note(struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    struct bsk_bridge_step steps[BSK_BRIDGE_MAX_STEPS];
    size_t count = 0, shore = 0;
    for (size_t i = 0; i <= memory->path_count; i++) {
        const struct step *step = i < memory->path_count ? &memory->path[i] : NULL;
        if (step && (step->raw.address == 0 || step->raw.tlbc_index != 0))
            return;
        if (step && !bsk_chunks_find(memory, step->raw.address)) {
            if (count == BSK_BRIDGE_MAX_STEPS)
                return;
            steps[count++] = (struct bsk_bridge_step){ .code_id = step->raw.known->code.id,
                                                       .after_shim = step->raw.after_shim,
                                                       .place = step->raw.place };
            continue;
        }
        const struct step *from = &memory->path[shore], *last = &memory->path[i > 0 ? i - 1 : 0];
        /* Through C code alone is a way across, too. */
        bool across = count > 0 || (step && step->raw.after_shim);
        if (i > 0 && shore + count + 1 == i && across) {
            bsk_bridges_learn(&python->bridges, bsk_path_next_hash(from, 0), last->hash, steps,
                              count, step ? step->raw.known->code.id : BSK_BRIDGE_END);
        }
        shore = i;
        count = 0;
    }
}
