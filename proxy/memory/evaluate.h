/*
 * The channel into a debuggee that debugpy's `evaluate` is: see engine/inject/channel.h.
 *
 * A job begins by one short evaluation, which starts a thread of ours in the debuggee, and is
 * fetched by others; debugpy's own thread is kept for milliseconds at a time. Its dump is opened
 * through /proc/PID/fd; where the debuggee is out of our sight (another machine, another container)
 * it comes through further evaluations, in pieces, up to 64 MiB.
 *
 * Threads: the loop's thread.
 */
#ifndef DAP_MEMORY_EVALUATE_H
#define DAP_MEMORY_EVALUATE_H

#include "engine/inject/channel.h"
#include "proxy/session/session.h"

#include <uv.h>

/* NULL when out of memory. */
struct bsk_channel *dap_evaluate_open(struct dap_session *session, uv_loop_t *loop);
/* The session is not used any more; calls under way end with BSK_E_GONE. Accepts NULL. */
void dap_evaluate_close(struct bsk_channel *channel);

/* The debuggee's PID as we see it, once a dump has proven it; else 0. */
pid_t dap_evaluate_proven_pid(const struct bsk_channel *channel);

#endif
