/* How a profile ends, and its files: by a snapshot, by stop, with the program. */
#include "proxy/profiling/inside.h"
#include "proxy/profiling/push.h"
#include "proxy/profiling/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char dap_profiling_asked_reason[] = "stopped";

/* ---- Writing ----------------------------------------------------------------------------------
 */

struct write_job {
    uv_work_t work;
    struct dap_profiling *profiling;
    struct bsk_profile *profile; /* owned */
    bool is_last;
    char folder[4096 + 64], name[256], warning[1024];
    struct waiter *waiters;             /* of a snapshot */
    struct bsk_recording_status status; /* when it was taken */
    struct bsk_totals *totals;
    struct dap_profile_paths paths;
    int rc;
    struct bsk_error err;
};

static void write_on_worker(uv_work_t *work)
{
    struct write_job *job = work->data;
    job->totals = job->profile ? bsk_totals_new(job->profile) : NULL;
    if (!job->totals) {
        job->rc = bsk_fail(&job->err, BSK_E_MEMORY, NULL, "out of memory: the profile is lost");
        return;
    }
    job->rc = dap_write_profile(job->profile, job->totals, job->folder, job->name, &job->paths,
                                job->warning, sizeof(job->warning), &job->err);
}

static void finish_last(struct dap_profiling *profiling, struct write_job *job,
                        struct dap_profiling_result *result)
{
    struct dap_session *session = dap_profiling_audience(profiling);
    if (job->totals)
        dap_profiling_push(profiling, job->totals, true);
    dap_push_no_diagnostics(session, profiling->diagnostics);
    if (session && job->rc == BSK_OK && profiling->listener->ended)
        profiling->listener->ended(session, result, profiling->user);
    else if (session && job->rc != BSK_OK && !profiling->stopping) {
        char sentence[1100], line[1200];
        bsk_error_sentence(&job->err, sentence, sizeof(sentence));
        snprintf(line, sizeof(line), "%s\n", sentence);
        dap_session_output(session, "stderr", line, NULL, 0);
    }
    dap_profiling_answer(&profiling->stopping, job->rc, result, &job->err);
    dap_profiling_answer(&profiling->snapshotting, job->rc, result, &job->err);
    dap_profiling_become_idle(profiling);
}

/* Returns its number, or 0 when there is nothing to remember. */
static unsigned remember_written(struct dap_profiling *profiling, const struct write_job *job)
{
    for (size_t i = 0; job->rc == BSK_OK && i < job->paths.count; i++) {
        if (strcmp(job->paths.items[i].format, "speedscope") != 0)
            continue;
        char *path = strdup(job->paths.items[i].path);
        if (!path)
            return 0;
        struct dap_written *written = &profiling->written[profiling->newest++ % DAP_WRITTEN_MAX];
        free(written->path);
        *written = (struct dap_written){ path, job->totals->samples > 0 };
        return profiling->newest;
    }
    return 0;
}

static void after_write(uv_work_t *work, int cancelled)
{
    (void)cancelled; /* we never cancel */
    struct write_job *job = work->data;
    struct dap_profiling *profiling = job->profiling;
    struct bsk_recording_status status;
    struct dap_profiling_result result = dap_profiling_result_of(profiling, &status);
    result.status = &job->status;
    result.totals = job->totals;
    result.paths = &job->paths;
    result.warning = job->warning;
    result.reason = job->is_last ? job->status.reason : "snapshot";
    result.number = remember_written(profiling, job);
    if (job->is_last)
        finish_last(profiling, job, &result);
    else
        dap_profiling_answer(&job->waiters, job->rc, &result, &job->err);
    bsk_totals_free(job->totals);
    if (profiling->last == job->profile)
        profiling->last = NULL;
    bsk_profile_free(job->profile);
    free(job);
    dap_profiling_release(profiling);
}

void dap_profiling_write(struct dap_profiling *profiling, struct bsk_profile *profile, bool is_last)
{
    struct write_job *job = calloc(1, sizeof(*job));
    if (!job) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory: the profile is lost");
        bsk_profile_free(profile);
        if (is_last)
            dap_profiling_fail_start(profiling, &err);
        return;
    }
    job->work.data = job;
    job->profiling = profiling;
    job->profile = profile;
    job->is_last = is_last;
    bsk_recording_status(profiling->recording, &job->status);
    snprintf(job->folder, sizeof(job->folder), "%s", profiling->folder);
    snprintf(job->name, sizeof(job->name), "%s", profiling->name);
    if (is_last) {
        profiling->stage = STAGE_WRITING;
        profiling->last = profile; /* the worker only reads it */
    } else {
        job->waiters = profiling->snapshotting;
        profiling->snapshotting = NULL;
    }
    profiling->references++;
    uv_queue_work(profiling->loop, &job->work, write_on_worker, after_write);
}

/* ---- What ends it -----------------------------------------------------------------------------
 */

const char *dap_profiling_ended_reason(const struct dap_session *session)
{
    return session && dap_session_debuggee(session)->ended ? "the program ended"
                                                           : "the debug session ended";
}

void dap_profiling_begin_stop(struct dap_profiling *profiling, const char *reason)
{
    profiling->stage = STAGE_STOPPING;
    bsk_recording_stop(profiling->recording, reason);
}

static bool none_runs(const struct dap_profiling *profiling, dap_profiling_fn *done, void *user)
{
    if (profiling->stage != STAGE_IDLE)
        return false;
    dap_profiling_fail_at_once(done, user, BSK_E_STATE,
                               "start one with basilisk.profiler.start or /profile",
                               "No profile is running");
    return true;
}

void dap_profiling_snapshot(struct dap_profiling *profiling, struct dap_session *session,
                            dap_profiling_fn *done, void *user)
{
    if (none_runs(profiling, done, user))
        return;
    if (profiling->stage < STAGE_RUNNING) {
        dap_profiling_fail_at_once(done, user, BSK_E_STATE, "try again in a moment",
                                   "The profile has not begun yet");
        return;
    }
    if (dap_profiling_wait(&profiling->snapshotting, session, done, user) &&
        profiling->stage == STAGE_RUNNING)
        bsk_recording_ask(profiling->recording);
}

void dap_profiling_stop(struct dap_profiling *profiling, struct dap_session *session,
                        dap_profiling_fn *done, void *user)
{
    if (none_runs(profiling, done, user))
        return;
    if (profiling->stage == STAGE_WAITING) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_STATE, NULL, "No samples: stopped before the program ran");
        done(user, err.code, NULL, &err);
        dap_profiling_fail_start(profiling, &err);
        return;
    }
    if (!dap_profiling_wait(&profiling->stopping, session, done, user))
        return;
    if (profiling->stage == STAGE_RUNNING)
        dap_profiling_begin_stop(profiling, dap_profiling_asked_reason);
    else if (profiling->stage < STAGE_RUNNING)
        profiling->stop_wanted = true;
}

bool dap_profiling_on_ending(struct dap_profiling *profiling, struct dap_session *session)
{
    struct member *member = dap_profiling_member(profiling, session);
    if (!member || profiling->owner != session || profiling->stage == STAGE_IDLE)
        return false;
    if (profiling->stage == STAGE_WAITING || profiling->stage == STAGE_IDENTIFYING) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_GONE, "it may have failed to start: see its output",
                 "No samples: the program ended before profiling began");
        dap_profiling_fail_start(profiling, &err);
        return false;
    }
    member->must_release = true;
    if (profiling->stage == STAGE_RUNNING)
        dap_profiling_begin_stop(profiling, dap_profiling_ended_reason(session));
    else if (profiling->stage == STAGE_OPENING)
        profiling->stop_wanted = true;
    return true;
}
