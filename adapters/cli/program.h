/*
 * A program that we start to profile it: `record -- CMD...`, `top -- CMD...`.
 *
 * It has our standard input, output and error, and our process group (so a terminal's Ctrl-C
 * reaches it by itself). Started with fork and exec, never with uv_spawn: what is ptraced looks to
 * libuv as if it had ended. Watched by a pidfd.
 *
 * Ownership: cli_program_start() gives the program to the caller, cli_program_free() takes it back
 * (it does not end it) and accepts NULL.
 */
#ifndef BSK_CLI_PROGRAM_H
#define BSK_CLI_PROGRAM_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/types.h>

struct cli_program;

/* Fails with BSK_E_IO when it cannot be executed (the message names it and says why). */
int cli_program_start(char *const *argv, struct cli_program **out_program, struct bsk_error *err);
void cli_program_free(struct cli_program *program);
pid_t cli_program_pid(const struct cli_program *program);
int cli_program_fd(const struct cli_program *program);            /* readable once it has ended */
void cli_program_signal(struct cli_program *program, int number); /* harmless once it has ended */
/* Passes on a signal that came to us (as read from a signalfd); one that the terminal sent to the
 * whole group reached the program by itself and is not sent again. */
void cli_program_pass(struct cli_program *program, const struct signalfd_siginfo *info);
bool cli_program_ended(struct cli_program *program); /* does not wait */
/* Waits for its end: its exit code, or 128 + n when signal n ended it. */
int cli_program_wait(struct cli_program *program);

#endif
