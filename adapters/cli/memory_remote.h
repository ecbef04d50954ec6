/*
 * Jobs of engine/memory in a process that nobody debugs (CPython 3.14 and later, PEP 768).
 *
 * Ownership: cli_remote_open() gives, cli_remote_close() takes back and accepts NULL.
 */
#ifndef BSK_CLI_MEMORY_REMOTE_H
#define BSK_CLI_MEMORY_REMOTE_H

#include "engine/inject/remote_exec.h"
#include "engine/memory/job.h"

#include <signal.h>

struct cli_remote;

/* `timeout_ms`: for a thread of the target to come and look. Fails as bsk_remote_open(). */
int cli_remote_open(pid_t pid, uint32_t timeout_ms, const volatile sig_atomic_t *stop,
                    struct cli_remote **out_remote, struct bsk_error *err);

/* One job, to its end. `options` is freed. The result lives until the next one. */
int cli_remote_job(struct cli_remote *remote, const struct bsk_script *script,
                   struct bsk_script_options *options,
                   const struct bsk_memory_job_result **out_result, struct bsk_error *err);

/* Takes out what we left in the target between two jobs, unless `keep` (tracking goes on) or an
 * earlier run of ours had left it there. */
void cli_remote_close(struct cli_remote *remote, bool keep);

#endif
