#include "proxy/memory/evaluate.h"

#include "engine/inject/prelude.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_WAIT_MS =
        15, /* debugpy's thread is kept that long at most, and most jobs are done by then */
    NEXT_WAIT_MS = 4,
    PAUSE_MS = 10, /* between two looks at a job; doubles up to */
    PAUSE_MAX_MS = 100,
    PIECE_BYTES = 1 << 20,
    PIECES_MAX_BYTES = 64 << 20,
    DROP_MS = 5000,
};

#define MS ((uint64_t)1000000)

struct call {
    struct call *next;
    uint64_t number; /* in the debuggee, and for cancel() */
    char *source, *arguments;
    uint32_t timeout_ms;
    uint64_t deadline_ns, max_dump_bytes;
    bsk_answer_fn *done; /* NULL: cancelled */
    void *user;
};

struct evaluate {
    struct bsk_channel channel;
    struct dap_session *session; /* NULL: closed */
    uv_loop_t *loop;
    uv_timer_t timer;
    unsigned references; /* the owner, the timer, evaluations under way */
    struct call *calls;  /* the first one is under way when `busy` */
    bool busy;
    uint64_t next_number;
    uint32_t pause_ms;
    pid_t pid; /* the debuggee's, once known by a dump; 0 */

    struct bsk_job_report report; /* of the dump that comes in pieces; its text is not kept */
    struct bsk_answer *answer;    /* that it will be part of */
};

static void begin_next(struct evaluate *evaluate);

static void free_call(struct call *call)
{
    free(call->source);
    free(call->arguments);
    free(call);
}

static void release(struct evaluate *evaluate)
{
    if (--evaluate->references == 0)
        free(evaluate);
}

/* ---- The end of a call -------------------------------------------------------------------------
 */

/* Takes over `answer`. */
static void finish(struct evaluate *evaluate, int rc, struct bsk_answer *answer,
                   const struct bsk_error *err)
{
    struct call *call = evaluate->calls;
    evaluate->calls = call->next;
    evaluate->busy = false;
    bsk_answer_free(evaluate->answer);
    evaluate->answer = NULL;
    if (call->done)
        call->done(call->user, rc, answer, err);
    else
        bsk_answer_free(answer);
    free_call(call);
    begin_next(evaluate);
}

static void fail(struct evaluate *evaluate, enum bsk_code code, const char *hint,
                 const char *message)
{
    struct bsk_error err = { 0 };
    bsk_fail(&err, code, hint, "%s", message);
    finish(evaluate, code, NULL, &err);
}

static void too_late(struct evaluate *evaluate)
{
    char message[200];
    snprintf(message, sizeof(message), "The program did not answer within %u s",
             (evaluate->calls->timeout_ms + 999) / 1000);
    fail(evaluate, BSK_E_IO,
         "it may be in C code that holds the GIL, or wait for a lock: try again later", message);
}

/* ---- Evaluations -------------------------------------------------------------------------------
 */

/* Takes over `script`. */
static void run(struct evaluate *evaluate, struct bsk_buffer *script, dap_answer_fn *done)
{
    uint64_t now = uv_hrtime(), deadline = evaluate->calls->deadline_ns;
    bool failed = script->failed;
    if (!failed && evaluate->session && deadline > now + MS) {
        evaluate->references++;
        dap_session_run(evaluate->session, bsk_buffer_text(script),
                        (uint32_t)((deadline - now) / MS), done, evaluate);
    }
    bsk_buffer_free(script);
    if (failed)
        fail(evaluate, BSK_E_MEMORY, NULL, "out of memory");
    else if (!evaluate->session)
        fail(evaluate, BSK_E_GONE, NULL, "the debug session has ended");
    else if (deadline <= now + MS)
        too_late(evaluate);
}

static void on_dropped(void *user, int rc, const char *text, size_t bytes,
                       const struct bsk_error *err)
{
    (void)rc, (void)text, (void)bytes, (void)err; /* else the next job's begin drops it */
    release(user);
}

static void drop(struct evaluate *evaluate, uint64_t number)
{
    struct bsk_buffer script = { 0 };
    bsk_inject_drop(&script, number);
    if (evaluate->session && !script.failed) {
        evaluate->references++;
        dap_session_run(evaluate->session, bsk_buffer_text(&script), DROP_MS, on_dropped, evaluate);
    }
    bsk_buffer_free(&script);
}

static void on_report(void *user, int rc, const char *text, size_t bytes,
                      const struct bsk_error *err);

static void begin(struct evaluate *evaluate, bool with_prelude)
{
    struct call *call = evaluate->calls;
    struct bsk_job job = { .source = call->source,
                           .arguments = call->arguments,
                           .max_dump_bytes = call->max_dump_bytes };
    struct bsk_buffer script = { 0 };
    bsk_inject_start(&script, call->number, &job, FIRST_WAIT_MS, with_prelude);
    run(evaluate, &script, on_report);
}

static void on_timer(uv_timer_t *timer)
{
    struct evaluate *evaluate = timer->data;
    struct bsk_buffer script = { 0 };
    if (!evaluate->busy)
        return;
    bsk_inject_fetch(&script, evaluate->calls->number, NEXT_WAIT_MS);
    run(evaluate, &script, on_report);
}

/* ---- The dump ----------------------------------------------------------------------------------
 */

static void next_piece(struct evaluate *evaluate);

static void on_piece(void *user, int rc, const char *text, size_t bytes,
                     const struct bsk_error *err)
{
    struct evaluate *evaluate = user;
    struct bsk_answer *answer = evaluate->answer;
    if (!evaluate->busy) {
        /* closed meanwhile, and told */
    } else if (rc == BSK_E_IO) {
        too_late(evaluate);
    } else if (rc != BSK_OK) {
        finish(evaluate, rc, NULL, err);
    } else if (bytes == 0 || bytes > evaluate->report.dump_bytes - answer->dump_bytes) {
        fail(evaluate, BSK_E_IO, NULL, "the target's dump is not as long as it said");
    } else {
        memcpy(answer->dump_memory + answer->dump_bytes, text, bytes);
        answer->dump_bytes += bytes;
        next_piece(evaluate);
    }
    release(evaluate);
}

static void deliver(struct evaluate *evaluate)
{
    struct bsk_answer *answer = evaluate->answer;
    evaluate->answer = NULL;
    if (answer->dump_bytes > 0)
        drop(evaluate, evaluate->calls->number);
    finish(evaluate, BSK_OK, answer, NULL);
}

static void next_piece(struct evaluate *evaluate)
{
    uint64_t have = evaluate->answer->dump_bytes;
    struct bsk_buffer script = { 0 };
    if (have == evaluate->report.dump_bytes) {
        deliver(evaluate);
        return;
    }
    bsk_inject_piece(&script, evaluate->calls->number, have, PIECE_BYTES);
    run(evaluate, &script, on_piece);
}

static void take_answer(struct evaluate *evaluate, const struct bsk_job_report *report)
{
    struct bsk_answer *answer = evaluate->answer = bsk_answer_new(report);
    if (!answer) {
        fail(evaluate, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    if (report->dump_bytes == 0) {
        deliver(evaluate);
        return;
    }
    if (report->dump_bytes > evaluate->calls->max_dump_bytes) {
        fail(evaluate, BSK_E_LIMIT, NULL, "the target's dump is larger than what was allowed");
        return;
    }
    if (bsk_job_open_dump(report, evaluate->pid, &answer->dump_fd, &evaluate->pid, NULL) ==
        BSK_OK) {
        answer->dump_bytes = report->dump_bytes;
        deliver(evaluate);
        return;
    }
    evaluate->pid = 0;
    evaluate->channel.max_bytes = PIECES_MAX_BYTES;
    if (report->dump_bytes > PIECES_MAX_BYTES) {
        fail(
            evaluate, BSK_E_LIMIT, "debug it on the machine where it runs",
            "The program runs where Basilisk shares no files with it, and its dump is over 64 MiB");
        return;
    }
    answer->dump_memory = malloc(report->dump_bytes);
    if (!answer->dump_memory) {
        fail(evaluate, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    evaluate->report = *report;
    next_piece(evaluate);
}

static void on_report(void *user, int rc, const char *text, size_t bytes,
                      const struct bsk_error *err)
{
    struct evaluate *evaluate = user;
    struct bsk_job_report report;
    struct bsk_error broken = { 0 };
    if (!evaluate->busy) {
        /* closed meanwhile, and told */
    } else if (rc == BSK_E_IO) {
        too_late(evaluate);
    } else if (rc != BSK_OK) {
        finish(evaluate, rc, NULL, err);
    } else if ((rc = bsk_job_report_parse(text, bytes, &report, &broken)) != BSK_OK) {
        finish(evaluate, rc, NULL, &broken);
    } else if (report.stage == BSK_JOB_NO_PRELUDE) {
        begin(evaluate, true);
    } else if (report.stage == BSK_JOB_UNKNOWN) {
        fail(evaluate, BSK_E_FORMAT, NULL, "the debuggee does not know what was asked of it");
    } else if (report.stage == BSK_JOB_DONE) {
        take_answer(evaluate, &report);
    } else if (uv_timer_start(&evaluate->timer, on_timer, evaluate->pause_ms, 0) == 0) {
        evaluate->pause_ms *= 2;
        if (evaluate->pause_ms > PAUSE_MAX_MS)
            evaluate->pause_ms = PAUSE_MAX_MS;
    } else {
        fail(evaluate, BSK_E_STATE, NULL, "no timer");
    }
    release(evaluate);
}

/* ---- The channel -------------------------------------------------------------------------------
 */

static void begin_next(struct evaluate *evaluate)
{
    if (evaluate->busy || !evaluate->calls)
        return;
    evaluate->busy = true;
    evaluate->pause_ms = PAUSE_MS;
    begin(evaluate, false);
}

static char *copy_of(const char *text)
{
    return text ? strdup(text) : NULL;
}

static uint64_t call(struct bsk_channel *channel, const struct bsk_job *job, bsk_answer_fn *done,
                     void *user)
{
    struct evaluate *evaluate = (struct evaluate *)channel;
    uint64_t number = evaluate->next_number++;
    struct call *one = calloc(1, sizeof(*one));
    if (one) {
        one->source = copy_of(job->source);
        one->arguments = copy_of(job->arguments);
    }
    if (!one || !one->source || (job->arguments && !one->arguments)) {
        struct bsk_error err = { 0 };
        if (one)
            free_call(one);
        done(user, bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory"), NULL, &err);
        return number;
    }
    one->number = number;
    one->timeout_ms = job->timeout_ms ? job->timeout_ms : BSK_JOB_TIMEOUT_MS;
    one->deadline_ns = uv_hrtime() + one->timeout_ms * MS;
    one->max_dump_bytes = job->max_dump_bytes ? job->max_dump_bytes : BSK_DUMP_MAX_BYTES;
    if (one->max_dump_bytes > channel->max_bytes)
        one->max_dump_bytes = channel->max_bytes;
    one->done = done;
    one->user = user;
    struct call **last = &evaluate->calls;
    while (*last)
        last = &(*last)->next;
    *last = one;
    begin_next(evaluate);
    return number;
}

static void cancel(struct bsk_channel *channel, uint64_t number)
{
    struct evaluate *evaluate = (struct evaluate *)channel;
    for (struct call **at = &evaluate->calls; *at; at = &(*at)->next) {
        struct call *one = *at;
        if (one->number != number)
            continue;
        one->done = NULL; /* what runs is waited for: two jobs at once would disturb each other */
        if (evaluate->busy && one == evaluate->calls)
            return;
        *at = one->next;
        free_call(one);
        return;
    }
}

struct bsk_channel *dap_evaluate_open(struct dap_session *session, uv_loop_t *loop)
{
    struct evaluate *evaluate = calloc(1, sizeof(*evaluate));
    if (!evaluate)
        return NULL;
    if (uv_timer_init(loop, &evaluate->timer) != 0) {
        free(evaluate);
        return NULL;
    }
    evaluate->timer.data = evaluate;
    evaluate->channel =
        (struct bsk_channel){ .call = call, .cancel = cancel, .max_bytes = UINT64_MAX };
    evaluate->session = session;
    evaluate->loop = loop;
    evaluate->references = 2;
    /* Another Basilisk may work in the same debuggee. */
    evaluate->next_number = 1 + (uv_hrtime() & 0xffffffff) * 65536;
    return &evaluate->channel;
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

void dap_evaluate_close(struct bsk_channel *channel)
{
    struct evaluate *evaluate = (struct evaluate *)channel;
    if (!evaluate)
        return;
    evaluate->session = NULL;
    evaluate->references++;
    while (evaluate->calls) {
        evaluate->busy = true; /* nothing begins */
        fail(evaluate, BSK_E_GONE, NULL, "the debug session has ended");
    }
    evaluate->busy = false;
    uv_close((uv_handle_t *)&evaluate->timer, on_timer_closed);
    release(evaluate);
    release(evaluate);
}

pid_t dap_evaluate_proven_pid(const struct bsk_channel *channel)
{
    return ((const struct evaluate *)channel)->pid;
}
