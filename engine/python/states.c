/*
 * The interpreter's own words, read with the stacks: who holds the GIL, whether rubbish is
 * collected, and whether the lists of threads are still the same.
 */
#include "engine/python/memory.h"

static uint64_t gil_address(const struct bsk_python *python, const struct bsk_interpreter *of)
{
    const struct bsk_layout *layout = &python->layout;
    if (layout->interpreter.gil_holder)
        return of->address + layout->interpreter.gil_holder;
    return layout->runtime.gil_holder ? python->runtime + layout->runtime.gil_holder : 0;
}

static uint64_t collecting_address(const struct bsk_python *python,
                                   const struct bsk_interpreter *of)
{
    const struct bsk_layout *layout = &python->layout;
    if (layout->interpreter.collecting)
        return of->address + layout->interpreter.collecting;
    return layout->runtime.collecting ? python->runtime + layout->runtime.collecting : 0;
}

/* From 3.12 on all of it lies close together in the interpreter: one piece. */
static bool plan_window(struct bsk_python *python, struct bsk_interpreter *interpreter)
{
    const struct bsk_layout *layout = &python->layout;
    const uint32_t places[] = { layout->interpreter.threads_head, layout->interpreter.collecting,
                                layout->interpreter.gil_holder, layout->interpreter.gil_locked };
    uint32_t first = UINT32_MAX, last = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        first = places[i] < first ? places[i] : first;
        last = places[i] > last ? places[i] : last;
    }
    if (layout->interpreter.gil_holder == 0 || layout->interpreter.collecting == 0 ||
        last + 8 - first > sizeof(interpreter->window))
        return false;
    interpreter->window_at = first;
    interpreter->window_piece =
        bsk_add_piece(python, interpreter->address + first, interpreter->window, last + 8 - first);
    return true;
}

void bsk_states_plan(struct bsk_python *python)
{
    const struct bsk_layout *layout = &python->layout;
    uint64_t now = python->now_ns = bsk_now_ns();
    python->heads_read = now >= python->heads_due_ns;
    python->states_read = now >= python->states_due_ns;
    if (!python->states_read)
        return;
    python->states_due_ns = now + STATES_BELIEVED_NS;
    for (size_t i = 0; i < python->interpreter_count; i++) {
        struct bsk_interpreter *interpreter = &python->interpreters[i];
        interpreter->gil_piece = interpreter->collecting_piece = SIZE_MAX;
        interpreter->window_piece = SIZE_MAX;
        if (plan_window(python, interpreter))
            continue;
        bool own = i == 0 || layout->interpreter.gil_holder != 0;
        if (own && gil_address(python, interpreter))
            interpreter->gil_piece = bsk_add_piece(python, gil_address(python, interpreter),
                                                   interpreter->gil, sizeof(interpreter->gil));
        if (collecting_address(python, interpreter))
            interpreter->collecting_piece =
                bsk_add_piece(python, collecting_address(python, interpreter),
                              &interpreter->collecting, sizeof(interpreter->collecting));
    }
    if (!python->heads_read)
        return;
    python->heads_due_ns = now + HEADS_BELIEVED_NS;
    python->heads_piece = python->piece_count;
    bsk_add_piece(python, python->runtime + layout->runtime.interpreters_head,
                  &python->interpreters_head_now, sizeof(python->interpreters_head_now));
    for (size_t i = 0; i < python->interpreter_count; i++)
        bsk_add_piece(python, python->interpreters[i].address + layout->interpreter.threads_head,
                      &python->interpreters[i].threads_head_now, sizeof(uint64_t));
}

/* How many code objects were freed, asked after the stacks; see codes.h. */
void bsk_states_plan_epoch(struct bsk_python *python)
{
    enum { MAX = sizeof(python->epoch_words) / sizeof(python->epoch_words[0]) };
    const struct bsk_layout *layout = &python->layout;
    uint32_t at = layout->interpreter.code_generation;
    python->epoch_piece = SIZE_MAX;
    if (at == 0 || python->interpreter_count > MAX)
        return;
    python->epoch_piece = python->piece_count;
    for (size_t i = 0; i < python->interpreter_count; i++) {
        bsk_add_piece(python, python->interpreters[i].address + at, &python->epoch_words[i],
                      sizeof(python->epoch_words[i]));
    }
}

void bsk_states_note_epoch(struct bsk_python *python)
{
    python->epoch = python->epoch_piece == SIZE_MAX ? 0 : 1;
    for (size_t i = 0; python->epoch != 0 && i < python->interpreter_count; i++) {
        if (!bsk_piece_ok(python, python->epoch_piece + i))
            python->epoch = 0;
        else
            python->epoch += python->epoch_words[i];
    }
}

static bool heads_changed(const struct bsk_python *python)
{
    if (!python->heads_read)
        return false;
    if (!bsk_piece_ok(python, python->heads_piece) ||
        python->interpreters_head_now != python->interpreters_head)
        return true;
    for (size_t i = 0; i < python->interpreter_count; i++)
        if (!bsk_piece_ok(python, python->heads_piece + 1 + i) ||
            python->interpreters[i].threads_head_now != python->interpreters[i].threads_head)
            return true;
    return false;
}

/* Returns whether its list of threads has changed. */
static bool take_window(const struct bsk_python *python, struct bsk_interpreter *interpreter)
{
    const struct bsk_layout *layout = &python->layout;
    const uint8_t *window = interpreter->window;
    uint32_t at = interpreter->window_at;
    if (!bsk_piece_ok(python, interpreter->window_piece))
        return true;
    bool locked = bsk_i32(window, layout->interpreter.gil_locked - at) == 1;
    interpreter->holder = locked ? bsk_u64(window, layout->interpreter.gil_holder - at) : 0;
    interpreter->collects = bsk_i32(window, layout->interpreter.collecting - at) == 1;
    return bsk_u64(window, layout->interpreter.threads_head - at) != interpreter->threads_head;
}

/* A holder that is on no list of ours is a thread that is new. */
static bool is_strange(struct bsk_python *python, uint64_t holder)
{
    if (holder == 0 || holder == python->strange_holder)
        return false;
    for (size_t k = 0; k < python->thread_count; k++)
        if (python->threads[k]->address == holder)
            return false;
    python->strange_holder = holder; /* once is enough: it may be of C alone */
    return true;
}

bool bsk_states_take(struct bsk_python *python)
{
    bsk_states_note_epoch(python);
    if (!python->states_read)
        return false;
    bool changed = heads_changed(python);
    for (size_t i = 0; i < python->interpreter_count; i++) {
        struct bsk_interpreter *interpreter = &python->interpreters[i];
        if (interpreter->window_piece != SIZE_MAX) {
            changed = take_window(python, interpreter) || changed;
        } else {
            bool locked =
                bsk_piece_ok(python, interpreter->gil_piece) && (int32_t)interpreter->gil[1] == 1;
            interpreter->holder = locked ? interpreter->gil[0] : 0;
            interpreter->collects =
                bsk_piece_ok(python, interpreter->collecting_piece) && interpreter->collecting == 1;
        }
        if (python->layout.free_threaded)
            interpreter->holder = 0; /* of each thread its own state tells, see below */
        changed = is_strange(python, interpreter->holder) || changed;
    }
    return changed;
}

/* What was read just now of a thread's state; false: it was not read. */
static bool was_read(const struct bsk_python *python, const struct bsk_python_thread *thread)
{
    const struct bsk_stack_memory *memory = thread->memory;
    return memory && bsk_piece_ok(python, memory->piece_thread) &&
           python->pieces[memory->piece_thread].dst == memory->thread;
}

static bool is_attached(const struct bsk_python *python, const struct bsk_python_thread *thread)
{
    return was_read(python, thread) &&
           bsk_i32(thread->memory->thread, python->layout.thread.state) == BSK_STATE_ATTACHED;
}

/* Whether no other thread that was read just now is attached. */
static bool is_alone(const struct bsk_python *python, const struct bsk_python_thread *thread)
{
    for (size_t i = 0; i < python->thread_count; i++) {
        const struct bsk_python_thread *other = python->threads[i];
        if (other != thread && other->interpreter == thread->interpreter &&
            is_attached(python, other))
            return false;
    }
    return true;
}

static int closeness(const struct bsk_python *python, const struct bsk_python_thread *thread)
{
    bool has_frames = bsk_u64(thread->memory->thread, python->layout.thread.frame) != 0;
    return 2 * is_attached(python, thread) + has_frames;
}

/* A thread that has gone into a subinterpreter has a state in each: it runs in the one that is
 * attached, else (in C code that let go of the GIL) in the one that it entered last. */
static bool is_elsewhere(const struct bsk_python *python, const struct bsk_python_thread *thread)
{
    bool newer = true; /* of those listed before it: newer interpreters */
    if (python->interpreter_count < 2 || !python->layout.thread.state || !was_read(python, thread))
        return false;
    for (size_t i = 0; i < python->thread_count; i++) {
        const struct bsk_python_thread *other = python->threads[i];
        if (other == thread)
            newer = false;
        if (other == thread || other->tid != thread->tid || !was_read(python, other))
            continue;
        int away = closeness(python, other) - closeness(python, thread);
        if (away > 0 || (away == 0 && newer))
            return true;
    }
    return false;
}

void bsk_states_of(const struct bsk_python *python, struct bsk_python_thread *thread)
{
    bool collects = false;
    thread->holds_gil = false;
    for (size_t i = 0; i < python->interpreter_count; i++) {
        const struct bsk_interpreter *interpreter = &python->interpreters[i];
        if (interpreter->holder == thread->address)
            thread->holds_gil = true;
        if (interpreter->address == thread->interpreter || python->layout.runtime.collecting)
            collects = collects || interpreter->collects;
    }
    /* Without a GIL any number of threads are attached. Where one is switched on after all (-X
     * gil=1, an extension that asks for it) only its holder is. */
    if (python->layout.free_threaded)
        thread->holds_gil = is_attached(python, thread);
    /* Nothing says whose collection it is: it is sure while that one has stopped the others, and
     * not while rubbish is thrown away beside them. */
    if (collects && python->layout.free_threaded)
        collects = is_alone(python, thread);
    thread->collects = collects && thread->holds_gil;
    thread->elsewhere = is_elsewhere(python, thread);
}

struct bsk_python_thread *bsk_python_gil_holder(const struct bsk_python *python)
{
    for (size_t i = 0; i < python->interpreter_count; i++)
        for (size_t k = 0; python->interpreters[i].holder && k < python->thread_count; k++)
            if (python->interpreters[i].holder == python->threads[k]->address)
                return python->threads[k];
    return NULL;
}

bool bsk_python_is_gil(const struct bsk_python *python, uint64_t address)
{
    enum { GIL_BYTES = 256 }; /* its condition variable and mutex stand behind the holder */
    for (size_t i = 0; i < python->interpreter_count; i++) {
        uint64_t gil = gil_address(python, &python->interpreters[i]);
        if (gil != 0 && address >= gil && address - gil < GIL_BYTES)
            return true;
    }
    return false;
}
