/*
 * One line on stderr, where that is a terminal, that says what `basilisk memory` is waiting for:
 * redrawn in place by a thread of its own, since the waiting happens below; gone at the end.
 * Anywhere else nothing is shown.
 */
#ifndef BSK_CLI_MEMORY_PROGRESS_H
#define BSK_CLI_MEMORY_PROGRESS_H

#include <stdint.h>

struct cli_memory_progress;

/* NULL where nothing is shown; all calls accept that. The thread takes no signals. */
struct cli_memory_progress *cli_memory_progress_open(void);
/* What is waited for from now on, with the seconds since; `seconds` more than 0: with those that
 * are left of so many. */
void cli_memory_progress_say(struct cli_memory_progress *progress, double seconds,
                             const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Takes the line away, before anything else is written. */
void cli_memory_progress_close(struct cli_memory_progress *progress);

#endif
