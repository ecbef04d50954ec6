/*
 * Chrome's trace events: "B" enters a function, "E" leaves it, each with a time in microseconds;
 * the time between two events of a thread belongs to the stack that stands between them.
 */
#include "engine/import/build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WHOLES = 20000000, MAX_THREADS = 10000, GUESSED_SAMPLE_NS = 10000000 };

struct thread {
    int64_t pid, tid;
    uint32_t track;
    double last_us;
    bool started;
    struct bsk_profile_frame *frames; /* track frames too, as UINT32_MAX: they are left as well */
    size_t depth, capacity;
};

struct whole { /* an "X" event */
    uint32_t thread, function, line, index;
    double start_us, end_us;
};

struct trace {
    struct bsk_build *build;
    struct whole *wholes;
    size_t whole_count, whole_capacity;
    struct thread *threads;
    size_t count, newest;
    struct bsk_buffer name, path, kind;
    struct bsk_said said;
    double ns_per_sample, carried, first_us;
    bool has_first;
};

struct event {
    char phase;
    int64_t pid, tid;
    double us, lasts_us;
    uint32_t line;
};

static struct thread *thread_of(struct trace *file, struct bsk_pull *pull,
                                const struct event *event)
{
    for (size_t i = 0; i < file->count; i++) {
        struct thread *thread = &file->threads[(file->newest + i) % file->count];
        if (thread->pid == event->pid && thread->tid == event->tid) {
            file->newest = (size_t)(thread - file->threads);
            return thread;
        }
    }
    if (file->count == MAX_THREADS) {
        bsk_pull_fail(pull, BSK_E_LIMIT, "more than %d threads", MAX_THREADS);
        return NULL;
    }
    struct thread *threads = realloc(file->threads, (file->count + 1) * sizeof(*threads));
    char name[64];
    snprintf(name, sizeof(name), "Thread %lld", (long long)event->tid);
    uint32_t track = bsk_profile_track(file->build->out->profile, (pid_t)event->pid,
                                       (pid_t)file->count + 1, "", name);
    if (threads)
        file->threads = threads;
    if (!threads || track == UINT32_MAX) {
        bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
        return NULL;
    }
    threads[file->count] = (struct thread){ .pid = event->pid, .tid = event->tid, .track = track };
    file->newest = file->count;
    return &threads[file->count++];
}

static bool add_time(struct trace *file, struct bsk_pull *pull, struct thread *thread, double us)
{
    double ns = (us - thread->last_us) * 1e3;
    if (ns < 1 || thread->depth == 0)
        return true;
    struct bsk_build *build = file->build;
    bsk_build_begin_stack(build);
    for (size_t i = 0; i < thread->depth; i++) {
        if (thread->frames[i].function != UINT32_MAX &&
            bsk_build_frame(build, thread->frames[i].function, thread->frames[i].line) < 0)
            return !(pull->failed = true);
    }
    uint32_t node;
    if (bsk_build_stack(build, thread->track, &node) < 0)
        return !(pull->failed = true);
    double exact = ns / file->ns_per_sample + file->carried, whole = floor(exact);
    file->carried = exact - whole;
    bsk_profile_add(build->out->profile, node,
                    (uint64_t)(fmax(0, thread->last_us - file->first_us) * 1e3), (uint64_t)ns,
                    (uint64_t)ns, whole < 4e9 ? (uint32_t)whole : UINT32_MAX);
    return true;
}

static bool push(struct bsk_pull *pull, struct thread *thread, uint32_t function, uint32_t line)
{
    if (thread->depth >= BSK_IMPORT_MAX_DEPTH)
        return bsk_pull_fail(pull, BSK_E_LIMIT, "a stack has more than %d frames",
                             BSK_IMPORT_MAX_DEPTH);
    if (thread->depth == thread->capacity) {
        size_t capacity = thread->capacity * 2 + 32;
        void *frames = realloc(thread->frames, capacity * sizeof(*thread->frames));
        if (!frames)
            return bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
        thread->frames = frames;
        thread->capacity = capacity;
    }
    thread->frames[thread->depth++] = (struct bsk_profile_frame){ function, line };
    return true;
}

/* What the event just read names; UINT32_MAX and true: a process or a thread, no function. */
static bool function_of(struct trace *file, struct bsk_pull *pull, uint32_t *out_function)
{
    const char *name = bsk_buffer_text(&file->name), *path = bsk_buffer_text(&file->path);
    *out_function = UINT32_MAX;
    if (!path[0] && bsk_build_is_track(file->build, name))
        return true;
    *out_function = bsk_build_function(file->build, name, path, 0);
    return *out_function != UINT32_MAX || bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
}

static bool enter(struct trace *file, struct bsk_pull *pull, struct thread *thread, uint32_t line)
{
    uint32_t function;
    return function_of(file, pull, &function) && push(pull, thread, function, line);
}

static bool keep_whole(struct trace *file, struct bsk_pull *pull, const struct thread *thread,
                       const struct event *event)
{
    uint32_t function;
    if (!function_of(file, pull, &function))
        return false;
    if (file->whole_count == MAX_WHOLES)
        return bsk_pull_fail(pull, BSK_E_LIMIT, "more than %d events", MAX_WHOLES);
    if (file->whole_count == file->whole_capacity) {
        size_t capacity = file->whole_capacity * 2 + 256;
        struct whole *wholes = realloc(file->wholes, capacity * sizeof(*wholes));
        if (!wholes)
            return bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
        file->wholes = wholes;
        file->whole_capacity = capacity;
    }
    file->wholes[file->whole_count++] = (struct whole){
        (uint32_t)(thread - file->threads), function,  event->line,
        (uint32_t)file->whole_count,        event->us, event->us + event->lasts_us
    };
    return true;
}

static int by_start(const void *left, const void *right)
{
    const struct whole *a = left, *b = right;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    if (a->start_us != b->start_us)
        return a->start_us < b->start_us ? -1 : 1;
    if (a->end_us != b->end_us)
        return a->end_us > b->end_us ? -1 : 1;
    return a->index > b->index ? -1 : a->index < b->index; /* the outer one is written later */
}

/* Leaves all that ends by `us`; `ends` has the ends of the thread's frames. */
static bool leave_until(struct trace *file, struct bsk_pull *pull, struct thread *thread,
                        const double *ends, double us)
{
    while (thread->depth > 0 && ends[thread->depth - 1] <= us) {
        double end = fmax(ends[thread->depth - 1], thread->last_us);
        if (!add_time(file, pull, thread, end))
            return false;
        thread->last_us = end;
        thread->depth--;
    }
    return true;
}

/* The events are wall time, which the samples that the file speaks of are spread over. */
static void count_samples(struct trace *file)
{
    double covered_us = 0, end_us = 0;
    for (size_t i = 0; i < file->whole_count; i++) {
        const struct whole *whole = &file->wholes[i];
        bool other = i == 0 || whole->thread != file->wholes[i - 1].thread;
        if (other || whole->start_us > end_us)
            end_us = whole->start_us;
        if (whole->end_us > end_us) {
            covered_us += whole->end_us - end_us;
            end_us = whole->end_us;
        }
    }
    if (file->said.samples > 0 && covered_us > 0)
        file->ns_per_sample = covered_us * 1e3 / (double)file->said.samples;
}

static bool play_wholes(struct trace *file, struct bsk_pull *pull)
{
    double *ends = calloc(BSK_IMPORT_MAX_DEPTH + 1, sizeof(*ends));
    if (!ends)
        return bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
    if (file->whole_count > 0)
        qsort(file->wholes, file->whole_count, sizeof(*file->wholes), by_start);
    count_samples(file);
    for (size_t i = 0; i < file->whole_count && !pull->failed; i++) {
        const struct whole *whole = &file->wholes[i];
        struct thread *thread = &file->threads[whole->thread];
        if (!leave_until(file, pull, thread, ends, whole->start_us) ||
            !add_time(file, pull, thread, fmax(whole->start_us, thread->last_us)))
            break;
        thread->last_us = fmax(whole->start_us, thread->last_us);
        /* one that outlasts what it is in, by a rounding, ends with it */
        double end =
            thread->depth > 0 ? fmin(whole->end_us, ends[thread->depth - 1]) : whole->end_us;
        if (push(pull, thread, whole->function, whole->line))
            ends[thread->depth - 1] = end;
        if (i + 1 == file->whole_count || file->wholes[i + 1].thread != whole->thread)
            leave_until(file, pull, thread, ends, INFINITY);
    }
    free(ends);
    return !pull->failed;
}

static void read_args(struct trace *file, struct bsk_pull *pull, struct event *event)
{
    struct bsk_span key;
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        bool text = bsk_pull_peek(pull) == '"';
        if (text && (bsk_pull_is(key, "filename") || bsk_pull_is(key, "file"))) {
            bsk_pull_text(pull, &file->path);
        } else if (!text && bsk_pull_is(key, "line")) {
            double line = bsk_pull_number(pull);
            event->line = line > 0 && line < 1e9 ? (uint32_t)line : 0;
        } else {
            bsk_pull_skip(pull);
        }
    }
}

static int64_t id_of(struct bsk_pull *pull)
{
    if (bsk_pull_peek(pull) == '"') {
        bsk_pull_skip(pull);
        return 0;
    }
    double value = bsk_pull_number(pull);
    return fabs(value) < 9e15 ? (int64_t)value : 0;
}

static void read_event(struct trace *file, struct bsk_pull *pull)
{
    struct event event = { 0 };
    struct bsk_pull begin = *pull;
    struct bsk_span key;
    bsk_buffer_clear(&file->name);
    bsk_buffer_clear(&file->path);
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        if (bsk_pull_is(key, "ph"))
            event.phase = bsk_pull_text(pull, &file->kind)[0];
        else if (bsk_pull_is(key, "name"))
            bsk_pull_text(pull, &file->name);
        else if (bsk_pull_is(key, "pid"))
            event.pid = id_of(pull);
        else if (bsk_pull_is(key, "tid"))
            event.tid = id_of(pull);
        else if (bsk_pull_is(key, "ts"))
            event.us = bsk_pull_number(pull);
        else if (bsk_pull_is(key, "dur"))
            event.lasts_us = bsk_pull_number(pull);
        else if (bsk_pull_is(key, "args") && bsk_pull_peek(pull) == '{')
            read_args(file, pull, &event);
        else
            bsk_pull_skip(pull);
    }
    if (pull->failed || (event.phase != 'B' && event.phase != 'E' && event.phase != 'X'))
        return; /* names of threads, counters and the like */
    struct thread *thread = thread_of(file, pull, &event);
    if (!thread)
        return;
    if (!file->has_first)
        file->first_us = event.us;
    file->has_first = true;
    if (event.phase == 'X') {
        if (fabs(event.us) > 4e15 || !(event.lasts_us >= 0 && event.lasts_us <= 4e15)) {
            pull->at = begin.at;
            bsk_pull_fail(pull, BSK_E_FORMAT, "this event is at no time, or lasts for none");
            return;
        }
        file->first_us = fmin(file->first_us, event.us);
        keep_whole(file, pull, thread, &event);
        return;
    }
    if (fabs(event.us) > 4e15 || (thread->started && event.us < thread->last_us)) {
        pull->at = begin.at;
        bsk_pull_fail(pull, BSK_E_FORMAT, "this event comes before the one that it follows");
        return;
    }
    if (!add_time(file, pull, thread, event.us))
        return;
    thread->last_us = event.us;
    thread->started = true;
    if (event.phase == 'B') {
        enter(file, pull, thread, event.line);
    } else if (thread->depth == 0) {
        pull->at = begin.at;
        bsk_pull_fail(pull, BSK_E_FORMAT, "this event leaves a function that none entered");
    } else {
        thread->depth--;
    }
}

static void read_events(struct trace *file, struct bsk_pull *pull)
{
    file->ns_per_sample = file->said.samples > 0 && file->said.cpu_seconds > 0
                              ? file->said.cpu_seconds * 1e9 / (double)file->said.samples
                              : GUESSED_SAMPLE_NS;
    bsk_pull_array(pull);
    while (bsk_pull_item(pull))
        read_event(file, pull);
    if (!pull->failed && file->whole_count > 0) {
        for (size_t i = 0; i < file->count; i++) {
            file->threads[i].depth = 0; /* events of the other kind that were never left */
            file->threads[i].last_us = file->first_us;
        }
        play_wholes(file, pull);
    }
}

int bsk_read_chrometrace(struct bsk_build *build, const char *bytes, size_t size)
{
    struct trace file = { .build = build };
    struct bsk_pull pull = bsk_build_pull(build, bytes, size), events;
    bool has_events = false;
    struct bsk_span key;
    if (bsk_pull_peek(&pull) == '[') {
        read_events(&file, &pull);
        bsk_pull_done(&pull);
    } else {
        bsk_pull_object(&pull);
        while (bsk_pull_key(&pull, &key)) {
            if (bsk_pull_is(key, "traceEvents")) {
                events = pull;
                has_events = bsk_pull_skip(&pull);
            } else if (bsk_pull_is(key, "basilisk")) {
                bsk_build_about(build, &pull, &file.said);
            } else {
                bsk_pull_skip(&pull);
            }
        }
        bsk_pull_done(&pull);
        if (!pull.failed && has_events) {
            read_events(&file, &events);
            pull.failed = events.failed;
        }
    }
    build->out->has_order = build->out->has_time = true;
    for (size_t i = 0; i < file.count; i++)
        free(file.threads[i].frames);
    free(file.threads);
    free(file.wholes);
    bsk_buffer_free(&file.name);
    bsk_buffer_free(&file.path);
    bsk_buffer_free(&file.kind);
    return pull.failed ? build->err->code : BSK_OK;
}
