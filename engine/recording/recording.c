#include "engine/recording/recording.h"

#include "engine/base/clock.h"
#include "engine/process/process.h"
#include "engine/process/ticks.h"
#include "engine/recording/family.h"
#include "engine/recording/target.h"
#include "engine/recording/target_ticks.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SLEEP_FROM_NS = 50000, /* a sleep ends up to this much too late: faster rates do not sleep */
    ORDERS_MAX = 256,      /* that wait for the recording's thread */
    START_TRIES = 20,      /* a Python that has only just been started is not readable yet */
    START_PAUSE_MS = 25,
    LET_GO_NS = 500000, /* how long a thread stands still at most that stops too late */
};

struct order {
    pid_t pid;
    enum { ORDER_ADD, ORDER_HOLD, ORDER_RELEASE } what;
};

struct bsk_recording {
    pthread_t thread;
    pthread_mutex_t mutex; /* never held across a read */
    void (*bell)(void *user);
    void *user;
    char first_python[32]; /* fixed once started */

    atomic_uint called; /* a futex: there is something for the thread under the mutex */

    /* under the mutex */
    bool stop_wanted, profile_wanted;
    char reason[128]; /* why it is to stop */
    struct order orders[ORDERS_MAX];
    size_t order_count;
    struct bsk_totals *totals;
    struct bsk_profile *published;
    struct bsk_recording_status status;

    /* the thread's own */
    struct bsk_target_context context;
    struct bsk_profile *profile;
    struct bsk_family family;
    uint64_t period_ns, totals_ns;
    uint64_t slot_ns, deadline_ns; /* the period that we are in, and its sample's moment */
    uint64_t lot;
    uint64_t next_totals_ns;
    bool asked_for_more; /* of the CPU's time */
    bool stops_due;      /* threads may still be about to stop */
    uint64_t missed;
};

/* ---- Results -----------------------------------------------------------------------------------
 */

/* All targets are sampled at their clock ticks: there is at least one, and none has to be swept. */
static bool all_tick(const struct bsk_recording *recording)
{
    for (size_t i = 0; i < recording->family.target_count; i++) {
        if (!bsk_target_ticking(recording->family.targets[i]))
            return false;
    }
    return recording->family.target_count > 0;
}

/* How far sweeps are apart. */
static uint64_t sweep_period_ns(const struct bsk_recording *recording)
{
    return all_tick(recording) ? BSK_TICKS_READ_MS * 1000000ULL : recording->period_ns;
}

static void describe(struct bsk_recording *recording, uint64_t now)
{
    struct bsk_profile_meta *meta = bsk_profile_meta(recording->profile);
    meta->duration_ns = now - recording->context.start_ns;
    meta->samples = recording->context.samples;
    meta->errors = recording->context.errors;
    meta->torn = recording->context.torn;
    meta->filled = recording->context.filled;
    meta->unread = recording->context.unread;
    meta->missed = recording->missed;
    for (size_t i = 0; i < recording->family.target_count; i++)
        recording->context.jit_functions += bsk_target_look_for_jit(recording->family.targets[i]);
    meta->jit_functions = recording->context.jit_functions;
    if (recording->family.target_count > 0) /* at the end the last answer stands */
        meta->method = recording->context.blocking                        ? BSK_METHOD_STOP
                       : all_tick(recording) && !recording->context.swept ? BSK_METHOD_TICK
                                                                          : BSK_METHOD_READ;
    meta->stopped = recording->context.stops;
    meta->stopped_ns = recording->context.stopped_ns;
    meta->longest_stop_ns = recording->context.longest_stop_ns;
    for (size_t i = 0; i < recording->family.target_count && recording->context.blocking; i++) {
        struct bsk_pause_cost cost = bsk_target_stop_cost(recording->family.targets[i]);
        meta->stopped += cost.stops;
        meta->stopped_ns += cost.stopped_ns;
        if (cost.longest_ns > meta->longest_stop_ns)
            meta->longest_stop_ns = cost.longest_ns;
    }
    snprintf(meta->python, sizeof(meta->python), "%s", recording->family.python);
}

/* Under the mutex. */
static void update_status(struct bsk_recording *recording)
{
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(recording->profile);
    struct bsk_recording_status *status = &recording->status;
    status->samples = meta->samples;
    status->errors = meta->errors;
    status->torn = meta->torn;
    status->missed = meta->missed;
    status->duration_ns = meta->duration_ns;
    status->cpu_ns = bsk_profile_cpu_ns(recording->profile);
    status->processes = (uint32_t)recording->family.target_count;
}

static void publish_totals(struct bsk_recording *recording, uint64_t now)
{
    describe(recording, now);
    struct bsk_totals *totals = bsk_totals_new(recording->profile);
    pthread_mutex_lock(&recording->mutex);
    struct bsk_totals *before = recording->totals;
    recording->totals = totals;
    update_status(recording);
    pthread_mutex_unlock(&recording->mutex);
    bsk_totals_free(before);
    if (recording->bell)
        recording->bell(recording->user);
}

static void publish_profile(struct bsk_recording *recording, uint64_t now)
{
    describe(recording, now);
    struct bsk_profile *clone = bsk_profile_clone(recording->profile);
    pthread_mutex_lock(&recording->mutex);
    struct bsk_profile *before = recording->published;
    recording->published = clone;
    update_status(recording);
    pthread_mutex_unlock(&recording->mutex);
    bsk_profile_free(before);
    if (recording->bell)
        recording->bell(recording->user);
}

static void publish_end(struct bsk_recording *recording, const char *reason, uint64_t now)
{
    describe(recording, now);
    bsk_family_end(&recording->family, now);
    describe(recording, now);
    snprintf(bsk_profile_meta(recording->profile)->reason,
             sizeof(bsk_profile_meta(recording->profile)->reason), "%s", reason);
    pthread_mutex_lock(&recording->mutex);
    struct bsk_profile *before = recording->published;
    update_status(recording);
    recording->published = recording->profile; /* it is done: no clone is needed */
    recording->profile = NULL;
    recording->status.ended = true;
    snprintf(recording->status.reason, sizeof(recording->status.reason), "%s", reason);
    pthread_mutex_unlock(&recording->mutex);
    bsk_profile_free(before);
    if (recording->bell)
        recording->bell(recording->user);
}

/* ---- Sampling ----------------------------------------------------------------------------------
 */

static void sweep(struct bsk_recording *recording)
{
    for (size_t i = 0; i < recording->family.target_count;) {
        if (bsk_target_sweep(recording->family.targets[i]) == BSK_E_GONE)
            bsk_family_lose(&recording->family, i, bsk_now_ns());
        else
            i++;
    }
    bsk_profile_meta(recording->profile)->sweeps++;
    recording->stops_due = recording->context.blocking;
}

/* A thread that stops after its sample stands still until it is let go. */
static void let_go(struct bsk_recording *recording)
{
    bool all = true;
    for (size_t i = 0; i < recording->family.target_count; i++)
        all = bsk_target_let_go(recording->family.targets[i]) && all;
    recording->stops_due = !all;
}

/* ---- The thread --------------------------------------------------------------------------------
 */

static void obey(struct bsk_recording *recording, const struct order *order)
{
    if (order->what == ORDER_ADD)
        bsk_family_add(&recording->family, order->pid);
    else
        bsk_family_hold(&recording->family, order->pid, order->what == ORDER_HOLD);
}

static bool all_held(const struct bsk_recording *recording)
{
    for (size_t i = 0; i < recording->family.target_count; i++) {
        if (!bsk_target_held(recording->family.targets[i]))
            return false;
    }
    return true;
}

/* Sleeps until `deadline` or an order; takes the orders. Returns whether to stop. */
static bool wait_until(struct bsk_recording *recording, uint64_t deadline, struct order *orders,
                       size_t *out_count, bool *out_profile_wanted)
{
    *out_count = 0;
    *out_profile_wanted = false;
    /* Faster than a sleep can be, or late already: the next sample at once. */
    bool sleeps = recording->period_ns >= SLEEP_FROM_NS;
    const struct timespec when = { .tv_sec = (time_t)(deadline / 1000000000U),
                                   .tv_nsec = (long)(deadline % 1000000000U) };
    while (!atomic_load_explicit(&recording->called, memory_order_acquire)) {
        if (bsk_now_ns() >= deadline)
            return false;
        if (sleeps) /* one system call, with its end in absolute time and on CLOCK_MONOTONIC */
            syscall(SYS_futex, &recording->called, FUTEX_WAIT_BITSET_PRIVATE, 0, &when, NULL,
                    FUTEX_BITSET_MATCH_ANY);
    }
    pthread_mutex_lock(&recording->mutex);
    atomic_store_explicit(&recording->called, 0, memory_order_relaxed);
    *out_count = recording->order_count;
    memcpy(orders, recording->orders, recording->order_count * sizeof(*orders));
    recording->order_count = 0;
    *out_profile_wanted = recording->profile_wanted;
    recording->profile_wanted = false;
    bool stop = recording->stop_wanted;
    pthread_mutex_unlock(&recording->mutex);
    return stop;
}

/* Each period has one sample, at a moment of its own that is drawn by lot: a program whose work
 * repeats in step with the clock (every 10 ms, say) would show the same moment again and again. The
 * rate is held all the same, and no sample waits for the one before. */
static void draw_deadline(struct bsk_recording *recording)
{
    uint64_t x = recording->lot; /* xorshift64: no secret hangs on it */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    recording->lot = x;
    recording->deadline_ns = recording->slot_ns + x % sweep_period_ns(recording);
}

static void on_time(struct bsk_recording *recording)
{
    uint64_t now = bsk_now_ns();
    if (now >= recording->deadline_ns) {
        sweep(recording);
        now = bsk_now_ns();
        uint64_t period_ns = sweep_period_ns(recording);
        recording->slot_ns += period_ns;
        if (now >= recording->slot_ns + period_ns) {
            uint64_t late = (now - recording->slot_ns) / period_ns;
            recording->missed += all_tick(recording) ? 0 : late; /* the kernel misses none */
            recording->slot_ns += late * period_ns;
        }
        draw_deadline(recording);
    }
    bsk_family_look(&recording->family, now);
    if (recording->totals_ns && now >= recording->next_totals_ns) {
        publish_totals(recording, now);
        recording->next_totals_ns = now + recording->totals_ns;
    }
}

/* All stand still: there is nothing to miss, but that one ends. */
static void rest(struct bsk_recording *recording)
{
    recording->slot_ns = recording->deadline_ns = bsk_now_ns();
    for (size_t i = 0; i < recording->family.target_count;) {
        uint64_t ticks;
        if (bsk_family_is_alive(bsk_target_pid(recording->family.targets[i]), &ticks))
            i++;
        else
            bsk_family_lose(&recording->family, i, recording->slot_ns);
    }
}

/* Among many that want a CPU who asks for short turns gets one soon: no right is needed for that,
 * and it takes nothing from others. Kernels before 6.12 do not mind it. */
static void ask_for_short_turns(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } turns = { .size = sizeof(turns), .runtime_ns = 100000 };
    turns.nice = getpriority(PRIO_PROCESS, 0);
    (void)syscall(SYS_sched_setattr, 0, &turns, 0);
}

/* One of two hundred that all want the CPU has a hundredth of one on two CPUs, which is not enough
 * to look at the others. Where we may, this thread asks for more; else the rate tells. */
static void ask_for_more(struct bsk_recording *recording)
{
    enum { CROWD = 8, NICE = -20 };
    if (recording->asked_for_more ||
        recording->family.target_count + recording->family.candidate_count < CROWD)
        return;
    recording->asked_for_more = true;
    if (getpriority(PRIO_PROCESS, 0) > NICE)
        (void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone: so it is on Linux */
}

static void *run(void *user)
{
    struct bsk_recording *recording = user;
    struct order orders[ORDERS_MAX];
    const char *reason = recording->reason; /* not changed any more once it stops */
    prctl(PR_SET_TIMERSLACK, 1);            /* 50 us of slack would be half a period at 10 kHz */
    prctl(PR_SET_NAME, "bsk-sampler");
    ask_for_short_turns();
    recording->slot_ns = recording->deadline_ns = bsk_now_ns();
    recording->lot = recording->slot_ns | 1;
    for (;;) {
        size_t count = 0;
        bool profile_wanted = false;
        bool resting = all_held(recording);
        uint64_t wake =
            resting ? bsk_now_ns() + BSK_RELATIVES_MS * 1000000ULL : recording->deadline_ns;
        if (recording->stops_due) {
            uint64_t soon = bsk_now_ns() + LET_GO_NS;
            wake = soon < wake ? soon : wake;
        }
        bool stop = wait_until(recording, wake, orders, &count, &profile_wanted);
        if (recording->stops_due)
            let_go(recording);
        for (size_t i = 0; i < count; i++)
            obey(recording, &orders[i]);
        if (profile_wanted)
            publish_profile(recording, bsk_now_ns());
        if (stop)
            break;
        if (resting)
            rest(recording);
        on_time(recording);
        ask_for_more(recording);
        if (!bsk_family_is_anybody_left(&recording->family)) {
            reason = "the program ended";
            break;
        }
    }
    publish_end(recording, reason, bsk_now_ns());
    return NULL;
}

/* ---- From outside ------------------------------------------------------------------------------
 */

/* Copies what the options point at, since the caller keeps theirs. */
static int copy_options(struct bsk_recording *recording,
                        const struct bsk_recording_options *options, pid_t pid)
{
    const char **folders = calloc(options->debugger_folder_count + 1, sizeof(*folders));
    struct bsk_known_thread *threads = calloc(options->thread_count + 1, sizeof(*threads));
    recording->context.folders = folders;
    recording->context.threads = threads;
    if (!folders || !threads)
        return BSK_E_MEMORY;
    for (size_t i = 0; i < options->debugger_folder_count; i++, recording->context.folder_count++) {
        folders[i] = strdup(options->debugger_folders[i]);
        if (!folders[i])
            return BSK_E_MEMORY;
    }
    for (size_t i = 0; i < options->thread_count; i++, recording->context.thread_count++) {
        threads[i] = options->threads[i];
        threads[i].name = strdup(options->threads[i].name);
        if (!threads[i].name)
            return BSK_E_MEMORY;
    }
    recording->context.threads_pid = pid;
    return BSK_OK;
}

static void free_all(struct bsk_recording *recording)
{
    bsk_family_end(&recording->family, bsk_now_ns());
    for (size_t i = 0; i < recording->context.folder_count; i++)
        free((char *)recording->context.folders[i]);
    for (size_t i = 0; i < recording->context.thread_count; i++)
        free((char *)recording->context.threads[i].name);
    free((void *)recording->context.folders);
    free((void *)recording->context.threads);
    bsk_totals_free(recording->totals);
    bsk_profile_free(recording->published);
    bsk_profile_free(recording->profile);
    pthread_mutex_destroy(&recording->mutex);
    free(recording);
}

/* What the debugger's parts know each other by is nobody else's business: files are passed on. */
static void hide_token(char *command)
{
    static const char option[] = "--adapter-access-token ";
    char *token = strstr(command, option);
    if (!token)
        return;
    char *end = strchr(token + sizeof(option) - 1, ' ');
    memmove(token, end ? end + 1 : "", strlen(end ? end + 1 : "") + 1);
}

static struct bsk_recording *recording_new(const struct bsk_recording_options *options, pid_t pid)
{
    struct bsk_recording *recording = calloc(1, sizeof(*recording));
    if (!recording)
        return NULL;
    pthread_mutex_init(&recording->mutex, NULL);
    uint32_t rate_hz = options->rate_hz ? options->rate_hz : BSK_RATE_DEFAULT_HZ;
    recording->bell = options->bell;
    recording->user = options->user;
    recording->family.subprocesses = options->subprocesses;
    recording->family.other_processes = options->other_processes;
    bsk_family_begin(&recording->family, &recording->context, pid);
    recording->period_ns = 1000000000U / rate_hz;
    recording->totals_ns = options->totals_ms * 1000000;
    recording->status.rate_hz = rate_hz;
    recording->profile = bsk_profile_new(0);
    if (!recording->profile || copy_options(recording, options, pid) != BSK_OK) {
        free_all(recording);
        return NULL;
    }
    recording->context.profile = recording->profile;
    recording->context.period_ns = recording->period_ns;
    recording->context.clock = options->clock;
    recording->context.blocking = options->blocking;
    recording->context.idle_stacks = options->idle_stacks || options->clock == BSK_CLOCK_WALL;
    if (!options->no_ticks && !options->blocking && !options->idle_stacks &&
        options->clock != BSK_CLOCK_WALL && rate_hz <= BSK_TICK_MAX_HZ)
        recording->context.tick_hz = rate_hz;
    struct bsk_profile_meta *meta = bsk_profile_meta(recording->profile);
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    meta->started_unix_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    meta->rate_hz = rate_hz;
    meta->clock = options->clock;
    meta->method = options->blocking ? BSK_METHOD_STOP : BSK_METHOD_READ;
    bsk_process_command(pid, meta->command, sizeof(meta->command));
    hide_token(meta->command);
    return recording;
}

int bsk_recording_start(pid_t pid, const struct bsk_recording_options *options,
                        struct bsk_recording **out_recording, struct bsk_error *err)
{
    if (options->rate_hz > BSK_RATE_MAX_HZ)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "%u Hz is more than %d", options->rate_hz,
                        BSK_RATE_MAX_HZ);
    struct bsk_recording *recording = recording_new(options, pid);
    if (!recording)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    struct bsk_target *target = NULL;
    int rc = BSK_E_TORN;
    for (int tries = 0; rc == BSK_E_TORN && tries < START_TRIES; tries++) {
        if (tries > 0)
            nanosleep(&(struct timespec){ .tv_nsec = START_PAUSE_MS * 1000000 }, NULL);
        rc = bsk_target_open(&recording->context, pid, options->name, false, &target, err);
    }
    if (rc == BSK_OK) {
        recording->family.targets[recording->family.target_count++] = target;
        recording->status.processes = 1;
        bsk_family_note_python(&recording->family, bsk_target_python(target)->version);
        snprintf(recording->first_python, sizeof(recording->first_python), "%s",
                 bsk_target_python(target)->version);
        snprintf(bsk_profile_meta(recording->profile)->name,
                 sizeof(bsk_profile_meta(recording->profile)->name), "%s",
                 options->name ? options->name : "python");
        if (options->identity)
            rc = bsk_target_prove(target, options->identity, err);
    }
    if (rc == BSK_OK) {
        recording->context.start_ns = bsk_now_ns();
        recording->next_totals_ns = recording->context.start_ns + recording->totals_ns;
        /* Signals are the loop's business. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int failed = pthread_create(&recording->thread, NULL, run, recording);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (failed)
            rc = bsk_fail(err, BSK_E_MEMORY, NULL, "cannot start a thread: %s", strerror(failed));
    }
    if (rc != BSK_OK) {
        free_all(recording);
        return rc;
    }
    *out_recording = recording;
    return BSK_OK;
}

/* Something waits for the thread, under the mutex that the caller holds. */
static void call(struct bsk_recording *recording)
{
    atomic_store_explicit(&recording->called, 1, memory_order_release);
    syscall(SYS_futex, &recording->called, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* A hold and its release cancel each other out, so that the newest of a process stands for all. */
static void give_order(struct bsk_recording *recording, pid_t pid, int what)
{
    pthread_mutex_lock(&recording->mutex);
    size_t at = 0;
    while (at < recording->order_count &&
           (recording->orders[at].pid != pid ||
            (recording->orders[at].what == ORDER_ADD) != (what == ORDER_ADD)))
        at++;
    if (at < ORDERS_MAX) {
        recording->orders[at].pid = pid;
        recording->orders[at].what = what;
        if (at == recording->order_count)
            recording->order_count++;
    }
    call(recording);
    pthread_mutex_unlock(&recording->mutex);
}

void bsk_recording_add_process(struct bsk_recording *recording, pid_t pid)
{
    give_order(recording, pid, ORDER_ADD);
}

void bsk_recording_hold(struct bsk_recording *recording, pid_t pid, bool hold)
{
    give_order(recording, pid, hold ? ORDER_HOLD : ORDER_RELEASE);
}

void bsk_recording_ask(struct bsk_recording *recording)
{
    pthread_mutex_lock(&recording->mutex);
    recording->profile_wanted = true;
    call(recording);
    pthread_mutex_unlock(&recording->mutex);
}

void bsk_recording_stop(struct bsk_recording *recording, const char *reason)
{
    pthread_mutex_lock(&recording->mutex);
    if (!recording->stop_wanted)
        snprintf(recording->reason, sizeof(recording->reason), "%s", reason);
    recording->stop_wanted = true;
    call(recording);
    pthread_mutex_unlock(&recording->mutex);
}

struct bsk_totals *bsk_recording_take_totals(struct bsk_recording *recording)
{
    pthread_mutex_lock(&recording->mutex);
    struct bsk_totals *totals = recording->totals;
    recording->totals = NULL;
    pthread_mutex_unlock(&recording->mutex);
    return totals;
}

struct bsk_profile *bsk_recording_take_profile(struct bsk_recording *recording)
{
    pthread_mutex_lock(&recording->mutex);
    struct bsk_profile *profile = recording->published;
    recording->published = NULL;
    pthread_mutex_unlock(&recording->mutex);
    return profile;
}

void bsk_recording_status(struct bsk_recording *recording, struct bsk_recording_status *out_status)
{
    pthread_mutex_lock(&recording->mutex);
    *out_status = recording->status;
    pthread_mutex_unlock(&recording->mutex);
}

void bsk_recording_python(struct bsk_recording *recording, char *out, size_t size)
{
    snprintf(out, size, "%s", recording->first_python);
}

void bsk_recording_free(struct bsk_recording *recording)
{
    if (!recording)
        return;
    bsk_recording_stop(recording, "stopped");
    pthread_join(recording->thread, NULL);
    free_all(recording);
}
