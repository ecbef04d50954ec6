/*
 * `basilisk record`: records a program that runs or that it starts, and writes one profile.
 *
 * One loop over descriptors: signals, the recording's bell, the end of the program. What is not
 * worth ending for (a file that cannot be written now) is said once and tried again.
 */
#include "adapters/cli/capture.h"
#include "adapters/cli/commands.h"
#include "adapters/cli/record_options.h"
#include "adapters/cli/record_output.h"
#include "adapters/cli/record_progress.h"
#include "adapters/cli/record_target.h"
#include "engine/base/clock.h"
#include "engine/export/names.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    EARLY_FIRST_MS = 100,
    EARLY_MIN_MS = 500, /* the file on the disk is never older than a second */
    EARLY_MAX_MS = 800,
    EARLY_COST = 100, /* in between: it may take a hundredth of the time */
    PROGRESS_MS = 250,
    LOOK_MIN_MS = 10, /* for a Python in what was started, ever more rarely */
    LOOK_MAX_MS = 250,
    END_PATIENCE_MS = 1000,
};

struct record {
    struct cli_record_options options;
    struct cli_output *output;
    struct cli_program *program; /* NULL: a PID was named */
    struct bsk_recording *recording;
    struct bsk_profile *final, *stretch_begin;
    struct cli_progress progress;
    struct bsk_error early_error;
    struct bsk_reshape_loss loss;
    int signals, bell;
    struct cli_capture capture;
    char what[300]; /* "app.py (PID 4711)" */
    char name[256];
    bool interrupted, time_up, early_asked, stretch_asked;
    unsigned stretches;
    uint64_t start_ns, early_ns, progress_ns, stretch_ns, asked_ns;
};

static void complain(struct record *record, const struct bsk_error *err)
{
    cli_progress_clear(&record->progress);
    (void)cli_fail(err);
}

/* ---- signals ----------------------------------------------------------------------------------
 */

static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static const int passing[] = { SIGUSR1, SIGUSR2 }; /* to a program of ours; else not our business */

/* Blocked from here on; what is started in between gets none of it (program.h). */
static bool catch_signals(struct record *record)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
        sigaddset(&set, ending[i]);
    for (size_t i = 0; record->options.command && i < sizeof(passing) / sizeof(passing[0]); i++)
        sigaddset(&set, passing[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    record->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    record->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return record->signals >= 0 && record->bell >= 0;
}

/* A shell starts what it puts into the background with SIGINT ignored, and one that is ignored does
 * not reach us; nohup's SIGHUP stays so. A full file is an error of write(), not our end. */
static void hear_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static void take_signals(struct record *record)
{
    struct signalfd_siginfo info;
    while (read(record->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (record->program)
            cli_program_pass(record->program, &info);
        if (info.ssi_signo != SIGUSR1 && info.ssi_signo != SIGUSR2)
            record->interrupted = true;
    }
}

/* Waits for a signal, the bell or the program's end, until `until_ns`. */
static void wait_until(struct record *record, uint64_t until_ns)
{
    struct pollfd fds[3] = {
        { .fd = record->signals, .events = POLLIN },
        { .fd = record->bell, .events = POLLIN },
        { .fd = -1, .events = POLLIN },
    };
    uint64_t now = bsk_now_ns(), rings;
    uint64_t left_ns = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = { (time_t)(left_ns / 1000000000U), (long)(left_ns % 1000000000U) };
    if (record->program && !cli_program_ended(record->program))
        fds[2].fd = cli_program_fd(record->program);
    ppoll(fds, 3, &timeout, NULL);
    if (fds[1].revents && read(record->bell, &rings, sizeof(rings)) < 0)
        rings = 0;
    take_signals(record);
}

static void ring(void *user)
{
    const struct record *record = user;
    uint64_t one = 1;
    ssize_t ignored = write(record->bell, &one, sizeof(one));
    (void)ignored; /* full: it rings already */
}

/* ---- beginning --------------------------------------------------------------------------------
 */

static struct bsk_recording_options recording_options(struct record *record)
{
    const struct cli_record_options *options = &record->options;
    return (struct bsk_recording_options){
        .rate_hz = options->rate_hz,
        .clock = options->gil    ? BSK_CLOCK_GIL
                 : options->idle ? BSK_CLOCK_WALL
                                 : BSK_CLOCK_CPU,
        .idle_stacks = options->idle && !options->gil,
        .no_ticks = options->no_ticks,
        .blocking = options->blocking,
        .subprocesses = options->subprocesses,
        .other_processes = options->subprocesses,
        .bell = ring,
        .user = record,
    };
}

static uint64_t deadline(const struct record *record)
{
    return record->options.seconds > 0
               ? record->start_ns + (uint64_t)(record->options.seconds * 1e9)
               : UINT64_MAX;
}

/* Why there is nothing to record in what was started. */
static void tell_no_python(struct record *record, const struct bsk_error *last)
{
    cli_progress_clear(&record->progress);
    if (!cli_program_ended(record->program)) {
        char sentence[1100];
        bsk_error_sentence(last, sentence, sizeof(sentence));
        fprintf(stderr, "basilisk: nothing was recorded of %s: %s\n", record->options.command[0],
                sentence);
        return;
    }
    int code = cli_program_wait(record->program);
    fprintf(stderr,
            "basilisk: nothing was recorded: %s ended with exit code %d before a Python could be "
            "read in it or below it\n",
            record->options.command[0], code);
}

/* Waits until what was started is a Python, or has one below it. */
static int begin_program(struct record *record, pid_t *out_pid, struct bsk_error *err)
{
    struct bsk_recording_options options = recording_options(record);
    uint64_t pause_ns = LOOK_MIN_MS * 1000000ULL;
    for (;;) {
        int rc = cli_target_try(record->program, &options, &record->recording, out_pid, err);
        if (rc == BSK_OK)
            return rc;
        bool final = rc != BSK_E_FORMAT && rc != BSK_E_TORN && rc != BSK_E_GONE;
        wait_until(record, bsk_now_ns() + (final ? 0 : pause_ns));
        bool late = bsk_now_ns() >= deadline(record);
        if (final || late || record->interrupted || cli_program_ended(record->program)) {
            tell_no_python(record, err);
            record->time_up = late;
            return rc;
        }
        if (pause_ns < LOOK_MAX_MS * 1000000ULL)
            pause_ns += pause_ns / 4;
    }
}

/* Returns whether a recording runs; what is wrong has been said. */
static bool begin(struct record *record)
{
    struct bsk_error err = { 0 };
    struct bsk_recording_options options = recording_options(record);
    pid_t pid = record->options.pid;
    record->start_ns = bsk_now_ns();
    if (record->program) {
        if (begin_program(record, &pid, &err) != BSK_OK)
            return false;
        cli_target_name(pid, record->name, sizeof(record->name));
    } else {
        cli_target_name(pid, record->name, sizeof(record->name));
        options.name = record->name;
        if (bsk_recording_start(pid, &options, &record->recording, &err) != BSK_OK) {
            complain(record, &err);
            return false;
        }
    }
    snprintf(record->what, sizeof(record->what), "%s (PID %d)", record->name, (int)pid);
    if (cli_output_name(record->output, record->name, &err) != BSK_OK) {
        complain(record, &err);
        return false;
    }
    record->start_ns = bsk_now_ns();
    record->early_ns = record->start_ns + EARLY_FIRST_MS * 1000000ULL;
    record->progress_ns = record->start_ns;
    record->stretch_ns = record->options.every_seconds > 0
                             ? record->start_ns + (uint64_t)(record->options.every_seconds * 1e9)
                             : UINT64_MAX;
    return true;
}

/* ---- while it runs ----------------------------------------------------------------------------
 */

static void write_early(struct record *record, struct bsk_profile *profile)
{
    struct bsk_error err = { 0 };
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    if (cli_output_early(record->output, profile, &err) != BSK_OK) {
        if (!record->early_error.code)
            complain(record, &err);
        record->early_error = err;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    int64_t cost_ns =
        (int64_t)(after.tv_sec - before.tv_sec) * 1000000000 + (after.tv_nsec - before.tv_nsec);
    uint64_t pause_ns = cost_ns > 0 ? (uint64_t)cost_ns * EARLY_COST : 0;
    if (bsk_profile_samples(profile) == 0) /* nothing to write yet */
        pause_ns = EARLY_FIRST_MS * 1000000ULL;
    else if (pause_ns < EARLY_MIN_MS * 1000000ULL)
        pause_ns = EARLY_MIN_MS * 1000000ULL;
    if (pause_ns > EARLY_MAX_MS * 1000000ULL)
        pause_ns = EARLY_MAX_MS * 1000000ULL;
    record->early_ns = record->asked_ns + pause_ns; /* from when that clone was taken */
}

static void write_stretch(struct record *record, struct bsk_profile *profile)
{
    struct bsk_error err = { 0 };
    if (cli_output_stretch(record->output, profile, record->stretch_begin, ++record->stretches,
                           &err) != BSK_OK)
        complain(record, &err);
}

/* Returns whether that was the last one. */
static bool take_profile(struct record *record)
{
    struct bsk_recording_status status;
    bsk_recording_status(record->recording, &status); /* before: what ended stays ended */
    struct bsk_profile *profile = bsk_recording_take_profile(record->recording);
    if (status.ended) {
        record->final = profile;
        return true;
    }
    if (!profile)
        return false;
    if (record->stretch_asked)
        write_stretch(record, profile);
    if (record->early_asked)
        write_early(record, profile);
    if (record->stretch_asked) {
        bsk_profile_free(record->stretch_begin);
        record->stretch_begin = profile;
    } else {
        bsk_profile_free(profile);
    }
    record->early_asked = record->stretch_asked = false;
    return false;
}

static void ask(struct record *record, uint64_t now)
{
    if (record->early_asked || record->stretch_asked)
        return;
    record->early_asked = now >= record->early_ns;
    record->stretch_asked = now >= record->stretch_ns;
    while (now >= record->stretch_ns)
        record->stretch_ns += (uint64_t)(record->options.every_seconds * 1e9);
    if (!record->early_asked && !record->stretch_asked)
        return;
    record->asked_ns = now;
    bsk_recording_ask(record->recording);
}

static void draw(struct record *record, uint64_t now)
{
    struct bsk_recording_status status;
    if (record->progress.fd < 0 || now < record->progress_ns)
        return;
    bsk_recording_status(record->recording, &status);
    cli_progress_draw(&record->progress, record->what, (double)(now - record->start_ns) / 1e9,
                      record->options.seconds, &status);
    record->progress_ns = now + PROGRESS_MS * 1000000ULL;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void run(struct record *record)
{
    bool stopping = false;
    do {
        uint64_t now = bsk_now_ns(), next = deadline(record);
        if (!stopping) {
            ask(record, now);
            draw(record, now);
            bool asked = record->early_asked || record->stretch_asked;
            next = asked ? next : least(next, least(record->early_ns, record->stretch_ns));
            next = record->progress.fd < 0 ? next : least(next, record->progress_ns);
        }
        wait_until(record, stopping ? UINT64_MAX : next);
        record->time_up |= bsk_now_ns() >= deadline(record);
        const char *reason = record->interrupted ? "stopped"
                             : record->program && cli_program_ended(record->program)
                                 ? "the program ended"
                             : record->time_up ? "the time was up"
                                               : NULL;
        if (reason && !stopping) {
            bsk_recording_stop(record->recording, reason);
            stopping = true;
        }
    } while (!take_profile(record));
    cli_progress_clear(&record->progress);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

/* What came, whatever was asked: sweeps a second of time that passed, ticks a second of CPU time
 * that was used (a thread's clock stands while it does not run). Those that are no Python do not
 * tick; their samples are made of their CPU time. */
static double rate_held(const struct bsk_profile *profile)
{
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(profile);
    uint64_t looks = meta->sweeps, ns = meta->duration_ns;
    if (meta->method == BSK_METHOD_TICK) {
        looks = meta->torn;
        ns = 0;
        for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
            const struct bsk_node *node = bsk_profile_node_at(profile, i);
            uint32_t track = bsk_profile_track_of(profile, i);
            if (bsk_track_is_other(bsk_profile_track_at(profile, track)))
                continue;
            looks += node->samples;
            ns += node->self_ns;
        }
    }
    return ns > 0 ? (double)looks * 1e9 / (double)ns : 0.0;
}

/* "2 of 5 processes were no Python: sleep, cc1", the longest at work first. */
static void tell_others(const struct bsk_profile *profile)
{
    enum { SHOWN_MAX = 8 };
    struct {
        uint32_t track;
        uint64_t cpu_ns;
    } shown[SHOWN_MAX + 1];
    size_t others = 0, count = 0;
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        if (node->depth != 1 || (node->self_ns == 0 && node->idle_ns == 0))
            continue;
        uint32_t track = bsk_profile_track_of(profile, i);
        if (strcmp(bsk_profile_track_at(profile, track).thread, BSK_THREAD_NOT_PYTHON) != 0)
            continue;
        others++;
        size_t at = count < SHOWN_MAX ? count++ : SHOWN_MAX;
        for (; at > 0 && shown[at - 1].cpu_ns < node->self_ns; at--)
            shown[at] = shown[at - 1];
        shown[at].track = track;
        shown[at].cpu_ns = node->self_ns;
    }
    if (others == 0)
        return;
    fprintf(stderr, "%zu process%s no Python:", others, others == 1 ? " was" : "es were");
    for (size_t i = 0; i < count; i++) {
        struct bsk_track track = bsk_profile_track_at(profile, shown[i].track);
        fprintf(stderr, "%s %s (PID %d, %.3f s)", i ? "," : "", track.process, (int)track.pid,
                (double)shown[i].cpu_ns / 1e9);
    }
    fprintf(stderr, "%s\n", others > count ? ", ..." : "");
}

/* What is missing is no fair part of the program, and what is filled in is fair only on average. */
static void tell_gaps(const struct bsk_profile_meta *meta)
{
    enum { PART_TORN = 10, PART_GUESSED = 4, LEAST = 100 };
    double all = (double)(meta->samples + meta->torn);
    double guessed = (double)(meta->filled + meta->unread);
    if (meta->method != BSK_METHOD_READ || meta->clock == BSK_CLOCK_GIL || all < LEAST)
        return;
    static const char advice[] = "have them read by eBPF (as root, without --no-ticks), or use "
                                 "--blocking";
    if ((double)meta->torn * PART_TORN > all)
        fprintf(stderr,
                "basilisk: warning: %.0f %% of the stacks changed while they were read and are "
                "missing, those of short calls most of all: the shares are wrong; %s\n",
                100 * (double)meta->torn / all, advice);
    else if (guessed * PART_GUESSED > all)
        fprintf(stderr,
                "basilisk: warning: %.0f %% of the stacks are told in part by what is usual, or "
                "not to their end (filled in, unread): the shares of short calls and of "
                "generators are wrong; %s\n",
                100 * guessed / all, advice);
}

static int write_final(struct record *record)
{
    struct bsk_error err = { 0 };
    if (!record->final) {
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory: there is no profile to write");
        complain(record, &err);
        return 1;
    }
    if (record->options.every_seconds > 0)
        write_stretch(record, record->final);
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(record->final);
    char jit[BSK_JIT_PHRASE_BYTES];
    int rc = cli_output_final(record->output, record->final, &record->loss, &err);
    if (rc != BSK_OK) {
        tell_others(record->final);
        complain(record, &err);
        if (cli_output_has_early(record->output))
            fprintf(stderr, "basilisk: %s is whole, and lacks the end of the recording\n",
                    cli_output_path(record->output));
        /* a program that was over too soon may have done what it should */
        return rc == BSK_E_STATE && record->program ? 0 : 1;
    }
    if (record->loss.samples)
        fprintf(stderr, "%llu samples were of other files alone (--only, --exclude)\n",
                (unsigned long long)record->loss.samples);
    tell_others(record->final);
    if (meta->method == BSK_METHOD_STOP)
        fprintf(stderr, "stops: %llu  stopped: %.3f s of %.1f s  longest stop: %.0f us\n",
                (unsigned long long)meta->stopped, (double)meta->stopped_ns / 1e9,
                (double)meta->duration_ns / 1e9, (double)meta->longest_stop_ns / 1e3);
    tell_gaps(meta);
    fprintf(stderr, "samples: %llu  errors: %llu  torn: %llu  rate: %.1f Hz  wrote: %s\n",
            (unsigned long long)(meta->samples - record->loss.samples),
            (unsigned long long)meta->errors, (unsigned long long)meta->torn,
            rate_held(record->final), cli_output_path(record->output));
    fprintf(stderr, "%s; %s\n", bsk_method_phrase(meta->method),
            cli_output_how_to_look(record->output));
    bsk_jit_phrase(meta, jit, sizeof(jit));
    if (jit[0])
        fprintf(stderr, "%s\n", jit);
    return 0;
}

/* The program goes on until it ends by itself, but when its time is up (-d): then it is asked to,
 * as py-spy ends it, and has done nothing wrong when it does. */
static int end_program(struct record *record, int code)
{
    bool asked = record->time_up && !record->interrupted && !cli_program_ended(record->program);
    if (asked)
        cli_program_signal(record->program, SIGTERM);
    uint64_t patience_ns = bsk_now_ns() + END_PATIENCE_MS * 1000000ULL;
    while (!cli_program_ended(record->program)) {
        wait_until(record, patience_ns);
        if (bsk_now_ns() < patience_ns || cli_program_ended(record->program))
            continue;
        fprintf(stderr, "basilisk: %s (PID %d) goes on%s; its end is waited for\n",
                record->options.command[0], (int)cli_program_pid(record->program),
                asked ? " after SIGTERM" : "");
        patience_ns = UINT64_MAX;
    }
    int program_code = cli_program_wait(record->program);
    if (program_code != 0)
        cli_capture_show(&record->capture);
    if (asked && program_code == 128 + SIGTERM)
        return code;
    return program_code ? program_code : code;
}

static int record_with(struct record *record)
{
    struct bsk_error err = { 0 };
    int code = 0;
    if (cli_output_open(&record->options, &record->output, &err) != BSK_OK) {
        complain(record, &err);
        return 1;
    }
    if (record->options.every_seconds > 0 && !cli_output_is_file(record->output))
        return cli_usage(
            "--every writes files beside that of --output: name a regular file, not %s",
            record->options.output);
    if (!catch_signals(record)) {
        perror("basilisk");
        return 1;
    }
    int rc = BSK_OK;
    if (record->options.capture)
        rc = cli_capture_begin(&record->capture, &err);
    if (rc == BSK_OK && record->options.command)
        rc = cli_program_start(record->options.command, &record->program, &err);
    cli_capture_end(&record->capture);
    if (rc != BSK_OK) {
        complain(record, &err);
        return 1;
    }
    hear_signals();
    cli_progress_open(&record->progress, record->options.hide_progress);
    if (begin(record)) {
        run(record);
        code = write_final(record);
    } else {
        /* what ended before its Python was up may have done what it should */
        code = record->program && cli_program_ended(record->program) ? 0 : 1;
    }
    return record->program ? end_program(record, code) : code;
}

static int run_record(const struct cli_command *command, int argc, char **argv)
{
    struct record record = {
        .signals = -1, .bell = -1, .capture = { .fd = -1 }, .progress = { .fd = -1 }
    };
    int code = cli_record_options_read(command, argc, argv, &record.options);
    if (code == 0 && record.options.native) {
        fputs(
            "basilisk: --native is not in this build: it records Python's stacks, and those of C, "
            "C++ and Cython are still lacking; leave it out to record the Python part\n",
            stderr);
        code = 1;
    } else if (code == 0) {
        /* glibc raises this by itself, and then keeps the memory of profiles that are gone */
        mallopt(M_MMAP_THRESHOLD, 128 * 1024);
        code = record_with(&record);
    }
    bsk_recording_free(record.recording);
    bsk_profile_free(record.final);
    bsk_profile_free(record.stretch_begin);
    cli_output_close(record.output);
    cli_program_free(record.program);
    cli_capture_close(&record.capture);
    if (record.signals >= 0)
        close(record.signals);
    if (record.bell >= 0)
        close(record.bell);
    cli_record_options_free(&record.options);
    return code;
}

const struct cli_command cli_record = {
    "record",
    "(-p PID | [--] CMD...) [options]",
    "record a program, write its profile",
    cli_record_options_table,
    run_record,
};
