#include "engine/recording/target_ticks.h"

#include "engine/base/clock.h"
#include "engine/base/room.h"
#include "engine/process/process.h"
#include "engine/sampling/ticks.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct paid { /* a tick that waits for its share */
    uint32_t node;
    bool holds_gil;
    uint64_t start_ns, wall_ns, period_ns;
};

struct ticking { /* a thread */
    pid_t tid;
    uint32_t track;  /* in the main interpreter */
    int64_t entered; /* the other interpreter that `entered_track` is of */
    uint32_t entered_track;
    bool ignored, named, alive;
    bool has_counter;  /* `cpu_ns` is of a look */
    uint64_t cpu_ns;   /* its counter, when it was looked at last */
    uint64_t owed_ns;  /* what that moved by since a tick was paid */
    uint64_t other_ns; /* periods of ticks in which nothing of the user's ran */
    uint64_t seen_ns;  /* of the last tick, in the profile's time */
    uint32_t last_node;
    uint32_t asleep_node; /* where it was seen to sleep; BSK_NO_NODE: nowhere */
    int32_t call;         /* as the track was told; BSK_CALL_UNKNOWN: none */
    struct paid *ticks;
    size_t tick_count, tick_capacity;
};

struct bsk_target_ticks {
    struct bsk_target *target;
    struct bsk_target_context *context;
    struct bsk_sampler *sampler;
    struct bsk_sampler_ticks *ticks;
    struct ticking *threads;
    size_t thread_count, thread_capacity;
    uint64_t next_ns, waits_ns;
    uint64_t lost; /* as told so far */
    bool held, rebase;
    bool catching; /* new threads ticked before they were found */
};

static struct ticking *thread_of(struct bsk_target_ticks *ticks, pid_t tid)
{
    for (size_t i = 0; i < ticks->thread_count; i++)
        if (ticks->threads[i].tid == tid)
            return &ticks->threads[i];
    if (!bsk_room_for_one(&ticks->threads, ticks->thread_count, &ticks->thread_capacity,
                          sizeof(*ticks->threads)))
        return NULL;
    struct ticking *thread = &ticks->threads[ticks->thread_count++];
    memset(thread, 0, sizeof(*thread));
    thread->tid = tid;
    thread->cpu_ns = bsk_target_used_before_by(ticks->target, tid);
    thread->last_node = thread->asleep_node = BSK_NO_NODE;
    thread->call = BSK_CALL_UNKNOWN;
    thread->track = bsk_target_track(ticks->target, tid, 0, &thread->ignored, &thread->named);
    if (thread->ignored)
        bsk_sampler_ignore(ticks->sampler, tid);
    return thread;
}

/* --- ticks and what is paid for them -----------------------------------------------------------
 */

static uint32_t track_in(struct bsk_target_ticks *ticks, struct ticking *thread,
                         int64_t interpreter)
{
    bool ignored, named;
    if (interpreter == 0)
        return thread->track;
    if (thread->entered != interpreter) {
        thread->entered_track =
            bsk_target_track(ticks->target, thread->tid, interpreter, &ignored, &named);
        thread->entered = interpreter;
    }
    return thread->entered_track;
}

static void on_tick(const struct bsk_python_tick *tick, void *user)
{
    struct bsk_target_ticks *ticks = user;
    struct bsk_target_context *context = ticks->context;
    /* Those that end before they are found share a track: there may be thousands. */
    struct ticking *thread = thread_of(ticks, tick->listed ? tick->tid : 0);
    bool is_debuggers = false;
    if (!thread || thread->ignored || ticks->held || tick->time_ns < context->start_ns)
        return;
    thread->alive = true;
    if (tick->torn) { /* its share goes to the others */
        context->torn++;
        return;
    }
    if (thread->tick_count == thread->tick_capacity) {
        size_t capacity = thread->tick_capacity ? 2 * thread->tick_capacity : 16;
        struct paid *grown = realloc(thread->ticks, capacity * sizeof(*grown));
        if (!grown)
            return;
        thread->ticks = grown;
        thread->tick_capacity = capacity;
    }
    const struct bsk_thread_sample sample = { .tid = tick->tid,
                                              .state = BSK_THREAD_RUNNING,
                                              .has_stack = true,
                                              .collects = tick->collects,
                                              .frames = tick->frames,
                                              .depth = tick->depth };
    uint32_t track = track_in(ticks, thread, tick->interpreter_id);
    uint32_t node = bsk_target_node(ticks->target, track, &sample, &is_debuggers);
    uint64_t at_ns = tick->time_ns - context->start_ns;
    uint64_t gap_ns = at_ns - thread->seen_ns;
    if (at_ns < thread->seen_ns)
        gap_ns = 0;
    else if (gap_ns > tick->period_ns + tick->period_ns / 2) /* it slept meanwhile */
        gap_ns = tick->period_ns;
    thread->seen_ns = at_ns;
    if (is_debuggers || node == BSK_NO_NODE) {
        thread->other_ns += tick->period_ns;
        return;
    }
    thread->last_node = node;
    thread->ticks[thread->tick_count++] = (struct paid){ .node = node,
                                                         .holds_gil = tick->holds_gil,
                                                         .start_ns = at_ns - gap_ns,
                                                         .wall_ns = gap_ns,
                                                         .period_ns = tick->period_ns };
}

static uint64_t periods_of(const struct ticking *thread)
{
    uint64_t periods_ns = thread->other_ns;
    for (size_t i = 0; i < thread->tick_count; i++)
        periods_ns += thread->ticks[i].period_ns;
    return periods_ns;
}

/* Shares `owed_ns` among the ticks that wait, by their periods. */
static void pay(struct bsk_target_ticks *ticks, struct ticking *thread, uint64_t owed_ns)
{
    struct bsk_profile *profile = ticks->context->profile;
    uint64_t periods_ns = periods_of(thread);
    double scale = periods_ns ? (double)owed_ns / (double)periods_ns : 0;
    for (size_t i = 0; i < thread->tick_count; i++) {
        const struct paid *tick = &thread->ticks[i];
        uint64_t share_ns = (uint64_t)(scale * (double)tick->period_ns + 0.5);
        if (ticks->context->clock == BSK_CLOCK_GIL && !tick->holds_gil)
            continue;
        bsk_profile_add(profile, tick->node, tick->start_ns, tick->wall_ns, share_ns, 1);
        ticks->context->samples++;
        if (tick->holds_gil)
            bsk_profile_add_states(profile, tick->node, share_ns, 0, 0);
    }
    thread->tick_count = 0;
    thread->other_ns = 0;
}

static void on_used(pid_t tid, const char *name, uint64_t cpu_ns, void *user)
{
    struct bsk_target_ticks *ticks = user;
    struct ticking *thread = thread_of(ticks, tid);
    if (!thread || thread->ignored)
        return;
    thread->alive = true;
    if (!thread->named)
        bsk_target_follow_name(ticks->target, thread->track, 0, name);
    if (!thread->named && thread->entered != 0)
        bsk_target_follow_name(ticks->target, thread->entered_track, thread->entered, name);
    if (ticks->rebase ||
        (!thread->has_counter && ticks->catching)) { /* what it used before is nobody's */
        thread->cpu_ns = cpu_ns;
        thread->owed_ns = 0;
    }
    thread->has_counter = true;
    if (cpu_ns > thread->cpu_ns)
        thread->owed_ns += cpu_ns - thread->cpu_ns;
    thread->cpu_ns = cpu_ns;
    if (thread->tick_count > 0 || thread->other_ns > 0) {
        pay(ticks, thread, thread->owed_ns);
        thread->owed_ns = 0;
    }
}

/* Threads that ended before they were found have no counter: each tick is paid its period. */
static void pay_short_threads(struct bsk_target_ticks *ticks)
{
    for (size_t i = 0; i < ticks->thread_count; i++) {
        struct ticking *thread = &ticks->threads[i];
        if (!thread->has_counter)
            pay(ticks, thread, periods_of(thread));
    }
}

/* Its counter can be asked no more. */
static void close_thread(struct bsk_target_ticks *ticks, struct ticking *thread, uint64_t at_ns)
{
    uint64_t periods_ns = periods_of(thread);
    if (periods_ns > 0)
        pay(ticks, thread, thread->owed_ns > periods_ns ? thread->owed_ns : periods_ns);
    else if (thread->owed_ns > 0 && thread->last_node != BSK_NO_NODE)
        bsk_profile_add(ticks->context->profile, thread->last_node, at_ns, 0, thread->owed_ns, 0);
    free(thread->ticks);
}

static void drop_ended(struct bsk_target_ticks *ticks, uint64_t at_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < ticks->thread_count; i++) {
        struct ticking *thread = &ticks->threads[i];
        if (thread->alive || thread->ignored)
            ticks->threads[kept++] = *thread;
        else
            close_thread(ticks, thread, at_ns);
    }
    ticks->thread_count = kept;
}

/* --- the target --------------------------------------------------------------------------------
 */

static void rebase(struct bsk_target_ticks *ticks)
{
    ticks->rebase = true;
    bsk_sampler_ticks_used(ticks->ticks, on_used, ticks);
    ticks->rebase = false;
}

int bsk_target_ticks_start(struct bsk_target *target, struct bsk_target_context *context,
                           struct bsk_sampler *sampler, bool everything,
                           struct bsk_target_ticks **out_ticks, struct bsk_error *err)
{
    struct bsk_target_ticks *ticks = calloc(1, sizeof(*ticks));
    if (!ticks)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    ticks->target = target;
    ticks->context = context;
    ticks->sampler = sampler;
    int rc = bsk_sampler_ticks_start(sampler, context->tick_hz, &ticks->ticks, err);
    if (rc != BSK_OK) {
        free(ticks);
        return rc;
    }
    if (!everything)
        rebase(ticks);
    /* Who uses CPU time from now on is read when it sleeps; see look_at_sleepers(). */
    const struct bsk_sample *sample = NULL;
    (void)bsk_sampler_take(sampler, &sample, NULL);
    *out_ticks = ticks;
    return BSK_OK;
}

static int read_ticks(struct bsk_target_ticks *ticks)
{
    struct bsk_python_tick_counts counts;
    for (size_t i = 0; i < ticks->thread_count; i++)
        ticks->threads[i].alive = false;
    ticks->catching = bsk_sampler_ticks_catch_new(ticks->ticks);
    int rc = bsk_sampler_ticks_read(ticks->ticks, on_tick, ticks, NULL);
    bsk_sampler_ticks_used(ticks->ticks, on_used, ticks);
    pay_short_threads(ticks);
    bsk_sampler_ticks_counts(ticks->ticks, &counts);
    ticks->context->errors += counts.kernel.lost - ticks->lost;
    ticks->lost = counts.kernel.lost;
    return rc;
}

void bsk_target_ticks_stop(struct bsk_target_ticks *ticks, uint64_t now)
{
    if (!ticks)
        return;
    uint64_t start_ns = ticks->context->start_ns;
    if (!ticks->held)
        (void)read_ticks(ticks);
    for (size_t i = 0; i < ticks->thread_count; i++)
        close_thread(ticks, &ticks->threads[i], now > start_ns ? now - start_ns : 0);
    bsk_sampler_ticks_stop(ticks->ticks);
    free(ticks->threads);
    free(ticks);
}

/* Who sleeps does not tick: that is looked at from outside. A stack is read when a thread has used
 * CPU time since the look before; as long as it has not, it sleeps where it slept. */
static int look_at_sleepers(struct bsk_target_ticks *ticks, uint64_t now)
{
    struct bsk_profile *profile = ticks->context->profile;
    const struct bsk_sample *sample = NULL;
    /* The first look, too, tells where those sleep that sleep on. */
    uint64_t since_ns = ticks->waits_ns ? now - ticks->waits_ns : 0;
    ticks->waits_ns = now;
    int rc = bsk_sampler_take(ticks->sampler, &sample, NULL);
    if (rc != BSK_OK)
        return rc == BSK_E_GONE ? rc : BSK_OK;
    for (size_t i = 0; i < sample->thread_count; i++) {
        const struct bsk_thread_sample *thread = &sample->threads[i];
        bool is_debuggers = false;
        struct ticking *ticking = thread_of(ticks, thread->tid);
        if (!ticking || ticking->ignored || thread->elsewhere)
            continue;
        uint32_t track = track_in(ticks, ticking, thread->interpreter_id);
        int32_t call = thread->state == BSK_THREAD_CALL ? thread->call : BSK_CALL_UNKNOWN;
        if (call != ticking->call)
            bsk_profile_note_call(profile, ticking->track, bsk_call_name(call));
        ticking->call = call;
        if (thread->state == BSK_THREAD_RUNNING || thread->torn)
            ticking->asleep_node = BSK_NO_NODE;
        else if (thread->has_stack)
            ticking->asleep_node = bsk_target_node(ticks->target, track, thread, &is_debuggers);
        if (thread->state == BSK_THREAD_GIL_WAIT)
            bsk_profile_add_states(profile, ticking->asleep_node, 0, since_ns, 0);
        else if (thread->state == BSK_THREAD_CALL)
            bsk_profile_add_call_time(profile, ticking->asleep_node, since_ns);
        else if (thread->state == BSK_THREAD_IDLE)
            bsk_profile_add_states(profile, ticking->asleep_node, 0, 0, since_ns);
    }
    return BSK_OK;
}

int bsk_target_ticks_sweep(struct bsk_target_ticks *ticks)
{
    uint64_t now = bsk_now_ns();
    if (ticks->held || now < ticks->next_ns)
        return BSK_OK;
    ticks->next_ns = now + BSK_TICKS_READ_MS * 900000ULL; /* a little less: we may be early */
    int rc = read_ticks(ticks);
    drop_ended(ticks, now - ticks->context->start_ns);
    if (rc == BSK_OK)
        rc = look_at_sleepers(ticks, now);
    return rc;
}

void bsk_target_ticks_hold(struct bsk_target_ticks *ticks, bool hold)
{
    if (hold == ticks->held)
        return;
    if (hold)
        (void)read_ticks(ticks); /* what ran before the stop counts */
    bsk_sampler_ticks_pause(ticks->ticks, hold);
    ticks->held = hold;
    if (!hold)
        rebase(ticks);
    ticks->waits_ns = 0;
}
