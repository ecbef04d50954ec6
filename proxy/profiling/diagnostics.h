/*
 * What was said of each URI by basilisk.diagnostics, where several speak: the CPU profile, and each
 * process whose memory is tracked. A receiver takes a list for all that is to be said of its URI,
 * so each event holds what all of them have to say.
 *
 * Whoever speaks is an *owner*, any pointer that is its own. Threads: the loop's.
 */
#ifndef DAP_PROFILING_DIAGNOSTICS_H
#define DAP_PROFILING_DIAGNOSTICS_H

#include "proxy/session/session.h"

struct dap_diagnostics;

struct dap_diagnostics *dap_diagnostics_new(void); /* NULL: out of memory */
void dap_diagnostics_free(struct dap_diagnostics *diagnostics);

/* `list` is a JSON array of LSP diagnostics, all that `owner` has to say of `path` (or "[]"). Sent
 * to `session` with what the others say. A session that knows no custom events hears nothing. */
void dap_diagnostics_say(struct dap_diagnostics *diagnostics, struct dap_session *session,
                         const void *owner, const char *path, const char *list, size_t bytes);

/* Between these two, say() is called for all that `owner` has to say: of URIs that it does not name
 * it has nothing to say any more. */
void dap_diagnostics_begin(struct dap_diagnostics *diagnostics, const void *owner);
void dap_diagnostics_end(struct dap_diagnostics *diagnostics, struct dap_session *session,
                         const void *owner);

/* `session` may be NULL: forgotten without a word. */
void dap_diagnostics_clear(struct dap_diagnostics *diagnostics, struct dap_session *session,
                           const void *owner);

#endif
