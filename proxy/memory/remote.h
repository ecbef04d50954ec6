/*
 * The channel into a debuggee without a debugger (noDebug): CPython 3.14 and later, PEP 768
 * (engine/inject/remote_exec.h). Each call is made on one of libuv's workers, one at a time.
 *
 * Threads: the loop's.
 */
#ifndef DAP_MEMORY_REMOTE_H
#define DAP_MEMORY_REMOTE_H

#include "engine/inject/channel.h"
#include "engine/memory/job.h"

#include <sys/types.h>
#include <uv.h>

/* `pid`: of the process, or of a wrapper above it. NULL when out of memory; whether it can be
 * reached the first call tells. */
struct bsk_channel *dap_remote_open(pid_t pid, uv_loop_t *loop);
/*
 * A whole job (made with how.later), on a worker: a text that came while its thread runs could be
 * taken up by that very thread. hold() before, release() after it, both on the loop's thread.
 */
void dap_remote_hold(struct bsk_channel *channel);
void dap_remote_job(struct bsk_channel *channel, struct bsk_memory_job *job);
void dap_remote_release(struct bsk_channel *channel);

/* Calls under way end with BSK_E_GONE. Accepts NULL. */
void dap_remote_close(struct bsk_channel *channel);

#endif
