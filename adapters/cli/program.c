#include "adapters/cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct cli_program {
    pid_t pid;
    int pidfd;
    bool reaped;
    int code; /* once reaped */
};

/* In the child. What we block and ignore for ourselves is not for the program to inherit; what was
 * ignored before us (nohup) is. */
static void become(char *const *argv, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execvp(argv[0], argv);
    int error = errno;
    ssize_t ignored = write(report, &error, sizeof(error));
    (void)ignored;
    _exit(127);
}

int cli_program_start(char *const *argv, struct cli_program **out_program, struct bsk_error *err)
{
    int report[2] = { -1, -1 }, failure = 0, rc = BSK_OK;
    pid_t pid = -1;
    struct cli_program *program = calloc(1, sizeof(*program));
    if (!program)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    program->pidfd = -1;
    if (pipe2(report, O_CLOEXEC) == 0)
        pid = fork();
    if (pid == 0)
        become(argv, report[1]);
    if (pid < 0) {
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot start %s: %s", argv[0], strerror(errno));
        goto out;
    }
    close(report[1]);
    report[1] = -1;
    ssize_t got;
    while ((got = read(report[0], &failure, sizeof(failure))) < 0 && errno == EINTR)
        ;
    if (got > 0) {
        waitpid(pid, NULL, 0);
        rc = bsk_fail(err, BSK_E_IO, NULL, "cannot start %s: %s", argv[0], strerror(failure));
        goto out;
    }
    program->pid = pid;
    program->pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* is close-on-exec by itself */
    if (program->pidfd < 0) {
        rc = bsk_fail(err, BSK_E_IO, "pidfd_open needs Linux 5.3", "cannot watch %s: %s", argv[0],
                      strerror(errno));
        kill(pid, SIGKILL); /* it would run unseen */
        waitpid(pid, NULL, 0);
    }
out:
    for (int i = 0; i < 2; i++) {
        if (report[i] >= 0)
            close(report[i]);
    }
    if (rc < 0)
        cli_program_free(program);
    else
        *out_program = program;
    return rc;
}

void cli_program_free(struct cli_program *program)
{
    if (!program)
        return;
    if (program->pidfd >= 0)
        close(program->pidfd);
    free(program);
}

pid_t cli_program_pid(const struct cli_program *program)
{
    return program->pid;
}

int cli_program_fd(const struct cli_program *program)
{
    return program->pidfd;
}

void cli_program_signal(struct cli_program *program, int number)
{
    if (!program->reaped) /* by pidfd: never a stranger that was given its PID */
        syscall(SYS_pidfd_send_signal, program->pidfd, number, NULL, 0);
}

void cli_program_pass(struct cli_program *program, const struct signalfd_siginfo *info)
{
    if (info->ssi_code != SI_KERNEL)
        cli_program_signal(program, (int)info->ssi_signo);
}

/* Waits only for what has ended already: a wait for a living child that another of our threads
 * ptraces would eat that thread's stops, whatever its options say. */
static bool look(struct cli_program *program, int timeout_ms)
{
    struct pollfd ended = { .fd = program->pidfd, .events = POLLIN };
    siginfo_t info = { 0 };
    if (program->reaped)
        return true;
    int ready = poll(&ended, 1, timeout_ms);
    if (ready <= 0)
        return false;
    int rc;
    while ((rc = waitid(P_PID, (id_t)program->pid, &info, WEXITED)) < 0 && errno == EINTR)
        ;
    program->reaped = true;
    if (rc < 0)
        program->code = 128 + SIGKILL; /* somebody else was told how it ended: not a success */
    else
        program->code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return true;
}

bool cli_program_ended(struct cli_program *program)
{
    return look(program, 0);
}

int cli_program_wait(struct cli_program *program)
{
    while (!look(program, -1))
        ;
    return program->code;
}
