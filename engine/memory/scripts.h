/*
 * The Python that runs in the debuggee, and how it is called and answers. docs/memory.md is the
 * long version.
 *
 * A *job* is one of the scripts below (engine/memory/scripts/NAME.py, embedded when Basilisk is
 * built). It runs on a thread of its own in the debuggee, in a private module
 * (`sys.modules['_basilisk']`) that scripts/agent.py makes at the first call. Every call is one
 * text of Python that can be run by whoever can run Python there:
 *
 *   - debugpy's evaluate: dap_session_run(session, text, ...) (proxy/session/session.h);
 *   - PEP 768: the text in a file, with the same name `_answer` in its globals.
 *
 * The text calls `_answer(bytes)` once, with marshalled bytes (marshal.h). It returns within
 * `wait_ms` plus a few milliseconds, whatever the job does. Where a runner defines a global
 * `_later` (any callable), `begin` does not wait at all: it answers at once and the job's thread
 * calls `_later(bytes)` with what a last `poll` would have answered. So PEP 768 needs one injection
 * for a job, not several.
 *
 * A job that works through these calls is driven by job.h; nobody else needs to know them.
 *
 * What a job script is: Python 3.8 to 3.15 that defines
 *
 *     def run(a, options):        # `a` is the agent, `options` a dict
 *         ...
 *         return {...}            # small: numbers, text, bytes, lists, dicts, None
 *
 * `a` has: `a.sys`, `a.gc`, `a.time`, `a.posix`, `a.marshal`, `a.tracemalloc` (the C module
 * `_tracemalloc`), `a.itertools`, `a.operator`, `a.functools` (C modules `_operator`,
 * `_functools`); `a.still(steps)`: calls each of `steps` (functions without arguments) from one C
 * call, gc disabled before and restored after, so that no other thread runs between them (with a
 * GIL) and nothing of the user's does; `a.write(bytes)`: appends to the dump; `a.stop_asked()`:
 * true when the answer is not wanted any more; `a.modules`: a dict of whatever a job wants to keep
 * until the agent is removed; `a.load(name)`: a module without the user's `__import__`.
 * No name but these and the builtins is there: no `import` (the user may have patched
 * `builtins.__import__`), no `open`, no `print`. The builtins are a copy of what `builtins` had
 * when the agent was made, without those three.
 */
#ifndef BSK_MEMORY_SCRIPTS_H
#define BSK_MEMORY_SCRIPTS_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bsk_script {
    const char *name;    /* "snapshot"; shows in errors */
    const char *source;  /* embedded (cmake/embed.cmake), or a references script of the graph's */
    const char *library; /* text that stands before it, or NULL */
};

extern const struct bsk_script bsk_script_start; /* options: frames (1) */
/* options: census (True), sizes (of how many objects: 20000; -1 all, 0 none), budget_ms,
 * budget_bytes. The result and the dump are for bsk_memory_snapshot_new(). */
extern const struct bsk_script bsk_script_snapshot;
/* Types alone, without tracemalloc; options: sizes, budget_ms, budget_bytes. */
extern const struct bsk_script bsk_script_census;
extern const struct bsk_script bsk_script_collect; /* gc.collect(): runs the user's __del__ */
/* start, and a last snapshot when the program ends: options: frames, those of snapshot, source (its
 * text), path, device and inode of the file that it goes into (scripts/at_exit.py). stop takes that
 * back. */
extern const struct bsk_script bsk_script_start_to_end;
extern const struct bsk_script bsk_script_stop; /* stops tracemalloc where we have started it */

/* Options are a Python dict literal, made by these: "{'frames': 1}". Text is escaped. */
struct bsk_script_options {
    struct bsk_buffer text; /* owned; free with bsk_buffer_free() */
};
void bsk_script_option_int(struct bsk_script_options *options, const char *key, int64_t value);
void bsk_script_option_text(struct bsk_script_options *options, const char *key, const char *value);
/* `python`: an expression of our own, "[1, 2]". */
void bsk_script_option_raw(struct bsk_script_options *options, const char *key, const char *python);

/*
 * The texts of the six calls. `nonce` is 16 random bytes of ours: it names the job, and stands at
 * the start of its dump. Failures stay in `out` (out->failed).
 *
 * begin:  makes the agent if there is none, starts the job, waits up to `wait_ms` for its end;
 *         answers as poll. A job that still runs under another nonce is told to stop, and its
 *         answer is forgotten.
 * poll:   waits up to `wait_ms`; answers {'state': 'running' | 'done' | 'failed' | 'unknown',
 *         'seconds': since its start, 'cpu': its thread's CPU seconds; done: 'result': what run()
 *         returned, 'dump': bytes in the dump (0: none), 'fd': the descriptor that holds it in the
 *         debuggee, or -1: nothing but pieces; failed: 'error': one line}.
 * piece:  answers the dump's bytes [at, at + size) as one bytes value.
 * drop:   forgets the job, closes its descriptor, answers None.
 * remove: drops all, stops nothing, takes the agent out of sys.modules; answers None.
 * undo:   runs `script` (stop), then removes, for a start that was given up but may have begun yet;
 *         a job that still runs does both at its end. Answers {'state': 'done' | 'running'}, or
 *         None: there is no agent.
 */
enum { BSK_NONCE_BYTES = 16 };

struct bsk_script_how {
    uint32_t wait_ms;
    /* All threads of the program stand still: no collection may start on ours, since a __del__
     * could want a lock of theirs. The collector is off for as long as the call or its job takes.
     */
    bool stopped;
};

void bsk_script_begin(struct bsk_buffer *out, const struct bsk_script *script,
                      const unsigned char nonce[BSK_NONCE_BYTES],
                      const struct bsk_script_options *options, struct bsk_script_how how);
void bsk_script_poll(struct bsk_buffer *out, const unsigned char nonce[BSK_NONCE_BYTES],
                     struct bsk_script_how how);
void bsk_script_piece(struct bsk_buffer *out, const unsigned char nonce[BSK_NONCE_BYTES],
                      uint64_t at, uint32_t size, struct bsk_script_how how);
void bsk_script_drop(struct bsk_buffer *out, const unsigned char nonce[BSK_NONCE_BYTES],
                     struct bsk_script_how how);
void bsk_script_remove(struct bsk_buffer *out);
void bsk_script_undo(struct bsk_buffer *out, const struct bsk_script *script,
                     struct bsk_script_how how);

#endif
