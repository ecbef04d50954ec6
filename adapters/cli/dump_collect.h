/*
 * What `basilisk dump` shows of one process: each thread once, with a stack that is whole.
 *
 * A stack that moves while it is read is read again, some hundred times where it must be; what
 * never stood still is shown as it was read last, and says so. Nothing is stopped, save
 * with `blocking` (engine/process/pause.h tells what that costs).
 *
 * Ownership: cli_dump_collect() fills in what cli_dump_free() takes back (it accepts zeroes). Names
 * and paths of frames belong to the sampler inside and live as long.
 */
#ifndef BSK_CLI_DUMP_COLLECT_H
#define BSK_CLI_DUMP_COLLECT_H

#include "engine/process/process.h" /* bsk_call_name() */
#include "engine/python/locals.h"
#include "engine/sampling/sampler.h"

struct cli_dump_frame {
    const struct bsk_code_object *code;
    uint32_t line;                         /* 0: unknown */
    uint32_t column, end_line, end_column; /* as in struct bsk_frame; column 0: it has none */
    char *shown; /* the path as it is shown, shortened to its package unless that is not wanted */
    bool has_locals; /* they were asked for and could be read */
    struct bsk_locals locals;
};

struct cli_dump_thread {
    pid_t tid;
    uint64_t ident; /* as threading knows it */
    char *name;     /* "" when unknown */
    enum bsk_thread_state state;
    int32_t call; /* that it sleeps in, or BSK_CALL_UNKNOWN: see bsk_call_name() */
    bool holds_gil, collects, has_stack, torn, truncated, filled, unread;
    bool lost_locals;              /* the frames went on while their variables were read */
    struct cli_dump_frame *frames; /* innermost first */
    size_t depth;
};

struct cli_dump {
    struct bsk_sampler *sampler;
    pid_t pid, parent; /* parent 0: it is the process that was named */
    char command[4096];
    bool is_core;
    struct bsk_core_facts core;           /* where it is one */
    const struct bsk_python_info *python; /* NULL: `error` tells why */
    struct bsk_error error;
    struct cli_dump_thread *threads; /* by rising tid */
    size_t count;
    struct {
        const char *path;
        size_t skip; /* so many bytes of it are not shown */
    } short_paths[64];
    size_t next_short_path;
};

struct cli_dump_options {
    pid_t pid;
    unsigned locals; /* how often it was given: so many times 128 characters a value */
    bool json, subprocesses, native, full_filenames, blocking, nonblocking;
    const char *core;    /* a file instead of `pid`, or NULL */
    const char *sysroot; /* what was / to its process, or NULL */
};

/* Of options->core, or of `pid`. Fails as bsk_sampler_open() and bsk_sampler_take() do; `out_dump`
 * then has pid, command, error.
 */
int cli_dump_collect(pid_t pid, const struct cli_dump_options *options, struct cli_dump *out_dump);
void cli_dump_free(struct cli_dump *dump);

/* How a thread's state is called: "idle", "active+gil", "waiting for GIL", "system call: read", ...
 */
void cli_dump_state(const struct cli_dump_thread *thread, char *out, size_t size);

#endif
