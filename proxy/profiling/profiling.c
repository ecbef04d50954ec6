#include "proxy/profiling/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Life -------------------------------------------------------------------------------------
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

void dap_profiling_release(struct dap_profiling *profiling)
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
    dap_profiling_release(profiling);
}

struct member *dap_profiling_member(struct dap_profiling *profiling,
                                    const struct dap_session *session)
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
            dap_profiling_fail_start(profiling, &err);
    }
    if (!profiling->members) {
        if (profiling->stage == STAGE_RUNNING)
            dap_profiling_begin_stop(profiling, dap_profiling_ended_reason(NULL));
        else if (profiling->stage == STAGE_OPENING)
            profiling->stop_wanted = true;
    }
    dap_profiling_release(profiling);
}

/* ---- Who is told ------------------------------------------------------------------------------
 */

/* The session that hears of the profile: who started it, else any that is still there. */
struct dap_session *dap_profiling_audience(const struct dap_profiling *profiling)
{
    if (profiling->owner)
        return profiling->owner;
    return profiling->members ? profiling->members->session : NULL;
}

void dap_profiling_tell_changed(struct dap_profiling *profiling)
{
    struct dap_session *session = dap_profiling_audience(profiling);
    if (session && profiling->listener->changed)
        profiling->listener->changed(profiling, session, profiling->user);
}

struct waiter *dap_profiling_wait(struct waiter **list, struct dap_session *session,
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

void dap_profiling_answer(struct waiter **list, int rc, const struct dap_profiling_result *result,
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

void dap_profiling_fail_at_once(dap_profiling_fn *done, void *user, enum bsk_code code,
                                const char *hint, const char *message)
{
    struct bsk_error err = { 0 };
    done(user, bsk_fail(&err, code, hint, "%s", message), NULL, &err);
}

struct dap_profiling_result dap_profiling_result_of(const struct dap_profiling *profiling,
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

/* ---- Idle again -------------------------------------------------------------------------------
 */

static void on_bell_closed(uv_handle_t *handle)
{
    struct dap_profiling *profiling = handle->data;
    free(handle);
    dap_profiling_release(profiling);
}

/* Everything of the last profile is gone; sessions that waited for its end go on. */
void dap_profiling_become_idle(struct dap_profiling *profiling)
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
    dap_profiling_tell_changed(profiling);
    profiling->owner = NULL;
    for (struct member *member = profiling->members; member; member = member->next) {
        if (member->must_release)
            dap_session_release(member->session);
        member->must_release = false;
    }
}

void dap_profiling_fail_start(struct dap_profiling *profiling, const struct bsk_error *err)
{
    dap_profiling_answer(&profiling->starting, err->code, NULL, err);
    dap_profiling_answer(&profiling->stopping, err->code, NULL, err);
    dap_profiling_become_idle(profiling);
}

/* ---- What is known of it ----------------------------------------------------------------------
 */

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
