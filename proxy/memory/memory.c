/* Sessions, trackings, and who is asked what. */
#include "proxy/memory/memory.h"

#include "engine/base/strings.h"
#include "proxy/memory/evaluate.h"
#include "proxy/memory/inside.h"
#include "proxy/memory/remote.h"
#include "proxy/profiling/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char no_debugger_hint[] =
    "start it with debugging, by debugpy and without \"noDebug\": memory is tracked through it";

void dap_memory_fail_at_once(dap_memory_fn *done, void *user, enum bsk_code code, const char *hint,
                             const char *message)
{
    struct bsk_error err = { 0 };
    bsk_fail(&err, code, hint, "%s", message);
    if (done)
        done(user, code, NULL, &err);
}

/* ---- The group ---------------------------------------------------------------------------------
 */

struct dap_memory *dap_memory_new(uv_loop_t *loop, const struct dap_memory_listener *listener,
                                  struct dap_profiling *profiling, void *user)
{
    struct dap_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return NULL;
    memory->loop = loop;
    memory->listener = listener;
    memory->user = user;
    memory->profiling = profiling;
    memory->diagnostics = dap_profiling_diagnostics(profiling);
    return memory;
}

void dap_memory_release(struct dap_memory *memory)
{
    if (--memory->references > 0)
        return;
    bsk_source_cache_free(memory->sources);
    free(memory);
}

struct member *dap_member_of(struct dap_memory *memory, const struct dap_session *session)
{
    struct member *member = memory->members;
    while (member && member->session != session)
        member = member->next;
    return member;
}

void dap_memory_join(struct dap_memory *memory, struct dap_session *session)
{
    struct member *member = calloc(1, sizeof(*member));
    memory->references++; /* also when there was no memory: leave() gives it back */
    if (!member)
        return;
    member->session = session;
    member->next = memory->members;
    memory->members = member;
}

struct dap_session *dap_memory_audience(const struct tracking *tracking)
{
    if (tracking->member)
        return tracking->member->session;
    return tracking->memory->members ? tracking->memory->members->session : NULL;
}

/* Out of the list; operations under way still hold it. */
static void drop_tracking(struct dap_memory *memory, struct tracking *tracking)
{
    struct tracking **at = &memory->trackings;
    while (*at && *at != tracking)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = tracking->next;
    tracking->next = NULL;
    tracking->member = NULL; /* it may leave before what is under way has ended */
    dap_tracking_release(tracking);
}

void dap_tracking_forget(struct tracking *tracking)
{
    tracking->state = TRACKING_ENDED;
    drop_tracking(tracking->memory, tracking);
}

/* The program or its session has ended: what was found can still be asked for. */
void dap_tracking_ended(struct tracking *tracking)
{
    if (tracking->state == TRACKING_ENDED)
        return;
    tracking->state = TRACKING_ENDED;
    dap_census_end(tracking);
    struct dap_session *session = dap_memory_audience(tracking);
    if (session)
        dap_diagnostics_clear(tracking->memory->diagnostics, session, tracking);
    if (session)
        tracking->memory->listener->changed(session, tracking->memory->user);
}

void dap_memory_leave(struct dap_memory *memory, struct dap_session *session)
{
    struct member **at = &memory->members;
    while (*at && (*at)->session != session)
        at = &(*at)->next;
    struct member *member = *at;
    if (member) {
        *at = member->next;
        memory->references++; /* while its operations end */
        for (struct tracking *tracking = memory->trackings; tracking; tracking = tracking->next) {
            for (struct op *op = tracking->ops; op; op = op->next)
                op->session = op->session == session ? NULL : op->session;
            if (tracking->member != member)
                continue;
            dap_diagnostics_clear(memory->diagnostics, session, tracking);
            dap_census_end(tracking);
            tracking->state = TRACKING_ENDED;
            tracking->member = NULL;
        }
        if (member->waiting)
            dap_op_fail(member->waiting, BSK_E_GONE, NULL, "the debug session has ended");
        dap_undo_leave(member->undo);
        if (member->is_remote)
            dap_remote_close(member->channel);
        else
            dap_evaluate_close(member->channel);
        free(member);
        memory->references--;
    }
    if (!memory->members) {
        memory->references++;
        while (memory->trackings)
            drop_tracking(memory, memory->trackings);
        memory->references--;
    }
    dap_memory_release(memory);
}

/* ---- Which one ---------------------------------------------------------------------------------
 */

static struct tracking *running_of(const struct dap_memory *memory,
                                   const struct dap_session *session)
{
    struct tracking *tracking = memory->trackings;
    while (tracking && (tracking->state == TRACKING_ENDED || !tracking->member ||
                        tracking->member->session != session))
        tracking = tracking->next;
    return tracking;
}

static struct tracking *last_of(const struct dap_memory *memory)
{
    struct tracking *tracking = memory->trackings;
    while (tracking && tracking->next)
        tracking = tracking->next;
    return tracking;
}

struct tracking *dap_tracking_of(struct dap_memory *memory, struct dap_session *session,
                                 const char *session_id, dap_memory_fn *done, void *user)
{
    struct tracking *tracking = NULL;
    if (session_id) {
        for (tracking = memory->trackings; tracking; tracking = tracking->next) {
            if (strcmp(tracking->session_id, session_id) == 0)
                return tracking;
        }
        char message[160];
        snprintf(message, sizeof(message), "Unknown session \"%.80s\"", session_id);
        dap_memory_fail_at_once(done, user, BSK_E_STATE,
                                "basilisk.memory.start answers with its sessionId", message);
        return NULL;
    }
    tracking = running_of(memory, session);
    if (!tracking)
        tracking = last_of(memory);
    if (!tracking)
        dap_memory_fail_at_once(done, user, BSK_E_STATE,
                                "start it with basilisk.memory.start or /memleak",
                                "Memory is not tracked in this session");
    return tracking;
}

/* ---- Start -------------------------------------------------------------------------------------
 */

static void name_files(struct tracking *tracking, const struct dap_debuggee *debuggee)
{
    dap_place_folder(tracking->options.output_folder, debuggee, 0, tracking->folder,
                     sizeof(tracking->folder));
    const char *slash = strrchr(debuggee->program, '/');
    snprintf(tracking->name, sizeof(tracking->name), "%.200s",
             slash ? slash + 1 : debuggee->program);
    if (bsk_ends_with(tracking->name, ".py"))
        tracking->name[strlen(tracking->name) - 3] = '\0';
    if (!tracking->name[0])
        snprintf(tracking->name, sizeof(tracking->name), "python");
}

static struct tracking *new_tracking(struct dap_memory *memory, struct member *member,
                                     const struct dap_memory_options *options)
{
    struct tracking *tracking = calloc(1, sizeof(*tracking));
    if (!tracking || !(tracking->history = bsk_memory_history_new())) {
        free(tracking);
        return NULL;
    }
    tracking->memory = memory;
    tracking->member = member;
    tracking->references = 1;
    tracking->options = *options;
    if (tracking->options.frames == 0)
        tracking->options.frames = 1;
    snprintf(tracking->session_id, sizeof(tracking->session_id), "mem-%u", ++memory->next_id);
    name_files(tracking, dap_session_debuggee(member->session));
    memory->references++;
    dap_last_open(tracking);

    unsigned kept = 1;
    struct tracking **last = &memory->trackings;
    for (; *last; last = &(*last)->next)
        kept++;
    *last = tracking;
    if (kept > DAP_MEMORY_KEPT) { /* the oldest that is over; where all run, the oldest */
        struct tracking *oldest = memory->trackings;
        while (oldest && oldest->state != TRACKING_ENDED)
            oldest = oldest->next;
        drop_tracking(memory, oldest ? oldest : memory->trackings);
    }
    return tracking;
}

struct tracking *dap_tracking_for_payloads(struct dap_memory *memory, struct dap_session *session,
                                           bool *out_is_new)
{
    static const struct dap_memory_options none = { 0 };
    struct tracking *tracking = running_of(memory, session);
    struct member *member = dap_member_of(memory, session);
    if (!tracking)
        tracking = last_of(memory);
    *out_is_new = !tracking && member;
    if (*out_is_new && (tracking = new_tracking(memory, member, &none)))
        tracking->state = TRACKING_ENDED;
    return tracking;
}

/* Once the debuggee is there: through the debugger, or, where there is none, past it. */
static void open_and_start(struct op *op)
{
    struct member *member = op->tracking->member;
    op->after = dap_after_start;
    if (!member) {
        dap_op_fail(op, BSK_E_GONE, NULL, "the debug session has ended");
        return;
    }
    const struct dap_debuggee *debuggee = dap_session_debuggee(member->session);
    pid_t pid = debuggee->pid > 0 ? debuggee->pid : debuggee->hint_pid;
    if (!member->channel && debuggee->has_channel) {
        member->channel = dap_evaluate_open(member->session);
    } else if (!member->channel && debuggee->no_debug && pid > 0) {
        member->channel = dap_remote_open(pid, op->tracking->memory->loop);
        member->is_remote = true;
    } else if (!member->channel) {
        dap_op_fail(op, BSK_E_STATE, no_debugger_hint, "No debugger in this session");
        return;
    }
    if (member->channel)
        dap_begin_start(op);
    else
        dap_op_fail(op, BSK_E_MEMORY, NULL, "out of memory");
}

void dap_memory_start(struct dap_memory *memory, struct dap_session *session,
                      const struct dap_memory_options *options, dap_memory_fn *done, void *user)
{
    const struct dap_debuggee *debuggee = dap_session_debuggee(session);
    struct member *member = dap_member_of(memory, session);
    if (debuggee->ended) {
        dap_memory_fail_at_once(done, user, BSK_E_STATE, "start it again, then track its memory",
                                "No debug session: the program has ended");
        return;
    }
    if (!member || (!debuggee->started && !member->ready)) {
        dap_memory_fail_at_once(done, user, BSK_E_STATE, "launch or attach first",
                                "No debug session");
        return;
    }
    if (running_of(memory, session)) {
        dap_memory_fail_at_once(done, user, BSK_E_STATE, "stop it first (/memstop)",
                                "Memory is being tracked already");
        return;
    }
    if (member->undo) {
        dap_memory_fail_at_once(
            done, user, BSK_E_STATE,
            "it may be in C code that holds the GIL: try again when it has gone on",
            "The program has not answered since memory tracking was asked for last");
        return;
    }
    struct tracking *tracking = new_tracking(memory, member, options);
    if (!tracking) {
        dap_memory_fail_at_once(done, user, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    struct op *op = dap_op_new(tracking, session, open_and_start, done, user);
    if (op)
        op->after = dap_after_start;
    if (!op)
        drop_tracking(memory, tracking);
    else if (member->ready)
        dap_op_submit(op);
    else
        member->waiting = op;
}

void dap_memory_on_ready(struct dap_memory *memory, struct dap_session *session)
{
    struct member *member = dap_member_of(memory, session);
    if (!member)
        return;
    struct op *op = member->waiting;
    member->ready = true;
    member->waiting = NULL;
    dap_op_submit(op);
}

/* For the last snapshot, and what is under way before it; the session waits three seconds for it
 * (proxy/session/ending.c), less without its editor. */
enum { LAST_MS = 2000 };

static void end_of_program(struct op *op);

/* What grew till then. */
static void after_last_snapshot(struct op *op)
{
    struct tracking *tracking = op->tracking;
    struct member *member = tracking->member;
    if (op->rc != BSK_OK && member && !member->is_remote &&
        !dap_session_debuggee(member->session)->ended) {
        /* It may go on, and has not been stopped: now, and the session waits for that. */
        dap_undo_cancel(member);
        dap_undo_at_end(tracking->memory, member, 0);
        if (member->undo) {
            dap_tracking_ended(tracking);
            return;
        }
    }
    struct op *diff = op->rc == BSK_OK && tracking->last_number > 1
                          ? dap_op_new(tracking, NULL, dap_begin_diff, NULL, NULL)
                          : NULL;
    if (!diff) {
        end_of_program(op);
        return;
    }
    diff->by_itself = diff->is_last = true;
    diff->after = end_of_program;
}

static void end_of_program(struct op *op)
{
    struct tracking *tracking = op->tracking;
    struct member *member = tracking->member;
    dap_tracking_ended(tracking);
    dap_undo_cancel(member);
    if (member && member->must_release) {
        member->must_release = false;
        dap_session_release(member->session);
    }
}

bool dap_memory_on_ending(struct dap_memory *memory, struct dap_session *session)
{
    struct member *member = dap_member_of(memory, session);
    struct tracking *tracking = running_of(memory, session);
    if (!member || !tracking)
        return false;
    if (member->waiting) {
        struct op *waiting = member->waiting;
        member->waiting = NULL;
        dap_op_fail(waiting, BSK_E_GONE, "it may have failed to start: see its output",
                    "The program ended before its memory could be tracked");
        return false;
    }
    /* It has not begun, as far as we know: nobody waits for what it would tell, but a program that
     * the editor lets go must not be left with it. */
    if (tracking->state == TRACKING_STARTING) {
        if (!member->is_remote) /* else it is withdrawn, and its job is still at work */
            dap_undo_at_end(memory, member, 0);
        member->must_release = member->undo != NULL;
        return member->must_release;
    }
    struct op *op = dap_op_new(tracking, session, dap_begin_last, NULL, NULL);
    if (!op)
        return false;
    op->by_itself = op->is_last = true;
    op->after = after_last_snapshot;
    dap_op_submit(op);
    member->must_release = tracking->state != TRACKING_ENDED; /* else it is over already */
    /* What is under way before it may take longer than the session can wait. */
    if (member->must_release && !member->is_remote && !dap_session_debuggee(session)->ended)
        dap_undo_at_end(memory, member, LAST_MS);
    return member->must_release;
}

bool dap_memory_running(const struct dap_memory *memory, const struct dap_session *session,
                        struct dap_memory_result *out_facts)
{
    const struct tracking *tracking = running_of(memory, session);
    if (!tracking || tracking->state != TRACKING_RUNS)
        return false;
    *out_facts = (struct dap_memory_result){
        .session_id = tracking->session_id,
        .pid = tracking->pid,
        .python = tracking->python,
        .frames = tracking->options.frames,
        .foreign = tracking->foreign,
        .snapshots = tracking->last_number,
        .heapprofile = "",
        .warning = "",
    };
    return true;
}

void dap_memory_snapshot(struct dap_memory *memory, struct dap_session *session,
                         const char *session_id, dap_memory_fn *done, void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    if (tracking)
        dap_op_submit(dap_op_new(tracking, session, dap_begin_snapshot, done, user));
}

void dap_memory_diff(struct dap_memory *memory, struct dap_session *session, const char *session_id,
                     uint32_t from, uint32_t to, dap_memory_fn *done, void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    struct op *op = tracking ? dap_op_new(tracking, session, dap_begin_diff, done, user) : NULL;
    if (!op)
        return;
    op->from = from;
    op->to = to;
    dap_op_submit(op);
}

static char *copy_of(const char *text)
{
    return text ? strdup(text) : NULL;
}

void dap_memory_references(struct dap_memory *memory, struct dap_session *session,
                           const char *session_id, const struct dap_memory_wish *wish,
                           dap_memory_fn *done, void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    struct op *op =
        tracking ? dap_op_new(tracking, session, dap_begin_references, done, user) : NULL;
    if (!op)
        return;
    op->type = copy_of(wish->either ? wish->either : wish->type);
    op->either = copy_of(wish->either);
    op->expression = copy_of(wish->expression);
    op->path = copy_of(wish->path);
    op->line = wish->line;
    dap_op_submit(op);
}

void dap_memory_inspect(struct dap_memory *memory, struct dap_session *session,
                        const char *session_id, uint32_t graph, uint64_t id, dap_memory_fn *done,
                        void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    struct op *op = tracking ? dap_op_new(tracking, session, dap_begin_inspect, done, user) : NULL;
    if (!op)
        return;
    op->graph_number = graph;
    op->id = id;
    dap_op_submit(op);
}

void dap_memory_collect(struct dap_memory *memory, struct dap_session *session,
                        const char *session_id, dap_memory_fn *done, void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    if (tracking)
        dap_op_submit(dap_op_new(tracking, session, dap_begin_collect, done, user));
}

void dap_memory_objects(struct dap_memory *memory, struct dap_session *session,
                        const char *session_id, dap_memory_fn *done, void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    if (tracking)
        dap_op_submit(dap_op_new(tracking, session, dap_begin_objects, done, user));
}

bool dap_memory_on_starting(struct dap_memory *memory, struct dap_session *session)
{
    struct tracking *tracking = running_of(memory, session);
    if (!tracking || tracking->state != TRACKING_STARTING)
        return false;
    tracking->program_waits = true;
    return true;
}

static void turn(struct dap_memory *memory, struct dap_session *session)
{
    struct member *member = dap_member_of(memory, session);
    if (member)
        member->turns++;
}

void dap_memory_on_stopped(struct dap_memory *memory, struct dap_session *session)
{
    turn(memory, session);
    struct tracking *tracking = running_of(memory, session);
    if (tracking)
        dap_autopilot(tracking);
}

void dap_memory_on_continued(struct dap_memory *memory, struct dap_session *session)
{
    turn(memory, session);
}

void dap_memory_stop(struct dap_memory *memory, struct dap_session *session, const char *session_id,
                     dap_memory_fn *done, void *user)
{
    struct tracking *tracking = dap_tracking_of(memory, session, session_id, done, user);
    if (tracking)
        dap_op_submit(dap_op_new(tracking, session, dap_begin_stop, done, user));
}
