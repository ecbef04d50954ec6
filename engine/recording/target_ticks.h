/*
 * A target whose threads are sampled at their own clock ticks. Private to this room.
 *
 * Each tick stands for a period of its thread's CPU time. What is paid for it is the thread's own
 * counter: what that moved by between two readings is shared among the ticks that came in between,
 * so that a profile adds up to the CPU time that was really used. Ticks in which nothing of the
 * user's ran take their share with them. A thread that has ended without telling pays the periods
 * themselves.
 */
#ifndef BSK_RECORDING_TARGET_TICKS_H
#define BSK_RECORDING_TARGET_TICKS_H

#include "engine/recording/target.h"

enum { BSK_TICKS_READ_MS = 50 }; /* how often they are read; the program never waits for us */

struct bsk_target_ticks;

/* `everything`: all that its threads have used so far belongs to the profile (a child). Borrows
 * all three. Fails as bsk_sampler_ticks_start(). */
int bsk_target_ticks_start(struct bsk_target *target, struct bsk_target_context *context,
                           struct bsk_sampler *sampler, bool everything,
                           struct bsk_target_ticks **out_ticks, struct bsk_error *err);
/* Reads what is left and settles the accounts. Accepts NULL; before bsk_sampler_close(). */
void bsk_target_ticks_stop(struct bsk_target_ticks *ticks, uint64_t now_ns);

/* What has ticked since the last call goes into the profile; more often than every
 * BSK_TICKS_READ_MS does nothing. As bsk_target_sweep(). */
int bsk_target_ticks_sweep(struct bsk_target_ticks *ticks);

/* While held no thread ticks, and what it uses is nobody's. */
void bsk_target_ticks_hold(struct bsk_target_ticks *ticks, bool hold);

/* Of target_threads.c: the track of a thread in an interpreter (0: the main one), `*out_ignored`
 * when it is the debugger's and has none, `*out_named` when the debug session told its name. */
uint32_t bsk_target_track(struct bsk_target *target, pid_t tid, int64_t interpreter,
                          bool *out_ignored, bool *out_named);
/* Of target_threads.c: what threading calls it, where that is known. */
void bsk_target_follow_name(struct bsk_target *target, uint32_t track, int64_t interpreter,
                            const char *name);
/* Of target_stacks.c: the node of a stack, or BSK_NO_NODE; `*out_is_debuggers` when nothing of the
 * user's is in it. */
uint32_t bsk_target_node(struct bsk_target *target, uint32_t track,
                         const struct bsk_thread_sample *thread, bool *out_is_debuggers);

#endif
