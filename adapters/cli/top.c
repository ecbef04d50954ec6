/*
 * `basilisk top`: a live view of where a Python's time goes.
 *
 * The recording samples on its own thread; each --delay we ask for a clone of its profile and show
 * what has changed since the clone before. So what is on the screen costs the sampling nothing, and
 * every order, view and filter works on the same numbers.
 */
#include "adapters/cli/commands.h"
#include "adapters/cli/program.h"
#include "adapters/cli/record_target.h"
#include "adapters/cli/top_keys.h"
#include "adapters/cli/top_terminal.h"
#include "engine/process/process.h"
#include "engine/recording/recording.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    DELAY_LEAST_MS = 50, /* faster is no picture any more */
    DELAY_MOST_S = 86400,
    FIRST_MS = 250,    /* the first picture comes sooner than the delay says */
    START_WAIT_S = 30, /* for `-- CMD` to become a Python */
    START_PAUSE_MS = 20,
    END_WAIT_MS = 3000, /* between SIGTERM and SIGKILL, for a program of ours */
};

struct top {
    pid_t pid;
    long long rate_hz;
    double delay_s;
    bool subprocesses, native;
    char **command; /* behind "--", or NULL */

    struct cli_program *program;
    struct bsk_recording *recording;
    int bell_fd;
    char output[128]; /* the program's, or "" */

    struct top_state state;
    struct top_facts facts;
    char program_line[512], python[64], folder[4096], cwd[4096], thread[256];
    struct bsk_profile *now, *before, *zero, *waiting; /* waiting: came while paused */
    struct top_rows *rows;
    int ended_by; /* a signal's number, or 0 */
};

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- The command line --------------------------------------------------------------------------
 */

static const struct cli_option top_options[] = {
    { "pid", 'p', "PID", "PID", "the Python to watch, in decimal or hex (0x...)" },
    { "rate", 'r', "HZ", NULL, "samples per second (100)" },
    { "subprocesses", 's', NULL, NULL, "its Python children as well" },
    { "full-filenames", 0, NULL, NULL, "whole paths of files" },
    { "gil", 'g', NULL, NULL, "only time while holding the GIL" },
    { "idle", 'i', NULL, NULL, "also time asleep" },
    { "delay", 0, "SECONDS", NULL, "between two pictures (1.0)" },
    { "native", 'n', NULL, NULL, "stacks of native code (not in this build)" },
    { "nonblocking", 0, NULL, NULL, "never stop the program: always so" },
    { NULL, 0, NULL, NULL, NULL },
};

static int take_delay(const char *value, double *out)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end || !isfinite(seconds) || seconds <= 0 || seconds > DELAY_MOST_S)
        return cli_usage("--delay is a number of seconds above 0, not \"%s\"", value);
    *out = seconds < DELAY_LEAST_MS / 1000.0 ? DELAY_LEAST_MS / 1000.0 : seconds;
    return 0;
}

static int take(void *user, const struct cli_option *option, const char *value)
{
    struct top *top = user;
    if (cli_is(option, "pid"))
        return cli_pid(option, value, &top->pid);
    if (cli_is(option, "rate"))
        return cli_number(option, value, 1, BSK_RATE_MAX_HZ, &top->rate_hz);
    if (cli_is(option, "delay"))
        return take_delay(value, &top->delay_s);
    if (cli_is(option, "subprocesses"))
        top->subprocesses = true;
    else if (cli_is(option, "full-filenames"))
        top->state.full_filenames = true;
    else if (cli_is(option, "gil"))
        top->state.weight = TOP_GIL;
    else if (cli_is(option, "idle"))
        top->state.weight = TOP_WALL;
    else if (cli_is(option, "native"))
        top->native = true;
    return 0;
}

/* ---- The program -------------------------------------------------------------------------------
 */

/* Its output goes to a file, so that it does not write over the picture; and it gets no keys. */
static int start_program(struct top *top, struct bsk_error *err)
{
    const char *folder = getenv("TMPDIR");
    int rc, kept[3];
    snprintf(top->output, sizeof(top->output), "%.80s/basilisk-top-XXXXXX",
             folder && *folder ? folder : "/tmp");
    int output = mkostemp(top->output, O_CLOEXEC),
        nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (output < 0 || nothing < 0) {
        rc = bsk_fail(err, BSK_E_IO, "set TMPDIR to a folder that can be written to",
                      "no file for the program's output: %s: %s", top->output, strerror(errno));
        top->output[0] = '\0';
        if (output >= 0)
            close(output);
        return rc;
    }
    fflush(stdout);
    for (int i = 0; i < 3; i++)
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    rc = cli_program_start(top->command, &top->program, err);
    for (int i = 0; i < 3; i++) {
        dup2(kept[i], i);
        close(kept[i]);
    }
    close(nothing);
    close(output);
    if (rc < 0) {
        unlink(top->output);
        top->output[0] = '\0';
    }
    return rc;
}

/* Asks it to end, then makes it. */
static void end_program(struct top *top)
{
    if (!top->program || cli_program_ended(top->program))
        return;
    cli_program_signal(top->program, SIGTERM);
    struct pollfd ended = { .fd = cli_program_fd(top->program), .events = POLLIN };
    if (poll(&ended, 1, END_WAIT_MS) <= 0)
        cli_program_signal(top->program, SIGKILL);
    (void)cli_program_wait(top->program);
}

static void ring(void *user)
{
    uint64_t one = 1;
    ssize_t ignored = write(((const struct top *)user)->bell_fd, &one, sizeof(one));
    (void)ignored;
}

static struct bsk_recording_options recording_options(struct top *top)
{
    return (struct bsk_recording_options){
        .rate_hz = (uint32_t)top->rate_hz,
        .idle_stacks = true,
        .subprocesses = top->subprocesses,
        .other_processes = top->subprocesses,
        .bell = ring,
        .user = top,
    };
}

static int start_recording(struct top *top, struct bsk_error *err)
{
    struct bsk_recording_options options = recording_options(top);
    char name[256];
    cli_target_name(top->pid, name, sizeof(name));
    options.name = name;
    return bsk_recording_start(top->pid, &options, &top->recording, err);
}

/* A program of ours may be a launcher that becomes, or starts, the Python in a moment. */
static int start_with_program(struct top *top, struct bsk_error *err)
{
    const struct bsk_recording_options options = recording_options(top);
    uint64_t until = clock_ms() + START_WAIT_S * 1000ULL;
    for (;;) {
        pid_t python = 0;
        int rc = cli_target_try(top->program, &options, &top->recording, &python, err);
        if (rc == BSK_OK) {
            top->pid = python;
            return rc;
        }
        if (cli_program_ended(top->program))
            return bsk_fail(err, BSK_E_GONE, NULL,
                            "%s ended with exit code %d before a Python could be read in it or "
                            "below it; its output is in %s",
                            top->command[0], cli_program_wait(top->program), top->output);
        if ((rc != BSK_E_FORMAT && rc != BSK_E_TORN && rc != BSK_E_GONE) || clock_ms() > until)
            return rc;
        top->ended_by = top_terminal_signal();
        if (top->ended_by)
            return bsk_fail(err, BSK_E_STATE, NULL, "interrupted while %s was starting",
                            top->command[0]);
        poll(NULL, 0, START_PAUSE_MS);
    }
}

/* ---- What is shown -----------------------------------------------------------------------------
 */

/* The folder of the script, so that its neighbours have short names: where sys.path begins. */
static void find_folder(struct top *top)
{
    char line[4096], *rest = line, *at;
    bsk_process_cwd(top->pid, top->cwd, sizeof(top->cwd));
    bsk_process_command(top->pid, line, sizeof(line));
    strtok_r(line, " ", &rest);
    while ((at = strtok_r(NULL, " ", &rest))) {
        size_t bytes = strlen(at);
        char *slash = strrchr(at, '/');
        if (bytes <= 3 || strcmp(at + bytes - 3, ".py") != 0)
            continue;
        if (!slash)
            snprintf(top->folder, sizeof(top->folder), "%s", top->cwd);
        else if (at[0] == '/')
            snprintf(top->folder, sizeof(top->folder), "%.*s", (int)(slash - at), at);
        else if ((size_t)snprintf(top->folder, sizeof(top->folder), "%s/%.*s", top->cwd,
                                  (int)(slash - at), at) >= sizeof(top->folder))
            top->folder[0] = '\0';
        return;
    }
}

/* Its command line without the interpreter's folder: the script is what tells programs apart. */
static void find_program_line(struct top *top)
{
    char line[sizeof(top->program_line)];
    bsk_process_command(top->pid, line, sizeof(line));
    size_t first = strcspn(line, " ");
    const char *slash = memrchr(line, '/', first);
    snprintf(top->program_line, sizeof(top->program_line), "%s", slash ? slash + 1 : line);
}

static void learn(struct top *top)
{
    struct bsk_recording_status status;
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(top->now);
    static const char *const methods[] = {
        [BSK_METHOD_READ] = "read from outside, never stopped",
        [BSK_METHOD_TICK] = "eBPF at each clock tick",
        [BSK_METHOD_STOP] = "stopped for each sample",
    };
    bsk_recording_status(top->recording, &status);
    snprintf(top->python, sizeof(top->python), "%s", meta->python);
    top->facts = (struct top_facts){
        .program = top->program_line,
        .python = top->python,
        .method = methods[meta->method <= BSK_METHOD_STOP ? meta->method : BSK_METHOD_READ],
        .output = top->output[0] ? top->output : NULL,
        .folder = top->folder,
        .cwd = top->cwd,
        .pid = top->pid,
        .rate_hz = status.rate_hz,
        .processes = status.processes,
        .samples = meta->samples,
        .errors = meta->errors,
        .torn = meta->torn,
        .filled = meta->filled,
        .unread = meta->unread,
        .stopped = meta->stopped,
        .missed = meta->missed,
        .elapsed_ns = meta->duration_ns,
    };
}

static void recount(struct top *top)
{
    const struct top_question question = {
        .now = top->now,
        .before = top->before,
        .zero = top->zero,
        .view = top->state.view,
        .weight = top->state.weight,
        .sort = top->state.sort,
        .reverse = top->state.reverse,
        .unfold = top->state.unfold,
        .track = top->state.track,
        .filter = top->state.filter,
    };
    struct top_rows *rows = top->now ? top_rows_new(&question) : NULL;
    top->facts.thread = NULL;
    if (top->now && top->state.track < bsk_profile_track_count(top->now)) {
        struct bsk_track track = bsk_profile_track_at(top->now, top->state.track);
        snprintf(top->thread, sizeof(top->thread), "%s", track.thread);
        top->facts.thread = top->thread;
    }
    if (!rows)
        return; /* out of memory: the picture before stands */
    top_rows_free(top->rows);
    top->rows = rows;
}

static void advance(struct top *top, struct bsk_profile *profile)
{
    if (top->before != top->zero)
        bsk_profile_free(top->before);
    top->before = top->now;
    top->now = profile;
    learn(top);
    recount(top);
}

static void draw(struct top *top)
{
    static const struct top_rows none = { 0 };
    top_draw(&top->facts, top->rows ? top->rows : &none, &top->state);
}

/* Counting begins with what is on the screen. */
static void zero(struct top *top)
{
    struct bsk_profile *old = top->zero;
    if (!top->now)
        return;
    top->zero = top->now;
    if (old != top->before && old != top->now)
        bsk_profile_free(old);
    recount(top);
}

static bool take_keys(struct top *top)
{
    static const struct top_rows none = { 0 };
    int key;
    while ((key = getch()) != ERR) {
        if (key == KEY_RESIZE)
            continue;
        bool was_paused = top->state.paused;
        enum top_deed deed = top_key(&top->state, top->rows ? top->rows : &none, key);
        if (deed == TOP_QUIT)
            return false;
        if (deed == TOP_ZERO)
            zero(top);
        if (was_paused && !top->state.paused && top->waiting) {
            advance(top, top->waiting);
            top->waiting = NULL;
        }
        if (deed == TOP_RECOUNT)
            recount(top);
        if (deed != TOP_NOTHING)
            draw(top);
    }
    return true;
}

/* Returns false when a signal ends us. */
static bool take_signals(struct top *top)
{
    int number;
    while ((number = top_terminal_signal()) != 0) {
        if (number != SIGWINCH) {
            top->ended_by = number;
            return false;
        }
        top_terminal_resize();
        draw(top);
    }
    return true;
}

/* Returns false when the recording has ended. */
static bool take_news(struct top *top)
{
    struct bsk_recording_status status;
    uint64_t rings;
    ssize_t ignored = read(top->bell_fd, &rings, sizeof(rings));
    (void)ignored;
    bsk_recording_status(top->recording, &status);
    struct bsk_profile *profile = bsk_recording_take_profile(top->recording);
    if (profile && top->state.paused && !status.ended) {
        bsk_profile_free(top->waiting);
        top->waiting = profile;
    } else if (profile) {
        advance(top, profile);
        if (!status.ended)
            draw(top);
    }
    return !status.ended;
}

static void run_view(struct top *top)
{
    uint64_t delay_ms = (uint64_t)(top->delay_s * 1000.0);
    uint64_t next_ms = clock_ms() + (delay_ms < FIRST_MS ? delay_ms : FIRST_MS);
    bool going = true;
    draw(top);
    while (going) {
        struct pollfd events[] = {
            { .fd = STDIN_FILENO, .events = POLLIN },
            { .fd = top->bell_fd, .events = POLLIN },
            { .fd = top_terminal_signal_fd(), .events = POLLIN },
        };
        uint64_t now_ms = clock_ms();
        if (now_ms >= next_ms) {
            bsk_recording_ask(top->recording);
            next_ms += delay_ms;
            if (next_ms <= now_ms)
                next_ms = now_ms + delay_ms;
        }
        (void)poll(events, 3, (int)(next_ms - now_ms > INT32_MAX ? INT32_MAX : next_ms - now_ms));
        going = take_signals(top);
        if (going && events[1].revents)
            going = take_news(top);
        if (going && events[0].revents & POLLIN)
            going = take_keys(top);
        if (going && events[0].revents & (POLLHUP | POLLERR)) {
            top->ended_by = SIGHUP; /* the terminal has gone */
            going = false;
        }
    }
}

/* ---- The command -------------------------------------------------------------------------------
 */

/* The last line, and the exit code: a program that ended gives its own. */
static int conclude(struct top *top)
{
    struct bsk_recording_status status;
    bsk_recording_status(top->recording, &status);
    if (status.ended)
        fprintf(stderr,
                "basilisk: %s: samples: %" PRIu64 "  errors: %" PRIu64 "  torn: %" PRIu64
                "  CPU: %.2f s in %.2f s\n",
                status.reason, status.samples, status.errors, status.torn,
                (double)status.cpu_ns / 1e9, (double)status.duration_ns / 1e9);
    bool by_itself = top->program && cli_program_ended(top->program);
    end_program(top);
    if (top->output[0])
        fprintf(stderr, "basilisk: the program's output is in %s\n", top->output);
    if (by_itself)
        return cli_program_wait(top->program);
    return top->ended_by && top->ended_by != SIGINT ? 128 + top->ended_by : 0;
}

static void top_free(struct top *top)
{
    bsk_recording_free(top->recording);
    cli_program_free(top->program);
    top_rows_free(top->rows);
    bsk_profile_free(top->waiting);
    if (top->zero != top->before && top->zero != top->now)
        bsk_profile_free(top->zero);
    bsk_profile_free(top->before);
    bsk_profile_free(top->now);
    if (top->bell_fd >= 0)
        close(top->bell_fd);
}

static int watch(struct top *top)
{
    struct bsk_error err = { 0 };
    int rc = top_terminal_catch(&err); /* first, so that no program of ours is left behind */
    if (rc == BSK_OK && top->command)
        rc = start_program(top, &err);
    if (rc == BSK_OK)
        rc = top->command ? start_with_program(top, &err) : start_recording(top, &err);
    if (rc < 0) {
        end_program(top);
        return cli_fail(&err);
    }
    find_program_line(top);
    bsk_recording_python(top->recording, top->python, sizeof(top->python));
    find_folder(top);
    top->facts = (struct top_facts){ .program = top->program_line,
                                     .python = top->python,
                                     .method = "",
                                     .output = top->output[0] ? top->output : NULL,
                                     .pid = top->pid,
                                     .rate_hz = (uint32_t)top->rate_hz,
                                     .processes = 1 };
    rc = top_terminal_open(&err);
    if (rc < 0) {
        end_program(top);
        return cli_fail(&err);
    }
    run_view(top);
    top_terminal_close();
    return conclude(top);
}

static int run_top(const struct cli_command *command, int argc, char **argv)
{
    struct top top = { .rate_hz = BSK_RATE_DEFAULT_HZ,
                       .delay_s = 1.0,
                       .bell_fd = -1,
                       .state = { .track = UINT32_MAX } };
    int rest = argc;
    int rc = cli_parse_program(command, argc, argv, take, &top, &rest);
    if (rc)
        return rc;
    if (rest < argc)
        top.command = argv + rest;
    if (!top.pid && !top.command)
        return cli_usage("top wants --pid PID, or a command to run");
    if (top.pid && top.command)
        return cli_usage("top wants --pid or a command, not both");
    if (top.native) {
        fprintf(stderr, "basilisk: -n: native stacks are not in this build yet; Python's are shown "
                        "without it\n");
        return 1;
    }
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, "basilisk: top needs a terminal; `basilisk record` writes a file, and "
                        "`basilisk dump` prints once\n");
        return 2;
    }
    top.bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = watch(&top);
    top_free(&top);
    return rc;
}

const struct cli_command cli_top = {
    "top",
    "(-p PID | -- CMD...) [options]",
    "show live where a Python program's time goes",
    top_options,
    run_top,
};
