#include "proxy/wire/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
    }
}

/* In the child. Our ignored SIGPIPE and blocked signals are not for others to inherit. */
static void become(char *const *argv, int in, int out, int err, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
        execvp(argv[0], argv);
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof(error));
    (void)ignored;
    _exit(127);
}

int dap_child_start(char *const *argv, struct dap_child *out_child, struct bsk_error *err)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, errors[2] = { -1, -1 }, report[2] = { -1, -1 };
    int rc = BSK_OK, failure = 0;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0 ||
        pipe2(report, O_CLOEXEC) < 0) {
        rc =
            bsk_fail(err, BSK_E_IO, NULL, "cannot make pipes for %s: %s", argv[0], strerror(errno));
        goto fail;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(argv, in[0], out[1], errors[1], report[1]);
    if (pid < 0) {
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot start %s: %s", argv[0], strerror(errno));
        goto fail;
    }
    close(report[1]);
    report[1] = -1;
    ssize_t got;
    while ((got = read(report[0], &failure, sizeof(failure))) < 0 && errno == EINTR)
        ;
    if (got > 0) {
        waitpid(pid, NULL, 0);
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot start %s: %s", argv[0], strerror(failure));
        goto fail;
    }
    close(report[0]);
    close(in[0]);
    close(out[1]);
    close(errors[1]);
    *out_child = (struct dap_child){ pid, in[1], out[0], errors[0] };
    return BSK_OK;
fail:
    close_pair(in);
    close_pair(out);
    close_pair(errors);
    close_pair(report);
    return rc;
}

/* ---- the reaper ---- */

static struct {
    uv_signal_t signal;
    dap_reaped_fn *fn;
    void *user;
} reaper;

static void on_child_signal(uv_signal_t *handle, int signal_number)
{
    (void)handle;
    (void)signal_number;
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG | __WNOTHREAD);
        if (pid <= 0)
            break;
        reaper.fn(reaper.user, pid, status);
    }
}

int dap_reaper_start(uv_loop_t *loop, dap_reaped_fn *fn, void *user, struct bsk_error *err)
{
    reaper.fn = fn;
    reaper.user = user;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int rc = uv_signal_init(loop, &reaper.signal);
    if (rc == 0)
        rc = uv_signal_start(&reaper.signal, on_child_signal, SIGCHLD);
    if (rc < 0)
        return bsk_fail(err, BSK_E_IO, NULL, "cannot watch children: %s", uv_strerror(rc));
    uv_unref((uv_handle_t *)&reaper.signal);
    return BSK_OK;
}

void dap_reaper_stop(void)
{
    uv_close((uv_handle_t *)&reaper.signal, NULL);
}
