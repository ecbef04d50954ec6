/*
 * Stopping threads of a process for a moment (ptrace: seize and interrupt), for who asked for it:
 * `record --blocking`, `dump --blocking`.
 *
 * Not without a price: a thread that is stopped inside some system calls, or on its way into one
 * (epoll_wait, sigtimedwait and others), gets EINTR from them afterwards, which programs in C may
 * not expect. Should the caller die, even by SIGKILL, the kernel lets the threads go on.
 *
 * A signal that a thread was about to get is given to it when it goes on. How a child of ours ended
 * is left for whoever waits for it.
 *
 * Threads: all calls on one pause, and all that is read meanwhile, belong to one thread of the
 * caller. Ownership: bsk_pause_open() and bsk_process_pause() give the pause to the caller,
 * bsk_process_resume() takes it back, lets all go on, and accepts NULL.
 */
#ifndef BSK_PROCESS_PAUSE_H
#define BSK_PROCESS_PAUSE_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bsk_pause;

/* What the stops of one pause have cost so far. */
struct bsk_pause_cost {
    uint64_t stops;      /* threads that were stopped, each time counted */
    uint64_t stopped_ns; /* from the first thread asked to stop until all went on, all in all */
    uint64_t longest_ns; /* the longest of these */
};

/* All threads of the process, at once. Returns when each stands still, or has been waited for in
 * vain for a second: one that sleeps in the kernel where nothing can interrupt it does not move
 * either. Fails with BSK_E_GONE, with BSK_E_PERMISSION (another tool traces it already: then it is
 * named), BSK_E_MEMORY. */
int bsk_process_pause(pid_t pid, struct bsk_pause **out_pause, struct bsk_error *err);
void bsk_process_resume(struct bsk_pause *pause);

/* For stopping some threads again and again. Nothing is stopped yet. Fails with BSK_E_MEMORY. */
int bsk_pause_open(pid_t pid, struct bsk_pause **out_pause, struct bsk_error *err);

/* Asks one thread to stop; one that has ended, or that is asked already, is fine. Fails with
 * BSK_E_PERMISSION as bsk_process_pause(), BSK_E_MEMORY. */
int bsk_pause_ask(struct bsk_pause *pause, pid_t tid, struct bsk_error *err);

/* Waits until those that were asked stand still, `limit_ns` at most. False: some do not. */
bool bsk_pause_wait(struct bsk_pause *pause, uint64_t limit_ns);

/* Whether this thread was asked and has not ended: it stands still, or will before it runs any more
 * code of its own. (One that waits for a CPU, or is in the kernel, stops when it comes out. One
 * that is on a CPU is there in some microseconds; give it that by bsk_pause_wait().) */
bool bsk_pause_holds(const struct bsk_pause *pause, pid_t tid);

/* Lets all go on. False: there are some that have been asked and did not stop yet (they sleep where
 * nothing interrupts them): they will, and then want to be let go by another call, soon. */
bool bsk_pause_let_go(struct bsk_pause *pause);

struct bsk_pause_cost bsk_pause_cost(const struct bsk_pause *pause);

/* Whether this process could be stopped: tries it, with its first thread, which stands still for
 * some microseconds. Fails as bsk_process_pause(). */
int bsk_pause_try(pid_t pid, struct bsk_error *err);

#endif
