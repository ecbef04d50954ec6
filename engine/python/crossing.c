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

/* --- one chain ---------------------------------------------------------------------------------
 */

struct chain {
    struct raw raw[CHAIN_MAX]; /* innermost first */
    size_t count;
    bool whole;      /* it reaches the frame below, and each of its frames was on the stack */
    bool after_shim; /* C code stands between it and what it called */
};

/* A frame outside with STATE_BYTES before it: as it was read with the rest, or by a read of its own
 * into `scratch`, at most CHAIN_READS_MAX of them; NULL: no. */
static const uint8_t *read_outside(struct bsk_python *python, struct bsk_stack_memory *memory,
                                   uint64_t address, int *reads, uint8_t *scratch)
{
    const uint8_t *frame = memory->twice ? NULL : bsk_hot_find(python, memory, address);
    bsk_hot_note(memory, address);
    if (frame)
        return frame;
    if (++*reads > CHAIN_READS_MAX ||
        bsk_process_read(python->process, address - STATE_BYTES, scratch,
                         STATE_BYTES + bsk_frame_bytes(&python->layout), NULL) < 0)
        return NULL;
    return scratch;
}

/* One more frame, with STATE_BYTES before it, at `bytes`. False: it cannot be one of a chain.
 * `*out_next` is the frame that called it. */
static bool add(struct bsk_python *python, const uint8_t *bytes, uint64_t address,
                struct chain *chain, uint64_t *out_next)
{
    const struct bsk_layout *layout = &python->layout;
    const uint8_t *frame = bytes + STATE_BYTES;
    unsigned owner = frame[layout->frame.owner];
    if (owner > 31)
        return false;
    struct raw raw;
    bsk_frame_raw(layout, frame, address, &raw);
    raw.known = raw.code ? bsk_codes_peek(python->codes, raw.code) : NULL;
    /* One that is being made says by its code what it is, its owner is that of what lay there. */
    bool shim = layout->shim_owners & 1u << owner || (raw.known && raw.known->is_shim);
    *out_next = bsk_u64(frame, layout->frame.previous);
    if (shim) {
        if (chain->count == 0)
            chain->after_shim = true;
        else
            chain->raw[chain->count - 1].after_shim = true;
        return true;
    }
    if (!raw.known || raw.tlbc_index != 0)
        return false;
    chain->raw[chain->count] = raw;
    chain->count++;
    return true;
}

/* Follows the frames from `address` down to `shore`. One that was suspended, or is over, since it
 * was named is still who it was, mostly, but it has no caller any more. */
static void follow(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t address,
                   uint64_t shore, struct chain *out)
{
    uint8_t scratch[STATE_BYTES + FRAME_MAX_BYTES];
    bool on_stack = true;
    int reads = 0;
    out->count = 0;
    out->whole = out->after_shim = false;
    for (int hops = 0; hops < CHAIN_MAX && on_stack; hops++) {
        if (address == shore) {
            out->whole = true;
            return;
        }
        if (address == 0 || address % 8 != 0 || bsk_chunks_find(memory, address))
            return;
        size_t before = out->count;
        const uint8_t *bytes = read_outside(python, memory, address, &reads, scratch);
        if (!bytes || !add(python, bytes, address, out, &address))
            return;
        on_stack = out->count == before || bsk_frame_on_stack(&python->layout, bytes);
    }
}

/* A chain that was read while it moved may be a mixture of two: one that cannot be is known by what
 * its frames are about to do. `has_callee`: it has called one above. */
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
    return bsk_instruction_may_call(instruction);
}

/* The path up to `step` with this on top was learnt, and not by accident. */
static bool is_known(const struct bsk_python *python, const struct step *step, uint32_t callee_id)
{
    return bsk_proof_holds(&python->proof, bsk_path_next_hash(step, callee_id)) &&
           bsk_path_is_no_chance(python, &step->raw, callee_id);
}

/* Looks at those of its calls that are not known, each by itself: what was read a moment later may
 * well be part of another chain than the one that the data stack tells. */
static void look_at(struct bsk_python *python, struct bsk_stack_memory *memory,
                    const struct chain *chain, const struct raw *callee)
{
    enum { CALLS_AT_ONCE = 4 };
    int looks = bsk_witness_looks(python, memory);
    uint32_t enough = memory->looks + CALLS_AT_ONCE * (uint32_t)looks;
    if (callee && chain->count > 0 && looks > 0)
        (void)bsk_witness_call(python, memory, &chain->raw[0], callee, looks);
    for (size_t i = 0; i < chain->count && looks > 0 && memory->looks < enough; i++) {
        const struct raw *caller = i + 1 < chain->count ? &chain->raw[i + 1]
                                   : chain->whole       ? &memory->path[memory->path_count - 1].raw
                                                        : NULL;
        if (caller)
            (void)bsk_witness_call(python, memory, caller, &chain->raw[i], looks);
    }
}

/* Puts the chain on the path where each of its calls was witnessed, that of what it has called
 * (NULL: nothing), too; from where one may be closed on the whole path has to be proven besides. */
static bool push_whole(struct bsk_python *python, struct bsk_stack_memory *memory,
                       const struct chain *chain, const struct raw *callee)
{
    size_t count = memory->path_count;
    bool held = chain->whole, closes = chain->count == 0;
    for (size_t i = chain->count; held && i-- > 0;) {
        struct raw raw = chain->raw[i];
        const struct step *last = &memory->path[memory->path_count - 1];
        raw.told = true;
        closes = closes || (raw.after_shim && bsk_instruction_may_close(python, &last->raw));
        held = bsk_witness_call(python, memory, &last->raw, &raw, 0) &&
               (!closes || is_known(python, last, raw.known->code.id)) &&
               bsk_path_push(python, memory, &raw);
    }
    const struct step *last = &memory->path[memory->path_count - 1];
    if (held && callee)
        held = bsk_witness_call(python, memory, &last->raw, callee, 0) &&
               (!closes || is_known(python, last, callee->known->code.id));
    if (!held)
        bsk_path_begin(memory, count);
    return held;
}

/* What was read late may be of a frame in the middle of being made. */
static bool has_place(const struct bsk_python *python, const struct raw *raw)
{
    uint64_t offset = raw->place - python->layout.code.bytecode;
    return raw->place >= python->layout.code.bytecode && offset < raw->known->bytecode_bytes;
}

/* Puts a chain on the path that was seen at other times, and that fits as much of this one as was
 * read. */
static bool push_seen(struct bsk_python *python, struct bsk_stack_memory *memory,
                      const struct chain *chain, uint32_t callee)
{
    const struct raw *innermost = &chain->raw[0];
    size_t shore = memory->path_count;
    struct bsk_bridge_key key = { .from = bsk_path_next_hash(&memory->path[shore - 1], 0),
                                  .innermost = innermost->known->code.id,
                                  .callee = callee };
    uint32_t inner[CHAIN_MAX];
    bool only;
    for (size_t i = 0; i < chain->count; i++)
        inner[i] = chain->raw[i].known->code.id;
    python->lot = bsk_proof_mix(python->lot + 1);
    const struct bsk_bridge *bridge =
        bsk_bridges_find(&python->bridges, &key, inner, chain->count, python->lot >> 16, &only);
    if (!bridge)
        return false;
    for (uint32_t i = 0; i < bridge->count; i++) {
        const struct bsk_bridge_step *step = &python->bridges.steps[bridge->first + i];
        struct bsk_known *known = bsk_codes_by_id(python->codes, step->code_id);
        struct raw raw = { .told = true, .calls = true, .after_shim = step->after_shim };
        bool here = i + 1 == bridge->count && callee == BSK_BRIDGE_END &&
                    innermost->known == known && has_place(python, innermost);
        if (known && !known->gone) {
            raw.known = known;
            raw.code = known->address;
            raw.place = here ? innermost->place : step->place;
            raw.lasti = raw.code + raw.place;
        }
        if (!raw.known || !bsk_path_push(python, memory, &raw)) {
            bsk_path_begin(memory, shore);
            return false;
        }
    }
    memory->bridged = memory->bridged || !only;
    return true;
}

/* Names, among what is proven, that a code ran outside of the data stack above this one on it. */
static uint64_t ran_above(const struct raw *shore, uint32_t code_id)
{
    return bsk_proof_mix(bsk_proof_mix(UINT64_C(0x72616e0a626f7665) + shore->known->code.id) +
                         code_id);
}

/* The one outside runs, and the frame below is where it was: so the one runs for the other. */
static bool runs_now(struct bsk_python *python, const struct raw *shore,
                     const struct raw *innermost)
{
    const struct bsk_layout *layout = &python->layout;
    uint32_t frame_bytes = bsk_frame_bytes(layout);
    uint8_t below[2][FRAME_MAX_BYTES], there[STATE_BYTES + FRAME_MAX_BYTES];
    struct bsk_piece pieces[] = {
        { shore->address, below[0], frame_bytes, false },
        { innermost->address - STATE_BYTES, there, STATE_BYTES + frame_bytes, false },
        { shore->address, below[1], frame_bytes, false },
    };
    if (bsk_process_read_pieces(python->process, pieces, 3, NULL) != BSK_OK || !pieces[0].ok ||
        !pieces[1].ok || !pieces[2].ok || !bsk_frame_on_stack(layout, there) ||
        (bsk_u64(there + STATE_BYTES, layout->frame.code) & ~layout->tag_mask) != innermost->code)
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
        if (!has_place(python, innermost))
            raw.lasti = raw.place = raw.address = 0;
        pushed = bsk_path_push(python, memory, &raw);
    }
    if (!pushed)
        bsk_path_begin(memory, shore);
    memory->bridged = memory->bridged || pushed;
    return pushed;
}

/* Nothing is known but what runs from here at other times. `outside`: and that it is not this one.
 */
static enum bsk_cross guess(struct bsk_python *python, struct bsk_stack_memory *memory,
                            bool outside)
{
    enum { LOTS = 8 };
    const struct raw shore = memory->path[memory->path_count - 1].raw;
    uint64_t from = bsk_path_next_hash(&memory->path[memory->path_count - 1], 0);
    for (int i = 0; i < LOTS; i++) {
        struct chain chain = { .count = 1 };
        uint32_t code_id;
        python->lot = bsk_proof_mix(python->lot + 1);
        if (!bsk_bridges_guess_end(&python->bridges, from, python->lot >> 16, &code_id))
            return BSK_CROSS_UNKNOWN;
        if (code_id == BSK_BRIDGE_END) {
            if (outside)
                continue;
            memory->bridged = true;
            return BSK_CROSS_LEAF;
        }
        chain.raw[0].known = bsk_codes_by_id(python->codes, code_id);
        if (chain.raw[0].known && bsk_proof_holds(&python->proof, ran_above(&shore, code_id)) &&
            push_seen(python, memory, &chain, BSK_BRIDGE_END)) {
            memory->bridged = true;
            return BSK_CROSS_LEAF;
        }
    }
    return BSK_CROSS_UNKNOWN;
}

/* The frame outside that this part of the data stack was called from, by itself or by C code; 0:
 * none. */
static uint64_t called_from(struct bsk_python *python, const struct bsk_stack_memory *memory,
                            uint64_t address)
{
    const struct bsk_layout *layout = &python->layout;
    uint8_t shim[FRAME_MAX_BYTES];
    const struct chunk *chunk;
    for (size_t hops = 0; (chunk = bsk_chunks_find(memory, address)) &&
                          address - chunk->base + bsk_frame_bytes(layout) <= chunk->have &&
                          hops < BSK_STACK_MAX_DEPTH;
         hops++)
        address = bsk_u64(chunk->copy + (address - chunk->base), layout->frame.previous);
    if (chunk || address == 0 || address % 8 != 0 ||
        bsk_process_read(python->process, address, shim, bsk_frame_bytes(layout), NULL) < 0)
        return 0;
    unsigned owner = shim[layout->frame.owner];
    return owner <= 31 && layout->shim_owners & 1u << owner ? bsk_u64(shim, layout->frame.previous)
                                                            : address;
}

/* The innermost frame, which is outside; 0: it is not, or not known. `*out_here`: it is the one
 * that we stand on. */
static uint64_t find_innermost(struct bsk_python *python, const struct bsk_stack_memory *memory,
                               bool *out_here)
{
    const struct raw *shore = &memory->path[memory->path_count - 1].raw;
    const struct bsk_site *site =
        bsk_proof_site(&python->proof, shore->known->code.id, shore->place);
    /* A generator is called directly here, and the frame says that it has not. */
    *out_here =
        python->layout.minor <= 13 && !shore->calls && site && !(site->flags & BSK_SITE_HEAP_BY_C);
    /* The later one first: it is nearer to what is read next. */
    const uint64_t tops[] = { memory->top_near, memory->top };
    for (size_t i = 0; i < 2 && !*out_here; i++) {
        *out_here = tops[i] == shore->address && !shore->calls;
        if (!*out_here && tops[i] != 0 && !bsk_chunks_find(memory, tops[i]))
            return tops[i] != called_from(python, memory, shore->address) ? tops[i] : 0;
    }
    return 0;
}

enum bsk_cross bsk_cross(struct bsk_python *python, struct bsk_stack_memory *memory,
                         const struct bsk_above *above, bool *out_shim)
{
    const struct step *shore = &memory->path[memory->path_count - 1];
    const struct raw at_shore = shore->raw;
    uint64_t from = bsk_path_next_hash(shore, 0);
    bool called = above->outside && !above->dead && above->begun, here = false;
    uint64_t inside = called ? above->outside : find_innermost(python, memory, &here);
    memory->heap_left = HEAP_LASTS;
    if (here) {
        bsk_bridges_note_end(&python->bridges, from, BSK_BRIDGE_END);
        return BSK_CROSS_LEAF;
    }
    if (!inside)
        return guess(python, memory, false);

    struct chain chain;
    follow(python, memory, inside, at_shore.address, &chain);
    chain.after_shim = chain.after_shim || (called && above->entered);
    chain.whole = chain.whole && can_be(python, memory, &chain, &at_shore, called);
    *out_shim = called && chain.after_shim;
    const struct raw callee = { .address = above->slot,
                                .known = called ? above->known : NULL,
                                .code = called ? above->known->address : 0,
                                .after_shim = *out_shim };
    const struct raw *innermost = chain.count > 0 ? &chain.raw[0] : NULL;
    if (!called && innermost)
        bsk_bridges_note_end(&python->bridges, from, innermost->known->code.id);
    look_at(python, memory, &chain, called ? &callee : NULL);
    if (push_whole(python, memory, &chain, called ? &callee : NULL) ||
        (innermost &&
         push_seen(python, memory, &chain, called ? callee.known->code.id : BSK_BRIDGE_END)))
        return called ? BSK_CROSS_CALLEE : BSK_CROSS_LEAF;

    uint64_t runs = innermost ? ran_above(&at_shore, innermost->known->code.id) : 0;
    bool known = innermost && bsk_proof_holds(&python->proof, runs);
    if (innermost && !known && runs_now(python, &at_shore, innermost))
        bsk_proof_learn(&python->proof, runs);
    if (called)
        return push_gap(python, memory, NULL) ? BSK_CROSS_CALLEE : BSK_CROSS_UNKNOWN;
    if (known && push_gap(python, memory, innermost))
        return BSK_CROSS_LEAF;
    return guess(python, memory, innermost != NULL);
}

bool bsk_cross_learn(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    const struct raw *shore = &memory->path[memory->path_count - 1].raw;
    const uint64_t tops[] = { memory->top_near, memory->top };
    struct chain chain = { .count = 0 };
    for (size_t i = 0; i < 2 && !chain.whole; i++)
        if (tops[i] != 0 && !bsk_chunks_find(memory, tops[i]))
            follow(python, memory, tops[i], shore->address, &chain);
    if (!chain.whole || chain.count == 0)
        return false;
    if (!can_be(python, memory, &chain, shore, false))
        return true;
    memory->heap_left = HEAP_LASTS;
    const struct raw *callee = &chain.raw[chain.count - 1];
    if (callee->known && (callee->after_shim || shore->calls))
        bsk_proof_learn_site(
            &python->proof, shore->known->code.id, shore->place, callee->known->code.id,
            callee->after_shim ? BSK_SITE_HEAP | BSK_SITE_HEAP_BY_C : BSK_SITE_HEAP);
    return true;
}

void bsk_bridges_note(struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    enum { PREFIXES_MAX = 32 };
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
            if (shore + count != i) /* nothing is below it on the data stack */
                continue;
            bsk_proof_learn(&python->proof,
                            ran_above(&memory->path[shore].raw, step->raw.known->code.id));
            /* Each of them is the innermost one at times. Of deep ones it has to be the last. */
            bool last = i + 1 == memory->path_count ||
                        bsk_chunks_find(memory, memory->path[i + 1].raw.address);
            if (count <= PREFIXES_MAX || last)
                bsk_bridges_learn(&python->bridges, bsk_path_next_hash(&memory->path[shore], 0),
                                  step->hash, steps, count, BSK_BRIDGE_END);
            continue;
        }
        const struct step *from = &memory->path[shore], *last = &memory->path[i > 0 ? i - 1 : 0];
        if (step && count > 0 && shore + count + 1 == i)
            bsk_bridges_learn(&python->bridges, bsk_path_next_hash(from, 0), last->hash, steps,
                              count, step->raw.known->code.id);
        shore = i;
        count = 0;
    }
}
