/* What is asked of a tracking, one after the other: scripts in the debuggee, work on a worker, the
 * answer. */
#include "proxy/memory/inside.h"

#include <stdlib.h>

void dap_tracking_release(struct tracking *tracking)
{
    if (--tracking->references > 0)
        return;
    struct dap_memory *memory = tracking->memory;
    bsk_memory_history_free(tracking->history);
    free(tracking);
    if (--memory->references == 0)
        free(memory);
}

void dap_op_begin_next(struct tracking *tracking)
{
    if (tracking->ops)
        tracking->ops->begin(tracking->ops);
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
    op->result.heapprofile = op->heapprofile;
    op->result.warning = op->warning;
    op->result.by_itself = op->by_itself;
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
    bsk_answer_free(op->answer);
    bsk_memory_diff_free(op->diff);
    bsk_memory_snapshot_free(op->snapshot);
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

static void on_answer(void *user, int rc, struct bsk_answer *answer, const struct bsk_error *err)
{
    struct op *op = user;
    bsk_answer_free(op->answer);
    op->answer = answer;
    op->rc = rc;
    if (rc != BSK_OK) {
        op->err = *err;
        dap_op_end(op);
        return;
    }
    op->next_step(op);
}

void dap_op_run(struct op *op, const struct bsk_job *job, void (*next)(struct op *op))
{
    struct member *member = op->tracking->member;
    if (!member || !member->channel) {
        dap_op_fail(op, BSK_E_GONE, "start it again", "The program has ended");
        return;
    }
    op->next_step = next;
    member->channel->call(member->channel, job, on_answer, op);
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
