/* Start, snapshot, collect, objects, stop: one script each. */
#include "proxy/memory/inside.h"

#include "engine/export/export.h"
#include "engine/export/heapprofile.h"
#include "engine/memory/budget.h"
#include "proxy/profiling/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Start -------------------------------------------------------------------------------------
 */

static void started(struct op *op)
{
    struct tracking *tracking = op->tracking;
    const struct bsk_value *value = op->job_result->value;
    const struct bsk_value *python = bsk_value_field(value, "python");
    tracking->foreign = bsk_value_is_true(value, "foreign");
    tracking->leaves_last = bsk_value_is_true(value, "last");
    tracking->pid = (pid_t)bsk_value_integer(value, "pid", 0);
    tracking->options.frames = (uint32_t)bsk_value_integer(value, "frames", 1);
    if (python && python->kind == BSK_VALUE_LIST && python->count == 3)
        snprintf(tracking->python, sizeof(tracking->python), "%d.%d.%d",
                 (int)python->items[0]->integer, (int)python->items[1]->integer,
                 (int)python->items[2]->integer);
    tracking->state = TRACKING_RUNS;
    dap_census_begin(tracking);
    dap_op_end(op);
}

void dap_after_start(struct op *op)
{
    struct tracking *tracking = op->tracking;
    struct dap_session *session = dap_memory_audience(tracking);
    if (tracking->member && tracking->program_waits)
        dap_session_let_run(tracking->member->session);
    if (op->rc == BSK_E_IO) /* no answer in time: it may begin yet */
        dap_undo_start(tracking->memory, tracking->member);
    if (op->rc != BSK_OK)
        dap_tracking_forget(op->tracking);
    else if (session)
        op->tracking->memory->listener->changed(session, op->tracking->memory->user);
}

void dap_begin_start(struct op *op)
{
    struct bsk_script_options options = { 0 };
    op->after = dap_after_start;
    bsk_script_option_int(&options, "frames", op->tracking->options.frames);
    dap_snapshot_options(op->tracking, &options);
    dap_last_options(op->tracking, &options);
    dap_op_script(op, &bsk_script_start_to_end, &options, started);
}

/* ---- Snapshot ----------------------------------------------------------------------------------
 */

void dap_write_heapprofile(struct op *op, const struct bsk_memory_snapshot *snapshot)
{
    const struct tracking *tracking = op->tracking;
    char stem[4096 + 200];
    struct bsk_error err = { 0 };
    int rc = bsk_export_place(tracking->folder, tracking->name, stem, sizeof(stem), &err);
    if (rc == BSK_OK) {
        snprintf(op->heapprofile, sizeof(op->heapprofile), "%s.heapprofile", stem);
        rc = bsk_heapprofile_file(snapshot, op->profile, op->heapprofile, &err);
    }
    if (rc != BSK_OK) {
        op->heapprofile[0] = '\0';
        snprintf(op->warning, sizeof(op->warning), "%.500s", err.message);
    }
}

void dap_understand_snapshot(struct op *op, const struct bsk_memory_job_result *result)
{
    struct tracking *tracking = op->tracking;
    if (!bsk_value_is_true(result->value, "tracing")) {
        op->rc =
            bsk_fail(&op->err, BSK_E_STATE, "start it again with basilisk.memory.start or /memleak",
                     "Memory is not tracked any more: the program has stopped tracemalloc");
        return;
    }
    op->rc = bsk_memory_snapshot_new(result, &op->snapshot, &op->err);
    if (op->rc != BSK_OK)
        return;
    op->snapshot->at_exit = op->is_last;
    bsk_memory_snapshot_explain(op->snapshot, NULL);
    dap_infer_sites(op, op->snapshot);
    dap_write_heapprofile(op, op->snapshot);
    struct bsk_memory_snapshot *snapshot = op->snapshot;
    op->snapshot = NULL;
    op->rc = bsk_memory_history_add(tracking->history, snapshot, &op->err);
    if (op->rc == BSK_OK)
        op->result.snapshot = bsk_memory_history_get(tracking->history, 0);
}

static void understand_dump(struct op *op)
{
    dap_understand_snapshot(op, op->job_result);
}

static void understood_snapshot(struct op *op)
{
    op->tracking->last_number = op->result.snapshot->number;
    op->after_snapshot(op);
}

static void have_profile(struct op *op)
{
    dap_op_work(op, understand_dump, understood_snapshot);
}

static void dumped(struct op *op)
{
    dap_op_profile(op, have_profile);
}

void dap_snapshot_options(const struct tracking *tracking, struct bsk_script_options *options)
{
    struct bsk_memory_budget budget = bsk_memory_budget_for(tracking->pid, NULL);
    bsk_script_option_raw(options, "census", "True");
    bsk_script_option_int(options, "budget_ms", budget.ms);
    bsk_script_option_int(options, "budget_bytes", (int64_t)budget.bytes);
}

void dap_take_snapshot(struct op *op, void (*next)(struct op *op))
{
    struct bsk_script_options options = { 0 };
    op->after_snapshot = next;
    dap_snapshot_options(op->tracking, &options);
    dap_op_script(op, &bsk_script_snapshot, &options, dumped);
}

void dap_tell_snapshot(struct op *op)
{
    const struct dap_memory *memory = op->tracking->memory;
    struct dap_session *session = dap_memory_audience(op->tracking);
    if (session)
        memory->listener->snapshot(session, dap_op_result(op), memory->user);
}

static void taken(struct op *op)
{
    dap_tell_snapshot(op);
    dap_op_end(op);
}

void dap_begin_snapshot(struct op *op)
{
    dap_take_snapshot(op, taken);
}

/* ---- Collect -----------------------------------------------------------------------------------
 */

static void collected(struct op *op)
{
    const struct bsk_value *value = op->job_result->value;
    op->collected = (struct dap_memory_collected){
        .collected = bsk_value_bytes(value, "collected"),
        .uncollectable = bsk_value_bytes(value, "uncollectable"),
        .freed_traced_bytes =
            bsk_value_integer(value, "traced_before", 0) - bsk_value_integer(value, "traced", 0),
        .freed_rss_bytes =
            bsk_value_integer(value, "rss_before", 0) - bsk_value_integer(value, "rss", 0),
    };
    op->result.collected = &op->collected;
    dap_op_end(op);
}

void dap_begin_collect(struct op *op)
{
    struct bsk_script_options options = { 0 };
    dap_op_script(op, &bsk_script_collect, &options, collected);
}

/* ---- Objects -----------------------------------------------------------------------------------
 */

static void understand_objects(struct op *op)
{
    struct timespec now;
    op->rc = bsk_memory_snapshot_new(op->job_result, &op->snapshot, &op->err);
    if (op->rc != BSK_OK || op->snapshot->unix_ns > 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    op->snapshot->unix_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void understood_objects(struct op *op)
{
    op->result.snapshot = op->snapshot;
    if (op->by_itself) {
        const struct dap_memory *memory = op->tracking->memory;
        struct dap_session *session = dap_memory_audience(op->tracking);
        if (session)
            memory->listener->census(session, dap_op_result(op), memory->user);
    }
    dap_op_end(op);
}

static void counted(struct op *op)
{
    dap_op_work(op, understand_objects, understood_objects);
}

void dap_begin_objects(struct op *op)
{
    struct bsk_script_options options = { 0 };
    struct bsk_memory_budget budget = bsk_memory_budget_for(op->tracking->pid, NULL);
    bsk_script_option_int(&options, "budget_ms", budget.ms);
    bsk_script_option_int(&options, "budget_bytes", (int64_t)budget.bytes);
    dap_op_script(op, &bsk_script_census, &options, counted);
}

/* ---- Stop --------------------------------------------------------------------------------------
 */

static void removed(void *user, int rc, const char *text, size_t bytes, const struct bsk_error *err)
{
    (void)rc, (void)text, (void)bytes, (void)err; /* the program may have ended meanwhile */
    struct op *op = user;
    op->tracking->was_stopped = true;
    dap_tracking_ended(op->tracking);
    dap_op_end(op);
}

static void stopped(struct op *op)
{
    struct bsk_buffer text = { 0 };
    struct member *member = op->tracking->member;
    enum { REMOVE_MS = 5000 };
    bsk_script_remove(&text);
    if (member && !text.failed)
        member->channel->call(member->channel, bsk_buffer_text(&text), REMOVE_MS, removed, op);
    else
        removed(op, BSK_OK, NULL, 0, NULL);
    bsk_buffer_free(&text);
}

void dap_begin_stop(struct op *op)
{
    struct bsk_script_options options = { 0 };

    dap_op_script(op, &bsk_script_stop, &options, stopped);
}
