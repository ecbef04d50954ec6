#include "tests/bench/bench_engine.h"

#include "engine/export/export.h"
#include "engine/recording/recording.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of all our threads. */
static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_until(double when)
{
    struct timespec t = { .tv_sec = (time_t)when,
                          .tv_nsec = (long)((when - (double)(time_t)when) * 1e9) };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static uint64_t resident_kb(const char *key)
{
    char line[128];
    unsigned long long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof(line), status))
        if (strncmp(line, key, strlen(key)) == 0)
            (void)sscanf(line + strlen(key), ": %llu", &kb);
    if (status)
        fclose(status);
    return kb;
}

static bool begin(const struct bench_options *options, struct bench_child *out_child)
{
    if (options->pid)
        *out_child = bench_borrow(options->pid);
    else if (!bench_start(options->program, options->python, options->target_core, out_child)) {
        fprintf(stderr, "bench_engine: the program does not start with %s\n", options->python);
        return false;
    }
    if (options->sampler_core >= 0)
        bench_keep_to(options->sampler_core);
    return true;
}

static int complain(const struct bsk_error *err, struct bench_child *child)
{
    fprintf(stderr, "bench_engine: %s\n", err->message);
    bench_stop(child);
    return 1;
}

/* ---- What the machine allows --------------------------------------------------------------------
 *
 * The engine's own calls come through here, in the C library's place; the last one is kept, to be
 * made again and again with nothing around it.
 */

enum { KEPT_PIECES_MAX = 64 };

static struct {
    pid_t pid;
    unsigned long count;
    size_t bytes;
    struct iovec remote[KEPT_PIECES_MAX];
    bool timed;
    double seconds; /* in all calls, while they are timed */
} kept;

ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long local_count,
                         const struct iovec *remote, unsigned long remote_count,
                         unsigned long flags)
{
    if (remote_count <= KEPT_PIECES_MAX) {
        kept.pid = pid;
        kept.count = remote_count;
        memcpy(kept.remote, remote, remote_count * sizeof(*remote));
    }
    double begun = kept.timed ? now() : 0;
    ssize_t got =
        syscall(SYS_process_vm_readv, pid, local, local_count, remote, remote_count, flags);
    kept.seconds += kept.timed ? now() - begun : 0;
    return got;
}

/* CPU time in microseconds of the last call, made alone. */
static double bare_call_us(void)
{
    enum { CALLS = 100000 };
    kept.bytes = 0;
    for (unsigned long i = 0; i < kept.count; i++)
        kept.bytes += kept.remote[i].iov_len;
    char *room = malloc(kept.bytes + 1);
    struct iovec local = { .iov_base = room, .iov_len = kept.bytes };
    if (!room)
        abort();
    double used = cpu();
    for (int i = 0; i < CALLS; i++)
        (void)syscall(SYS_process_vm_readv, kept.pid, &local, 1, kept.remote, kept.count, 0);
    used = cpu() - used;
    free(room);
    return used * 1e6 / CALLS;
}

/* ---- The sampler alone, each stack into a profile ----------------------------------------------
 */

enum { TRACKS_MAX = 1024 };

struct filing {
    struct bsk_profile *profile;
    uint32_t *functions; /* by code id, + 1 */
    size_t function_count;
    struct bsk_profile_frame *frames;
    size_t frame_count;
    pid_t tids[TRACKS_MAX];
    uint32_t tracks[TRACKS_MAX];
    uint64_t last_ns[TRACKS_MAX];
    size_t track_count;
};

static uint32_t function_of(struct filing *filing, const struct bsk_code_object *code)
{
    if (code->id >= filing->function_count) {
        size_t count = (code->id + 64) * 2;
        uint32_t *grown = realloc(filing->functions, count * sizeof(*grown));
        if (!grown)
            abort();
        memset(grown + filing->function_count, 0,
               (count - filing->function_count) * sizeof(*grown));
        filing->functions = grown;
        filing->function_count = count;
    }
    if (filing->functions[code->id] == 0)
        filing->functions[code->id] =
            bsk_profile_function(filing->profile, code->qualname, code->path, code->first_line,
                                 BSK_FUNCTION_PYTHON) +
            1;
    return filing->functions[code->id] - 1;
}

static size_t track_of(struct filing *filing, pid_t pid, pid_t tid)
{
    for (size_t i = 0; i < filing->track_count; i++)
        if (filing->tids[i] == tid)
            return i;
    if (filing->track_count == TRACKS_MAX)
        return TRACKS_MAX - 1;
    filing->tids[filing->track_count] = tid;
    filing->tracks[filing->track_count] =
        bsk_profile_track(filing->profile, pid, tid, "bench", "thread");
    return filing->track_count++;
}

static void file(struct filing *filing, pid_t pid, const struct bsk_thread_sample *thread,
                 uint64_t time_ns)
{
    if (!thread->has_stack || thread->state != BSK_THREAD_RUNNING)
        return;
    size_t track = track_of(filing, pid, thread->tid);
    if (thread->depth > filing->frame_count) {
        filing->frame_count = thread->depth * 2;
        filing->frames =
            realloc(filing->frames, filing->frame_count * sizeof(struct bsk_profile_frame));
        if (!filing->frames)
            abort();
    }
    for (size_t i = 0; i < thread->depth; i++) {
        const struct bsk_frame *frame = &thread->frames[thread->depth - 1 - i];
        filing->frames[i] =
            (struct bsk_profile_frame){ function_of(filing, frame->code), frame->line };
    }
    uint32_t node =
        bsk_profile_stack(filing->profile, filing->tracks[track], filing->frames, thread->depth);
    uint64_t last = filing->last_ns[track] ? filing->last_ns[track] : time_ns;
    bsk_profile_add(filing->profile, node, last, time_ns - last, time_ns - last, 1);
    filing->last_ns[track] = time_ns;
}

static int sampler_at_most(const struct bench_options *options, double seconds)
{
    enum { TIMED_TAKES = 100000 };
    struct bench_child child;
    struct bsk_sampler *sampler = NULL;
    struct bsk_error err = { 0 };
    if (!begin(options, &child))
        return 1;
    const struct bsk_sampler_options wanted = { .idle_stacks = options->idle };
    if (bsk_sampler_open(child.pid, &wanted, &sampler, &err) != BSK_OK)
        return complain(&err, &child);
    struct filing *filing = calloc(1, sizeof(*filing));
    if (!filing || !(filing->profile = bsk_profile_new(0)))
        abort();
    double begun = now(), used = cpu();
    uint64_t takes = 0, torn = 0, stacks = 0, begun_ns = (uint64_t)(begun * 1e9) - 1;
    while (options->samples ? takes < options->samples
                            : (takes & 63) != 0 || now() < begun + seconds) {
        const struct bsk_sample *sample = NULL;
        takes++;
        int rc = bsk_sampler_take(sampler, &sample, NULL);
        if (rc == BSK_E_GONE)
            break;
        for (size_t i = 0; rc == BSK_OK && i < sample->thread_count; i++) {
            torn += sample->threads[i].torn;
            stacks += sample->threads[i].has_stack;
            file(filing, child.pid, &sample->threads[i],
                 sample->time_ns > begun_ns ? sample->time_ns - begun_ns : 1);
        }
    }
    seconds = now() - begun;
    used = cpu() - used;
    int timed = options->samples ? 0 : TIMED_TAKES; /* who asks for so many counts their calls */
    kept.timed = true;
    for (int i = 0; i < timed; i++)
        (void)bsk_sampler_take(sampler, &(const struct bsk_sample *){ NULL }, NULL);
    kept.timed = false;
    double bare = bare_call_us();
    printf("sampler     program %s  python %s  samples %llu  cpu_us %.3f  hz %.0f  stacks %llu  "
           "torn %llu  calls_us %.3f  bare_us %.3f  pieces %lu  bytes %zu\n",
           options->program->letter, bsk_sampler_info(sampler)->version, (unsigned long long)takes,
           used * 1e6 / (double)takes, (double)takes / seconds, (unsigned long long)stacks,
           (unsigned long long)torn, timed > 0 ? kept.seconds * 1e6 / timed : 0, bare, kept.count,
           kept.bytes);
    bsk_profile_free(filing->profile);
    free(filing->functions);
    free(filing->frames);
    free(filing);
    bsk_sampler_close(sampler);
    bench_stop(&child);
    return 0;
}

/* ---- A whole recording, its file written -------------------------------------------------------
 */

struct recorded {
    double seconds, cpu;
    uint64_t sweeps, samples, torn, errors, filled, unread, missed;
    char version[32];
};

static bool record(pid_t pid, uint32_t rate_hz, double seconds, struct recorded *out,
                   struct bsk_error *err)
{
    struct bsk_recording *recording = NULL;
    double used = cpu(), begun = now();
    if (bsk_recording_start(pid,
                            &(struct bsk_recording_options){ .rate_hz = rate_hz, .no_ticks = true },
                            &recording, err) != BSK_OK)
        return false;
    sleep_until(begun + seconds);
    bsk_recording_stop(recording, "stopped");
    struct bsk_profile *profile = NULL;
    while (!(profile = bsk_recording_take_profile(recording)))
        sleep_until(now() + 0.001);
    out->seconds = now() - begun;
    FILE *sink = fopen("/dev/null", "w");
    if (sink) {
        (void)bsk_exporter_named("speedscope")->write(profile, sink, NULL);
        fclose(sink);
    }
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(profile);
    out->sweeps = meta->sweeps;
    out->samples = meta->samples;
    out->torn = meta->torn;
    out->errors = meta->errors;
    out->filled = meta->filled;
    out->unread = meta->unread;
    out->missed = meta->missed;
    bsk_recording_python(recording, out->version, sizeof(out->version));
    bsk_profile_free(profile);
    bsk_recording_free(recording);
    out->cpu = cpu() - used;
    return true;
}

static int recording_at_most(const struct bench_options *options, double seconds)
{
    struct bench_child child;
    struct recorded r = { 0 };
    struct bsk_error err = { 0 };
    if (!begin(options, &child))
        return 1;
    if (!record(child.pid, BSK_RATE_MAX_HZ, seconds, &r, &err))
        return complain(&err, &child);
    printf("recording   program %s  python %s  samples %llu  cpu_us %.3f  hz %.0f  stacks %llu  "
           "torn %llu  errors %llu  filled %llu  unread %llu\n",
           options->program->letter, r.version, (unsigned long long)r.sweeps,
           r.cpu * 1e6 / (double)r.sweeps, (double)r.sweeps / r.seconds,
           (unsigned long long)r.samples, (unsigned long long)r.torn, (unsigned long long)r.errors,
           (unsigned long long)r.filled, (unsigned long long)r.unread);
    bench_stop(&child);
    return 0;
}

int bench_rate(const struct bench_options *options)
{
    double seconds = options->seconds > 0 ? options->seconds : 5;
    int rc = sampler_at_most(options, seconds);
    return rc != 0 || options->samples ? rc : recording_at_most(options, seconds);
}

/* ---- A loop that only sleeps -------------------------------------------------------------------
 */

int bench_sleep(const struct bench_options *options)
{
    uint32_t rate_hz = options->rate_hz ? options->rate_hz : 1000;
    uint64_t wakes = (uint64_t)((options->seconds > 0 ? options->seconds : 5) * rate_hz);
    if (options->sampler_core >= 0)
        bench_keep_to(options->sampler_core);
    prctl(PR_SET_TIMERSLACK, 1);
    double begun = now(), used = cpu();
    for (uint64_t i = 1; i <= wakes; i++)
        sleep_until(begun + (double)i / rate_hz);
    printf("sleep       rate %u  cpu_us %.3f\n", rate_hz, (cpu() - used) * 1e6 / (double)wakes);
    return 0;
}

static int compare_doubles(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;
    return (l > r) - (l < r);
}

/* ---- Start to first stack ----------------------------------------------------------------------
 */

static bool first_stack(pid_t pid, double *out_ms, char version[32], struct bsk_error *err)
{
    struct bsk_sampler *sampler = NULL;
    double begun = now();
    bool found = false;
    if (bsk_sampler_open(pid, NULL, &sampler, err) != BSK_OK)
        return false;
    while (!found && now() < begun + 5) {
        const struct bsk_sample *sample = NULL;
        if (bsk_sampler_take(sampler, &sample, err) != BSK_OK)
            continue;
        for (size_t i = 0; i < sample->thread_count; i++)
            found = found || sample->threads[i].has_stack;
    }
    *out_ms = (now() - begun) * 1e3;
    snprintf(version, 32, "%s", bsk_sampler_info(sampler)->version);
    bsk_sampler_close(sampler);
    return found;
}

int bench_first(const struct bench_options *options)
{
    enum { TIMES = 9 };
    struct bench_child child;
    struct bsk_error err = { 0 };
    double first = 0, again[TIMES];
    char version[32];
    if (!begin(options, &child))
        return 1;
    bool good = first_stack(child.pid, &first, version, &err);
    for (int i = 0; good && i < TIMES; i++)
        good = first_stack(child.pid, &again[i], version, &err);
    if (!good)
        return complain(&err, &child);
    qsort(again, TIMES, sizeof(double), compare_doubles);
    printf("first       program %s  python %s  cold_ms %.3f  warm_ms %.3f\n",
           options->program->letter, version, first, again[TIMES / 2]);
    bench_stop(&child);
    return 0;
}

/* ---- The rate second by second, and memory -----------------------------------------------------
 */

/* The newest totals, which a recording publishes each second. */
static bool next_totals(struct bsk_recording *recording, struct bsk_profile_meta *out_meta)
{
    for (int tries = 0; tries < 500; tries++) {
        struct bsk_totals *totals = bsk_recording_take_totals(recording);
        if (totals) {
            *out_meta = totals->meta;
            bsk_totals_free(totals);
            return true;
        }
        sleep_until(now() + 0.01);
    }
    return false;
}

int bench_hold(const struct bench_options *options)
{
    static struct bsk_profile_meta before, meta;
    uint32_t rate_hz = options->rate_hz ? options->rate_hz : 1000;
    double seconds = options->seconds > 0 ? options->seconds : 10;
    struct bench_child child;
    struct bsk_recording *recording = NULL;
    struct bsk_error err = { 0 };
    if (!begin(options, &child))
        return 1;
    if (bsk_recording_start(child.pid,
                            &(struct bsk_recording_options){
                                .rate_hz = rate_hz, .totals_ms = 1000, .no_ticks = true },
                            &recording, &err) != BSK_OK)
        return complain(&err, &child);
    double begun = now(), least = 1e12, most = 0;
    uint64_t resident = 0;
    for (int second = 0; next_totals(recording, &meta); second++) {
        double took = (double)(meta.duration_ns - before.duration_ns) / 1e9;
        double hz = (double)(meta.sweeps - before.sweeps) / took;
        if (second > 0) { /* the first one has the start in it */
            least = hz < least ? hz : least;
            most = hz > most ? hz : most;
        } else {
            resident = resident_kb("VmRSS");
        }
        before = meta;
        if ((options->samples && meta.sweeps >= options->samples) ||
            ((!options->samples || options->seconds > 0) && now() - begun >= seconds))
            break;
    }
    printf("hold        program %s  rate %u  seconds %.1f  samples %llu  least %.1f  most %.1f  "
           "missed %llu  rss_first_kb %llu  rss_kb %llu  peak_kb %llu\n",
           options->program->letter, rate_hz, now() - begun, (unsigned long long)meta.sweeps, least,
           most, (unsigned long long)meta.missed, (unsigned long long)resident,
           (unsigned long long)resident_kb("VmRSS"), (unsigned long long)resident_kb("VmHWM"));
    bsk_recording_free(recording);
    bench_stop(&child);
    return 0;
}
