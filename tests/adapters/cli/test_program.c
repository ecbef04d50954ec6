#include "adapters/cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct cli_program *start_shell(const char *script)
{
    char *const argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
    struct cli_program *program = NULL;
    struct bsk_error err = { 0 };
    int rc = cli_program_start(argv, &program, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    return program;
}

static void ends_with_the_programs_code(void **state)
{
    static const struct {
        const char *why, *script;
        int code;
    } cases[] = {
        { "success", "exit 0", 0 },
        { "its own failure", "exit 7", 7 },
        { "all of a byte", "exit 255", 255 },
        { "a signal is 128 + n", "kill -TERM $$; sleep 60", 128 + SIGTERM },
        { "the one that cannot be caught", "kill -KILL $$; sleep 60", 128 + SIGKILL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        struct cli_program *program = start_shell(cases[i].script);
        assert_true(cli_program_pid(program) > 0);
        assert_int_equal(cli_program_wait(program), cases[i].code);
        assert_int_equal(cli_program_wait(program), cases[i].code); /* asked again, the same */
        assert_true(cli_program_ended(program));
        cli_program_signal(program, SIGTERM); /* harmless */
        cli_program_free(program);
    }
    cli_program_free(NULL);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
}

static void says_why_a_program_cannot_be_executed(void **state)
{
    static const struct {
        const char *why, *file, *message;
    } cases[] = {
        { "not there", "/nowhere/at-all", "cannot start /nowhere/at-all: No such file" },
        { "not on PATH", "no-such-program-at-all", "cannot start no-such-program-at-all: No such" },
        { "not executable", "/etc/passwd", "cannot start /etc/passwd: Permission denied" },
        { "a folder", "/tmp", "cannot start /tmp: Permission denied" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *const argv[] = { (char *)cases[i].file, NULL };
        struct cli_program *program = NULL;
        struct bsk_error err = { 0 };
        print_message("  %s\n", cases[i].why);
        assert_int_equal(cli_program_start(argv, &program, &err), BSK_E_IO);
        assert_null(program);
        assert_memory_equal(err.message, cases[i].message, strlen(cases[i].message));
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void its_descriptor_is_readable_once_it_has_ended(void **state)
{
    int hold[2];
    (void)state;
    assert_int_equal(pipe(hold), 0); /* inherited on purpose: the program waits for its end */
    char script[64];
    snprintf(script, sizeof(script), "exec %d>&-; read x <&%d; exit 3", hold[1], hold[0]);
    struct cli_program *program = start_shell(script);
    struct pollfd ended = { .fd = cli_program_fd(program), .events = POLLIN };
    assert_false(cli_program_ended(program));
    assert_int_equal(poll(&ended, 1, 0), 0);
    close(hold[1]);
    assert_int_equal(poll(&ended, 1, 30000), 1);
    assert_true(cli_program_ended(program));
    assert_int_equal(cli_program_wait(program), 3);
    close(hold[0]);
    cli_program_free(program);
}

static void signals_reach_it_unless_the_terminal_sent_them(void **state)
{
    struct signalfd_siginfo terminal = { .ssi_signo = SIGTERM, .ssi_code = SI_KERNEL };
    struct signalfd_siginfo person = { .ssi_signo = SIGUSR1, .ssi_code = SI_USER };
    int out[2];
    char line[64] = "";
    (void)state;
    assert_int_equal(pipe(out), 0);
    snprintf(line, sizeof(line), "trap 'exit 9' USR1; echo up >&%d; while :; do sleep 0.01; done",
             out[1]);
    struct cli_program *program = start_shell(line);
    assert_true(read(out[0], line, sizeof(line)) > 0); /* its trap is set */
    cli_program_pass(program, &terminal);
    cli_program_pass(program, &person);
    assert_int_equal(cli_program_wait(program), 9); /* the SIGTERM would have been first */
    close(out[0]);
    close(out[1]);
    cli_program_free(program);
}

static void blocked_and_ignored_signals_are_not_inherited(void **state)
{
    sigset_t mask, old;
    (void)state;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &old);
    signal(SIGPIPE, SIG_IGN);
    struct cli_program *term = start_shell("kill -TERM $$; exit 0");
    struct cli_program *pipe_signal = start_shell("kill -PIPE $$; exit 0");
    assert_int_equal(cli_program_wait(term), 128 + SIGTERM);
    assert_int_equal(cli_program_wait(pipe_signal), 128 + SIGPIPE);
    cli_program_free(term);
    cli_program_free(pipe_signal);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* The recording's thread ptraces what its main thread started; looking must not take its stops. */
static void looking_leaves_ptrace_stops_to_their_tracer(void **state)
{
    int hold[2], status = 0;
    (void)state;
    assert_int_equal(pipe(hold), 0);
    char script[64];
    snprintf(script, sizeof(script), "exec %d>&-; read x <&%d; exit 4", hold[1], hold[0]);
    struct cli_program *program = start_shell(script);
    pid_t pid = cli_program_pid(program);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0) {
        print_message("  ptrace: %s\n", strerror(errno));
        close(hold[1]);
        cli_program_wait(program);
        cli_program_free(program);
        skip();
    }
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    siginfo_t stopped = { 0 }; /* is there, and stays */
    assert_int_equal(waitid(P_PID, (id_t)pid, &stopped, WSTOPPED | WNOWAIT), 0);
    assert_false(cli_program_ended(program));
    assert_int_equal(waitpid(pid, &status, WNOHANG | __WALL), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
    close(hold[1]);
    assert_int_equal(cli_program_wait(program), 4);
    close(hold[0]);
    cli_program_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_with_the_programs_code),
        cmocka_unit_test(says_why_a_program_cannot_be_executed),
        cmocka_unit_test(its_descriptor_is_readable_once_it_has_ended),
        cmocka_unit_test(signals_reach_it_unless_the_terminal_sent_them),
        cmocka_unit_test(blocked_and_ignored_signals_are_not_inherited),
        cmocka_unit_test(looking_leaves_ptrace_stops_to_their_tracer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
