/*
 * The way into a target: a text of Python goes in, the bytes that it answers come out.
 *
 * debugpy's `evaluate` is one (proxy/memory/evaluate.h); CPython's own interface for debuggers (PEP
 * 768) can be another. What goes through is engine/memory's: its jobs (engine/memory/job.h) give
 * one text after another and take what comes back, so that each text takes milliseconds in the
 * target.
 *
 * A text is Python 3.8 to 3.15. It finds `_answer`, which takes bytes or text, and calls it once.
 * It is executed in a dictionary of its own; what it raises, SystemExit included, ends nothing.
 *
 * Threads: a channel is used from one thread, its owner's, and calls back on that one.
 */
#ifndef BSK_INJECT_CHANNEL_H
#define BSK_INJECT_CHANNEL_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Called once for each call, maybe before it returns. BSK_OK: what was answered; the bytes live
 * until this returns. Else NULL: BSK_E_STATE (no way in now), BSK_E_GONE (the target or its session
 * has ended), BSK_E_IO (no answer in time), BSK_E_FORMAT (the text failed; the message has the last
 * line), BSK_E_LIMIT, BSK_E_MEMORY.
 */
typedef void bsk_called_fn(void *user, int rc, const char *bytes, size_t size,
                           const struct bsk_error *err);

struct bsk_channel {
    void (*call)(struct bsk_channel *channel, const char *text, uint32_t timeout_ms,
                 bsk_called_fn *done, void *user);
    /* Calls that were made for `user` do not call back any more; what they began is not undone. */
    void (*cancel)(struct bsk_channel *channel, const void *user);
    size_t max_bytes; /* of one answer */
};

/* Appends `text` as a Python string literal, whatever it holds. Bytes that are no UTF-8 become
 * surrogates (PEP 383), as paths have them. */
void bsk_python_literal(struct bsk_buffer *out, const char *text);

#endif
