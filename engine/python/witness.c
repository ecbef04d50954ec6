/*
 * Calls to and from frames outside of the data stack, witnessed one by one before they are
 * believed.
 *
 * A loop that is faster than a reading looks as if it stood still: its frames are met again where
 * they were, one time round or ten later. So where such a call is seen for the first times, it is
 * asked for what cannot be a coincidence:
 *
 *   - who resumes a generator itself stands at an instruction that does so, and has that generator
 *     on top of its value stack, before and after the generator's code was read;
 *   - a call that was specialised for one Python function names the function's version, and calls
 *     no other;
 *   - of any other, all of the caller and of the data stack below is read before and after what it
 *     called, within a microsecond or two: no byte of it has changed, no local and no value stack,
 *     and what was called is on the stack, and leads to that caller; in three samples.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    BELOW_MAX_BYTES = 16 << 10,
    CALLER_MAX_BYTES = 16 << 10,
    LOOK_MAX_NS = 10000,   /* we were held up in between: the program may have gone round */
    FUNCTION_CODE_11 = 48, /* func_code and func_version in 3.11's PyFunctionObject */
    FUNCTION_VERSION_11 = 128,
};

/* --- what a call was specialised for -----------------------------------------------------------
 */

enum names { NOBODY, THIS, ANOTHER };

static bool read_word(struct bsk_python *python, uint64_t address, uint64_t *out_word)
{
    return bsk_process_read(python->process, address, out_word, sizeof(*out_word), NULL) == BSK_OK;
}

/* Of the function that `callee` runs. From 3.12 on functions have the version of their code, until
 * somebody changes them. */
static bool read_version(struct bsk_python *python, const struct raw *callee, uint32_t *out_version)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t function, code, at = callee->code + layout->code.version;
    if (layout->minor == 11) { /* a frame begins with its function */
        if (!read_word(python, callee->address, &function) ||
            !read_word(python, function + FUNCTION_CODE_11, &code) || code != callee->code)
            return false;
        at = function + FUNCTION_VERSION_11;
    }
    return bsk_process_read(python->process, at, out_version, sizeof(*out_version), NULL) == BSK_OK;
}

/* Whom the call at the place of `caller` names. Up to 3.12 a frame that has called stands at the
 * last unit of the instruction. */
static enum names whom_it_names(struct bsk_python *python, const struct raw *caller,
                                const struct raw *callee)
{
    enum { UNITS_BYTES = 8 };
    int minor = python->layout.minor;
    uint64_t at = caller->lasti - (minor == 11 ? 8 : minor == 12 ? 6 : 0);
    uint8_t units[UNITS_BYTES];
    uint32_t named, version;
    if (caller->tlbc_index != 0 ||
        bsk_process_read(python->process, at, units, sizeof(units), NULL) < 0 ||
        !bsk_instruction_names_function(minor, units[0]) ||
        !read_version(python, callee, &version) || version == 0)
        return NOBODY;
    memcpy(&named, units + 4, sizeof(named));
    return named == version ? THIS : ANOTHER;
}

/* --- a caller that stands still ----------------------------------------------------------------
 */

/* What is below on the data stack, and the caller where it lies outside; both are copied twice. */
struct look {
    uint64_t below;         /* address */
    uint32_t below_bytes;   /* up to the end of the last frame there */
    uint32_t outside_bytes; /* of the caller, with STATE_BYTES before it; 0: it is that last one */
    uint8_t *bytes[2];      /* of both, the caller last */
};

/* One reading, to be planned. */
struct plan {
    struct bsk_piece pieces[6];
    size_t count;
};

static void add(struct plan *plan, uint64_t address, void *dst, uint32_t size)
{
    if (size > 0)
        plan->pieces[plan->count++] = (struct bsk_piece){ address, dst, size, false };
}

static bool read_all(struct bsk_python *python, struct plan *plan)
{
    bool ok = bsk_process_read_pieces(python->process, plan->pieces, plan->count, NULL) == BSK_OK;
    for (size_t i = 0; i < plan->count; i++)
        ok = ok && plan->pieces[i].ok;
    return ok;
}

static bool make_look(const struct bsk_stack_memory *memory, const struct raw *caller, size_t shore,
                      struct look *look)
{
    const struct raw *last = &memory->path[shore].raw;
    const struct chunk *chunk = bsk_chunks_find(memory, last->address);
    bool outside = !bsk_chunks_find(memory, caller->address);
    if (!chunk || last->known->frame_words == 0 || caller->known->frame_words == 0)
        return false;
    uint64_t end = last->address + 8 * (uint64_t)last->known->frame_words;
    look->outside_bytes = outside ? STATE_BYTES + 8 * caller->known->frame_words : 0;
    look->below = end - chunk->base > BELOW_MAX_BYTES ? last->address : chunk->base;
    uint64_t all = end - look->below + look->outside_bytes;
    look->below_bytes = (uint32_t)(end - look->below);
    look->bytes[0] = all <= BELOW_MAX_BYTES + CALLER_MAX_BYTES ? malloc(2 * all) : NULL;
    look->bytes[1] = look->bytes[0] ? look->bytes[0] + all : NULL;
    return look->bytes[0] != NULL;
}

/* The frame with this code is alive. Outside, STATE_BYTES lie before it. */
static bool is_there(const struct bsk_python *python, const struct bsk_stack_memory *memory,
                     const uint8_t *frame, const struct raw *wanted)
{
    struct raw now;
    bsk_frame_raw(&python->layout, frame, wanted->address, &now);
    return now.code == wanted->code &&
           (bsk_chunks_find(memory, wanted->address)
                ? !(now.emptied && wanted->known->local_words > 0)
                : bsk_frame_on_stack(&python->layout, frame - STATE_BYTES));
}

/* Whether the place of `caller` can run what it is said to. Up to 3.12 a frame that has resumed a
 * generator stands behind the instruction, and one that has called at the end of it, where what can
 * be read is no instruction. `inner`: the caller lies outside as well as what it calls. */
static bool can_run(struct bsk_python *python, const struct raw *caller, bool by_c, bool outside,
                    bool inner)
{
    struct raw at = *caller;
    if (by_c) /* what a generator closes on its own way out belongs to no other time */
        return !(outside && inner) || !bsk_instruction_may_close(python, caller);
    if (outside && python->layout.minor <= 12)
        at.place -= 2;
    enum bsk_instruction instruction = bsk_instruction_at(python, &at);
    if (outside) /* up to 3.12 one unit back may be no instruction either, and looks like any */
        return instruction == BSK_INSTRUCTION_RESUMES ||
               (instruction == BSK_INSTRUCTION_UNKNOWN && python->layout.minor >= 13);
    return python->layout.minor <= 12 || instruction == BSK_INSTRUCTION_UNKNOWN ||
           instruction == BSK_INSTRUCTION_CALLS || instruction == BSK_INSTRUCTION_RUNS;
}

static bool stands_still(struct bsk_python *python, const struct bsk_stack_memory *memory,
                         const struct raw *caller, const struct raw *callee,
                         const struct look *look)
{
    const struct bsk_layout *layout = &python->layout;
    uint32_t frame_bytes = bsk_frame_bytes(layout);
    uint32_t below = look->below_bytes, outside = look->outside_bytes;
    uint8_t there[STATE_BYTES + FRAME_MAX_BYTES], shim[FRAME_MAX_BYTES];
    uint64_t previous;
    if (!read_word(python, callee->address + layout->frame.previous, &previous) || previous == 0 ||
        previous % 8 != 0)
        return false;
    uint64_t begun = bsk_now_ns();
    struct plan plan = { .count = 0 };
    add(&plan, look->below, look->bytes[0], below);
    add(&plan, caller->address - STATE_BYTES, look->bytes[0] + below, outside);
    add(&plan, callee->address - STATE_BYTES, there, STATE_BYTES + frame_bytes);
    add(&plan, previous, shim, frame_bytes);
    add(&plan, caller->address - STATE_BYTES, look->bytes[1] + below, outside);
    add(&plan, look->below, look->bytes[1], below);
    if (!read_all(python, &plan) || bsk_now_ns() - begun > LOOK_MAX_NS ||
        memcmp(look->bytes[0], look->bytes[1], below + outside) != 0)
        return false;
    /* 3.11 has no frames of the interpreter's own: a frame says for itself that C called it. */
    bool leads = callee->after_shim && layout->shim_owners
                     ? bsk_frame_enters(layout, shim, caller->address)
                     : previous == caller->address;
    const uint8_t *frame =
        look->bytes[0] + (outside > 0 ? below + STATE_BYTES : caller->address - look->below);
    struct raw now;
    bsk_frame_raw(layout, frame, caller->address, &now);
    return leads && bsk_u64(there + STATE_BYTES, layout->frame.previous) == previous &&
           is_there(python, memory, there + STATE_BYTES, callee) &&
           is_there(python, memory, frame, caller) && now.lasti == caller->lasti &&
           (now.calls || callee->after_shim);
}

/* --- who resumes a generator itself ------------------------------------------------------------
 */

/* What a frame that has called has on top of its value stack, 3.12 and later; 3.15 keeps an index
 * above what it iterates over. 0: nothing. */
static uint64_t top_of_stack(const struct raw *caller, const struct bsk_layout *layout,
                             const uint8_t *frame)
{
    uint64_t words = caller->known->frame_words - layout->frame.size / 8, at;
    if (layout->minor >= 14)
        at = (bsk_u64(frame, layout->frame.lasti + 8) - caller->address - layout->frame.size) / 8;
    else
        at = (uint64_t)(int64_t)bsk_i32(frame, layout->frame.calls);
    if (layout->minor >= 15)
        at--;
    if (at <= caller->known->local_words || at > words)
        return 0;
    return bsk_u64(frame, layout->frame.size + 8 * (uint32_t)(at - 1)) & ~layout->tag_mask;
}

/* The generator whose frame this is: gi_iframe stands behind an object's head and what all kinds of
 * generators have. */
static uint64_t generator_of(const struct bsk_layout *layout, uint64_t frame)
{
    return frame - (layout->minor == 11 ? 80 : 72) - (layout->free_threaded ? 16 : 0);
}

static bool resumes(struct bsk_python *python, const struct raw *caller, const struct raw *callee)
{
    const struct bsk_layout *layout = &python->layout;
    uint32_t bytes = 8 * caller->known->frame_words;
    uint8_t frames[2][CALLER_MAX_BYTES];
    uint64_t code;
    if (bytes == 0 || bytes > CALLER_MAX_BYTES)
        return false;
    struct plan plan = { .count = 0 };
    add(&plan, caller->address, frames[0], bytes);
    add(&plan, callee->address + layout->frame.code, &code, sizeof(code));
    add(&plan, caller->address, frames[1], bytes);
    if (!read_all(python, &plan) || (code & ~layout->tag_mask) != callee->code)
        return false;
    for (size_t i = 0; i < 2; i++) {
        struct raw now;
        bsk_frame_raw(layout, frames[i], caller->address, &now);
        if (now.code != caller->code || now.lasti != caller->lasti || !now.calls ||
            top_of_stack(caller, layout, frames[i]) != generator_of(layout, callee->address))
            return false;
    }
    return true;
}

/* --- what is believed --------------------------------------------------------------------------
 */

/* Names the call among what is proven. */
static uint64_t name_of(const struct raw *caller, const struct raw *callee)
{
    uint64_t site = bsk_proof_mix(UINT64_C(0x7769746e65737365) + caller->known->code.id);
    site = bsk_proof_mix(site ^ caller->place);
    return bsk_proof_mix(site + 2 * (uint64_t)callee->known->code.id + callee->after_shim);
}

bool bsk_witness_call(struct bsk_python *python, struct bsk_stack_memory *memory, size_t shore,
                      const struct raw *caller, const struct raw *callee, int looks)
{
    bool to_outside = !bsk_chunks_find(memory, callee->address);
    if (!to_outside && bsk_chunks_find(memory, caller->address))
        return true;
    uint64_t name = name_of(caller, callee);
    bool holds = bsk_proof_holds(&python->proof, name);
    struct look look;
    if (holds || looks == 0 || !make_look(memory, caller, shore, &look))
        return holds;
    bool direct = !callee->after_shim, sure = false, seen = false;
    bool can = can_run(python, caller, !direct, to_outside, look.outside_bytes > 0);
    for (int i = 0; i < looks && !seen && can; i++) {
        enum names names = direct && !to_outside ? whom_it_names(python, caller, callee) : NOBODY;
        memory->looks += memory->looks < UINT32_MAX;
        sure = names == THIS || (direct && to_outside);
        seen = sure ? names == THIS || resumes(python, caller, callee)
                    : names == NOBODY && stands_still(python, memory, caller, callee, &look);
    }
    free(look.bytes[0]);
    /* What stands still may do so by accident: in three samples it does not. */
    for (int times = sure ? BSK_PROOF_TIMES : 1; seen && times > 0; times--)
        bsk_proof_learn(&python->proof, name);
    return bsk_proof_holds(&python->proof, name);
}

int bsk_witness_looks(const struct bsk_python *python, struct bsk_stack_memory *memory)
{
    enum { LOOKS_FIRST = 16, LOOKS = 1, LOOKS_ENOUGH = 1 << 17 };
    if (python->now_ns < memory->looks_due_ns)
        return 0;
    memory->looks_due_ns = python->now_ns + LOOKS_EVERY_NS;
    return memory->looks < LOOKS_ENOUGH ? LOOKS_FIRST : LOOKS;
}
