/*
 * The adapter as a process: fork and exec with three pipes, and one reaper for all of the process's
 * children, since orphans of adapters come to us (we are a child subreaper).
 *
 * Never uv_spawn: its SIGCHLD handling takes ptrace stops of processes that we sample for exits.
 * Threads: the loop's, which must be the main thread; children of other threads are left to them.
 */
#ifndef DAP_WIRE_CHILD_H
#define DAP_WIRE_CHILD_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

struct dap_child {
    pid_t pid;
    int in, out, err; /* our ends: the child's stdin, stdout and stderr; close-on-exec */
};

/* Fails with BSK_E_IO ("cannot start X: No such file or directory"). argv[0] is looked up on PATH.
 */
int dap_child_start(char *const *argv, struct dap_child *out_child, struct bsk_error *err);

/* Called in the loop for every child that has gone, also for orphans that came to us. `status` is
 * waitpid()'s. */
typedef void dap_reaped_fn(void *user, pid_t pid, int status);

/* One in a process. Makes the process a child subreaper. */
int dap_reaper_start(uv_loop_t *loop, dap_reaped_fn *fn, void *user, struct bsk_error *err);
void dap_reaper_stop(void); /* its handle closes in a later turn */

/* ---- who is whose ---- */

struct dap_process {
    pid_t pid;
    unsigned long long started; /* field 22 of /proc/PID/stat: tells a reused PID */
};

struct dap_processes {
    struct dap_process *list;
    size_t count, capacity;
};

/* Adds `root`'s descendants (not itself) that are not in the list yet. Those that have made a
 * session of their own (daemons) are left out, with all below them. */
void dap_processes_add_below(struct dap_processes *processes, pid_t root);
/* Adds the direct children of `parent`, daemons left out as well. */
void dap_processes_add_children(struct dap_processes *processes, pid_t parent);
bool dap_processes_contain(const struct dap_processes *processes, pid_t pid);
void dap_processes_add(struct dap_processes *processes, pid_t pid);
/* Forgets those that have gone; how many are left. */
size_t dap_processes_prune(struct dap_processes *processes);
void dap_processes_kill(const struct dap_processes *processes, int signal_number);
void dap_processes_free(struct dap_processes *processes);

#endif
