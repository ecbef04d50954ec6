/*
 * The log of a session: one message a line, both directions, for people who debug their editor and
 * for `basilisk replay`.
 *
 *     {"time":12.345678,"session":0,"from":"editor","to":"adapter","message":{"seq":1,...}}
 *     {"time":12.345678,"session":0,"from":"adapter","note":"has ended"}
 *
 * `time` is in seconds since the log began. A message stands there as it was sent, raw newlines
 * turned into spaces; one that is no JSON, or larger than 1 MiB, stands under "text" as an escaped
 * string. Large ones are written as they go by, never collected; what other directions say
 * meanwhile comes after them.
 *
 * The file (mode 0600) is written by a thread of the log's own, so that a slow disk never blocks a
 * session; what does not fit in 16 MiB is left out, and a line says how many messages were.
 * Threads: all calls from one thread.
 */
#ifndef DAP_WIRE_LOG_H
#define DAP_WIRE_LOG_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct dap_log;

int dap_log_open(const char *path, struct dap_log **out_log, struct bsk_error *err);
void dap_log_close(struct dap_log *log); /* writes what waits; accepts NULL */

/* A piece of a message's body; `first` and `last` mark its ends. */
void dap_log_message(struct dap_log *log, unsigned session, const char *from, const char *to,
                     const char *bytes, size_t size, bool first, bool last);
void dap_log_note(struct dap_log *log, unsigned session, const char *from, const char *note);

#endif
