/*
 * The channel into a debuggee that debugpy's `evaluate` is: see engine/inject/channel.h. It works
 * while the program runs and while it stands, from `initialized` on, on debugpy's own thread.
 *
 * Threads: the loop's.
 */
#ifndef DAP_MEMORY_EVALUATE_H
#define DAP_MEMORY_EVALUATE_H

#include "engine/inject/channel.h"
#include "proxy/session/session.h"

/* NULL when out of memory. */
struct bsk_channel *dap_evaluate_open(struct dap_session *session);
/* The session is not used any more; calls under way end with BSK_E_GONE. Accepts NULL. */
void dap_evaluate_close(struct bsk_channel *channel);

#endif
