/* Keeps back what a program writes, to be shown when it turns out to matter. */
#ifndef BSK_CLI_CAPTURE_H
#define BSK_CLI_CAPTURE_H

#include "engine/base/error.h"

struct cli_capture {
    int fd;      /* an unnamed file in the temporary folder; -1: nothing is kept */
    int kept[2]; /* our own stdout and stderr while a program is started */
};

/* Between these two our stdout and stderr are the file: what is started has it. Call them while
 * there is one thread. Ending what was not begun is harmless. */
int cli_capture_begin(struct cli_capture *capture, struct bsk_error *err);
void cli_capture_end(struct cli_capture *capture);

void cli_capture_show(const struct cli_capture *capture); /* all of it, on stderr */
void cli_capture_close(struct cli_capture *capture);

#endif
