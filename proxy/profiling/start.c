/* How a profile begins: who the debuggee is, and opening it on a worker. */
#include "engine/base/strings.h"
#include "engine/python/python.h"
#include "proxy/profiling/inside.h"
#include "proxy/profiling/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TOTALS_MS = 500,    /* heat at least once a second, the first within 1.5 s */
    IDENTIFY_MS = 4000, /* C code may hold the GIL for a while */
};

/* ---- Opening ----------------------------------------------------------------------------------
 */

struct open_job {
    uv_work_t work;
    struct dap_profiling *profiling;
    pid_t pid;
    bool below; /* `pid` may be a wrapper: take the Python at or below it */
    struct dap_identity identity;
    bool has_identity;
    struct bsk_recording_options options;
    char folder[4096 + 64], name[256];
    struct bsk_recording *recording;
    int rc;
    struct bsk_error err;
};

static int open_pid(struct open_job *job, pid_t pid)
{
    job->pid = pid;
    return bsk_recording_start(pid, &job->options, &job->recording, &job->err);
}

/* The debuggee may see itself under another number than we do: whoever shows the proof is it. */
static int open_candidates(struct open_job *job, pid_t inner_pid)
{
    struct bsk_error first = job->err;
    pid_t *pids = NULL;
    size_t count = 0;
    int rc = bsk_process_all(&pids, &count, NULL);
    for (size_t i = 0; rc == BSK_OK && i < count; i++) {
        struct bsk_process_facts facts;
        if (pids[i] == inner_pid || bsk_process_facts(pids[i], &facts, NULL) != BSK_OK ||
            facts.pid_inside != inner_pid || open_pid(job, pids[i]) != BSK_OK)
            continue;
        free(pids);
        return BSK_OK;
    }
    free(pids);
    job->err = first;
    job->pid = inner_pid;
    return first.code;
}

enum { BELOW_TRIES = 40, BELOW_PAUSE_MS = 25 };

static void open_on_worker(uv_work_t *work)
{
    struct open_job *job = work->data;
    pid_t pid = job->pid;
    /* A shell that is to start the Python may only just have begun. */
    for (int tries = 0; job->below && tries < BELOW_TRIES; tries++) {
        if (bsk_python_find_below(job->pid, &pid, NULL) != BSK_E_FORMAT)
            break; /* found, or opening it says what is wrong */
        nanosleep(&(struct timespec){ .tv_nsec = BELOW_PAUSE_MS * 1000000 }, NULL);
    }
    job->rc = open_pid(job, pid);
    if (job->rc != BSK_OK && job->has_identity && job->identity.has_proof)
        job->rc = open_candidates(job, job->identity.pid);
    if (job->rc == BSK_OK)
        job->rc = dap_check_folder(job->folder, &job->err);
    if (job->rc != BSK_OK) {
        bsk_recording_free(job->recording);
        job->recording = NULL;
    }
}

static void after_open(uv_work_t *work, int cancelled)
{
    (void)cancelled;
    struct open_job *job = work->data;
    struct dap_profiling *profiling = job->profiling;
    profiling->recording = job->recording;
    if (job->rc == BSK_OK) {
        struct member *owner =
            profiling->owner ? dap_profiling_member(profiling, profiling->owner) : NULL;
        profiling->pid = job->pid;
        profiling->stage = STAGE_RUNNING;
        if (owner && profiling->is_debuggee)
            owner->pid = job->pid;
        bsk_recording_python(profiling->recording, profiling->python, sizeof(profiling->python));
        dap_profiling_hold_members(profiling);
        struct bsk_recording_status status;
        struct dap_profiling_result result = dap_profiling_result_of(profiling, &status);
        dap_profiling_answer(&profiling->starting, BSK_OK, &result, NULL);
        dap_profiling_tell_changed(profiling);
        uv_async_send(profiling->bell); /* it may have rung before anyone listened */
        if (profiling->stop_wanted)
            dap_profiling_begin_stop(profiling, profiling->stopping
                                                    ? dap_profiling_asked_reason
                                                    : dap_profiling_ended_reason(profiling->owner));
    } else {
        dap_profiling_fail_start(profiling, &job->err);
    }
    dap_identity_free(&job->identity);
    free(job);
    dap_profiling_release(profiling);
}

/* Takes over what `identity` holds. */
static void start_open(struct dap_profiling *profiling, pid_t pid, bool below,
                       struct dap_identity *identity)
{
    static const struct dap_debuggee nobody = { 0 };
    struct open_job *job = calloc(1, sizeof(*job));
    uv_async_t *bell = calloc(1, sizeof(*bell));
    if (!job || !bell || uv_async_init(profiling->loop, bell, dap_profiling_on_bell) != 0) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
        free(job);
        free(bell);
        if (identity)
            dap_identity_free(identity);
        dap_profiling_fail_start(profiling, &err);
        return;
    }
    const struct dap_debuggee *debuggee =
        profiling->owner ? dap_session_debuggee(profiling->owner) : &nobody;
    job->work.data = job;
    job->profiling = profiling;
    job->pid = pid;
    job->below = below;
    if (identity) {
        job->identity = *identity;
        job->has_identity = true;
    }
    bell->data = profiling;
    profiling->bell = bell;
    profiling->references += 2; /* the worker, the bell */
    profiling->stage = STAGE_OPENING;

    dap_place_folder(profiling->options.output_folder, profiling->is_debuggee ? debuggee : &nobody,
                     pid, profiling->folder, sizeof(profiling->folder));
    const char *program = profiling->is_debuggee ? debuggee->program : "";
    const char *slash = strrchr(program, '/');
    snprintf(profiling->name, sizeof(profiling->name), "%.200s", slash ? slash + 1 : program);
    if (!profiling->name[0])
        snprintf(profiling->name, sizeof(profiling->name), "python-%d", (int)pid);
    else if (bsk_ends_with(profiling->name, ".py"))
        profiling->name[strlen(profiling->name) - 3] = '\0';
    snprintf(job->folder, sizeof(job->folder), "%s", profiling->folder);
    snprintf(job->name, sizeof(job->name), "%.200s", slash ? slash + 1 : program);

    job->options = (struct bsk_recording_options){
        .rate_hz = profiling->options.rate_hz,
        .totals_ms = TOTALS_MS,
        .subprocesses = profiling->options.subprocesses,
        .name = job->name[0] ? job->name : NULL,
        .debugger_folders = (const char *const *)job->identity.folders,
        .debugger_folder_count = job->identity.folder_count,
        .threads = job->identity.threads,
        .thread_count = job->identity.thread_count,
        .identity = job->identity.has_proof ? &job->identity.proof : NULL,
        .bell = dap_profiling_ring,
        .user = bell,
    };
    uv_queue_work(profiling->loop, &job->work, open_on_worker, after_open);
}

/* ---- Who is it --------------------------------------------------------------------------------
 */

static void on_found_pid(void *user, int rc, const char *text, size_t bytes,
                         const struct bsk_error *err)
{
    (void)text, (void)bytes;
    struct dap_profiling *profiling = user;
    if (profiling->stage == STAGE_IDENTIFYING) {
        pid_t pid = 0;
        if (profiling->owner) {
            const struct dap_debuggee *debuggee = dap_session_debuggee(profiling->owner);
            pid = debuggee->pid > 0 ? debuggee->pid : debuggee->hint_pid;
        }
        if (rc == BSK_OK && pid > 0) {
            start_open(profiling, pid, true, NULL);
        } else {
            struct bsk_error none = { 0 };
            bsk_fail(&none, BSK_E_STATE, "give `pid`, or start the program through this session",
                     "Process not found: the debug adapter did not say which it is");
            dap_profiling_fail_start(profiling, err && err->code ? err : &none);
        }
    }
    dap_profiling_release(profiling);
}

static void on_identity(void *user, int rc, const char *text, size_t bytes,
                        const struct bsk_error *err)
{
    struct dap_profiling *profiling = user;
    struct dap_identity identity = { 0 };
    (void)err;
    if (profiling->stage == STAGE_IDENTIFYING && profiling->owner) {
        if (rc == BSK_OK && dap_identity_parse(text, bytes, &identity, NULL) == BSK_OK) {
            start_open(profiling, identity.pid, false, &identity);
        } else {
            /* It cannot answer now (C code may hold the GIL): what the adapter said must do. */
            profiling->references++;
            dap_session_find_pid(profiling->owner, on_found_pid, profiling);
        }
    }
    dap_profiling_release(profiling);
}

void dap_profiling_run_identify(struct dap_session *session, dap_answer_fn *done, void *user)
{
    struct bsk_buffer script = { 0 };
    dap_identify_script(&script, dap_wanted_tracer());
    dap_session_run(session, bsk_buffer_text(&script), IDENTIFY_MS, done, user);
    bsk_buffer_free(&script);
}

void dap_profiling_identify(struct dap_profiling *profiling)
{
    profiling->stage = STAGE_IDENTIFYING;
    profiling->references++;
    if (dap_session_debuggee(profiling->owner)->has_channel)
        dap_profiling_run_identify(profiling->owner, on_identity, profiling);
    else
        dap_session_find_pid(profiling->owner, on_found_pid, profiling);
}

/* ---- What begins it ---------------------------------------------------------------------------
 */

void dap_profiling_start(struct dap_profiling *profiling, struct dap_session *session,
                         const struct dap_profiling_options *options, dap_profiling_fn *done,
                         void *user)
{
    const struct dap_debuggee *debuggee = dap_session_debuggee(session);
    struct member *member = dap_profiling_member(profiling, session);
    if (profiling->stage != STAGE_IDLE) {
        dap_profiling_fail_at_once(done, user, BSK_E_STATE, "stop it first (/profstop)",
                                   "Already profiling");
        return;
    }
    if (!member) {
        dap_profiling_fail_at_once(done, user, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    if (options->pid == 0 && debuggee->ended) {
        dap_profiling_fail_at_once(done, user, BSK_E_STATE, "start it again, then profile",
                                   "No debug session: the program has ended");
        return;
    }
    if (options->pid == 0 && !debuggee->started && !member->ready) {
        dap_profiling_fail_at_once(done, user, BSK_E_STATE, "launch or attach first, or give `pid`",
                                   "No debug session");
        return;
    }
    if (!dap_profiling_wait(&profiling->starting, session, done, user))
        return;
    profiling->options = *options;
    if (options->pid == debuggee->pid || options->pid == debuggee->hint_pid)
        profiling->options.pid = 0; /* by its number: we know more of it than that */
    if (profiling->options.rate_hz == 0)
        profiling->options.rate_hz = BSK_RATE_DEFAULT_HZ;
    profiling->owner = session;
    profiling->is_debuggee = profiling->options.pid == 0;
    profiling->heat_version = 0;
    snprintf(profiling->session_id, sizeof(profiling->session_id), "cpu-%u", ++profiling->next_id);
    if (!profiling->is_debuggee)
        start_open(profiling, options->pid, false, NULL);
    else if (member->ready)
        dap_profiling_identify(profiling);
    else
        profiling->stage = STAGE_WAITING;
}
