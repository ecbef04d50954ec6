/*
 * Running a text of Python in a CPython 3.14 or later that nobody debugs: the protocol behind
 * `sys.remote_exec` (PEP 768), done from C. The target is not stopped and needs no preparation; a
 * file is named to it, and it runs that at the next moment between two bytecodes.
 *
 * The text goes into a private file (0600 in a folder 0700, in the target's own file system, of the
 * target's user), and so comes its answer; both are removed. A text runs at most once, and never
 * after bsk_remote_run() has returned: what was not taken by then is withdrawn, and what a caller
 * that was killed has left behind finds its own deadline passed.
 *
 * It is what channel.h says of texts; `_later` is there as well (engine/memory/scripts.h).
 *
 * Threads: one at a time. Ownership: bsk_remote_open() gives the remote to the caller,
 * bsk_remote_close() takes it back (and its files) and accepts NULL.
 */
#ifndef BSK_INJECT_REMOTE_EXEC_H
#define BSK_INJECT_REMOTE_EXEC_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"
#include "engine/python/python.h"

#include <signal.h>

struct bsk_remote;

/* Fails with BSK_E_UNSUPPORTED (3.13 and older), BSK_E_STATE (switched off in the target), and as
 * bsk_process_open() and bsk_python_open() do. `stop` (may be NULL): once it is not zero, whatever
 * waits returns with BSK_E_STATE "Interrupted". */
int bsk_remote_open(pid_t pid, const volatile sig_atomic_t *stop, struct bsk_remote **out_remote,
                    struct bsk_error *err);
void bsk_remote_close(struct bsk_remote *remote);

/* Appends what the text answered. Fails with BSK_E_IO when no thread of the target has run Python
 * code within `timeout_ms` (then it has not run and will not), or when the text began and has not
 * ended two seconds later; BSK_E_FORMAT with what it raised; BSK_E_PERMISSION, BSK_E_GONE. */
int bsk_remote_run(struct bsk_remote *remote, const char *text, uint32_t timeout_ms,
                   struct bsk_buffer *out_answer, struct bsk_error *err);

/* Appends what the last text has given to `_later`; fails with BSK_E_IO when that does not come. */
int bsk_remote_later(struct bsk_remote *remote, uint32_t timeout_ms, struct bsk_buffer *out_answer,
                     struct bsk_error *err);

#endif
