#include "adapters/cli/dump_collect.h"

#include "engine/process/pause.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TAKES_AT_ONCE = 50, /* then with pauses */
    TAKES_MAX = 500,    /* of a thread that never stands still: half a second, */
    TAKES_SECONDS = 2,  /* or this, where there is much to read each time */
    PAUSE_NS = 1000000,
    OPENS_MAX = 500, /* of a Python that is still starting */
    VALUE_CHARACTERS = 128,
};

static void pause_a_little(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

static time_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* The path from the outermost package that the file is in, as py-spy has it: folders with an
 * __init__.py, looked for where the target sees them. */
static char *shorten(const struct bsk_process *process, const char *path)
{
    char look[8192], file[4096 + 16];
    size_t keep = strlen(path);
    if (path[0] != '/' || keep > 4096)
        return strdup(path);
    while (keep > 0 && path[keep - 1] != '/')
        keep--;
    while (keep > 1) { /* path[0..keep) is a folder with its slash */
        snprintf(file, sizeof(file), "%.*s__init__.py", (int)keep, path);
        bsk_process_place(process, file, look, sizeof(look));
        if (access(look, F_OK) != 0)
            break;
        keep--;
        while (keep > 0 && path[keep - 1] != '/')
            keep--;
    }
    return strdup(path + keep);
}

/* The same with what was looked up before: a deep recursion has few files. Paths are the sampler's
 * and live as long as it, so their addresses tell them apart. */
static char *shorten_again(struct cli_dump *dump, const char *path)
{
    enum { KEPT = sizeof(dump->short_paths) / sizeof(dump->short_paths[0]) };
    for (size_t i = 0; i < KEPT; i++)
        if (dump->short_paths[i].path == path && path)
            return strdup(path + dump->short_paths[i].skip);
    char *shown = shorten(bsk_sampler_process(dump->sampler), path);
    if (shown) {
        size_t slot = dump->next_short_path++ % KEPT;
        dump->short_paths[slot].path = path;
        dump->short_paths[slot].skip = strlen(path) - strlen(shown);
    }
    return shown;
}

static void free_frames(struct cli_dump_thread *thread)
{
    for (size_t i = 0; i < thread->depth; i++) {
        free(thread->frames[i].shown);
        bsk_locals_free(&thread->frames[i].locals);
    }
    free(thread->frames);
    thread->frames = NULL;
    thread->depth = 0;
}

static void free_thread(struct cli_dump_thread *thread)
{
    free_frames(thread);
    free(thread->name);
}

void cli_dump_free(struct cli_dump *dump)
{
    for (size_t i = 0; i < dump->count; i++)
        free_thread(&dump->threads[i]);
    free(dump->threads);
    bsk_sampler_close(dump->sampler);
    *dump = (struct cli_dump){ 0 };
}

static bool is_settled(const struct cli_dump_thread *thread)
{
    return thread->has_stack && !thread->torn && !thread->filled && !thread->unread &&
           !thread->lost_locals;
}

/* The one to keep of two readings of a thread. */
static bool is_better(const struct cli_dump_thread *candidate, const struct cli_dump_thread *kept)
{
    if (candidate->has_stack != kept->has_stack)
        return candidate->has_stack;
    bool whole = !candidate->torn && !candidate->unread, was_whole = !kept->torn && !kept->unread;
    if (whole != was_whole)
        return whole;
    return candidate->lost_locals <= kept->lost_locals;
}

static uint64_t ident_of(struct bsk_python *python, pid_t tid)
{
    for (size_t i = 0; i < bsk_python_thread_count(python); i++)
        if (bsk_python_thread(python, i)->tid == tid)
            return bsk_python_thread(python, i)->ident;
    return 0;
}

static bool copy_thread(struct cli_dump *dump, const struct cli_dump_options *options,
                        const struct bsk_thread_sample *sample, struct cli_dump_thread *out)
{
    struct bsk_python *python = bsk_sampler_python(dump->sampler);
    *out = (struct cli_dump_thread){
        .tid = sample->tid,
        .ident = ident_of(python, sample->tid),
        .name = strdup(sample->name ? sample->name : ""),
        .state = sample->state,
        .call = sample->call,
        /* Free-threaded: it means attached there, and there may be no GIL at all. */
        .holds_gil = sample->holds_gil && !dump->python->free_threaded,
        .collects = sample->collects,
        .has_stack = sample->has_stack,
        .torn = sample->torn,
        .truncated = sample->truncated,
        .filled = sample->filled,
        .unread = sample->unread,
        .frames = calloc(sample->depth + 1, sizeof(out->frames[0])),
    };
    if (!out->name || !out->frames)
        return false;
    for (size_t i = 0; i < sample->depth; i++) {
        const struct bsk_frame *frame = &sample->frames[i];
        struct cli_dump_frame *copy = &out->frames[out->depth++];
        copy->code = frame->code;
        copy->line = frame->line;
        copy->column = frame->column;
        copy->end_line = frame->end_line;
        copy->end_column = frame->end_column;
        copy->shown = options->full_filenames ? strdup(frame->code->path)
                                              : shorten_again(dump, frame->code->path);
        if (!copy->shown)
            return false;
        if (options->locals == 0)
            continue;
        copy->has_locals =
            frame->address != 0 &&
            bsk_locals_read(python, frame, (size_t)options->locals * VALUE_CHARACTERS,
                            &copy->locals, NULL) == BSK_OK;
        out->lost_locals |= !copy->has_locals;
    }
    return true;
}

static struct cli_dump_thread *find_thread(struct cli_dump *dump, pid_t tid)
{
    for (size_t i = 0; i < dump->count; i++)
        if (dump->threads[i].tid == tid)
            return &dump->threads[i];
    return NULL;
}

/* Puts what one sample says into the dump; *out_settled: no thread of it is worth another look. */
static int add_sample(struct cli_dump *dump, const struct cli_dump_options *options,
                      const struct bsk_sample *sample, bool *out_settled)
{
    *out_settled = true;
    for (size_t i = 0; i < sample->thread_count; i++) {
        const struct bsk_thread_sample *one = &sample->threads[i];
        struct cli_dump_thread *kept = find_thread(dump, one->tid), fresh;
        if (kept && is_settled(kept))
            continue;
        if (!kept) {
            void *grown = realloc(dump->threads, (dump->count + 1) * sizeof(dump->threads[0]));
            if (!grown)
                return bsk_fail(&dump->error, BSK_E_MEMORY, NULL, "out of memory");
            dump->threads = grown;
        }
        if (!copy_thread(dump, options, one, &fresh)) {
            free_thread(&fresh);
            return bsk_fail(&dump->error, BSK_E_MEMORY, NULL, "out of memory");
        }
        if (!kept) {
            kept = &dump->threads[dump->count++];
            *kept = fresh;
        } else if (is_better(&fresh, kept)) {
            free_thread(kept);
            *kept = fresh;
        } else {
            free_thread(&fresh);
        }
        *out_settled = *out_settled && is_settled(kept);
    }
    return BSK_OK;
}

static int by_tid(const void *a, const void *b)
{
    const struct cli_dump_thread *one = a, *other = b;
    return (one->tid > other->tid) - (one->tid < other->tid);
}

static int take_all(struct cli_dump *dump, const struct cli_dump_options *options)
{
    int most = dump->is_core ? 1 : TAKES_MAX; /* a core never says anything else */
    bool settled = false, has_sample = false;
    time_t begin = seconds();
    for (int take = 0; take < most && !settled; take++) {
        if (has_sample && seconds() - begin > TAKES_SECONDS)
            break;
        const struct bsk_sample *sample;
        if (take >= TAKES_AT_ONCE)
            pause_a_little();
        int rc = bsk_sampler_take(dump->sampler, &sample, &dump->error);
        if (rc == BSK_E_TORN)
            continue;
        if (rc < 0)
            return rc;
        has_sample = true;
        rc = add_sample(dump, options, sample, &settled);
        if (rc < 0)
            return rc;
    }
    if (!has_sample)
        return dump->error.code;
    dump->error = (struct bsk_error){ 0 };
    if (dump->count > 0)
        qsort(dump->threads, dump->count, sizeof(dump->threads[0]), by_tid);
    return BSK_OK;
}

/* Threads that are stopped all look asleep: what they did just before counts. */
static int take_stopped(struct cli_dump *dump, const struct cli_dump_options *options)
{
    const struct bsk_sample *before;
    struct bsk_pause *pause = NULL;
    struct {
        pid_t tid;
        enum bsk_thread_state state;
        int32_t call;
    } *states = NULL;
    size_t count = 0;
    if (bsk_sampler_take(dump->sampler, &before, NULL) == BSK_OK) {
        count = before->thread_count;
        states = calloc(count + 1, sizeof(*states));
        if (!states)
            return bsk_fail(&dump->error, BSK_E_MEMORY, NULL, "out of memory");
        for (size_t i = 0; i < count; i++) {
            states[i].tid = before->threads[i].tid;
            states[i].state = before->threads[i].state;
            states[i].call = before->threads[i].call;
        }
    }
    int rc = bsk_process_pause(dump->pid, &pause, &dump->error);
    if (rc == BSK_OK)
        rc = take_all(dump, options);
    bsk_process_resume(pause);
    for (size_t i = 0; i < count && rc == BSK_OK; i++) {
        struct cli_dump_thread *thread = find_thread(dump, states[i].tid);
        if (thread) {
            thread->state = states[i].state;
            thread->call = states[i].call;
        }
    }
    free(states);
    return rc;
}

static bool is_alive(pid_t pid)
{
    struct bsk_process_facts facts = { 0 };
    return bsk_process_facts(pid, &facts, NULL) == BSK_OK && facts.state != 'Z' &&
           facts.state != 'X';
}

/* Nothing of a core changes, so trying again, which such errors ask for, is no way out; and where
 * it was cut short that is why, whatever did not fit. */
static void explain(const struct bsk_core_facts *core, struct bsk_error *err)
{
    if (core->bytes < core->claimed_bytes)
        snprintf(err->hint, sizeof(err->hint),
                 "the file is cut short (%" PRIu64 " of %" PRIu64 " bytes): take it again with "
                 "`ulimit -c unlimited` and enough room on the disk",
                 core->bytes, core->claimed_bytes);
    else if (err->code == BSK_E_TORN)
        snprintf(err->hint, sizeof(err->hint),
                 "take another core: Python was starting or ending, or the file lacks memory "
                 "(/proc/PID/coredump_filter)");
    for (char *c = err->message; *c; c++) /* it may name a path that the core claims */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

static int collect_core(const struct cli_dump_options *options, struct cli_dump *out_dump)
{
    out_dump->is_core = true;
    int rc = bsk_sampler_open_core(options->core, options->sysroot, &out_dump->sampler,
                                   &out_dump->core, &out_dump->error);
    if (rc < 0) {
        explain(&out_dump->core, &out_dump->error);
        return rc;
    }
    const struct bsk_process *process = bsk_sampler_process(out_dump->sampler);
    out_dump->python = bsk_sampler_info(out_dump->sampler);
    out_dump->pid = out_dump->python->pid;
    bsk_process_tell_command(process, out_dump->command, sizeof(out_dump->command));
    rc = take_all(out_dump, options);
    if (rc < 0)
        explain(&out_dump->core, &out_dump->error);
    return rc;
}

int cli_dump_collect(pid_t pid, const struct cli_dump_options *options, struct cli_dump *out_dump)
{
    static const struct bsk_sampler_options how = { .idle_stacks = true, .fresh_states = true };
    int rc = BSK_E_TORN;
    if (options->core)
        return collect_core(options, out_dump);
    out_dump->pid = pid;
    for (int tries = 0; rc == BSK_E_TORN && tries < OPENS_MAX; tries++) {
        if (tries > 0)
            pause_a_little();
        rc = bsk_sampler_open(pid, &how, &out_dump->sampler, &out_dump->error);
        if (rc == BSK_OK) {
            out_dump->error = (struct bsk_error){ 0 };
            out_dump->python = bsk_sampler_info(out_dump->sampler);
            rc = options->blocking ? take_stopped(out_dump, options) : take_all(out_dump, options);
        }
        if (rc == BSK_E_GONE && is_alive(pid)) { /* it became another program by exec */
            struct bsk_error error = out_dump->error;
            cli_dump_free(out_dump);
            out_dump->pid = pid;
            out_dump->error = error;
            rc = BSK_E_TORN;
        } else if (out_dump->sampler) {
            break;
        }
    }
    bsk_process_command(pid, out_dump->command, sizeof(out_dump->command));
    return rc;
}

void cli_dump_state(const struct cli_dump_thread *thread, char *out, size_t size)
{
    static const char *const words[] = { [BSK_THREAD_IDLE] = "idle",
                                         [BSK_THREAD_RUNNING] = "active",
                                         [BSK_THREAD_GIL_WAIT] = "waiting for GIL",
                                         [BSK_THREAD_CALL] = "system call" };
    const char *call = thread->state == BSK_THREAD_CALL ? bsk_call_name(thread->call) : "";
    snprintf(out, size, "%s%s%s%s%s", words[thread->state], call[0] ? ": " : "", call,
             thread->holds_gil ? "+gil" : "", thread->collects ? "+gc" : "");
}
