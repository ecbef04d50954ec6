/* What the debuggee does while it is profiled: children that join, stops at breakpoints. */
#include "proxy/profiling/inside.h"

#include <stdlib.h>

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
    struct member *member = dap_profiling_member(profiling, question->session);
    if (rc == BSK_OK && member) {
        member->pid = dap_session_debuggee(member->session)->pid;
        if (profiling->stage == STAGE_RUNNING && member->pid > 0 && profiling->is_debuggee) {
            bsk_recording_add_process(profiling->recording, member->pid);
            bsk_recording_hold(profiling->recording, member->pid, member->stopped);
        }
    }
    free(question);
    dap_profiling_release(profiling);
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
    struct member *member = dap_profiling_member(profiling, session);
    if (!member)
        return;
    member->ready = true;
    if (profiling->stage == STAGE_WAITING && profiling->owner == session) {
        dap_profiling_identify(profiling);
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
        dap_profiling_run_identify(session, on_child_named_us, question);
    else
        dap_session_find_pid(session, on_child_pid, question);
}

void dap_profiling_hold_members(struct dap_profiling *profiling)
{
    for (struct member *member = profiling->members; member; member = member->next) {
        if (member->pid > 0)
            bsk_recording_hold(profiling->recording, member->pid, member->stopped);
    }
}

static void set_stopped(struct dap_profiling *profiling, struct dap_session *session, bool stopped)
{
    struct member *member = dap_profiling_member(profiling, session);
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
