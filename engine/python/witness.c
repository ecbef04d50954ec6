/*
 * Calls to and from frames outside of the data stack, witnessed one by one before they are
 * believed.
 *
 * A loop that is faster than a reading looks as if it stood still: its frames are met again where
 * they were, one time round or ten later. So a call that is met for the first times is looked at by
 * itself: one reading copies the caller and what it has called in turns, some times each, within
 * microseconds. Each of these copies is evidence for the call or against it:
 *
 *   - a call that was specialised for one Python function names the function's version, and calls
 *     no other: that alone settles it;
 *   - a frame that has called a function keeps that function, for as long as the call lasts, where
 *     it stood on the value stack: it is for the call if it has the callee's code;
 *   - a frame that has resumed a generator has it on top of its value stack: for the call if this
 *     generator runs the callee's code between two such copies;
 *   - any other call: for it if no byte of the caller has changed from one copy to the next, and
 *     what was called was there in between, and leads to that caller.
 *
 * A copy may be a mixture, too, and what a loop does again and again may be met so more than once.
 * But then it is met otherwise far more often: what is against a call weighs more than what is for
 * it, and only where the sum has come to BELIEVED, after four meetings at least, is it believed.
 * The copies follow each other in unequal times: with equal ones they fall into step with a loop,
 * and each of its calls is met from the other's line.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROUNDS = 4,          /* of one look: a copy of the caller, one of the callee */
    COPIES = ROUNDS + 1, /* of the caller */
    PAUSES_MAX = 2,      /* between two copies, drawn by lot */
    LOOK_MAX_NS = 20000, /* we were held up in between */
    CALLER_MAX_BYTES = 4 << 10,
    FUNCTION_CODE = 48, /* func_code and func_version in PyFunctionObject, 3.11 and 3.12 */
    FUNCTION_VERSION_11 = 128,
    FUNCTION_VERSION_12 = 136,
    FREE_THREADED_HEAD = 16, /* what the head of an object has more in free-threaded builds */
};

/* What evidence weighs. */
enum {
    FOR = 1,
    ABSENT = -1,  /* the caller was at its place, and what it is said to have called did not run */
    AGAINST = -3, /* it had called another */
    ALL_FOR = 8,  /* one look that has nothing else, and the most of one meeting */
    BELIEVED = 4 * ALL_FOR,
};

/* One look at a call. */
struct look {
    struct bsk_python *python;
    const struct bsk_stack_memory *memory;
    const struct raw *caller, *callee;
    uint32_t caller_bytes;
    uint8_t callers[COPIES][CALLER_MAX_BYTES];
    uint8_t callees[ROUNDS][STATE_BYTES + FRAME_MAX_BYTES];
    uint64_t previous; /* the frame that the callee says has called it */
    uint8_t shim[FRAME_MAX_BYTES];
    uint8_t unused[8];
};

static bool read_word(struct bsk_python *python, uint64_t address, uint64_t *out_word)
{
    return bsk_process_read(python->process, address, out_word, sizeof(*out_word), NULL) == BSK_OK;
}

/* --- one reading ------------------------------------------------------------------------------ */

/* In the order and the number of `pieces`; a pause is a read of what nobody needs. */
static size_t plan_rounds(struct look *look, struct bsk_piece *pieces)
{
    uint32_t frame_bytes = bsk_frame_bytes(&look->python->layout);
    uint64_t callee = look->callee->address;
    size_t count = 0;
    look->python->lot = bsk_proof_mix(look->python->lot + 1);
    uint64_t lot = look->python->lot >> 16;
    for (size_t i = 0; i < COPIES + ROUNDS; i++) {
        pieces[count++] = i % 2 == 0
                              ? (struct bsk_piece){ look->caller->address, look->callers[i / 2],
                                                    look->caller_bytes, false }
                              : (struct bsk_piece){ callee - STATE_BYTES, look->callees[i / 2],
                                                    STATE_BYTES + frame_bytes, false };
        for (uint64_t k = lot % (PAUSES_MAX + 1); k > 0; k--)
            pieces[count++] =
                (struct bsk_piece){ callee, look->unused, sizeof(look->unused), false };
        lot /= PAUSES_MAX + 1;
    }
    pieces[count++] = (struct bsk_piece){ look->previous, look->shim, frame_bytes, false };
    return count;
}

static bool read_rounds(struct look *look)
{
    struct bsk_piece pieces[(COPIES + ROUNDS) * (1 + PAUSES_MAX) + 1];
    if (!read_word(look->python, look->callee->address + look->python->layout.frame.previous,
                   &look->previous) ||
        look->previous == 0 || look->previous % 8 != 0)
        return false;
    size_t count = plan_rounds(look, pieces);
    uint64_t begun = bsk_now_ns();
    bool ok = bsk_process_read_pieces(look->python->process, pieces, count, NULL) == BSK_OK &&
              bsk_now_ns() - begun <= LOOK_MAX_NS;
    for (size_t i = 0; i < count; i++)
        ok = ok && pieces[i].ok;
    return ok;
}

/* In this copy the caller is at its place, and has called. */
static bool is_at_place(const struct look *look, size_t copy)
{
    struct raw now;
    bsk_frame_raw(&look->python->layout, look->callers[copy], look->caller->address, &now);
    return now.code == look->caller->code && now.lasti == look->caller->lasti &&
           (now.calls || look->callee->after_shim);
}

/* Where the callee was in this round: what evidence it is if the caller was at its place. */
static int of_callee(const struct look *look, size_t round)
{
    const struct bsk_layout *layout = &look->python->layout;
    const struct raw *callee = look->callee;
    const uint8_t *frame = look->callees[round] + STATE_BYTES;
    struct raw now;
    bsk_frame_raw(layout, frame, callee->address, &now);
    bool there = bsk_chunks_find(look->memory, callee->address)
                     ? !(now.emptied && callee->known->local_words > 0)
                     : bsk_frame_on_stack(layout, look->callees[round]);
    /* 3.11 has no frames of the interpreter's own: a frame says for itself that C called it. */
    bool leads = callee->after_shim && layout->shim_owners
                     ? bsk_frame_enters(layout, look->shim, look->caller->address)
                     : look->previous == look->caller->address;
    if (!there || !leads || bsk_u64(frame, layout->frame.previous) != look->previous)
        return ABSENT;
    return now.code == callee->code ? FOR : AGAINST;
}

/* --- what a caller has on its value stack -------------------------------------------------------
 */

/* How many words of a frame that has called are in use, up to the top of its value stack. */
static uint64_t stack_top(const struct look *look, const uint8_t *frame)
{
    const struct bsk_layout *layout = &look->python->layout;
    const struct raw *caller = look->caller;
    uint64_t words = caller->known->frame_words - layout->frame.size / 8, at;
    if (layout->minor >= 14)
        at = (bsk_u64(frame, layout->frame.lasti + 8) - caller->address - layout->frame.size) / 8;
    else
        at = (uint64_t)(int64_t)bsk_i32(frame, layout->frame.calls);
    return at >= caller->known->local_words && at <= words ? at : 0;
}

static uint64_t stack_word(const struct look *look, const uint8_t *frame, uint64_t index)
{
    const struct bsk_layout *layout = &look->python->layout;
    if (index >= look->caller->known->frame_words - layout->frame.size / 8)
        return 0;
    return bsk_u64(frame, layout->frame.size + 8 * (uint32_t)index) & ~layout->tag_mask;
}

/* The generator whose frame this is: gi_iframe stands behind an object's head and what all kinds of
 * generators have. */
static uint64_t generator_of(const struct bsk_layout *layout, uint64_t frame)
{
    return frame - (layout->minor == 11 ? 80 : 72) -
           (layout->free_threaded ? FREE_THREADED_HEAD : 0);
}

/* 3.15 keeps an index above what it iterates over. */
static bool resumes(const struct look *look, size_t copy)
{
    const struct bsk_layout *layout = &look->python->layout;
    const uint8_t *frame = look->callers[copy];
    uint64_t top = stack_top(look, frame), above = layout->minor >= 15 ? 2 : 1;
    return top >= look->caller->known->local_words + above &&
           stack_word(look, frame, top - above) == generator_of(layout, look->callee->address);
}

/* What the two words were that the call has taken: the function, and NULL or `self`. */
static int of_function(const struct look *look, size_t copy)
{
    const struct bsk_python *python = look->python;
    const uint8_t *frame = look->callers[copy];
    uint64_t top = stack_top(look, frame);
    int told = 0;
    for (uint64_t i = 0; i < 2 && top > 0 && told != FOR; i++) {
        uint64_t function = stack_word(look, frame, top + i), code;
        uint64_t at =
            function + FUNCTION_CODE + (python->layout.free_threaded ? FREE_THREADED_HEAD : 0);
        if (function == 0 || function % 8 != 0 || !read_word(look->python, at, &code))
            continue;
        if (code == look->callee->code)
            told = FOR;
        else if (bsk_codes_peek(python->codes, code))
            told = AGAINST;
    }
    return told;
}

/* --- what a call was specialised for -----------------------------------------------------------
 */

enum names { ANYBODY, THIS, ANOTHER };

/* Of the function that `callee` runs. From 3.13 on one that still has a version has that of its
 * code. */
static bool read_version(struct bsk_python *python, const struct raw *callee, uint32_t *out_version)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t function, code, at = callee->code + layout->code.version;
    if (layout->minor <= 12) { /* 3.11's frames begin with it */
        if (!read_word(python, callee->address + (layout->minor == 11 ? 0 : 16), &function) ||
            !read_word(python, function + FUNCTION_CODE, &code) || code != callee->code)
            return false;
        at = function + (layout->minor == 11 ? FUNCTION_VERSION_11 : FUNCTION_VERSION_12);
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
        return ANYBODY;
    memcpy(&named, units + 4, sizeof(named));
    return named == version ? THIS : ANOTHER;
}

/* --- what it says about the call ----------------------------------------------------------------
 */

/* Whether the instruction that has called leaves the function on the value stack. Up to 3.12 the
 * frame stands at its last unit; CALL_FUNCTION_EX has but one. */
static bool leaves_function(struct bsk_python *python, const struct raw *caller)
{
    struct raw at = *caller;
    at.place -= python->layout.minor == 11 ? 8 : python->layout.minor == 12 ? 6 : 0;
    return bsk_instruction_at(python, &at) == BSK_INSTRUCTION_CALLS ||
           bsk_instruction_at(python, caller) == BSK_INSTRUCTION_CALLS;
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
    if (!outside)
        return python->layout.minor <= 12 ||
               bsk_instruction_pushes_now(python, caller) != BSK_PUSHES_NOT;
    if (python->layout.minor <= 12)
        at.place -= 2;
    enum bsk_instruction instruction = bsk_instruction_at(python, &at);
    /* up to 3.12 one unit back may be no instruction either, and looks like any */
    return instruction == BSK_INSTRUCTION_RESUMES ||
           (instruction == BSK_INSTRUCTION_UNKNOWN && python->layout.minor >= 13);
}

enum kind { STILL, FUNCTION, RESUMED };

/* The generator was the same in all copies: whoever has it on top between two of them resumes it.
 * 0: it was not, or nobody has. */
static int of_generator(const struct look *look)
{
    enum { BETWEEN = COPIES - 2 };
    int sum = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct raw now;
        bsk_frame_raw(&look->python->layout, look->callees[i] + STATE_BYTES, look->callee->address,
                      &now);
        if (now.code != look->callee->code)
            return 0;
    }
    for (size_t i = 1; i + 1 < COPIES; i++)
        sum += is_at_place(look, i) && resumes(look, i) ? FOR : 0;
    return sum == BETWEEN ? ALL_FOR : sum;
}

/* What one look says; `*out_sure`: it cannot be of a loop that went round between two copies. */
static int weigh(const struct look *look, enum kind kind, bool *out_sure)
{
    size_t told = 0, all = 0;
    int sum = kind == RESUMED ? of_generator(look) : 0;
    *out_sure = sum > 0;
    for (size_t i = 0; i < ROUNDS && !*out_sure; i++) {
        int evidence = 0;
        if (kind == FUNCTION)
            evidence = is_at_place(look, i) ? of_function(look, i) : 0;
        else if (is_at_place(look, i) && is_at_place(look, i + 1) &&
                 (kind == RESUMED
                      ? resumes(look, i) && resumes(look, i + 1)
                      : memcmp(look->callers[i], look->callers[i + 1], look->caller_bytes) == 0))
            evidence = of_callee(look, i);
        sum += evidence;
        told += evidence != 0;
        all += evidence == FOR;
    }
    if (kind == FUNCTION && told == 0) /* it was no such instruction after all */
        return weigh(look, STILL, out_sure);
    *out_sure = *out_sure || kind == FUNCTION || all == ROUNDS || sum < 0;
    return all == ROUNDS ? ALL_FOR : sum;
}

/* A call among what is proven, and among what is on trial. */
struct call {
    uint64_t sure, unsure; /* evidence for it */
    uint64_t met;          /* how often it was met */
    uint64_t all;          /* how often calls from any place of the caller to this callee were */
};

static struct call name_of(const struct raw *caller, const struct raw *callee)
{
    uint64_t pair = bsk_proof_mix(UINT64_C(0x7769746e65737365) + caller->known->code.id);
    pair = bsk_proof_mix(pair + 2 * (uint64_t)callee->known->code.id + callee->after_shim);
    uint64_t name = bsk_proof_mix(pair ^ caller->place);
    return (struct call){
        .sure = name, .unsure = bsk_proof_mix(name + 1), .met = bsk_proof_mix(name + 2), .all = pair
    };
}

/* Evidence of which some may be of a loop that went round is good enough where the caller has no
 * other line that could have been mistaken for this one. */
static bool is_believed(struct bsk_proof *proof, const struct call *call)
{
    enum { MET_LEAST = 256, MET_PART = 32, MET_MAX = 1 << 20 };
    if (bsk_proof_holds(proof, call->sure))
        return true;
    int all = bsk_proof_weigh(proof, call->all, 0), met = bsk_proof_weigh(proof, call->met, 0);
    if (all < MET_MAX) {
        all = bsk_proof_weigh(proof, call->all, 1);
        met = bsk_proof_weigh(proof, call->met, 1);
    }
    return met >= MET_LEAST && met <= all && all - met < all / MET_PART &&
           !bsk_proof_holds(proof, call->all) && bsk_proof_holds(proof, call->unsure);
}

static void believe(struct bsk_proof *proof, uint64_t name)
{
    for (int times = 0; times < BSK_PROOF_TIMES; times++)
        bsk_proof_learn(proof, name);
}

bool bsk_witness_call(struct bsk_python *python, struct bsk_stack_memory *memory,
                      const struct raw *caller, const struct raw *callee, int looks)
{
    struct bsk_proof *proof = &python->proof;
    bool to_outside = !bsk_chunks_find(memory, callee->address);
    bool outside = !bsk_chunks_find(memory, caller->address);
    if (!to_outside && !outside)
        return true;
    struct call call = name_of(caller, callee);
    bool believed = is_believed(proof, &call);
    if (looks == 0 || believed || !can_run(python, caller, callee->after_shim, to_outside, outside))
        return believed;
    enum kind kind = STILL;
    if (!callee->after_shim && (to_outside || leaves_function(python, caller)))
        kind = to_outside ? RESUMED : FUNCTION;
    struct look look;
    look.python = python;
    look.memory = memory;
    look.caller = caller;
    look.callee = callee;
    look.caller_bytes = 8 * caller->known->frame_words;
    if (look.caller_bytes == 0 || look.caller_bytes > CALLER_MAX_BYTES)
        return false;
    enum names names = kind == FUNCTION ? whom_it_names(python, caller, callee) : ANYBODY;
    int sure = 0, unsure = 0;
    for (int i = 0; i < looks && sure < ALL_FOR && names == ANYBODY; i++) {
        bool is_sure = false;
        memory->looks += memory->looks < UINT32_MAX;
        int sum = read_rounds(&look) ? weigh(&look, kind, &is_sure) : 0;
        sure += is_sure ? sum : 0;
        unsure += sum;
    }
    sure = sure < ALL_FOR ? sure : ALL_FOR;
    unsure = unsure < ALL_FOR ? unsure : ALL_FOR;
    if (names == THIS || bsk_proof_weigh(proof, call.sure, sure) >= BELIEVED) {
        believe(proof, call.sure);
        believe(proof, call.all); /* another place of the caller has to be as sure */
        return true;
    }
    if (bsk_proof_weigh(proof, call.unsure, unsure) >= BELIEVED)
        believe(proof, call.unsure);
    return false;
}

int bsk_witness_looks(const struct bsk_python *python, struct bsk_stack_memory *memory)
{
    enum { LOOKS_FIRST = 16, LOOKS = 1, LOOKS_ENOUGH = 1 << 17 };
    if (python->now_ns < memory->looks_due_ns)
        return 0;
    memory->looks_due_ns = python->now_ns + LOOKS_EVERY_NS;
    return memory->looks < LOOKS_ENOUGH ? LOOKS_FIRST : LOOKS;
}
