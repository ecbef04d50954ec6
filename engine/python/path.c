/*
 * From frames as they were read to a path: what they are called, and what of it is proven.
 *
 * A path stands outermost first, so what it shares with the sample before stays as it is: names,
 * hashes, lines.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

uint64_t bsk_path_next_hash(const struct step *caller, uint32_t callee_id)
{
    uint64_t place = caller ? caller->raw.place : 0;
    return bsk_proof_mix(bsk_proof_mix((caller ? caller->hash : 0) ^ place) + callee_id + 1);
}

void bsk_path_begin(struct bsk_stack_memory *memory, size_t keep)
{
    memory->path_count = keep;
    if (memory->path_same > keep)
        memory->path_same = keep;
}

bool bsk_path_push(struct bsk_python *python, struct bsk_stack_memory *memory,
                   const struct raw *raw)
{
    size_t at = memory->path_count;
    if (at < memory->path_valid && at == memory->path_same) {
        struct step *before = &memory->path[at];
        if (before->raw.address == raw->address && before->raw.code == raw->code &&
            before->raw.lasti == raw->lasti) {
            before->raw.stood = raw->stood;
            before->raw.after_shim = raw->after_shim;
            before->raw.calls = raw->calls;
            before->raw.runs = raw->runs;
            before->raw.emptied = raw->emptied;
            before->raw.told = raw->told;
            memory->path_same++;
            memory->path_count++;
            return true;
        }
    }
    if (!bsk_room_for_one(&memory->path, at, &memory->path_capacity, sizeof(memory->path[0])))
        return false;
    struct step *step = &memory->path[at];
    struct bsk_known *known = NULL;
    memory->path_valid = at; /* what was above is of another stack */
    if (memory->frames_valid > at)
        memory->frames_valid = at;
    if (memory->codes_seen > at)
        memory->codes_seen = at;
    if (raw->known)
        known = raw->known;
    else if (at > 0 && memory->path[at - 1].raw.code == raw->code && raw->code % 8 == 0)
        known = memory->path[at - 1].raw.known; /* recursion */
    else if (bsk_codes_get(python->codes, raw->code, &known) < 0)
        return false;
    step->raw = *raw;
    step->raw.known = known;
    step->hash = bsk_path_next_hash(at > 0 ? step - 1 : NULL, known->code.id);
    memory->path_count = memory->path_valid = at + 1;
    return true;
}

bool bsk_path_from_raw(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    bsk_path_begin(memory, 0);
    for (size_t i = memory->raw_count; i-- > 0;)
        if (!bsk_path_push(python, memory, &memory->raw[i]))
            return false;
    return true;
}

/* --- proof ------------------------------------------------------------------------------------ */

/* What the place of `caller` was seen to call. */
struct calls {
    uint32_t times; /* this callee */
    uint32_t all;   /* any */
    uint32_t none;  /* nothing, although it looked as if */
};

static struct calls calls_of(const struct bsk_python *python, const struct raw *caller,
                             uint32_t callee_id)
{
    struct calls calls = { 0 };
    const struct bsk_site *site =
        bsk_proof_site(&python->proof, caller->known->code.id, caller->place);
    for (size_t k = 0; site && k < BSK_SITE_CALLEES && site->times[k]; k++) {
        if (site->callees[k] == BSK_NO_CALLEE)
            calls.none = site->times[k];
        else
            calls.all += site->times[k];
        if (site->callees[k] == callee_id)
            calls.times = site->times[k];
    }
    return calls;
}

bool bsk_path_often(const struct bsk_python *python, const struct raw *caller, uint32_t callee_id)
{
    enum { TIMES_LEAST = 3, PART = 8, TIMES_SURE = 12, SMALL_PART = 32 };
    struct calls calls = calls_of(python, caller, callee_id);
    return ((calls.times >= TIMES_LEAST && calls.times * PART >= calls.all) ||
            (calls.times >= TIMES_SURE && calls.times * SMALL_PART >= calls.all)) &&
           calls.times * SMALL_PART >= calls.none;
}

/* Between frames that say so themselves. */
static bool is_usual(const struct bsk_python *python, const struct raw *caller,
                     const struct raw *callee)
{
    return callee->address != 0 && (caller->calls || callee->after_shim) &&
           !(callee->emptied && callee->known->local_words > 0) &&
           bsk_path_often(python, caller, callee->known->code.id);
}

bool bsk_path_is_no_chance(const struct bsk_python *python, const struct raw *caller,
                           uint32_t callee_id)
{
    enum { PART = 16 };
    struct calls calls = calls_of(python, caller, callee_id);
    return calls.times * PART >= calls.all;
}

bool bsk_path_can_call(struct bsk_python *python, const struct bsk_stack_memory *memory,
                       const struct raw *caller, const struct raw *callee)
{
    if (callee->after_shim) /* C code may call anything, and tools are called at a return */
        return true;
    switch (bsk_instruction_at(python, caller)) {
    case BSK_INSTRUCTION_RETURNS:
    case BSK_INSTRUCTION_MAKES:
        return false;
    case BSK_INSTRUCTION_RESUMES:
        return !bsk_chunks_find(memory, callee->address);
    case BSK_INSTRUCTION_UNKNOWN:
    case BSK_INSTRUCTION_CALLS:
    case BSK_INSTRUCTION_RUNS:
    case BSK_INSTRUCTION_DROPS:
        break;
    }
    return true;
}

bool bsk_path_is_plausible(struct bsk_python *python, const struct bsk_stack_memory *memory,
                           size_t step)
{
    const struct raw *raw = &memory->path[step].raw;
    const struct raw *caller = step > 0 ? &memory->path[step - 1].raw : NULL;
    if (raw->emptied && raw->known->local_words > 0)
        return false;
    return !caller || caller->known->is_shim ||
           ((caller->calls || raw->after_shim) && bsk_path_can_call(python, memory, caller, raw));
}

/* Where a callee lies tells how it will be found again. */
static uint8_t kind_of_call(const struct bsk_stack_memory *memory, const struct raw *caller,
                            const struct raw *callee)
{
    uint64_t slot = caller->address + 8 * (uint64_t)caller->known->frame_words;
    bool above = callee->address == slot;
    for (size_t i = 0; !above && i + 1 < memory->chunk_count; i++)
        above = callee->address == memory->chunks[i].base + CHUNK_HEADER_BYTES;
    if (!above)
        return callee->after_shim ? BSK_SITE_HEAP | BSK_SITE_HEAP_BY_C : BSK_SITE_HEAP;
    return callee->after_shim ? BSK_SITE_REENTERS : BSK_SITE_CALLS;
}

static void note_call(struct bsk_python *python, const struct bsk_stack_memory *memory, size_t step)
{
    const struct raw *caller = &memory->path[step - 1].raw, *raw = &memory->path[step].raw;
    if ((caller->calls || raw->after_shim) && !(raw->emptied && raw->known->local_words > 0))
        bsk_proof_learn_site(&python->proof, caller->known->code.id, caller->place,
                             raw->known->code.id, kind_of_call(memory, caller, raw));
}

void bsk_path_note(struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    size_t from = memory->path_same > 1 ? memory->path_same : 1;
    for (size_t i = from; i < memory->path_count; i++)
        if (!memory->path[i].raw.after_shim && bsk_chunks_find(memory, memory->path[i].raw.address))
            note_call(python, memory, i);
    /* A place that looks as if it called, and mostly has not: what it passes on the way in or out.
     */
    const struct raw *last =
        memory->path_count > 0 ? &memory->path[memory->path_count - 1].raw : NULL;
    if (last && last->calls && !last->told)
        bsk_proof_learn_site(&python->proof, last->known->code.id, last->place, BSK_NO_CALLEE, 0);
}

size_t bsk_path_proven(const struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    size_t stood = 0, proven = memory->path_count;
    while (stood < memory->path_count && memory->path[stood].raw.stood)
        stood++;
    while (proven > stood && !bsk_proof_holds(&python->proof, memory->path[proven - 1].hash))
        proven--;
    while (proven > 0 && proven < memory->path_count &&
           (memory->path[proven].raw.told ||
            is_usual(python, &memory->path[proven - 1].raw, &memory->path[proven].raw)))
        proven++;
    return proven;
}

void bsk_path_learn(struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    for (size_t i = 0; i < memory->path_count; i++) {
        const struct raw *raw = &memory->path[i].raw;
        bsk_proof_learn(&python->proof, memory->path[i].hash);
        if (i == 0)
            continue;
        const struct raw *caller = &memory->path[i - 1].raw;
        bsk_proof_learn_site(&python->proof, caller->known->code.id, caller->place,
                             raw->known->code.id, kind_of_call(memory, caller, raw));
    }
}

void bsk_path_mark(struct bsk_python *python, const struct bsk_stack_memory *memory, size_t step)
{
    const struct raw *caller = &memory->path[step - 1].raw, *raw = &memory->path[step].raw;
    bsk_proof_mark_site(&python->proof, caller->known->code.id, caller->place,
                        kind_of_call(memory, caller, raw));
}

bool bsk_path_likely(const struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    enum { ALL_LEAST = 16, PART = 8 };
    for (size_t i = 1; i < memory->path_count; i++) {
        struct calls calls =
            calls_of(python, &memory->path[i - 1].raw, memory->path[i].raw.known->code.id);
        if (calls.all >= ALL_LEAST && calls.times * PART < calls.all)
            return false;
    }
    return true;
}

bool bsk_path_is_rare(const struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    enum { PART = 16 };
    for (size_t i = 1; i < memory->path_count; i++)
        if (!bsk_proof_is_part(&python->proof, memory->path[i].hash, memory->path[i - 1].hash,
                               PART))
            return true;
    return false;
}

bool bsk_path_fill(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    if (memory->path_count == 0)
        return false;
    const struct step *caller = &memory->path[memory->path_count - 1];
    const struct bsk_site *site =
        bsk_proof_site(&python->proof, caller->raw.known->code.id, caller->raw.place);
    uint32_t sum = 0, callee = UINT32_MAX;
    for (size_t i = 0; site && i < BSK_SITE_CALLEES && site->times[i]; i++)
        if (bsk_proof_holds(&python->proof, bsk_path_next_hash(caller, site->callees[i])))
            sum += site->times[i];
    if (sum == 0)
        return false;
    python->lot = bsk_proof_mix(python->lot + 1);
    uint32_t lot = (uint32_t)(python->lot >> 16) % sum;
    for (size_t i = 0; i < BSK_SITE_CALLEES && site->times[i]; i++) {
        if (!bsk_proof_holds(&python->proof, bsk_path_next_hash(caller, site->callees[i])))
            continue;
        callee = site->callees[i];
        if (lot < site->times[i])
            break;
        lot -= site->times[i];
    }
    struct bsk_known *known = bsk_codes_by_id(python->codes, callee);
    if (!known || known->gone ||
        !bsk_room_for_one(&memory->path, memory->path_count, &memory->path_capacity,
                          sizeof(memory->path[0])))
        return false;
    struct step *step = &memory->path[memory->path_count];
    step->raw = (struct raw){ .code = known->address, .known = known };
    step->hash = bsk_path_next_hash(step - 1, callee);
    memory->path_valid = memory->path_count++; /* it is never taken for one that was read */
    if (memory->frames_valid > memory->path_valid)
        memory->frames_valid = memory->path_valid;
    if (memory->codes_seen > memory->path_valid)
        memory->codes_seen = memory->path_valid;
    return true;
}

/* --- names and lines --------------------------------------------------------------------------
 */

/* Whether the frames of this path are where they were, called from the same places: after codes
 * were read that the stack had named. */
static bool stands_still(struct bsk_python *python, const struct bsk_stack_memory *memory)
{
    enum { SLICE = 128 };
    const struct bsk_layout *layout = &python->layout;
    uint32_t size = bsk_frame_bytes(layout);
    uint8_t *frames = malloc((size_t)SLICE * size);
    bool still = frames != NULL;
    for (size_t i = 0; still && i < memory->path_count; i += SLICE) {
        struct bsk_piece pieces[SLICE];
        size_t count = memory->path_count - i < SLICE ? memory->path_count - i : SLICE;
        for (size_t k = 0; k < count; k++)
            pieces[k] = (struct bsk_piece){ memory->path[i + k].raw.address,
                                            frames + k * (size_t)size, size, false };
        still = bsk_process_read_pieces(python->process, pieces, count, NULL) == BSK_OK;
        for (size_t k = 0; still && k < count; k++) {
            const struct raw *then = &memory->path[i + k].raw;
            struct raw now;
            if (then->address == 0)
                continue; /* filled in */
            still = pieces[k].ok;
            if (still)
                bsk_frame_raw(layout, pieces[k].dst, then->address, &now);
            still = still && now.code == then->code &&
                    (i + k + 1 == memory->path_count || now.lasti == then->lasti);
        }
    }
    free(frames);
    return still;
}

/* Codes that were read after this stack are held against the stack once more: they are its codes
 * when it still stands and they are the same before and after. */
static bool bind_fresh(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    enum { SLICE = 256 };
    struct bsk_known *fresh[SLICE];
    size_t count = 0;
    if (bsk_codes_count(python->codes) == memory->codes_count)
        return true;
    for (size_t i = 0; i < memory->path_count && count < SLICE; i++)
        if (memory->path[i].raw.known->fresh)
            fresh[count++] = memory->path[i].raw.known;
    bool bound =
        count == 0 || (stands_still(python, memory) && bsk_codes_look(python->codes, fresh, count));
    for (size_t i = 0; i < count; i++)
        fresh[i]->fresh = !bound;
    return bound;
}

enum codes { SAME, SOME_GONE, LOOK_AGAIN };

/* Whether the path can be told without another look at its codes: it is as it was when they were
 * looked at last, and what is the same was most likely there all the time. Who sleeps holds them.
 */
static bool was_seen(const struct bsk_python *python, const struct bsk_python_thread *thread)
{
    const struct bsk_stack_memory *memory = thread->memory;
    if (memory->path_same < memory->path_count || memory->codes_seen < memory->path_count ||
        bsk_codes_count(python->codes) != memory->codes_count)
        return false;
    if (python->epoch)
        return python->epoch == memory->codes_epoch;
    return python->now_ns < memory->codes_due_ns && !bsk_codes_churn(python->codes) &&
           ((thread->sleeps && !thread->holds_gil) ||
            !bsk_codes_met_lately(python->codes, python->now_ns));
}

static enum codes look_at_codes(struct bsk_python *python, const struct bsk_python_thread *thread)
{
    enum { SLICE = 256 };
    struct bsk_stack_memory *memory = thread->memory;
    bool same = true;
    uint64_t now = python->now_ns;
    bool churn = bsk_codes_churn(python->codes);
    python->moved = python->moved || memory->path_same < memory->path_count;
    if (was_seen(python, thread))
        return SAME;
    bool bound = bind_fresh(python, memory);
    memory->codes_due_ns = now + BSK_CODES_BELIEVED_NS;
    memory->codes_epoch = python->epoch;
    for (size_t i = 0; i < memory->path_count; i += SLICE) {
        struct bsk_known *known[SLICE];
        size_t count = memory->path_count - i < SLICE ? memory->path_count - i : SLICE;
        for (size_t k = 0; k < count; k++)
            known[k] = memory->path[i + k].raw.known;
        same = bsk_codes_check(python->codes, known, count, now, python->epoch) && same;
    }
    for (size_t i = 0; same && i < memory->path_count; i++)
        same = !memory->path[i].raw.known->gone;
    memory->codes_count = bsk_codes_count(python->codes);
    memory->codes_seen = same && bound ? memory->path_count : 0;
    if (same && bound)
        return SAME;
    /* In a program that throws no code away, what is new is as old as the stack that named it. */
    return churn ? SOME_GONE : LOOK_AGAIN;
}

/* What cannot be told any more keeps its place in the stack, without a name. */
static void cover_what_is_gone(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    struct bsk_known *reused = bsk_codes_reused(python->codes);
    for (size_t i = memory->path_count; i-- > 0 && reused;) {
        struct raw *raw = &memory->path[i].raw;
        if (!raw->known->gone && !raw->known->fresh)
            continue;
        raw->known->fresh = false; /* it is known from now on */
        raw->known = reused;
        memory->path_valid = memory->path_valid < i ? memory->path_valid : i;
        memory->path_same = memory->path_same < i ? memory->path_same : i;
        memory->frames_valid = memory->frames_valid < i ? memory->frames_valid : i;
    }
}

static bool frame_room(struct bsk_stack_memory *memory)
{
    if (memory->path_count <= memory->frame_capacity)
        return true;
    size_t capacity = memory->path_count * 2 + 64;
    struct bsk_frame *grown = malloc(capacity * sizeof(*grown));
    if (!grown)
        return false;
    if (memory->frames)
        memcpy(grown + capacity - memory->frame_capacity, memory->frames,
               memory->frame_capacity * sizeof(*grown));
    free(memory->frames);
    memory->frames = grown;
    memory->frame_capacity = capacity;
    return true;
}

bool bsk_path_resolve(struct bsk_python *python, struct bsk_python_thread *thread)
{
    struct bsk_stack_memory *memory = thread->memory;
    enum codes codes = look_at_codes(python, thread);
    if (codes == LOOK_AGAIN) {
        for (size_t i = 0; i < memory->path_count; i++)
            memory->path[i].raw.known->fresh = false;
        memory->path_valid = memory->path_same = memory->frames_valid = 0;
        memory->refused_reading = memory->reading;
        return false;
    }
    if (codes == SOME_GONE)
        cover_what_is_gone(python, memory);
    if (!frame_room(memory))
        return false;
    size_t kept = memory->frames_valid;
    if (kept > memory->path_count)
        kept = memory->path_count;
    size_t depth = 0, shims = 0;
    struct bsk_frame *end = memory->frames + memory->frame_capacity;
    if (memory->had_shims)
        kept = 0;
    for (depth = kept; depth + shims < memory->path_count;) {
        const struct raw *raw = &memory->path[depth + shims].raw;
        if (raw->known->is_shim) {
            shims++; /* what the interpreter puts between a class and its __init__ */
            continue;
        }
        struct bsk_frame *frame = end - 1 - depth;
        frame->code = &raw->known->code;
        frame->address = raw->address;
        frame->line = raw->known->code.first_line;
        if ((raw->address || raw->lasti) && raw->known->address == raw->code &&
            !bsk_codes_line(python->codes, raw->known, raw->lasti, raw->tlbc_index, &frame->line)) {
            memory->frames_valid = depth;
            return false;
        }
        depth++;
    }
    memory->had_shims = shims > 0;
    memory->frames_valid = depth;
    thread->kept = kept;
    thread->frames = end - depth;
    thread->depth = depth;
    return true;
}
