/*
 * The threads of a sampler's target, sampled by the kernel at their own clock ticks
 * (engine/python/ticks.h) instead of by bsk_sampler_take(). Exact, and only what runs: a sleeper
 * does not tick. Both may be used on one sampler in turn.
 *
 * Ownership: bsk_sampler_ticks_start() gives the ticks to the caller; bsk_sampler_ticks_stop()
 * takes them back, accepts NULL, and comes before bsk_sampler_close(). All calls come from the
 * thread that the sampler belongs to.
 */
#ifndef BSK_SAMPLING_TICKS_H
#define BSK_SAMPLING_TICKS_H

#include "engine/python/ticks.h"
#include "engine/sampling/sampler.h"

struct bsk_sampler_ticks;

/* `rate_hz`: per second of CPU time of each thread, 1..BSK_TICK_MAX_HZ. Fails with
 * BSK_E_PERMISSION, BSK_E_UNSUPPORTED: then sample by bsk_sampler_take(); BSK_E_GONE. */
int bsk_sampler_ticks_start(struct bsk_sampler *sampler, uint32_t rate_hz,
                            struct bsk_sampler_ticks **out_ticks, struct bsk_error *err);
void bsk_sampler_ticks_stop(struct bsk_sampler_ticks *ticks);

/* Hands out what has ticked since the last call, and looks after threads that are new; to be called
 * every 50 to 100 ms. BSK_E_GONE as bsk_sampler_take(): what ticked before is handed out first. */
int bsk_sampler_ticks_read(struct bsk_sampler_ticks *ticks, bsk_python_tick_fn *fn, void *user,
                           struct bsk_error *err);

/* CPU time that each thread has used since it began, and what threading calls it ("" while that is
 * not known); ignored ones are left out. */
typedef void bsk_sampler_used_fn(pid_t tid, const char *name, uint64_t cpu_ns, void *user);
void bsk_sampler_ticks_used(struct bsk_sampler_ticks *ticks, bsk_sampler_used_fn *fn, void *user);

/* No thread ticks until it is resumed. What has ticked already can still be read. */
void bsk_sampler_ticks_pause(struct bsk_sampler_ticks *ticks, bool pause);

/* True: threads that were born since the last reading have ticked as well, without a clock of their
 * own: what they used until they were found is told by those ticks. */
bool bsk_sampler_ticks_catch_new(const struct bsk_sampler_ticks *ticks);

void bsk_sampler_ticks_counts(const struct bsk_sampler_ticks *ticks,
                              struct bsk_python_tick_counts *out_counts);

#endif
