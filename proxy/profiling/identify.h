/*
 * Asking the debuggee who it is: its PID, proof of it, its threads' names, and where the debugger
 * that lives in it has its files.
 *
 * The proof is a random object of 16 bytes that the debuggee shows us and keeps: read from outside
 * at its address, it proves PID, namespace and permission at once. With it comes how the stack of
 * the thread that answers begins, which proves that its stacks are read as they are.
 */
#ifndef DAP_PROFILING_IDENTIFY_H
#define DAP_PROFILING_IDENTIFY_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"
#include "engine/recording/recording.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes the script, for dap_session_run(), to `out`. With `tracer` > 0 the debuggee also names
 * that process as one that may read it (PR_SET_PTRACER; survives exec, not fork). */
void dap_identify_script(struct bsk_buffer *out, pid_t tracer);

/* Our own PID where a process has to name us before we may read it (Yama's ptrace_scope 1: we may
 * read what we launched without that, and not what a terminal did), else 0. */
pid_t dap_wanted_tracer(void);

struct dap_identity {
    pid_t pid; /* as the debuggee sees itself: in its own PID namespace */
    bool has_proof;
    struct bsk_identity proof;
    const char **folders; /* owned, as all below */
    size_t folder_count;
    struct bsk_known_thread *threads;
    size_t thread_count;
    void *memory;
};

/* Understands the script's answer. Fails with BSK_E_FORMAT. */
int dap_identity_parse(const char *text, size_t bytes, struct dap_identity *out_identity,
                       struct bsk_error *err);
void dap_identity_free(struct dap_identity *identity);

#endif
