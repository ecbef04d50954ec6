/* One line on a terminal that says how a recording goes: redrawn in place, gone at the end. */
#ifndef BSK_CLI_RECORD_PROGRESS_H
#define BSK_CLI_RECORD_PROGRESS_H

#include "engine/recording/recording.h"

#include <stdbool.h>

struct cli_progress {
    int fd; /* of the terminal, or -1: nothing is shown */
    bool drawn;
};

/* On stderr, else on stdout, where that is a terminal that can. */
void cli_progress_open(struct cli_progress *progress, bool hide);
/* `what`: "app.py (PID 4711)"; `limit_seconds` 0: none. */
void cli_progress_draw(struct cli_progress *progress, const char *what, double seconds,
                       double limit_seconds, const struct bsk_recording_status *status);
void cli_progress_clear(struct cli_progress *progress); /* before any other line, and at the end */

#endif
