/* While a profile runs: what the recording's bell brings, heat for the editor and copies for who
 * asked. */
#include "proxy/profiling/inside.h"
#include "proxy/profiling/push.h"

void dap_profiling_push(struct dap_profiling *profiling, const struct bsk_totals *totals,
                        bool always)
{
    struct dap_session *session = dap_profiling_audience(profiling);
    if (!session || !dap_session_client(session)->custom_events)
        return;
    if (!always && dap_session_waiting_bytes(session) > 0)
        return; /* a slow editor: the next push tells all that has changed by then */
    if (!profiling->sources)
        profiling->sources = bsk_source_cache_new();
    struct bsk_heat *now = bsk_heat_new(totals, &profiling->options.thresholds);
    if (!now || !profiling->sources) {
        bsk_heat_free(now);
        return;
    }
    if (dap_push_heat(session, profiling->diagnostics, profiling->sources, profiling->heat, now,
                      profiling->heat_version + 1, always))
        profiling->heat_version++;
    bsk_heat_free(profiling->heat);
    profiling->heat = now;
}

void dap_profiling_on_bell(uv_async_t *bell)
{
    struct dap_profiling *profiling = bell->data;
    if (!profiling->recording || profiling->stage == STAGE_WRITING)
        return;
    struct bsk_totals *totals = bsk_recording_take_totals(profiling->recording);
    struct bsk_profile *profile = bsk_recording_take_profile(profiling->recording);
    struct bsk_recording_status status;
    bsk_recording_status(profiling->recording, &status);
    if (status.ended) {
        /* It may have ended since the take: then the last profile is there only now. */
        struct bsk_profile *last = bsk_recording_take_profile(profiling->recording);
        if (last) {
            bsk_profile_free(profile);
            profile = last;
        }
        dap_copies_give_all(&profiling->copies, profile);
        dap_profiling_write(profiling, profile, true);
    } else if (profile && profiling->snapshotting) {
        dap_profiling_write(profiling, profile, false);
    } else if (profile) {
        dap_copies_give(&profiling->copies, profile);
    }
    if (profile && !status.ended && dap_copies_wanted(&profiling->copies))
        bsk_recording_ask(profiling->recording); /* one for each */
    if (totals && !status.ended)
        dap_profiling_push(profiling, totals, false);
    bsk_totals_free(totals);
}

/* On the recording's thread. */
void dap_profiling_ring(void *user)
{
    uv_async_send(user);
}

void dap_profiling_copy(struct dap_profiling *profiling, uint32_t within_ms, dap_copy_fn *done,
                        void *user)
{
    bool can = profiling->is_debuggee &&
               (profiling->stage == STAGE_RUNNING || profiling->stage == STAGE_STOPPING);
    if (profiling->is_debuggee && profiling->last)
        done(user, bsk_profile_clone(profiling->last));
    else if (!can || !dap_copies_add(&profiling->copies, profiling->loop, within_ms, done, user))
        done(user, NULL);
    else if (profiling->stage == STAGE_RUNNING)
        bsk_recording_ask(profiling->recording);
}
