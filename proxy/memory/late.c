/* Taking everything back by one text. A start that was given up may begin yet: its text lies in the
 * debugger's queue until C code lets go of the GIL, and this one behind it. A session that ends
 * cannot wait for all that is under way: jobs that hear of it take it back at their end. */
#include "proxy/memory/inside.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Nobody waits for it, and it must not be given up as well: the session's end is its end. */
    ANSWER_MS = 24 * 3600 * 1000,
    REMOTE_MS = 15000, /* it keeps a worker, and what was withdrawn does not begin later */
    REMOTE_TRIES = 4,
    AGAIN_MS = 100, /* the start's own thread is at it; also how often the editor is looked for */
    ALONE_MS = 400, /* without it the session waits a second (proxy/session/ending.c) */
};

struct undo {
    struct member *member; /* NULL: its session has left */
    uv_timer_t timer;
    uint32_t left_ms; /* until it is said */
    bool said;        /* and not answered yet */
    bool at_end;      /* of the session: nothing may begin behind it */
    unsigned tries;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* The debuggee has heard it: what is still to be done, it does by itself. */
static void let_go(struct member *member)
{
    if (!member || !member->must_release)
        return;
    member->must_release = false;
    dap_session_release(member->session);
}

static void end(struct undo *undo)
{
    struct member *member = undo->member;
    undo->member = NULL;
    if (member)
        member->undo = NULL;
    uv_close((uv_handle_t *)&undo->timer, on_closed);
    let_go(member);
}

static void say(struct undo *undo);

static void on_timer(uv_timer_t *timer);

static void wait_or_say(struct undo *undo)
{
    if (dap_session_editor_gone(undo->member->session) && undo->left_ms > ALONE_MS)
        undo->left_ms = ALONE_MS;
    uint32_t step_ms = undo->left_ms < AGAIN_MS ? undo->left_ms : AGAIN_MS;
    if (step_ms == 0) {
        say(undo);
        return;
    }
    undo->left_ms -= step_ms;
    uv_timer_start(&undo->timer, on_timer, step_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct undo *undo = timer->data;
    if (undo->member)
        wait_or_say(undo);
    else
        end(undo);
}

static void on_answer(void *user, int rc, const char *text, size_t bytes,
                      const struct bsk_error *err)
{
    (void)err;
    struct undo *undo = user;
    undo->said = false;
    bool again = rc == BSK_OK ? dap_says_running(text, bytes)
                              : rc == BSK_E_IO && undo->member && undo->member->is_remote &&
                                    ++undo->tries < REMOTE_TRIES;
    if (!again || !undo->member) {
        end(undo);
        return;
    }
    uv_timer_start(&undo->timer, on_timer, AGAIN_MS, 0);
    let_go(undo->member);
}

static void say(struct undo *undo)
{
    struct bsk_buffer text = { 0 };
    struct member *member = undo->member;
    struct bsk_script_how how = { .stopped = dap_session_debuggee(member->session)->stopped };
    bsk_script_undo(&text, &bsk_script_stop, how);
    undo->said = !text.failed;
    if (undo->at_end)
        member->taken_back = true;
    if (text.failed)
        end(undo);
    else
        member->channel->call(member->channel, bsk_buffer_text(&text),
                              member->is_remote ? REMOTE_MS : ANSWER_MS, on_answer, undo);
    bsk_buffer_free(&text);
}

static void undo_start(struct dap_memory *memory, struct member *member, uint32_t within_ms,
                       bool at_end)
{
    if (!member || !member->channel || member->undo)
        return;
    struct undo *undo = calloc(1, sizeof(*undo));
    if (!undo || uv_timer_init(memory->loop, &undo->timer) != 0) {
        free(undo); /* then what has begun stays till the program ends */
        return;
    }
    undo->timer.data = undo;
    undo->member = member;
    undo->left_ms = within_ms;
    undo->at_end = at_end;
    member->undo = undo;
    wait_or_say(undo);
}

void dap_undo_start(struct dap_memory *memory, struct member *member)
{
    undo_start(memory, member, 0, false);
}

void dap_undo_at_end(struct dap_memory *memory, struct member *member, uint32_t within_ms)
{
    undo_start(memory, member, within_ms, true);
}

void dap_undo_cancel(struct member *member)
{
    struct undo *undo = member ? member->undo : NULL;
    if (!undo || undo->said)
        return;
    undo->member = NULL;
    member->undo = NULL;
    uv_close((uv_handle_t *)&undo->timer, on_closed);
}

void dap_undo_leave(struct undo *undo)
{
    if (undo && undo->said)
        undo->member = NULL; /* its answer, or the channel's end, is still to come */
    else if (undo)
        dap_undo_cancel(undo->member);
}
