#include "engine/sampling/sampler.h"

#include "engine/sampling/internal.h"

#include <stdlib.h>
#include <time.h>

/* The list of threads follows from the interpreters' heads, which each sample looks at; this is for
 * what they do not tell: a thread that took the place of another one. */
static const uint64_t refresh_at_least_ns = 1000000000;

enum { ROUNDS_MAX = 2 }; /* of one sample: a second one for threads that began meanwhile */

struct bsk_sampler {
    struct bsk_process *process;
    struct bsk_python *python;
    struct bsk_threads os_threads;
    bool idle_stacks;
    bool stale; /* the list of threads is due for a refresh */
    uint64_t refreshed_ns;
    struct bsk_sample sample;
    struct bsk_thread_sample *threads;
    struct bsk_python_thread **wanted;
    size_t capacity;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int bsk_sampler_open(pid_t pid, const struct bsk_sampler_options *options,
                     struct bsk_sampler **out_sampler, struct bsk_error *err)
{
    struct bsk_sampler *sampler = calloc(1, sizeof(*sampler));
    if (!sampler)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    sampler->idle_stacks = options && options->idle_stacks;
    sampler->stale = true;
    int rc = bsk_process_open(pid, &sampler->process, err);
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
    bsk_python_close(sampler->python);
    bsk_threads_free(&sampler->os_threads);
    bsk_process_close(sampler->process);
    free(sampler->threads);
    free(sampler->wanted);
    free(sampler);
}

const struct bsk_python_info *bsk_sampler_info(const struct bsk_sampler *sampler)
{
    return bsk_python_info(sampler->python);
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
        if (!threads || !wanted)
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
    return refresh(sampler, now_ns(), err);
}

void bsk_sampler_ignore(struct bsk_sampler *sampler, pid_t tid)
{
    struct bsk_thread *thread = bsk_threads_find(&sampler->os_threads, tid);
    if (thread)
        thread->ignored = true;
}

/* What the kernel says of one thread. Whether it runs now is for the state letter alone to say: the
 * counter moves in steps of a tick ("it did not move" does not mean "it did not run"), and also for
 * what ran and sleeps again. False: the thread has ended. */
static bool look(struct bsk_sampler *sampler, struct bsk_thread *thread,
                 struct bsk_thread_sample *out, bool *out_moved)
{
    uint64_t cpu_ns, turns;
    if (!thread || bsk_thread_cpu_ns(sampler->process, thread, &cpu_ns, &turns) < 0)
        return false;
    bool sleeps_on = thread->looked && thread->state != 'R' && cpu_ns == thread->cpu_ns &&
                     turns == thread->turns;
    if (!sleeps_on && bsk_thread_state(sampler->process, thread, &thread->state) < 0)
        return false;
    *out_moved = thread->looked && cpu_ns != thread->cpu_ns;
    thread->looked = true;
    thread->cpu_ns = cpu_ns;
    thread->turns = turns;
    *out = (struct bsk_thread_sample){
        .tid = thread->tid,
        .state = thread->state == 'R' ? BSK_THREAD_RUNNING : BSK_THREAD_IDLE,
        .cpu_ns = cpu_ns,
    };
    return true;
}

/* One round over all threads; true in *out_again when the list of threads has changed meanwhile. */
static int read_all(struct bsk_sampler *sampler, bool *out_again, struct bsk_error *err)
{
    size_t wanted = 0, count = 0;
    struct bsk_thread_sample *samples = sampler->threads;
    for (size_t i = 0; i < bsk_python_thread_count(sampler->python); i++) {
        struct bsk_python_thread *thread = bsk_python_thread(sampler->python, i);
        struct bsk_thread *os_thread = bsk_threads_find(&sampler->os_threads, thread->tid);
        bool moved = false;
        if (os_thread && os_thread->ignored)
            continue;
        if (!look(sampler, os_thread, &samples[count], &moved)) {
            sampler->stale = true; /* lost: the next sample is without it */
            continue;
        }
        thread->has_stack = thread->torn = thread->truncated = false;
        if (samples[count].state == BSK_THREAD_RUNNING || moved || sampler->idle_stacks)
            sampler->wanted[wanted++] = thread;
        count++;
    }
    int rc = bsk_python_read_stacks(sampler->python, sampler->wanted, wanted, out_again, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0, at = 0; i < wanted; i++) {
        const struct bsk_python_thread *thread = sampler->wanted[i];
        while (at < count && samples[at].tid != thread->tid)
            at++; /* both are in the order of the list */
        if (at == count)
            break;
        samples[at].has_stack = thread->has_stack;
        samples[at].torn = thread->torn;
        samples[at].truncated = thread->truncated;
        samples[at].frames = thread->frames;
        samples[at].depth = thread->has_stack ? thread->depth : 0;
    }
    sampler->sample.threads = samples;
    sampler->sample.thread_count = count;
    return BSK_OK;
}

int bsk_sampler_take(struct bsk_sampler *sampler, const struct bsk_sample **out_sample,
                     struct bsk_error *err)
{
    int rc = BSK_OK;
    bool again = true;
    uint64_t now = now_ns();
    sampler->sample = (struct bsk_sample){ .time_ns = now };
    for (int round = 0; again && rc == BSK_OK && round < ROUNDS_MAX; round++) {
        if (sampler->stale || now - sampler->refreshed_ns > refresh_at_least_ns)
            rc = refresh(sampler, now, err);
        if (rc == BSK_OK)
            rc = read_all(sampler, &again, err);
        sampler->stale = sampler->stale || again;
    }
    /* Looked at last: what was read counts only if it was still the same memory then. */
    int same =
        bsk_process_same(sampler->process, bsk_python_anchor(sampler->python), rc < 0 ? NULL : err);
    if (rc == BSK_OK || rc == BSK_E_TORN)
        rc = same < 0 ? same : rc;
    if (rc == BSK_OK)
        *out_sample = &sampler->sample;
    return rc;
}
