/* A Python that does what a test says, and runs our scripts as debugpy would. */
#ifndef BSK_TESTS_ENGINE_DEBUGGEE_H
#define BSK_TESTS_ENGINE_DEBUGGEE_H

#include "engine/memory/job.h"
#include "tests/engine/fixtures/children.h"

#include <stdbool.h>

struct debuggee {
    struct child child;
    pid_t pid; /* the Python's own, which a chroot's wrapper hides from its parent */
    const char *python;
    size_t calls; /* texts that were run */
};

struct debuggee start_debuggee(const char *python);
void stop_debuggee(struct debuggee *debuggee);

/* Runs code in its __main__, as the file "/app/program.py"; fails the test when that raises. */
void debuggee_does(struct debuggee *debuggee, const char *code);
/* The repr of an expression; lives until the next call. */
const char *debuggee_says(struct debuggee *debuggee, const char *expression);
long long debuggee_number(struct debuggee *debuggee, const char *expression);

/* Runs one text of ours; the bytes that it answered live until the next call. BSK_E_FORMAT when it
 * raised: then they are what it raised. */
int debuggee_runs(struct debuggee *debuggee, const char *text, const void **out_bytes,
                  size_t *out_size);

/* A whole job. The caller frees it; its result may be an error. `how` NULL: this process's PID is
 * known, 20 ms of waiting. */
struct bsk_memory_job *debuggee_job(struct debuggee *debuggee, const struct bsk_script *script,
                                    const struct bsk_script_options *options,
                                    const struct bsk_memory_job_how *how);
/* The same; fails the test when it failed. */
const struct bsk_memory_job_result *result_of(struct bsk_memory_job *job);

#endif
