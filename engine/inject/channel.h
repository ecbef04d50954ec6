/*
 * Running a script of ours inside a target, and taking home what it found.
 *
 * A channel is the way in: debugpy's `evaluate` (proxy/memory/evaluate.h), or CPython's own safe
 * external interface (PEP 768, this room). Whoever has work for the target (engine/memory) sees
 * only this. The parts of a job that run inside are in prelude.py, the same for every channel.
 *
 * ## What a script finds (Python 3.8 to 3.15)
 *
 * It is executed once, as a module of its own that nobody else sees, compiled under the file name
 * "<basilisk>", on a thread of ours that no debugger traces and that is not in `threading`'s lists;
 * never on debugpy's thread. The garbage collector is off while it runs and as it was afterwards.
 * Builtins are the interpreter's: `__import__` and `open` that the program has replaced are not
 * called. In its globals:
 *
 *   _arguments       a dict: bsk_job.arguments
 *   _answer(value)   the answer; the last one counts. str and bytes as they are, all else (dict,
 *                    list, tuple, str, int, float, bool, None) as JSON. At most
 * BSK_ANSWER_MAX_BYTES. _dump(bytes)     opens the dump, a binary file to write to, and returns it;
 * `bytes` is how much will be written, at most. Raises _Refused when that is more than _room().
 * Once. _room()          how many bytes a dump may have now: the least of bsk_job.max_dump_bytes,
 * half of what the temporary file system has free, and, where that is memory, half of what is left
 * in the cgroup and in the machine. _Refused(text, hint)  raise it to refuse for a reason that a
 * person is to read: BSK_E_STATE. _gc_enabled      was the collector on when the job began? _home
 * the one module that Basilisk has in the target (`sys.modules['_basilisk']`). What must outlive a
 * script is an attribute of it; "memory_…" and "graph_…" belong to engine/memory. _ours objects of
 * ours that are alive while the script runs (a list: our frames, module dictionaries, the thread's
 * own), to be left out of what is counted.
 *
 * Anything else that it raises, SystemExit included, becomes BSK_E_FORMAT with its last line.
 * A script imports what is part of every interpreter (sys, gc, marshal, _thread, time …) or what is
 * loaded already; whatever else it loads stays in the user's sys.modules.
 *
 * Threads: a channel is used from one thread, its owner's, and calls back on that one.
 */
#ifndef BSK_INJECT_CHANNEL_H
#define BSK_INJECT_CHANNEL_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    BSK_ANSWER_MAX_BYTES = 4 << 20, /* of one answer's text; what is larger is a dump */
    BSK_JOB_TIMEOUT_MS = 20000,     /* when a job names none */
};
#define BSK_DUMP_MAX_BYTES ((uint64_t)256 << 20) /* when a job names none */

struct bsk_job {
    const char *source;      /* the script; need not live longer than the call */
    const char *arguments;   /* a Python dict literal, such as "{'frames': 1}"; NULL: {} */
    uint32_t timeout_ms;     /* until its answer, waiting for its turn included; 0: the default */
    uint64_t max_dump_bytes; /* 0: the default */
};

/* What a job came back with. */
struct bsk_answer {
    char *text; /* terminated by a zero that does not count; never NULL */
    size_t text_bytes;

    /* The dump: a file that has no name any more, or bytes in memory when no file is shared with
     * the target. Use bsk_answer_dump(). */
    int dump_fd; /* -1: none */
    unsigned char *dump_memory;
    uint64_t dump_bytes; /* 0: the script made no dump */
    void *mapped;

    uint64_t wall_ns; /* from the script's first line to its last */
    uint64_t cpu_ns;  /* of its thread: what the target was kept from, at most */
};

/* The dump as bytes, which live as long as the answer; *out_bytes NULL and size 0 when there is
 * none. May take long (it maps a file): for a worker. Fails with BSK_E_IO. */
int bsk_answer_dump(struct bsk_answer *answer, const unsigned char **out_bytes, size_t *out_size,
                    struct bsk_error *err);
void bsk_answer_free(struct bsk_answer *answer); /* accepts NULL; frees `answer` too */

/*
 * Called once for each call. BSK_OK: `answer` is the callee's, who frees it. Else it is NULL:
 * BSK_E_STATE (no channel now, or refused by the script), BSK_E_GONE (the target or its session
 * ends), BSK_E_IO (no answer in time, or the dump could not be read), BSK_E_FORMAT (the script
 * failed), BSK_E_LIMIT (more than was promised), BSK_E_MEMORY, BSK_E_UNSUPPORTED.
 */
typedef void bsk_answer_fn(void *user, int rc, struct bsk_answer *answer,
                           const struct bsk_error *err);

struct bsk_channel {
    /* Runs the job, after those that were given before it: one at a time in a target. `done` may be
     * called before this returns. The result names the call for cancel(); it is never 0. */
    uint64_t (*call)(struct bsk_channel *channel, const struct bsk_job *job, bsk_answer_fn *done,
                     void *user);
    /* `done` will not be called any more; a script that runs already runs on and its answer is
     * dropped. A call that is over is ignored. */
    void (*cancel)(struct bsk_channel *channel, uint64_t call);
    uint64_t max_bytes; /* of a dump; less than what a job names: this counts */
};

/* Appends `text` as a Python string literal, whatever it holds: for bsk_job.arguments. Bytes that
 * are no UTF-8 become surrogates (PEP 383), as paths have them. */
void bsk_python_literal(struct bsk_buffer *out, const char *text);

#endif
