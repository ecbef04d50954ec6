#include "engine/sampling/sampler.h"

#include "engine/base/clock.h"
#include "engine/sampling/internal.h"

#include <stdlib.h>

/* The list of threads follows from the interpreters' heads, which each sample looks at; this is for
 * what they do not tell: a thread that took the place of another one. */
static const uint64_t refresh_at_least_ns = 1000000000;

/* How often the kernel is asked for all counters, states and whether it is still this process: each
 * is a system call. In between, who holds the GIL tells who runs. */
static const uint64_t count_every_ns = 19000000;

/* A thread that is on a CPU stops within some microseconds. One that is not after this long waits
 * for a CPU, or is in the kernel: its stack does not move either, see pause.h. */
static const uint64_t stop_limit_ns = 500000;

enum { ROUNDS_MAX = 2 }; /* of one sample: a second one for threads that began meanwhile */

struct bsk_sampler {
    struct bsk_process *process;
    struct bsk_python *python;
    struct bsk_threads os_threads;
    bool idle_stacks, fresh_states;
    bool still;     /* it is a core */
    bool count_all; /* in this sample */
    bool looked;    /* at some thread's counter, in this sample */
    bool begun;     /* there was a sample before this one */
    uint64_t counted_ns;
    bool stale; /* the list of threads is due for a refresh */
    uint64_t refreshed_ns;
    struct bsk_sample sample;
    struct bsk_thread_sample *threads;
    struct bsk_python_thread **wanted;
    struct bsk_python_thread **running; /* as `wanted`: those that are stopped for it */
    struct bsk_pause *pause;            /* NULL: nothing is ever stopped */
    size_t *index; /* of the threads' samples, by place in the list of threads */
    size_t capacity;
};

int bsk_sampler_open(pid_t pid, const struct bsk_sampler_options *options,
                     struct bsk_sampler **out_sampler, struct bsk_error *err)
{
    struct bsk_sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    sampler->idle_stacks = options && options->idle_stacks;
    sampler->fresh_states = options && options->fresh_states;
    sampler->stale = true;
    int rc = bsk_process_open(pid, &sampler->process, err);
    if (rc == BSK_OK)
        rc = bsk_python_open(sampler->process, &sampler->python, err);
    if (rc == BSK_OK && options && options->stop_threads) {
        rc = bsk_pause_try(pid, err);
        if (rc == BSK_OK)
            rc = bsk_pause_open(pid, &sampler->pause, err);
    }
    if (rc == BSK_E_GONE)
        rc = bsk_python_tell_gone(pid, err);
    if (rc == BSK_OK)
        *out_sampler = sampler;
    else
        bsk_sampler_close(sampler);
    return rc;
}

int bsk_sampler_open_core(const char *path, const char *root, struct bsk_sampler **out_sampler,
                          struct bsk_core_facts *out_core, struct bsk_error *err)
{
    struct bsk_sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    sampler->idle_stacks = sampler->fresh_states = sampler->still = sampler->stale = true;
    int rc = bsk_process_open_core(path, root, &sampler->process, err);
    if (rc == BSK_OK && bsk_process_core_facts(sampler->process, out_core))
        out_core->path = path;
    if (rc == BSK_OK)
        rc = bsk_python_open(sampler->process, &sampler->python, err);
    if (rc == BSK_OK)
        *out_sampler = sampler;
    else
        bsk_sampler_close(sampler);
    return rc;
}

void bsk_sampler_close(struct bsk_sampler *sampler)
{
    if (!sampler)
        return;
    bsk_process_resume(sampler->pause);
    bsk_python_close(sampler->python);
    bsk_threads_free(&sampler->os_threads);
    bsk_process_close(sampler->process);
    free(sampler->threads);
    free(sampler->wanted);
    free(sampler->running);
    free(sampler->index);
    free(sampler);
}

const struct bsk_python_info *bsk_sampler_info(const struct bsk_sampler *sampler)
{
    return bsk_python_info(sampler->python);
}

struct bsk_python *bsk_sampler_python(struct bsk_sampler *sampler)
{
    return sampler->python;
}

struct bsk_process *bsk_sampler_process(struct bsk_sampler *sampler)
{
    return sampler->process;
}

int bsk_sampler_read(struct bsk_sampler *sampler, uint64_t address, void *dst, size_t size,
                     struct bsk_error *err)
{
    return bsk_process_read(sampler->process, address, dst, size, err);
}

static int refresh(struct bsk_sampler *sampler, uint64_t now, struct bsk_error *err)
{
    int rc = bsk_python_refresh(sampler->python, &sampler->os_threads, err);
    if (rc < 0)
        return rc;
    size_t count = bsk_python_thread_count(sampler->python);
    if (count > sampler->capacity) {
        size_t capacity = count + count / 2 + 8;
        void *threads = realloc(sampler->threads, capacity * sizeof(sampler->threads[0]));
        if (threads)
            sampler->threads = threads;
        void *wanted = realloc(sampler->wanted, capacity * sizeof(sampler->wanted[0]));
        if (wanted)
            sampler->wanted = wanted;
        void *running = realloc(sampler->running, capacity * sizeof(sampler->running[0]));
        if (running)
            sampler->running = running;
        void *index = realloc(sampler->index, capacity * sizeof(sampler->index[0]));
        if (index)
            sampler->index = index;
        if (!threads || !wanted || !running || !index)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        sampler->capacity = capacity;
    }
    sampler->stale = false;
    sampler->refreshed_ns = now;
    return BSK_OK;
}

struct bsk_sampler_parts bsk_sampler_parts(struct bsk_sampler *sampler)
{
    return (struct bsk_sampler_parts){ sampler->process, sampler->python, &sampler->os_threads };
}

int bsk_sampler_refresh(struct bsk_sampler *sampler, struct bsk_error *err)
{
    return refresh(sampler, bsk_now_ns(), err);
}

void bsk_sampler_ignore(struct bsk_sampler *sampler, pid_t tid)
{
    struct bsk_thread *thread = bsk_threads_find(&sampler->os_threads, tid);
    if (thread)
        thread->ignored = true;
}

/* Asked once for each sleep. */
static void look_at_sleep(struct bsk_sampler *sampler, struct bsk_thread *thread)
{
    uint64_t argument = 0;
    bool sleeps = thread->state == 'S' || thread->state == 'D';
    thread->call = sleeps ? bsk_thread_call(sampler->process, thread, &argument) : BSK_CALL_UNKNOWN;
    thread->waits_for_gil = argument != 0 && bsk_call_only_waits(thread->call) &&
                            bsk_python_is_gil(sampler->python, argument);
}

/* How a thread sleeps. What the kernel does not tell is only known of who sleeps uninterruptibly.
 */
static enum bsk_thread_state sleep_of(const struct bsk_thread *thread)
{
    if (thread->waits_for_gil)
        return BSK_THREAD_GIL_WAIT;
    if (thread->state == 'D')
        return BSK_THREAD_CALL;
    return thread->state == 'S' && thread->call >= 0 && !bsk_call_only_waits(thread->call)
               ? BSK_THREAD_CALL
               : BSK_THREAD_IDLE;
}

/* What the kernel says of one thread. Whether it runs now is for the state letter alone to say: the
 * counter moves in steps of a tick ("it did not move" does not mean "it did not run"), and also for
 * what ran and sleeps again. False: the thread has ended. */
static bool look(struct bsk_sampler *sampler, struct bsk_thread *thread, bool *out_moved)
{
    uint64_t cpu_ns, turns;
    sampler->looked = true;
    if (bsk_thread_cpu_ns(sampler->process, thread, &cpu_ns, &turns) < 0)
        return false;
    bool sleeps_on = thread->looked && thread->state != 'R' && cpu_ns == thread->cpu_ns &&
                     turns == thread->turns;
    if (!sleeps_on && bsk_thread_state(sampler->process, thread, &thread->state) < 0)
        return false;
    if (!sleeps_on)
        look_at_sleep(sampler, thread);
    /* What a thread that is new has used, it used since the sample before. */
    *out_moved = thread->looked ? cpu_ns != thread->cpu_ns : sampler->begun && cpu_ns > 0;
    thread->looked = true;
    thread->cpu_ns = cpu_ns;
    thread->turns = turns;
    return true;
}

/* Decides what to read of one thread, and asks the kernel where nothing else tells. Who held the
 * GIL at the last sample is most likely to hold it now; who did not and ran is in doubt. */
static bool prepare(struct bsk_sampler *sampler, struct bsk_python_thread *thread,
                    struct bsk_thread *os_thread, struct bsk_thread_sample *sample, bool *out_read)
{
    bool held = thread->holds_gil, moved = false;
    bool asleep = os_thread->looked && os_thread->state != 'R' && !held;
    bool counted = sampler->count_all || (!held && !asleep);
    if (counted && !look(sampler, os_thread, &moved))
        return false;
    bool runs = os_thread->state == 'R' || held;
    *sample = (struct bsk_thread_sample){
        .tid = thread->tid,
        .cpu_ns = os_thread->cpu_ns,
        .counted = counted,
        .holds_gil = held, /* at the last sample; fill() says whether it does now */
    };
    thread->has_stack = thread->torn = false;
    thread->sleeps = os_thread->looked && !runs && !moved;
    *out_read = runs || moved || (sampler->idle_stacks && (counted || !thread->memory));
    return true;
}

/* It held the GIL at the last sample, so the kernel was not asked, and it has let go of it since:
 * to work on without it, or to sleep. */
static void look_at_release(struct bsk_sampler *sampler, const struct bsk_python_thread *thread,
                            struct bsk_thread *os_thread, struct bsk_thread_sample *sample)
{
    bool moved, released = sample->holds_gil && !thread->holds_gil;
    if (!released || sample->counted || !look(sampler, os_thread, &moved))
        return;
    sample->cpu_ns = os_thread->cpu_ns;
    sample->counted = true;
}

static void fill(struct bsk_python *python, struct bsk_thread_sample *sample,
                 struct bsk_python_thread *thread, const struct bsk_thread *os_thread)
{
    sample->holds_gil = thread->holds_gil;
    sample->collects = thread->collects;
    sample->call = BSK_CALL_UNKNOWN;
    if (thread->holds_gil || (os_thread->state == 'R' && sample->counted)) {
        sample->state = BSK_THREAD_RUNNING;
    } else {
        sample->state = sleep_of(os_thread);
        if (sample->state != BSK_THREAD_GIL_WAIT)
            sample->call = os_thread->call;
    }
    sample->elsewhere = thread->elsewhere;
    if (thread->elsewhere) {
        sample->state = BSK_THREAD_IDLE;
        sample->call = BSK_CALL_UNKNOWN;
    }
    sample->name = thread->name ? thread->name : "";
    sample->interpreter_id = thread->interpreter_id;
    sample->has_stack = thread->has_stack;
    sample->torn = thread->torn;
    sample->truncated = thread->truncated;
    sample->filled = thread->filled;
    sample->unread = thread->unread;
    bsk_python_columns(python, thread);
    sample->frames = thread->frames;
    sample->depth = thread->has_stack ? thread->depth : 0;
    sample->kept = thread->kept;
    sample->stack = thread->answers;
}

/* The holder of the GIL may be a thread that slept a moment ago: then it was not read with the
 * others. */
static int read_new_holder(struct bsk_sampler *sampler, size_t wanted, bool *out_again,
                           struct bsk_error *err)
{
    struct bsk_python_thread *holder = bsk_python_gil_holder(sampler->python);
    for (size_t i = 0; i < wanted; i++)
        if (sampler->wanted[i] == holder)
            return BSK_OK;
    struct bsk_thread *os_thread =
        holder ? bsk_threads_find(&sampler->os_threads, holder->tid) : NULL;
    if (!os_thread || os_thread->ignored)
        return BSK_OK;
    return bsk_python_read_stacks(sampler->python, &holder, 1, out_again, err);
}

/* --- with stops ------------------------------------------------------------------------------ */

static int stop_and_read(struct bsk_sampler *sampler, size_t running, bool *out_again,
                         struct bsk_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < running; i++) {
        int rc = bsk_pause_ask(sampler->pause, sampler->running[i]->tid, err);
        if (rc < 0)
            return rc;
    }
    (void)bsk_pause_wait(sampler->pause, stop_limit_ns);
    for (size_t i = 0; i < running; i++) { /* what has ended has no stack */
        struct bsk_python_thread *thread = sampler->running[i];
        if (bsk_pause_holds(sampler->pause, thread->tid)) {
            sampler->running[kept++] = thread;
            continue;
        }
        thread->has_stack = thread->holds_gil = false;
        bsk_threads_find(&sampler->os_threads, thread->tid)->state = 'X';
    }
    return bsk_python_read_still(sampler->python, sampler->running, kept, out_again, err);
}

/* Those that run are stopped together, and are read then; those that sleep are read as they are,
 * before that. Whose stack moved meanwhile has woken up, and is stopped too; so is one that got the
 * GIL since. */
static int read_stopped(struct bsk_sampler *sampler, size_t running, size_t sleeping,
                        bool *out_again, struct bsk_error *err)
{
    bool changed = false;
    int rc = BSK_OK;
    if (sleeping > 0)
        rc = bsk_python_read_stacks(sampler->python, sampler->wanted, sleeping, &changed, err);
    for (size_t i = 0; rc == BSK_OK && i < sleeping; i++) {
        struct bsk_python_thread *thread = sampler->wanted[i];
        if (thread->torn || thread->filled || thread->unread)
            sampler->running[running++] = thread;
    }
    if (rc == BSK_OK)
        rc = stop_and_read(sampler, running, out_again, err);
    struct bsk_python_thread *holder = rc == BSK_OK ? bsk_python_gil_holder(sampler->python) : NULL;
    const struct bsk_thread *os_thread =
        holder ? bsk_threads_find(&sampler->os_threads, holder->tid) : NULL;
    if (os_thread && !os_thread->ignored && !bsk_pause_holds(sampler->pause, holder->tid)) {
        sampler->running[0] = holder;
        rc = stop_and_read(sampler, 1, &changed, err);
    }
    *out_again = *out_again || changed;
    (void)bsk_pause_let_go(sampler->pause);
    return rc;
}

struct bsk_pause_cost bsk_sampler_stop_cost(const struct bsk_sampler *sampler)
{
    return sampler->pause ? bsk_pause_cost(sampler->pause) : (struct bsk_pause_cost){ 0 };
}

bool bsk_sampler_let_go(struct bsk_sampler *sampler)
{
    return !sampler->pause || bsk_pause_let_go(sampler->pause);
}

/* --- one sample ------------------------------------------------------------------------------ */

/* One round over all threads; true in *out_again when the list of threads has changed meanwhile. */
static int read_all(struct bsk_sampler *sampler, bool *out_again, struct bsk_error *err)
{
    size_t wanted = 0, running = 0, count = 0, total = bsk_python_thread_count(sampler->python);
    struct bsk_thread_sample *samples = sampler->threads;
    if (sampler->count_all) /* without names it works as well */
        (void)bsk_python_name_threads(sampler->python, false, NULL);
    for (size_t i = 0; i < total; i++) {
        struct bsk_python_thread *thread = bsk_python_thread(sampler->python, i);
        struct bsk_thread *os_thread = bsk_threads_find(&sampler->os_threads, thread->tid);
        bool read = false;
        sampler->index[i] = SIZE_MAX;
        if (os_thread && os_thread->ignored)
            continue;
        if (!os_thread || !prepare(sampler, thread, os_thread, &samples[count], &read)) {
            sampler->stale = true; /* lost: the next sample is without it */
            continue;
        }
        if (read && sampler->pause && os_thread->state == 'R')
            sampler->running[running++] = thread;
        else if (read)
            sampler->wanted[wanted++] = thread;
        sampler->index[i] = count++;
    }
    int rc;
    if (sampler->still) {
        rc = bsk_python_read_still(sampler->python, sampler->wanted, wanted, out_again, err);
    } else if (sampler->pause) {
        rc = read_stopped(sampler, running, wanted, out_again, err);
    } else {
        rc = bsk_python_read_stacks(sampler->python, sampler->wanted, wanted, out_again, err);
        if (rc == BSK_OK)
            rc = read_new_holder(sampler, wanted, out_again, err);
    }
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < total; i++) {
        struct bsk_python_thread *thread = bsk_python_thread(sampler->python, i);
        if (sampler->index[i] == SIZE_MAX)
            continue;
        struct bsk_thread *os_thread = bsk_threads_find(&sampler->os_threads, thread->tid);
        look_at_release(sampler, thread, os_thread, &samples[sampler->index[i]]);
        fill(sampler->python, &samples[sampler->index[i]], thread, os_thread);
    }
    sampler->sample.threads = samples;
    sampler->sample.thread_count = count;
    return BSK_OK;
}

int bsk_sampler_take(struct bsk_sampler *sampler, const struct bsk_sample **out_sample,
                     struct bsk_error *err)
{
    int rc = BSK_OK, same = BSK_OK;
    bool again = true;
    uint64_t now = bsk_now_ns();
    sampler->looked = false;
    sampler->count_all =
        sampler->fresh_states || sampler->pause || now - sampler->counted_ns >= count_every_ns;
    sampler->sample = (struct bsk_sample){ .time_ns = now };
    for (int round = 0; again && rc == BSK_OK && round < ROUNDS_MAX; round++) {
        if (sampler->stale || now - sampler->refreshed_ns > refresh_at_least_ns)
            rc = refresh(sampler, now, err);
        if (rc == BSK_OK)
            rc = read_all(sampler, &again, err);
        sampler->stale = sampler->stale || again;
    }
    /* Looked at last: what was read counts only if it was still the same memory then. Samples wait
     * for their counter to be looked at before they weigh anything, so that is when to ask. */
    if (sampler->looked || rc < 0)
        same = bsk_process_same(sampler->process, bsk_python_anchor(sampler->python),
                                rc < 0 ? NULL : err);
    bsk_python_sampled(sampler->python, now);
    if (sampler->count_all || rc < 0)
        sampler->counted_ns = now;
    if (rc == BSK_OK || rc == BSK_E_TORN)
        rc = same < 0 ? same : rc;
    if (rc == BSK_OK)
        *out_sample = &sampler->sample;
    sampler->begun = sampler->begun || rc == BSK_OK;
    return rc;
}
