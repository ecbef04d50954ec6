#include "engine/sampling/ticks.h"

#include "engine/base/clock.h"
#include "engine/sampling/internal.h"

#include <stdlib.h>

/* As in sampler.c: for what the interpreters' heads do not tell. */
static const uint64_t refresh_at_least_ns = 1000000000;

/* Threads that come and go more often than this are caught by the CPUs' clocks too, for as long as
 * they do. One that is born now and then is found soon enough. */
static const uint64_t often_ns = 1000000000, seldom_ns = 5000000000;

struct bsk_sampler_ticks {
    struct bsk_sampler *sampler; /* borrowed */
    struct bsk_python_ticks *ticks;
    uint64_t refreshed_ns, changed_ns;
    uint64_t strangers; /* ticks of threads that are not in the list */
    size_t ignored;     /* threads that were, when the clocks were set last */
    bsk_python_tick_fn *fn;
    void *user;
};

static size_t count_ignored(const struct bsk_threads *threads)
{
    size_t count = 0;
    for (size_t i = 0; i < threads->count; i++)
        count += threads->items[i].ignored;
    return count;
}

static int follow(struct bsk_sampler_ticks *ticks, struct bsk_error *err)
{
    struct bsk_sampler_parts parts = bsk_sampler_parts(ticks->sampler);
    ticks->ignored = count_ignored(parts.os_threads);
    return bsk_python_ticks_follow(ticks->ticks, parts.os_threads, err);
}

static int refresh(struct bsk_sampler_ticks *ticks, struct bsk_error *err)
{
    int rc = bsk_sampler_refresh(ticks->sampler, err);
    if (rc == BSK_OK)
        rc = follow(ticks, err);
    ticks->refreshed_ns = bsk_now_ns();
    ticks->strangers = 0;
    return rc;
}

int bsk_sampler_ticks_start(struct bsk_sampler *sampler, uint32_t rate_hz,
                            struct bsk_sampler_ticks **out_ticks, struct bsk_error *err)
{
    struct bsk_sampler_ticks *ticks = calloc(1, sizeof(*ticks));
    if (!ticks)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    ticks->sampler = sampler;
    struct bsk_sampler_parts parts = bsk_sampler_parts(sampler);
    int rc = bsk_python_ticks_open(parts.python, parts.os_threads, rate_hz, &ticks->ticks, err);
    int refreshed = bsk_sampler_refresh(sampler, rc < 0 ? NULL : err);
    if (rc == BSK_OK)
        rc = refreshed;
    if (rc == BSK_OK)
        rc = follow(ticks, err);
    ticks->refreshed_ns = bsk_now_ns();
    if (rc == BSK_OK)
        *out_ticks = ticks;
    else
        bsk_sampler_ticks_stop(ticks);
    return rc;
}

void bsk_sampler_ticks_stop(struct bsk_sampler_ticks *ticks)
{
    if (!ticks)
        return;
    bsk_python_ticks_close(ticks->ticks);
    free(ticks);
}

static void on_tick(const struct bsk_python_tick *tick, void *user)
{
    struct bsk_sampler_ticks *ticks = user;
    ticks->strangers += !tick->listed;
    ticks->fn(tick, ticks->user);
}

int bsk_sampler_ticks_read(struct bsk_sampler_ticks *ticks, bsk_python_tick_fn *fn, void *user,
                           struct bsk_error *err)
{
    struct bsk_sampler_parts parts = bsk_sampler_parts(ticks->sampler);
    bool changed = false;
    ticks->fn = fn;
    ticks->user = user;
    bsk_python_ticks_read(ticks->ticks, on_tick, ticks);
    int rc = bsk_python_read_stacks(parts.python, NULL, 0, &changed, err);
    uint64_t now = bsk_now_ns();
    if (changed && rc == BSK_OK && now - ticks->changed_ns < often_ns)
        (void)bsk_python_ticks_catch_new(ticks->ticks, true, NULL);
    else if (now - ticks->changed_ns > seldom_ns)
        (void)bsk_python_ticks_catch_new(ticks->ticks, false, NULL);
    if (changed)
        ticks->changed_ns = now;
    if (rc == BSK_OK &&
        (changed || ticks->strangers > 0 || now - ticks->refreshed_ns > refresh_at_least_ns))
        rc = refresh(ticks, err);
    else if (rc == BSK_OK && count_ignored(parts.os_threads) != ticks->ignored)
        rc = follow(ticks, err);
    int same =
        bsk_process_same(parts.process, bsk_python_anchor(parts.python), rc < 0 ? NULL : err);
    return same < 0 ? same : rc;
}

void bsk_sampler_ticks_used(struct bsk_sampler_ticks *ticks, bsk_sampler_used_fn *fn, void *user)
{
    struct bsk_sampler_parts parts = bsk_sampler_parts(ticks->sampler);
    (void)bsk_python_name_threads(parts.python, false, NULL); /* without names it works as well */
    for (size_t i = 0; i < bsk_python_thread_count(parts.python); i++) {
        const struct bsk_python_thread *known = bsk_python_thread(parts.python, i);
        struct bsk_thread *thread = bsk_threads_find(parts.os_threads, known->tid);
        uint64_t cpu_ns, turns;
        if (thread && !thread->ignored &&
            bsk_thread_cpu_ns(parts.process, thread, &cpu_ns, &turns) == BSK_OK)
            fn(thread->tid, known->name ? known->name : "", cpu_ns, user);
    }
}

void bsk_sampler_ticks_pause(struct bsk_sampler_ticks *ticks, bool pause)
{
    bsk_python_ticks_pause(ticks->ticks, pause);
}

bool bsk_sampler_ticks_catch_new(const struct bsk_sampler_ticks *ticks)
{
    return bsk_python_ticks_catches_new(ticks->ticks);
}

void bsk_sampler_ticks_counts(const struct bsk_sampler_ticks *ticks,
                              struct bsk_python_tick_counts *out_counts)
{
    bsk_python_ticks_counts(ticks->ticks, out_counts);
}
