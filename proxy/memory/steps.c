/* What is asked of a tracking, one after the other: scripts in the debuggee, work on a worker, the
 * answer. */
#include "proxy/memory/inside.h"
#include "proxy/memory/remote.h"

#include <stdlib.h>
#include <string.h>

void dap_tracking_release(struct tracking *tracking)
{
    if (--tracking->references > 0)
        return;
    struct dap_memory *memory = tracking->memory;
    bsk_memory_history_free(tracking->history);
    dap_holds_free(tracking);
    dap_last_close(tracking);
    dap_census_end(tracking);
    for (size_t i = 0; i < KEPT_GRAPHS; i++)
        bsk_references_free(tracking->graphs[i].references);
    free(tracking->visits);
    free(tracking);
    dap_memory_release(memory);
}

void dap_op_begin_next(struct tracking *tracking)
{
    if (tracking->ops)
        tracking->ops->begin(tracking->ops);
}

void dap_op_submit(struct op *op)
{
    if (op && op->tracking->ops == op)
        dap_op_begin_next(op->tracking);
}

struct op *dap_op_new(struct tracking *tracking, struct dap_session *session,
                      void (*begin)(struct op *op), dap_memory_fn *done, void *user)
{
    struct op *op = calloc(1, sizeof(*op));
    if (!op) {
        dap_memory_fail_at_once(done, user, BSK_E_MEMORY, NULL, "out of memory");
        return NULL;
    }
    op->tracking = tracking;
    op->session = session;
    op->begin = begin;
    op->done = done;
    op->user = user;
    tracking->references++;
    struct op **last = &tracking->ops;
    while (*last)
        last = &(*last)->next;
    *last = op;
    return op;
}

const struct dap_memory_result *dap_op_result(struct op *op)
{
    const struct tracking *tracking = op->tracking;
    op->result.session_id = tracking->session_id;
    op->result.pid = tracking->pid;
    op->result.python = tracking->python;
    op->result.frames = tracking->options.frames;
    op->result.foreign = tracking->foreign;
    op->result.history = tracking->history;
    op->result.snapshots = tracking->last_number;
    op->result.heapprofile = op->heapprofile;
    op->result.warning = op->warning;
    op->result.by_itself = op->by_itself;
    op->result.autopilot = tracking->options.autopilot;
    op->result.over = op->is_last || tracking->state == TRACKING_ENDED;
    return &op->result;
}

void dap_op_end(struct op *op)
{
    struct tracking *tracking = op->tracking;
    if (op->after)
        op->after(op);
    if (op->done)
        op->done(op->user, op->rc, op->rc == BSK_OK ? dap_op_result(op) : NULL, &op->err);
    tracking->ops = op->next;
    bsk_memory_job_free(op->job);
    bsk_buffer_free(&op->said);
    bsk_memory_diff_free(op->diff);
    bsk_memory_snapshot_free(op->snapshot);
    bsk_graph_free(op->graph);
    bsk_profile_free(op->profile);
    bsk_references_free(op->references);
    free(op->looks_at);
    bsk_buffer_free(&op->text);
    for (size_t i = 0; i < op->leak_count; i++)
        free((char *)op->leaks[i].path);
    free(op->type);
    free(op->expression);
    free(op->path);
    free(op->either);
    free(op);
    dap_op_begin_next(tracking);
    dap_tracking_release(tracking);
}

void dap_op_fail(struct op *op, enum bsk_code code, const char *hint, const char *message)
{
    op->rc = bsk_fail(&op->err, code, hint, "%s", message);
    dap_op_end(op);
}

/* ---- Scripts -----------------------------------------------------------------------------------
 */

enum {
    CALL_WAIT_MS =
        15,        /* debugpy's thread is kept that long at most, and most jobs are done by then */
    PAUSE_MS = 10, /* between two looks at one that is not; doubles up to */
    PAUSE_MAX_MS = 100,
    GIVE_UP_MS = 20000,
    DUMP_MAX_BYTES = 512 << 20, /* the scripts keep to budgets well below */
};

static void pump(struct op *op);

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_timer(uv_timer_t *timer)
{
    struct op *op = timer->data;
    uv_close((uv_handle_t *)timer, on_timer_closed);
    op->next_step(op);
}

void dap_op_wait(struct op *op, uint32_t after_ms, void (*next)(struct op *op))
{
    uv_timer_t *timer = malloc(sizeof(*timer));
    op->next_step = next;
    if (!timer || uv_timer_init(op->tracking->memory->loop, timer) != 0) {
        free(timer);
        dap_op_fail(op, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    timer->data = op;
    uv_timer_start(timer, on_timer, after_ms, 0);
}

bool dap_says_running(const char *text, size_t bytes)
{
    enum { WORDS_BYTES = 1 << 12 }; /* more is a result */
    struct bsk_value_tree tree = { 0 };
    char state[16] = "";
    if (bytes < WORDS_BYTES && bsk_marshal_read(text, bytes, 0, &tree, NULL) == BSK_OK)
        bsk_value_text(tree.root, "state", state, sizeof(state));
    bsk_value_tree_free(&tree);
    return strcmp(state, "running") == 0;
}

static void understand(struct op *op)
{
    op->is_running = dap_says_running(op->said.data, op->said.size);
    bsk_memory_job_answer(op->job, BSK_OK, op->said.data, op->said.size, NULL);
}

static void understood(struct op *op)
{
    uint32_t pause = op->pause_ms;
    if (!op->is_running) {
        pump(op);
        return;
    }
    op->pause_ms = 2 * pause < PAUSE_MAX_MS ? 2 * pause : PAUSE_MAX_MS;
    dap_op_wait(op, pause, pump);
}

static void on_text(void *user, int rc, const char *text, size_t bytes, const struct bsk_error *err)
{
    struct op *op = user;
    bsk_buffer_clear(&op->said);
    if (rc == BSK_OK && !bsk_buffer_append(&op->said, text, bytes)) {
        static const struct bsk_error full = { .code = BSK_E_MEMORY, .message = "out of memory" };
        rc = BSK_E_MEMORY;
        err = &full;
    }
    if (rc == BSK_OK) {
        dap_op_work(op, understand, understood); /* its dump may be large */
        return;
    }
    struct bsk_error late = { 0 };
    if (rc == BSK_E_IO) {
        bsk_fail(&late, rc,
                 "it may be in C code that holds the GIL, or wait for a lock: try again later",
                 "The program did not answer in time");
        err = &late;
    }
    bsk_memory_job_answer(op->job, rc, NULL, 0, err);
    pump(op);
}

static void take_result(struct op *op)
{
    op->job_result = bsk_memory_job_result(op->job, &op->err);
    op->rc = op->job_result ? BSK_OK : op->err.code;
    if (op->job_result)
        op->after_script(op);
    else if (op->on_failure)
        op->on_failure(op);
    else
        dap_op_end(op);
}

/* Says the next text, or what came of it all. */
static void pump(struct op *op)
{
    uint32_t timeout_ms = 0;
    struct member *member = op->tracking->member;
    const char *text = bsk_memory_job_next(op->job, &timeout_ms);
    op->is_running = false;
    if (text && member) {
        member->channel->call(member->channel, text, timeout_ms, on_text, op);
        return;
    }
    if (text) {
        dap_op_fail(op, BSK_E_GONE, NULL, "the debug session has ended");
        return;
    }
    take_result(op);
}

/* Without a debugger. */
static void run_remote(struct op *op)
{
    dap_remote_job(op->channel, op->job);
}

static void remote_ran(struct op *op)
{
    dap_remote_release(op->channel);
    take_result(op);
}
static bool op_is_stopped(const struct op *op)
{
    const struct member *member = op->tracking->member;
    return member && dap_session_debuggee(member->session)->stopped;
}

void dap_op_script(struct op *op, const struct bsk_script *script,
                   struct bsk_script_options *options, void (*next)(struct op *op))
{
    const struct member *member = op->tracking->member;
    struct bsk_memory_job_how how = { .pid = op->tracking->pid,
                                      .wait_ms = CALL_WAIT_MS,
                                      .give_up_ms = GIVE_UP_MS,
                                      .max_dump_bytes = DUMP_MAX_BYTES,
                                      .stopped = op_is_stopped(op),
                                      .later = member && member->is_remote };
    if (member && member->taken_back) {
        bsk_buffer_free(&options->text);
        dap_op_fail(op, BSK_E_GONE, NULL, "the debug session has ended");
        return;
    }
    if (member && !member->channel && op->tracking->state != TRACKING_ENDED) {
        bsk_buffer_free(&options->text);
        dap_op_fail(op, BSK_E_GONE, NULL, "The program ended before its memory could be tracked");
        return;
    }
    if (op->tracking->state == TRACKING_ENDED) {
        bsk_buffer_free(&options->text);
        dap_op_fail(op, BSK_E_STATE, "start it with basilisk.memory.start or /memleak",
                    op->tracking->was_stopped
                        ? "Memory is not tracked any more: it was stopped"
                        : "Memory is not tracked any more: the program has ended");
        return;
    }
    bsk_memory_job_free(op->job);
    op->job = NULL;
    op->job_result = NULL;
    op->pause_ms = PAUSE_MS;
    op->after_script = next;
    op->rc = bsk_memory_job_new(script, options, &how, &op->job, &op->err);
    bsk_buffer_free(&options->text);
    if (op->rc != BSK_OK) {
        dap_op_end(op);
    } else if (member && member->is_remote) {
        op->channel = member->channel;
        dap_remote_hold(op->channel);
        dap_op_work(op, run_remote, remote_ran);
    } else {
        pump(op);
    }
}

/* ---- Work --------------------------------------------------------------------------------------
 */

static void on_worker(uv_work_t *work)
{
    struct op *op = work->data;
    op->work_step(op);
}

static void after_work(uv_work_t *work, int cancelled)
{
    (void)cancelled; /* we never cancel */
    struct op *op = work->data;
    if (op->rc != BSK_OK)
        dap_op_end(op);
    else
        op->next_step(op);
}

void dap_op_work(struct op *op, void (*work)(struct op *op), void (*next)(struct op *op))
{
    op->work.data = op;
    op->work_step = work;
    op->next_step = next;
    uv_queue_work(op->tracking->memory->loop, &op->work, on_worker, after_work);
}
