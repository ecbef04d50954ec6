#include "adapters/cli/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cli_capture_begin(struct cli_capture *capture, struct bsk_error *err)
{
    FILE *file = tmpfile();
    capture->kept[0] = capture->kept[1] = -1;
    capture->fd = file ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 3) : -1;
    int reason = errno;
    if (file)
        fclose(file);
    if (capture->fd < 0)
        return bsk_fail(err, BSK_E_IO, "is the temporary folder writable?",
                        "cannot keep the program's output: %s", strerror(reason));
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        capture->kept[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
        dup2(capture->fd, i + 1);
    }
    return BSK_OK;
}

void cli_capture_end(struct cli_capture *capture)
{
    for (int i = 0; capture->fd >= 0 && i < 2; i++) {
        if (capture->kept[i] < 0) { /* it was closed */
            close(i + 1);
            continue;
        }
        dup2(capture->kept[i], i + 1);
        close(capture->kept[i]);
    }
}

void cli_capture_show(const struct cli_capture *capture)
{
    char piece[4096];
    ssize_t bytes;
    if (capture->fd < 0 || lseek(capture->fd, 0, SEEK_SET) != 0)
        return;
    while ((bytes = read(capture->fd, piece, sizeof(piece))) > 0)
        fwrite(piece, 1, (size_t)bytes, stderr);
}

void cli_capture_close(struct cli_capture *capture)
{
    if (capture->fd >= 0)
        close(capture->fd);
    capture->fd = -1;
}
