#include "proxy/profiling/profiling.h"

#include "engine/base/strings.h"
#include "engine/python/python.h"
#include "proxy/profiling/copies.h"
#include "proxy/profiling/identify.h"
#include "proxy/profiling/push.h"
#include "proxy/profiling/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TOTALS_MS = 500,    /* heat at least once a second, the first within 1.5 s */
    IDENTIFY_MS = 4000, /* C code may hold the GIL for a while */
};

static const char asked_reason[] = "stopped";

enum stage {
    STAGE_IDLE,
    STAGE_WAITING,     /* for the debuggee to be there */
    STAGE_IDENTIFYING, /* it was asked who it is */
    STAGE_OPENING,     /* a worker opens it */
    STAGE_RUNNING,
    STAGE_STOPPING, /* the recording was asked to end */
    STAGE_WRITING,  /* a worker writes the files */
};

struct member {
    struct member *next;
    struct dap_session *session;
    pid_t pid; /* of its debuggee, once we know it; 0 */
    bool ready;
    bool stopped;
    bool must_release; /* its adapter is held back until the files are written */
};

struct waiter {
    struct waiter *next;
    struct dap_session *session; /* NULL: it has left, and was told */
    dap_profiling_fn *done;
    void *user;
};

struct dap_profiling {
    uv_loop_t *loop;
    const struct dap_profiling_listener *listener;
    void *user;
    struct member *members;
    unsigned references; /* members, workers, hidden requests, the bell's handle */

    enum stage stage;
    struct dap_session *owner; /* who started it; NULL once it has left */
    struct dap_profiling_options options;
    bool is_debuggee; /* the owner's own debuggee, not some other PID */
    struct waiter *starting, *snapshotting, *stopping;
    struct dap_copies copies; /* dap_profiling_copy() */

    unsigned next_id;
    char session_id[32];
    char folder[4096 + 64], name[256], python[32];
    pid_t pid;
    struct bsk_recording *recording;
    uv_async_t *bell; /* lives as long as the recording */
    struct bsk_source_cache *sources;
    struct bsk_heat *heat; /* as it was last sent */
    struct dap_diagnostics *diagnostics;
    uint32_t heat_version;
    struct dap_written written[DAP_WRITTEN_MAX]; /* number n at (n - 1) % DAP_WRITTEN_MAX */
    unsigned newest;
    bool stop_wanted; /* as soon as it runs: asked while it was being opened */
};

/* ---- Life --------------------------------------------------------------------------------------
 */

struct dap_profiling *dap_profiling_new(uv_loop_t *loop,
                                        const struct dap_profiling_listener *listener, void *user)
{
    struct dap_profiling *profiling = calloc(1, sizeof(*profiling));
    if (!profiling)
        return NULL;
    profiling->loop = loop;
    profiling->listener = listener;
    profiling->user = user;
    profiling->diagnostics = dap_diagnostics_new();
    if (!profiling->diagnostics) {
        free(profiling);
        return NULL;
    }
    return profiling;
}

static void release_reference(struct dap_profiling *profiling)
{
    if (--profiling->references > 0)
        return;
    bsk_source_cache_free(profiling->sources);
    bsk_heat_free(profiling->heat);
    dap_diagnostics_free(profiling->diagnostics);
    for (size_t i = 0; i < DAP_WRITTEN_MAX; i++)
        free(profiling->written[i].path);
    free(profiling);
}

void dap_profiling_free(struct dap_profiling *profiling)
{
    if (!profiling)
        return;
    profiling->references++;
    release_reference(profiling);
}

static struct member *member_of(struct dap_profiling *profiling, const struct dap_session *session)
{
    struct member *member = profiling->members;
    while (member && member->session != session)
        member = member->next;
    return member;
}

void dap_profiling_join(struct dap_profiling *profiling, struct dap_session *session)
{
    struct member *member = calloc(1, sizeof(*member));
    profiling->references++; /* also when there was no memory: leave() gives it back */
    if (!member)
        return;
    member->session = session;
    member->next = profiling->members;
    profiling->members = member;
}

/* The session that hears of the profile: who started it, else any that is still there. */
static struct dap_session *audience(const struct dap_profiling *profiling)
{
    if (profiling->owner)
        return profiling->owner;
    return profiling->members ? profiling->members->session : NULL;
}

static void tell_changed(struct dap_profiling *profiling)
{
    struct dap_session *session = audience(profiling);
    if (session && profiling->listener->changed)
        profiling->listener->changed(profiling, session, profiling->user);
}

static struct waiter *wait_for(struct waiter **list, struct dap_session *session,
                               dap_profiling_fn *done, void *user)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    if (!waiter) {
        struct bsk_error err;
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
        done(user, BSK_E_MEMORY, NULL, &err);
        return NULL;
    }
    *waiter = (struct waiter){ .next = *list, .session = session, .done = done, .user = user };
    *list = waiter;
    return waiter;
}

static void answer(struct waiter **list, int rc, const struct dap_profiling_result *result,
                   const struct bsk_error *err)
{
    while (*list) {
        struct waiter *waiter = *list;
        *list = waiter->next;
        if (waiter->session)
            waiter->done(waiter->user, rc, result, err);
        free(waiter);
    }
}

static void fail_at_once(dap_profiling_fn *done, void *user, enum bsk_code code, const char *hint,
                         const char *message)
{
    struct bsk_error err = { 0 };
    done(user, bsk_fail(&err, code, hint, "%s", message), NULL, &err);
}

static struct dap_profiling_result result_of(const struct dap_profiling *profiling,
                                             struct bsk_recording_status *status)
{
    memset(status, 0, sizeof(*status));
    if (profiling->recording)
        bsk_recording_status(profiling->recording, status);
    bool held = false;
    for (const struct member *member = profiling->members; member; member = member->next)
        held = held || (member->stopped && member->pid == profiling->pid);
    return (struct dap_profiling_result){
        .session_id = profiling->session_id,
        .pid = profiling->pid,
        .rate_hz = status->rate_hz ? status->rate_hz : profiling->options.rate_hz,
        .python = profiling->python,
        .status = status,
        .warning = "",
        .reason = "",
        .held = held,
    };
}

static void on_bell_closed(uv_handle_t *handle)
{
    struct dap_profiling *profiling = handle->data;
    free(handle);
    release_reference(profiling);
}

/* Everything of the last profile is gone; sessions that waited for its end go on. */
static void become_idle(struct dap_profiling *profiling)
{
    bsk_recording_free(profiling->recording); /* joins its thread: the bell rings no more */
    profiling->recording = NULL;
    if (profiling->bell)
        uv_close((uv_handle_t *)profiling->bell, on_bell_closed);
    profiling->bell = NULL;
    bsk_heat_free(profiling->heat);
    profiling->heat = NULL;
    profiling->stage = STAGE_IDLE;
    profiling->stop_wanted = false;
    dap_copies_end(&profiling->copies);
    tell_changed(profiling);
    profiling->owner = NULL;
    for (struct member *member = profiling->members; member; member = member->next) {
        if (member->must_release)
            dap_session_release(member->session);
        member->must_release = false;
    }
}

static void fail_start(struct dap_profiling *profiling, const struct bsk_error *err)
{
    answer(&profiling->starting, err->code, NULL, err);
    answer(&profiling->stopping, err->code, NULL, err);
    become_idle(profiling);
}

/* ---- Writing -----------------------------------------------------------------------------------
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

static void push_heat(struct dap_profiling *profiling, const struct bsk_totals *totals, bool always)
{
    struct dap_session *session = audience(profiling);
    if (!session || !dap_session_client(session)->custom_events)
        return;
    if (!always && dap_session_waiting_bytes(session) > 0)
        return; /* a slow editor: the next push tells all that has changed by then */
    if (!profiling->sources)
        profiling->sources = bsk_source_cache_new();
    struct bsk_heat *now = bsk_heat_new(totals, &profiling->options.thresholds);
    if (!now || !profiling->sources) {
        bsk_heat_free(now);
        return;
    }
    if (dap_push_heat(session, profiling->diagnostics, profiling->sources, profiling->heat, now,
                      profiling->heat_version + 1, always))
        profiling->heat_version++;
    bsk_heat_free(profiling->heat);
    profiling->heat = now;
}

static void finish_last(struct dap_profiling *profiling, struct write_job *job,
                        struct dap_profiling_result *result)
{
    struct dap_session *session = audience(profiling);
    if (job->totals)
        push_heat(profiling, job->totals, true);
    dap_push_no_diagnostics(session, profiling->diagnostics);
    if (session && job->rc == BSK_OK && profiling->listener->ended)
        profiling->listener->ended(session, result, profiling->user);
    else if (session && job->rc != BSK_OK && !profiling->stopping) {
        char sentence[1100], line[1200];
        bsk_error_sentence(&job->err, sentence, sizeof(sentence));
        snprintf(line, sizeof(line), "%s\n", sentence);
        dap_session_output(session, "stderr", line, NULL, 0);
    }
    answer(&profiling->stopping, job->rc, result, &job->err);
    answer(&profiling->snapshotting, job->rc, result, &job->err);
    become_idle(profiling);
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
    struct dap_profiling_result result = result_of(profiling, &status);
    result.status = &job->status;
    result.totals = job->totals;
    result.paths = &job->paths;
    result.warning = job->warning;
    result.reason = job->is_last ? job->status.reason : "snapshot";
    result.number = remember_written(profiling, job);
    if (job->is_last)
        finish_last(profiling, job, &result);
    else
        answer(&job->waiters, job->rc, &result, &job->err);
    bsk_totals_free(job->totals);
    bsk_profile_free(job->profile);
    free(job);
    release_reference(profiling);
}

static void start_write(struct dap_profiling *profiling, struct bsk_profile *profile, bool is_last)
{
    struct write_job *job = calloc(1, sizeof(*job));
    if (!job) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory: the profile is lost");
        bsk_profile_free(profile);
        if (is_last)
            fail_start(profiling, &err);
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
    } else {
        job->waiters = profiling->snapshotting;
        profiling->snapshotting = NULL;
    }
    profiling->references++;
    uv_queue_work(profiling->loop, &job->work, write_on_worker, after_write);
}

static void on_bell(uv_async_t *bell)
{
    struct dap_profiling *profiling = bell->data;
    if (!profiling->recording || profiling->stage == STAGE_WRITING)
        return;
    struct bsk_totals *totals = bsk_recording_take_totals(profiling->recording);
    struct bsk_profile *profile = bsk_recording_take_profile(profiling->recording);
    struct bsk_recording_status status;
    bsk_recording_status(profiling->recording, &status);
    if (status.ended) {
        /* It may have ended since the take: then the last profile is there only now. */
        struct bsk_profile *last = bsk_recording_take_profile(profiling->recording);
        if (last) {
            bsk_profile_free(profile);
            profile = last;
        }
        dap_copies_give_all(&profiling->copies, profile);
        start_write(profiling, profile, true);
    } else if (profile && profiling->snapshotting) {
        start_write(profiling, profile, false);
    } else if (profile) {
        dap_copies_give(&profiling->copies, profile);
    }
    if (profile && !status.ended && dap_copies_wanted(&profiling->copies))
        bsk_recording_ask(profiling->recording); /* one for each */
    if (totals && !status.ended)
        push_heat(profiling, totals, false);
    bsk_totals_free(totals);
}

/* On the recording's thread. */
static void ring(void *user)
{
    uv_async_send(user);
}

/* ---- Opening -----------------------------------------------------------------------------------
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

static void hold_members(struct dap_profiling *profiling)
{
    for (struct member *member = profiling->members; member; member = member->next) {
        if (member->pid > 0)
            bsk_recording_hold(profiling->recording, member->pid, member->stopped);
    }
}

static const char *ended_reason(const struct dap_session *session)
{
    return session && dap_session_debuggee(session)->ended ? "the program ended"
                                                           : "the debug session ended";
}

static void begin_stop(struct dap_profiling *profiling, const char *reason)
{
    profiling->stage = STAGE_STOPPING;
    bsk_recording_stop(profiling->recording, reason);
}

static void after_open(uv_work_t *work, int cancelled)
{
    (void)cancelled;
    struct open_job *job = work->data;
    struct dap_profiling *profiling = job->profiling;
    profiling->recording = job->recording;
    if (job->rc == BSK_OK) {
        struct member *owner = profiling->owner ? member_of(profiling, profiling->owner) : NULL;
        profiling->pid = job->pid;
        profiling->stage = STAGE_RUNNING;
        if (owner && profiling->is_debuggee)
            owner->pid = job->pid;
        bsk_recording_python(profiling->recording, profiling->python, sizeof(profiling->python));
        hold_members(profiling);
        struct bsk_recording_status status;
        struct dap_profiling_result result = result_of(profiling, &status);
        answer(&profiling->starting, BSK_OK, &result, NULL);
        tell_changed(profiling);
        uv_async_send(profiling->bell); /* it may have rung before anyone listened */
        if (profiling->stop_wanted)
            begin_stop(profiling,
                       profiling->stopping ? asked_reason : ended_reason(profiling->owner));
    } else {
        fail_start(profiling, &job->err);
    }
    dap_identity_free(&job->identity);
    free(job);
    release_reference(profiling);
}

/* Takes over what `identity` holds. */
static void start_open(struct dap_profiling *profiling, pid_t pid, bool below,
                       struct dap_identity *identity)
{
    static const struct dap_debuggee nobody = { 0 };
    struct open_job *job = calloc(1, sizeof(*job));
    uv_async_t *bell = calloc(1, sizeof(*bell));
    if (!job || !bell || uv_async_init(profiling->loop, bell, on_bell) != 0) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
        free(job);
        free(bell);
        if (identity)
            dap_identity_free(identity);
        fail_start(profiling, &err);
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
        .bell = ring,
        .user = bell,
    };
    uv_queue_work(profiling->loop, &job->work, open_on_worker, after_open);
}

/* ---- Who is it ---------------------------------------------------------------------------------
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
            fail_start(profiling, err && err->code ? err : &none);
        }
    }
    release_reference(profiling);
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
    release_reference(profiling);
}

static void run_script(struct dap_session *session, dap_answer_fn *done, void *user)
{
    struct bsk_buffer script = { 0 };
    dap_identify_script(&script, dap_wanted_tracer());
    dap_session_run(session, bsk_buffer_text(&script), IDENTIFY_MS, done, user);
    bsk_buffer_free(&script);
}

static void identify(struct dap_profiling *profiling)
{
    profiling->stage = STAGE_IDENTIFYING;
    profiling->references++;
    if (dap_session_debuggee(profiling->owner)->has_channel)
        run_script(profiling->owner, on_identity, profiling);
    else
        dap_session_find_pid(profiling->owner, on_found_pid, profiling);
}

/* ---- What can be asked -------------------------------------------------------------------------
 */

void dap_profiling_start(struct dap_profiling *profiling, struct dap_session *session,
                         const struct dap_profiling_options *options, dap_profiling_fn *done,
                         void *user)
{
    const struct dap_debuggee *debuggee = dap_session_debuggee(session);
    struct member *member = member_of(profiling, session);
    if (profiling->stage != STAGE_IDLE) {
        fail_at_once(done, user, BSK_E_STATE, "stop it first (/profstop)", "Already profiling");
        return;
    }
    if (!member) {
        fail_at_once(done, user, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    if (options->pid == 0 && debuggee->ended) {
        fail_at_once(done, user, BSK_E_STATE, "start it again, then profile",
                     "No debug session: the program has ended");
        return;
    }
    if (options->pid == 0 && !debuggee->started && !member->ready) {
        fail_at_once(done, user, BSK_E_STATE, "launch or attach first, or give `pid`",
                     "No debug session");
        return;
    }
    if (!wait_for(&profiling->starting, session, done, user))
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
        identify(profiling);
    else
        profiling->stage = STAGE_WAITING;
}

static bool none_runs(const struct dap_profiling *profiling, dap_profiling_fn *done, void *user)
{
    if (profiling->stage != STAGE_IDLE)
        return false;
    fail_at_once(done, user, BSK_E_STATE, "start one with basilisk.profiler.start or /profile",
                 "No profile is running");
    return true;
}

void dap_profiling_snapshot(struct dap_profiling *profiling, struct dap_session *session,
                            dap_profiling_fn *done, void *user)
{
    if (none_runs(profiling, done, user))
        return;
    if (profiling->stage < STAGE_RUNNING) {
        fail_at_once(done, user, BSK_E_STATE, "try again in a moment",
                     "The profile has not begun yet");
        return;
    }
    if (wait_for(&profiling->snapshotting, session, done, user) &&
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
        fail_start(profiling, &err);
        return;
    }
    if (!wait_for(&profiling->stopping, session, done, user))
        return;
    if (profiling->stage == STAGE_RUNNING)
        begin_stop(profiling, asked_reason);
    else if (profiling->stage < STAGE_RUNNING)
        profiling->stop_wanted = true;
}

void dap_profiling_copy(struct dap_profiling *profiling, uint32_t within_ms, dap_copy_fn *done,
                        void *user)
{
    bool can = profiling->is_debuggee &&
               (profiling->stage == STAGE_RUNNING || profiling->stage == STAGE_STOPPING);
    if (!can || !dap_copies_add(&profiling->copies, profiling->loop, within_ms, done, user))
        done(user, NULL);
    else if (profiling->stage == STAGE_RUNNING)
        bsk_recording_ask(profiling->recording);
}

/* ---- What the debuggee does --------------------------------------------------------------------
 */

struct child_question {
    struct dap_profiling *profiling;
    struct dap_session *session;
};

static void on_child_pid(void *user, int rc, const char *text, size_t bytes,
                         const struct bsk_error *err)
{
    (void)text, (void)bytes, (void)err;
    struct child_question *question = user;
    struct dap_profiling *profiling = question->profiling;
    struct member *member = member_of(profiling, question->session);
    if (rc == BSK_OK && member) {
        member->pid = dap_session_debuggee(member->session)->pid;
        if (profiling->stage == STAGE_RUNNING && member->pid > 0 && profiling->is_debuggee) {
            bsk_recording_add_process(profiling->recording, member->pid);
            bsk_recording_hold(profiling->recording, member->pid, member->stopped);
        }
    }
    free(question);
    release_reference(profiling);
}

/* It may be read now, or it could not answer; its PID is what counts. */
static void on_child_named_us(void *user, int rc, const char *text, size_t bytes,
                              const struct bsk_error *err)
{
    struct child_question *question = user;
    if (rc == BSK_E_GONE)
        on_child_pid(user, rc, text, bytes, err);
    else
        dap_session_find_pid(question->session, on_child_pid, question);
}

void dap_profiling_on_ready(struct dap_profiling *profiling, struct dap_session *session)
{
    struct member *member = member_of(profiling, session);
    if (!member)
        return;
    member->ready = true;
    if (profiling->stage == STAGE_WAITING && profiling->owner == session) {
        identify(profiling);
        return;
    }
    bool is_child = profiling->members->next != NULL; /* others joined before it */
    struct child_question *question = is_child ? calloc(1, sizeof(*question)) : NULL;
    if (!question)
        return;
    question->profiling = profiling;
    question->session = session;
    profiling->references++;
    if (dap_wanted_tracer() > 0 && dap_session_debuggee(session)->has_channel)
        run_script(session, on_child_named_us, question);
    else
        dap_session_find_pid(session, on_child_pid, question);
}

static void set_stopped(struct dap_profiling *profiling, struct dap_session *session, bool stopped)
{
    struct member *member = member_of(profiling, session);
    if (!member)
        return;
    member->stopped = stopped;
    if (profiling->stage == STAGE_RUNNING && member->pid > 0)
        bsk_recording_hold(profiling->recording, member->pid, stopped);
}

void dap_profiling_on_stopped(struct dap_profiling *profiling, struct dap_session *session)
{
    set_stopped(profiling, session, true);
}

void dap_profiling_on_continued(struct dap_profiling *profiling, struct dap_session *session)
{
    set_stopped(profiling, session, false);
}

bool dap_profiling_on_ending(struct dap_profiling *profiling, struct dap_session *session)
{
    struct member *member = member_of(profiling, session);
    if (!member || profiling->owner != session || profiling->stage == STAGE_IDLE)
        return false;
    if (profiling->stage == STAGE_WAITING || profiling->stage == STAGE_IDENTIFYING) {
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_GONE, "it may have failed to start: see its output",
                 "No samples: the program ended before profiling began");
        fail_start(profiling, &err);
        return false;
    }
    member->must_release = true;
    if (profiling->stage == STAGE_RUNNING)
        begin_stop(profiling, ended_reason(session));
    else if (profiling->stage == STAGE_OPENING)
        profiling->stop_wanted = true;
    return true;
}

const char *dap_profiling_folder(const struct dap_profiling *profiling)
{
    return profiling->folder;
}

unsigned dap_profiling_newest(const struct dap_profiling *profiling)
{
    return profiling->newest;
}

const struct dap_written *dap_profiling_written(const struct dap_profiling *profiling,
                                                unsigned number)
{
    bool kept =
        number > 0 && number <= profiling->newest && profiling->newest - number < DAP_WRITTEN_MAX;
    return kept ? &profiling->written[(number - 1) % DAP_WRITTEN_MAX] : NULL;
}

struct dap_diagnostics *dap_profiling_diagnostics(struct dap_profiling *profiling)
{
    return profiling->diagnostics;
}

bool dap_profiling_running(const struct dap_profiling *profiling,
                           struct bsk_recording_status *out_status, pid_t *out_pid,
                           const char **out_session_id)
{
    if (profiling->stage != STAGE_RUNNING && profiling->stage != STAGE_STOPPING)
        return false;
    if (out_status)
        bsk_recording_status(profiling->recording, out_status);
    if (out_pid)
        *out_pid = profiling->pid;
    if (out_session_id)
        *out_session_id = profiling->session_id;
    return true;
}

/* ---- Leaving -----------------------------------------------------------------------------------
 */

static void dismiss(struct waiter *list, const struct dap_session *session)
{
    struct bsk_error err = { 0 };
    bsk_fail(&err, BSK_E_GONE, NULL, "the debug session has ended");
    for (struct waiter *waiter = list; waiter; waiter = waiter->next) {
        if (waiter->session != session)
            continue;
        waiter->session = NULL;
        waiter->done(waiter->user, BSK_E_GONE, NULL, &err);
    }
}

void dap_profiling_leave(struct dap_profiling *profiling, struct dap_session *session)
{
    struct member **at = &profiling->members;
    while (*at && (*at)->session != session)
        at = &(*at)->next;
    if (*at) {
        struct member *member = *at;
        *at = member->next;
        free(member);
    }
    dismiss(profiling->starting, session);
    dismiss(profiling->snapshotting, session);
    dismiss(profiling->stopping, session);
    if (profiling->owner == session) {
        profiling->owner = NULL;
        bsk_heat_free(profiling->heat); /* whoever hears of it now has heard nothing yet */
        profiling->heat = NULL;
        struct bsk_error err = { 0 };
        bsk_fail(&err, BSK_E_GONE, NULL, "the debug session has ended");
        if (profiling->stage == STAGE_WAITING || profiling->stage == STAGE_IDENTIFYING)
            fail_start(profiling, &err);
    }
    if (!profiling->members) {
        if (profiling->stage == STAGE_RUNNING)
            begin_stop(profiling, ended_reason(NULL));
        else if (profiling->stage == STAGE_OPENING)
            profiling->stop_wanted = true;
    }
    release_reference(profiling);
}
