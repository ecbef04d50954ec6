/*
 * What the words of a tick mean.
 *
 * A code object may be gone when its tick is read, and another may lie where it was. So each frame
 * comes with a hash of what the object pointed to in that very moment (its names, file and line
 * table): only an object with the same hash gives its name. Objects that were met before are known
 * without reading anything.
 */
#include "engine/python/ticks.h"

#include "engine/python/memory.h"

#include <stdlib.h>
#include <time.h>

enum {
    FIRST_SLOTS = 1024,
};

struct bsk_python_ticks {
    struct bsk_python *python; /* borrowed */
    struct bsk_ticks *ticks;
    struct seen { /* a code object by its address and hash */
        uint64_t address;
        uint32_t witness;
        struct bsk_known *known; /* NULL: an empty slot */
    } * seen;
    size_t seen_slots, seen_count;
    struct bsk_frame *frames; /* of the tick that is handed out */
    size_t frame_capacity;
    struct bsk_tick_thread *threads; /* scratch of follow() */
    size_t thread_capacity;
    uint64_t reused;
    bsk_python_tick_fn *fn;
    void *user;
};

/* The words of a code object that bsk_codes keeps as its identity, and that lie side by side. */
static uint32_t witness_words(const struct bsk_layout *layout)
{
    return layout->code.qualname ? 4 : 3;
}

/* Where the interpreter's evaluating function begins; 0 where the file does not tell. */
static uint64_t find_evaluate(const struct bsk_python *python)
{
    struct bsk_symbol symbol = { .name = "_PyEval_EvalFrameDefault" };
    struct bsk_maps maps = { 0 };
    struct bsk_image *image = NULL;
    if (bsk_maps_read(python->process, &maps, NULL) < 0)
        return 0;
    for (size_t i = 0; i < maps.count; i++) {
        /* behind _PyRuntime; .bss has no path of its own, and follows its file */
        if (python->runtime < maps.items[i].start || python->runtime >= maps.items[i].end)
            continue;
        while (i > 0 && maps.items[i].inode == 0)
            i--;
        if (bsk_image_open(python->process, &maps, i, &image, NULL) == BSK_OK)
            (void)bsk_image_symbols(image, &symbol, 1);
        break;
    }
    bsk_image_close(image);
    bsk_maps_free(&maps);
    return symbol.address;
}

static bool write_recipe(const struct bsk_python *python, struct bsk_tick_recipe *out)
{
    const struct bsk_layout *layout = &python->layout;
    *out = (struct bsk_tick_recipe){
        .owners_at = python->runtime + layout->runtime.interpreters_head,
        .owner_next = layout->interpreter.next,
        .owner_states = layout->interpreter.threads_head,
        .state_next = layout->thread.next,
        .state_owner = layout->thread.interp,
        .state_top = layout->thread.frame,
        .state_number = layout->thread.native_thread_id ? layout->thread.native_thread_id
                                                        : layout->thread.thread_id,
        .number_tid = layout->thread.native_thread_id ? 0 : python->pthread_tid_offset,
        .top_indirect = layout->frame_form == BSK_FRAME_CFRAME,
        .indirect = layout->cframe_current_frame,
        .evaluate = layout->frame_form == BSK_FRAME_CFRAME ? find_evaluate(python) : 0,
        .stack = layout->thread.datastack_chunk,
        .stack_first = CHUNK_HEADER_BYTES + 8,
        .previous = layout->frame.previous,
        .code = layout->frame.code,
        .place = layout->frame.lasti,
        .place_is_int = layout->frame_form == BSK_FRAME_OBJECTS,
        .owner = layout->frame.owner,
        .skip_owners = layout->shim_owners,
        .copy_index = layout->frame.tlbc_index,
        .state_runs = layout->thread.state,
        .code_mask = layout->tag_mask,
        .witness = layout->code.filename,
        .witness_words = witness_words(layout),
        .witness_int = layout->code.version,
        .witness_far = layout->object.text_length + 8, /* the hash of the name */
    };
    if (!layout->free_threaded && layout->interpreter.gil_holder)
        out->lock_far = layout->interpreter.gil_holder;
    else if (!layout->free_threaded && layout->runtime.gil_holder)
        out->lock_at = python->runtime + layout->runtime.gil_holder;
    if (layout->interpreter.collecting)
        out->busy_far = layout->interpreter.collecting;
    else if (layout->runtime.collecting)
        out->busy_at = python->runtime + layout->runtime.collecting;
    return layout->code.name == layout->code.filename + 8 &&
           (!layout->code.qualname || layout->code.qualname == layout->code.filename + 16) &&
           layout->code.linetable == layout->code.filename + 8 * (out->witness_words - 1);
}

/* Where older Pythons' threads keep their TID is found by looking at all of them, which fails while
 * one of them is being born. */
static int learn_threads(struct bsk_python *python, struct bsk_threads *os_threads,
                         struct bsk_error *err)
{
    enum { LOOKS = 50 };
    for (int i = 0; i < LOOKS; i++) {
        if (i > 0)
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        int rc = bsk_python_refresh(python, os_threads, err);
        if (rc < 0 || python->layout.thread.native_thread_id || python->pthread_tid_offset)
            return rc;
    }
    return bsk_fail(err, BSK_E_TORN, NULL, "threads of process %d are not told apart",
                    (int)bsk_process_pid(python->process));
}

int bsk_python_ticks_open(struct bsk_python *python, struct bsk_threads *os_threads,
                          uint32_t rate_hz, struct bsk_python_ticks **out_ticks,
                          struct bsk_error *err)
{
    struct bsk_tick_recipe recipe;
    struct bsk_python_ticks *ticks = calloc(1, sizeof(*ticks));
    if (!ticks)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    ticks->python = python;
    ticks->seen_slots = FIRST_SLOTS;
    ticks->seen = calloc(FIRST_SLOTS, sizeof(ticks->seen[0]));
    int rc = learn_threads(python, os_threads, err);
    if (rc == BSK_OK && !ticks->seen)
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    if (rc == BSK_OK && !write_recipe(python, &recipe))
        rc = bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "code objects of 3.%d are laid out otherwise",
                      python->layout.minor);
    if (rc == BSK_OK)
        rc = bsk_ticks_open(python->process, &recipe, rate_hz, &ticks->ticks, err);
    if (rc == BSK_OK)
        *out_ticks = ticks;
    else
        bsk_python_ticks_close(ticks);
    return rc;
}

void bsk_python_ticks_close(struct bsk_python_ticks *ticks)
{
    if (!ticks)
        return;
    bsk_ticks_close(ticks->ticks);
    free(ticks->seen);
    free(ticks->frames);
    free(ticks->threads);
    free(ticks);
}

int bsk_python_ticks_follow(struct bsk_python_ticks *ticks, struct bsk_threads *os_threads,
                            struct bsk_error *err)
{
    size_t count = bsk_python_thread_count(ticks->python), kept = 0;
    if (count > ticks->thread_capacity) {
        struct bsk_tick_thread *grown = realloc(ticks->threads, 2 * count * sizeof(*grown));
        if (!grown)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        ticks->threads = grown;
        ticks->thread_capacity = 2 * count;
    }
    for (size_t i = 0; i < count; i++) {
        const struct bsk_python_thread *thread = bsk_python_thread(ticks->python, i);
        const struct bsk_thread *os_thread = bsk_threads_find(os_threads, thread->tid);
        if (os_thread)
            ticks->threads[kept++] = (struct bsk_tick_thread){ .tid = thread->tid,
                                                               .tid_inside = os_thread->tid_inside,
                                                               .state = thread->address,
                                                               .owner = thread->interpreter,
                                                               .ignored = os_thread->ignored };
    }
    return bsk_ticks_follow(ticks->ticks, ticks->threads, kept, err);
}

/* --- code objects ------------------------------------------------------------------------------
 */

static size_t slot_of(const struct bsk_python_ticks *ticks, uint64_t address, uint32_t witness)
{
    uint64_t mixed = ((address >> 4) ^ (uint64_t)witness << 24) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(mixed >> 32) & (ticks->seen_slots - 1);
    while (ticks->seen[at].known &&
           (ticks->seen[at].address != address || ticks->seen[at].witness != witness))
        at = (at + 1) & (ticks->seen_slots - 1);
    return at;
}

static void remember(struct bsk_python_ticks *ticks, struct seen seen)
{
    if (2 * (ticks->seen_count + 1) > ticks->seen_slots) {
        struct seen *old = ticks->seen;
        size_t old_slots = ticks->seen_slots;
        struct seen *grown = calloc(2 * old_slots, sizeof(*grown));
        if (!grown)
            return; /* it is looked up again the next time */
        ticks->seen = grown;
        ticks->seen_slots = 2 * old_slots;
        for (size_t i = 0; i < old_slots; i++)
            if (old[i].known)
                grown[slot_of(ticks, old[i].address, old[i].witness)] = old[i];
        free(old);
    }
    ticks->seen[slot_of(ticks, seen.address, seen.witness)] = seen;
    ticks->seen_count++;
}

static bool is_that(const struct bsk_python_ticks *ticks, const struct bsk_known *known,
                    uint32_t witness)
{
    const struct bsk_layout *layout = &ticks->python->layout;
    uint64_t words[4] = { known->identity[1], known->identity[2], known->identity[3],
                          known->identity[4] };
    if (!layout->code.qualname)
        words[2] = words[3];
    uint64_t more = layout->code.version ? known->identity[7] << 3 : known->name_hash;
    return bsk_tick_witness(words, witness_words(layout), more) == witness;
}

/* The code object of a frame, or NULL: it is gone and was never met. */
static struct bsk_known *code_of(struct bsk_python_ticks *ticks, uint64_t address, uint32_t witness)
{
    const struct seen *seen = &ticks->seen[slot_of(ticks, address, witness)];
    struct bsk_codes *codes = ticks->python->codes;
    struct bsk_known *known = NULL;
    if (seen->known)
        return seen->known;
    if (bsk_codes_get(codes, address, &known) < 0)
        return NULL;
    if (!is_that(ticks, known, witness)) {
        /* What is known of this address may be older than the tick. */
        if (bsk_codes_look(codes, &known, 1))
            bsk_codes_hash_name(codes, known);
        else if (bsk_codes_get(codes, address, &known) < 0)
            return NULL;
        if (!is_that(ticks, known, witness))
            return NULL;
    }
    remember(ticks, (struct seen){ address, witness, known });
    return known;
}

/* --- ticks -------------------------------------------------------------------------------------
 */

static bool room_for(struct bsk_python_ticks *ticks, size_t depth)
{
    if (depth <= ticks->frame_capacity)
        return true;
    size_t capacity = depth < 64 ? 64 : 2 * depth;
    struct bsk_frame *grown = realloc(ticks->frames, capacity * sizeof(*grown));
    if (!grown)
        return false;
    ticks->frames = grown;
    ticks->frame_capacity = capacity;
    return true;
}

/* Code that is gone keeps its place in the stack, without a name: a share that others got instead
 * would be wrong by more. False: out of memory, or the stack has no end. */
static bool decode(struct bsk_python_ticks *ticks, const struct bsk_tick *tick,
                   struct bsk_python_tick *out)
{
    size_t depth = 0;
    bool gone = false;
    for (size_t i = 0; i < tick->count; i++) {
        const struct bsk_tick_frame *frame = &tick->frames[i];
        struct bsk_known *known = code_of(ticks, frame->code, frame->witness);
        struct bsk_line_step step;
        if (!known ||
            !bsk_codes_place(ticks->python->codes, known, frame->place, frame->copy_index, &step)) {
            known = bsk_codes_reused(ticks->python->codes);
            step = (struct bsk_line_step){ 0 };
            gone = true;
            if (!known)
                return false;
        }
        if (known->is_shim)
            continue;
        if (depth + frame->repeat > BSK_STACK_MAX_DEPTH || !room_for(ticks, depth + frame->repeat))
            return false;
        for (uint16_t k = 0; k < frame->repeat; k++)
            ticks->frames[depth++] = (struct bsk_frame){ .code = &known->code,
                                                         .line = step.line,
                                                         .column = step.column,
                                                         .end_column = step.end_column,
                                                         .end_line = step.end_line };
    }
    ticks->reused += gone;
    out->frames = ticks->frames;
    out->depth = depth;
    return true;
}

static int64_t interpreter_of(const struct bsk_python *python, uint64_t owner)
{
    for (size_t i = 0; i < python->interpreter_count; i++)
        if (python->interpreters[i].address == owner)
            return python->interpreters[i].id;
    return owner == 0 ? 0 : BSK_INTERPRETER_UNKNOWN;
}

static void on_tick(const struct bsk_tick *tick, void *user)
{
    struct bsk_python_ticks *ticks = user;
    /* Free-threaded: nothing says which of the attached threads collects. */
    bool knows_collector =
        !ticks->python->layout.free_threaded || bsk_python_thread_count(ticks->python) == 1;
    struct bsk_python_tick out = { .tid = tick->tid,
                                   .listed = tick->listed,
                                   .time_ns = tick->time_ns,
                                   .period_ns = tick->period_ns,
                                   .thread = tick->state,
                                   .interpreter_id = interpreter_of(ticks->python, tick->owner),
                                   .truncated = tick->cut,
                                   .holds_gil = tick->holds_lock,
                                   .collects = tick->busy && knows_collector };
    out.has_stack = !tick->unread && decode(ticks, tick, &out);
    out.torn = !out.has_stack;
    if (out.torn)
        out.depth = 0;
    ticks->fn(&out, ticks->user);
}

void bsk_python_ticks_read(struct bsk_python_ticks *ticks, bsk_python_tick_fn *fn, void *user)
{
    ticks->fn = fn;
    ticks->user = user;
    bsk_ticks_read(ticks->ticks, on_tick, ticks);
}

int bsk_python_ticks_catch_new(struct bsk_python_ticks *ticks, bool on, struct bsk_error *err)
{
    return bsk_ticks_catch_new(ticks->ticks, on, err);
}

bool bsk_python_ticks_catches_new(const struct bsk_python_ticks *ticks)
{
    return bsk_ticks_catches_new(ticks->ticks);
}

void bsk_python_ticks_pause(struct bsk_python_ticks *ticks, bool pause)
{
    bsk_ticks_pause(ticks->ticks, pause);
}

void bsk_python_ticks_counts(const struct bsk_python_ticks *ticks,
                             struct bsk_python_tick_counts *out_counts)
{
    bsk_ticks_counts(ticks->ticks, &out_counts->kernel);
    out_counts->reused = ticks->reused;
}
