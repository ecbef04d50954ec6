#include "proxy/memory/evaluate.h"

#include <stdlib.h>

struct call {
    struct call *next;
    struct evaluate *evaluate; /* NULL: it is closed, and who asked was told */
    bsk_called_fn *done;       /* NULL: cancelled */
    void *user;
};

struct evaluate {
    struct bsk_channel channel;
    struct dap_session *session;
    struct call *calls; /* under way */
};

static void on_answer(void *user, int rc, const char *text, size_t bytes,
                      const struct bsk_error *err)
{
    struct call *call = user;
    if (call->evaluate) {
        struct call **at = &call->evaluate->calls;
        while (*at != call)
            at = &(*at)->next;
        *at = call->next;
    }
    bsk_called_fn *done = call->done;
    void *asker = call->user;
    free(call);
    if (done)
        done(asker, rc, text, bytes, err);
}

static void call(struct bsk_channel *channel, const char *text, uint32_t timeout_ms,
                 bsk_called_fn *done, void *user)
{
    struct evaluate *evaluate = (struct evaluate *)channel;
    struct call *one = malloc(sizeof(*one));
    if (!one) {
        struct bsk_error err = { 0 };
        done(user, bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory"), NULL, 0, &err);
        return;
    }
    *one = (struct call){ evaluate->calls, evaluate, done, user };
    evaluate->calls = one;
    dap_session_run(evaluate->session, text, timeout_ms, on_answer, one);
}

static void cancel(struct bsk_channel *channel, const void *user)
{
    for (struct call *one = ((struct evaluate *)channel)->calls; one; one = one->next) {
        if (one->user == user)
            one->done = NULL;
    }
}

struct bsk_channel *dap_evaluate_open(struct dap_session *session)
{
    enum {
        ANSWER_MAX_BYTES = 40 << 20
    }; /* a message that is collected has 64 MiB, this in base64 */
    struct evaluate *evaluate = calloc(1, sizeof(*evaluate));
    if (!evaluate)
        return NULL;
    evaluate->channel = (struct bsk_channel){ call, cancel, ANSWER_MAX_BYTES };
    evaluate->session = session;
    return &evaluate->channel;
}

void dap_evaluate_close(struct bsk_channel *channel)
{
    struct evaluate *evaluate = (struct evaluate *)channel;
    struct bsk_error err = { 0 };
    if (!evaluate)
        return;
    bsk_fail(&err, BSK_E_GONE, NULL, "the debug session has ended");
    while (evaluate->calls) {
        struct call *one = evaluate->calls;
        bsk_called_fn *done = one->done;
        evaluate->calls = one->next;
        one->evaluate = NULL; /* the session's answer, if one comes, frees it */
        one->done = NULL;
        if (done)
            done(one->user, BSK_E_GONE, NULL, 0, &err);
    }
    free(evaluate);
}
