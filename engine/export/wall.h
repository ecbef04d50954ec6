/*
 * One line of wall time out of a timeline of many threads.
 *
 * Each stretch of wall time goes to the runs that lasted through it, in proportion to the CPU they
 * used; a run's shares are handed out together, when it ends, so that there are no more stretches
 * than runs. What no run covers is idle. The stretches follow each other without a gap from 0 to
 * the end, and so add up to the wall time exactly.
 */
#ifndef BSK_EXPORT_WALL_H
#define BSK_EXPORT_WALL_H

#include "engine/profile/profile.h"

/* `node` is BSK_NO_NODE for idle time. Times never go back; some stretches may be empty. */
typedef void bsk_wall_fn(uint32_t node, uint64_t start_us, uint64_t end_us, void *user);

/* How long it is: the recording's duration, or to the end of the last run if that is later. */
uint64_t bsk_wall_us(const struct bsk_profile *profile);

/* False when out of memory. */
bool bsk_wall_walk(const struct bsk_profile *profile, bsk_wall_fn *fn, void *user);

#endif
