#include "adapters/cli/record_progress.h"

#include "engine/base/strings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void cli_progress_open(struct cli_progress *progress, bool hide)
{
    const char *terminal = getenv("TERM");
    bool can = !hide && !(terminal && strcmp(terminal, "dumb") == 0);
    *progress = (struct cli_progress){ .fd = -1 };
    if (can && isatty(STDERR_FILENO))
        progress->fd = STDERR_FILENO;
    else if (can && isatty(STDOUT_FILENO))
        progress->fd = STDOUT_FILENO;
}

static void put(const struct cli_progress *progress, const char *text)
{
    ssize_t ignored = write(progress->fd, text, strlen(text));
    (void)ignored; /* a terminal that is gone sees nothing */
}

void cli_progress_draw(struct cli_progress *progress, const char *what, double seconds,
                       double limit_seconds, const struct bsk_recording_status *status)
{
    struct winsize size = { 0 };
    char limit[32] = "", line[256], shown[256], out[300];
    if (progress->fd < 0)
        return;
    size_t columns = ioctl(progress->fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    if (limit_seconds > 0)
        snprintf(limit, sizeof(limit), " of %g", limit_seconds);
    snprintf(line, sizeof(line),
             "recording %.100s  %.1f%s s  samples: %llu  errors: %llu  Ctrl-C ends it", what,
             seconds, limit, (unsigned long long)status->samples,
             (unsigned long long)status->errors);
    /* A line that is wider than the terminal would wrap, and could not be taken back. */
    bsk_utf8_copy(shown, columns < sizeof(shown) ? columns : sizeof(shown), line);
    /* The cursor waits at the start: what the program writes does not begin behind our text. */
    snprintf(out, sizeof(out), "\r\033[K%s\r", shown);
    put(progress, out);
    progress->drawn = true;
}

void cli_progress_clear(struct cli_progress *progress)
{
    if (progress->drawn)
        put(progress, "\r\033[K");
    progress->drawn = false;
}
