/*
 * Plays a log (proxy/wire/log.h) against the session object, in memory: what came from both sides
 * goes in as recorded and at the recorded times, and what comes out is held against what the log
 * says went out. What the extension did then is done again at the same places; its own decisions
 * are not judged.
 */
#ifndef DAP_SESSION_REPLAY_H
#define DAP_SESSION_REPLAY_H

#include "engine/base/error.h"

#include <stddef.h>
#include <stdio.h>

struct dap_replay_result {
    size_t sessions, messages, differences;
};

/* Differences go to `report`, at most 20. Fails with BSK_E_IO or BSK_E_FORMAT when the log cannot
 * be read or is none; a log with differences is no failure. */
int dap_replay(const char *path, FILE *report, struct dap_replay_result *out,
               struct bsk_error *err);

#endif
