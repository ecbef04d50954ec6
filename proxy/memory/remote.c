#include "proxy/memory/remote.h"

#include "engine/inject/remote_exec.h"
#include "engine/python/python.h"

#include <stdlib.h>
#include <string.h>

struct call {
    struct call *next;
    uv_work_t work;
    struct remote *remote;
    char *text;
    uint32_t timeout_ms;
    bsk_called_fn *done; /* NULL: cancelled, or told */
    void *user;
    struct bsk_buffer answer;
    int rc;
    struct bsk_error err;
};

struct remote {
    struct bsk_channel channel;
    uv_loop_t *loop;
    pid_t pid;
    struct bsk_remote *target; /* the worker's, while one is at work; NULL until the first call */
    volatile sig_atomic_t stop;
    bool closed;
    struct call *calls; /* the first is at work */
    unsigned held;      /* jobs at work */
    bool proven;        /* it has answered */
};

static void begin_next(struct remote *remote);

static void free_remote(struct remote *remote)
{
    bsk_remote_close(remote->target);
    free(remote);
}

static int open_target(struct remote *remote, struct bsk_error *err)
{
    pid_t pid = remote->pid;
    bsk_python_find_below(remote->pid, &pid, NULL); /* else opening it says what is wrong */
    int rc = bsk_remote_open(pid, &remote->stop, &remote->target, err);
    if (rc != BSK_E_UNSUPPORTED && rc != BSK_E_STATE)
        return rc;
    char reason[sizeof(err->message)];
    memcpy(reason, err->message, sizeof(reason));
    return bsk_fail(err, BSK_E_STATE,
                    "start it with debugging: memory is tracked through the debugger",
                    "No debugger in this session, and without one: %.400s", reason);
}

/* A shell that is to start the Python may only just have begun: then what was opened becomes
 * another program, or is none yet. */
static int run_text(struct remote *remote, const char *text, uint32_t timeout_ms,
                    struct bsk_buffer *answer, struct bsk_error *err)
{
    enum { TRIES = 40, PAUSE_MS = 25 };
    int rc = BSK_OK;
    for (int tries = 0; tries < TRIES; tries++) {
        rc = remote->target ? BSK_OK : open_target(remote, err);
        if (rc == BSK_OK)
            rc = bsk_remote_run(remote->target, text, timeout_ms, answer, err);
        remote->proven |= rc == BSK_OK;
        if (remote->proven || (rc != BSK_E_GONE && rc != BSK_E_FORMAT && rc != BSK_E_TORN) ||
            kill(remote->pid, 0) != 0)
            break;
        bsk_remote_close(remote->target);
        remote->target = NULL;
        uv_sleep(PAUSE_MS);
    }
    return rc;
}

static void on_worker(uv_work_t *work)
{
    struct call *call = work->data;
    struct remote *remote = call->remote;
    call->rc = remote->target ? BSK_OK : open_target(remote, &call->err);
    if (call->rc == BSK_OK)
        call->rc =
            bsk_remote_run(remote->target, call->text, call->timeout_ms, &call->answer, &call->err);
}

static void after_work(uv_work_t *work, int cancelled)
{
    (void)cancelled;
    struct call *call = work->data;
    struct remote *remote = call->remote;
    remote->calls = call->next;
    if (call->done)
        call->done(call->user, call->rc, call->rc == BSK_OK ? bsk_buffer_text(&call->answer) : NULL,
                   call->rc == BSK_OK ? call->answer.size : 0,
                   call->rc == BSK_OK ? NULL : &call->err);
    bsk_buffer_free(&call->answer);
    free(call->text);
    free(call);
    if (remote->closed && !remote->calls && !remote->held)
        free_remote(remote);
    else
        begin_next(remote);
}

static void begin_next(struct remote *remote)
{
    if (!remote->calls)
        return;
    remote->calls->work.data = remote->calls;
    uv_queue_work(remote->loop, &remote->calls->work, on_worker, after_work);
}

static void call(struct bsk_channel *channel, const char *text, uint32_t timeout_ms,
                 bsk_called_fn *done, void *user)
{
    struct remote *remote = (struct remote *)channel;
    struct call *one = calloc(1, sizeof(*one));
    if (one)
        one->text = strdup(text);
    if (!one || !one->text) {
        struct bsk_error err = { 0 };
        free(one);
        done(user, bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory"), NULL, 0, &err);
        return;
    }
    one->remote = remote;
    one->timeout_ms = timeout_ms;
    one->done = done;
    one->user = user;
    struct call **last = &remote->calls;
    while (*last)
        last = &(*last)->next;
    *last = one;
    if (remote->calls == one)
        begin_next(remote);
}

static void cancel(struct bsk_channel *channel, const void *user)
{
    for (struct call *one = ((struct remote *)channel)->calls; one; one = one->next) {
        if (one->user == user)
            one->done = NULL;
    }
}

struct bsk_channel *dap_remote_open(pid_t pid, uv_loop_t *loop)
{
    struct remote *remote = calloc(1, sizeof(*remote));
    if (!remote)
        return NULL;
    remote->channel = (struct bsk_channel){ call, cancel, SIZE_MAX };
    remote->loop = loop;
    remote->pid = pid;
    return &remote->channel;
}

void dap_remote_close(struct bsk_channel *channel)
{
    struct remote *remote = (struct remote *)channel;
    struct bsk_error err = { 0 };
    if (!remote)
        return;
    bsk_fail(&err, BSK_E_GONE, NULL, "the debug session has ended");
    remote->stop = 1;
    remote->closed = true;
    for (struct call *one = remote->calls; one; one = one->next) {
        bsk_called_fn *done = one->done;
        one->done = NULL;
        if (done)
            done(one->user, BSK_E_GONE, NULL, 0, &err);
    }
    if (!remote->calls && !remote->held)
        free_remote(remote);
}

void dap_remote_hold(struct bsk_channel *channel)
{
    ((struct remote *)channel)->held++;
}

void dap_remote_release(struct bsk_channel *channel)
{
    struct remote *remote = (struct remote *)channel;
    if (--remote->held == 0 && remote->closed && !remote->calls)
        free_remote(remote);
}

void dap_remote_job(struct bsk_channel *channel, struct bsk_memory_job *job)
{
    enum { JOB_MS = 20000 };
    struct remote *remote = (struct remote *)channel;
    struct bsk_error err = { 0 };
    struct bsk_buffer answer = { 0 };
    uint32_t timeout_ms = 0;
    const char *text;
    int rc = BSK_OK;
    for (bool first = true; (text = bsk_memory_job_next(job, &timeout_ms)); first = false) {
        bsk_buffer_clear(&answer);
        if (rc == BSK_OK)
            rc = run_text(remote, text, timeout_ms, &answer, &err);
        bsk_memory_job_answer(job, rc, answer.data, answer.size, &err);
        if (rc == BSK_OK && first) { /* the job's thread says the rest by itself */
            bsk_buffer_clear(&answer);
            rc = bsk_remote_later(remote->target, JOB_MS, &answer, &err);
            bsk_memory_job_answer(job, rc, answer.data, answer.size, &err);
        }
    }
    bsk_buffer_free(&answer);
}
