/*
 * Asking the debuggee who it is: its PID, proof of it, its threads' names, and where the debugger
 * that lives in it has its files.
 *
 * The proof is a random object of 16 bytes that the debuggee shows us and keeps: read from outside
 * at its address, it proves PID, namespace and permission at once.
 */
#ifndef DAP_PROFILING_IDENTIFY_H
#define DAP_PROFILING_IDENTIFY_H

#include "engine/base/error.h"
#include "engine/recording/recording.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The script, for dap_session_run(). */
extern const char dap_identify_script[];

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
