/*
 * Stopping all threads of a process for a moment (ptrace: seize and interrupt), for who asked for
 * it: `dump --blocking`.
 *
 * Not without a price: a thread that is stopped inside some system calls (epoll_wait, sigtimedwait
 * and others) gets EINTR from them afterwards, which programs in C may not expect. Should the
 * caller die, the kernel lets the threads go on.
 *
 * Threads: pausing, all that is read meanwhile, and resuming belong to one thread of the caller.
 * Ownership: bsk_process_pause() gives the pause to the caller, bsk_process_resume() takes it back,
 * lets the process go on, and accepts NULL.
 */
#ifndef BSK_PROCESS_PAUSE_H
#define BSK_PROCESS_PAUSE_H

#include "engine/base/error.h"

#include <sys/types.h>

struct bsk_pause;

/* Returns when every thread stands still, or has been waited for in vain for a second: one that
 * sleeps in the kernel where nothing can interrupt it does not move either. Fails with BSK_E_GONE,
 * with BSK_E_PERMISSION (another tool traces it already: then it is named), BSK_E_MEMORY. */
int bsk_process_pause(pid_t pid, struct bsk_pause **out_pause, struct bsk_error *err);
void bsk_process_resume(struct bsk_pause *pause);

#endif
