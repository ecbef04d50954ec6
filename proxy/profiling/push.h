/*
 * The events basilisk.heat and basilisk.diagnostics: what an editor must hear so that what it knows
 * equals `now`. Each file or URI that is named takes the place of what was said of it before.
 */
#ifndef DAP_PROFILING_PUSH_H
#define DAP_PROFILING_PUSH_H

#include "engine/findings/diagnostics.h"
#include "engine/findings/heat.h"
#include "proxy/profiling/diagnostics.h"
#include "proxy/session/session.h"

/* Sends nothing when nothing changed and `always` is false; returns true when heat was sent.
 * `before` may be NULL. */
bool dap_push_heat(struct dap_session *session, struct dap_diagnostics *diagnostics,
                   struct bsk_source_cache *sources, const struct bsk_heat *before,
                   const struct bsk_heat *now, uint32_t version, bool always);

/* Nothing hot is said of any URI any more. `session` may be NULL. */
void dap_push_no_diagnostics(struct dap_session *session, struct dap_diagnostics *diagnostics);

#endif
