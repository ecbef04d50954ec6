/*
 * A process of a recording that is no Python: a track of its own with one frame, "(not Python:
 * sleep)", that has its CPU time. Private to this room.
 *
 * Its samples are as many as its CPU time has periods of the rate; with BSK_CLOCK_WALL its time is
 * the time that passes, with BSK_CLOCK_GIL it has none.
 *
 * Ownership: bsk_other_open() gives the process to the caller, bsk_other_close() takes it back and
 * accepts NULL.
 */
#ifndef BSK_RECORDING_OTHER_H
#define BSK_RECORDING_OTHER_H

#include "engine/recording/target.h"

struct bsk_other;

/* `unreadable`: nobody knows what it is, since it may not be read. `used_ns`: CPU time of the
 * process that is told elsewhere already. NULL: it has ended, or memory is out. */
struct bsk_other *bsk_other_open(struct bsk_target_context *context, pid_t pid, bool unreadable,
                                 uint64_t used_ns, uint64_t now_ns);

/* What it has used since the last look goes into the profile. `now_ns`: CLOCK_MONOTONIC. */
void bsk_other_look(struct bsk_other *other, uint64_t now_ns);

/* True: another program runs in it since it was opened. */
bool bsk_other_is_another(const struct bsk_other *other);

void bsk_other_close(struct bsk_other *other, uint64_t now_ns);

#endif
