/* A recording of a real Python: what it holds, how it is held, how it ends. */
#include "engine/recording/recording.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Works until its standard input says otherwise; "f" makes a child that works, "q" ends both. */
static const char program[] =
    "import os, sys, threading\n"
    "def spin():\n"
    "    total = 0\n"
    "    while True:\n"
    "        for i in range(10000):\n"
    "            total += i * 3 % 7\n"
    "proof = bytearray(b'0123456789abcdef')\n"
    "import ctypes\n"
    "address = ctypes.addressof(ctypes.c_char.from_buffer(proof))\n"
    "spinner = threading.Thread(target=spin, daemon=True, name='spinner')\n"
    "spinner.start()\n"
    "print(address, spinner.ident, flush=True)\n"
    "for line in sys.stdin:\n"
    "    if line[0] == 'f':\n"
    "        pid = os.fork()\n"
    "        if pid == 0:\n"
    "            spin()\n"
    "        print(pid, flush=True)\n"
    "    else:\n"
    "        break\n"
    "os._exit(0)\n";

struct fixture {
    pid_t pid, child;
    FILE *in, *out;
    uint64_t address;
    uint64_t spinner; /* its threading.get_ident() */
    int bell;         /* an eventfd */
    struct bsk_recording *recording;
};

static int setup(void **state)
{
    static struct fixture fixture;
    int in[2], out[2];
    char line[64];
    fixture = (struct fixture){ .bell = eventfd(0, EFD_CLOEXEC) };
    if (pipe(in) != 0 || pipe(out) != 0 || (fixture.pid = fork()) < 0)
        return -1;
    if (fixture.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execlp("python3", "python3", "-c", program, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    fixture.in = fdopen(in[1], "w");
    fixture.out = fdopen(out[0], "r");
    *state = &fixture;
    if (!fgets(line, sizeof(line), fixture.out))
        return -1;
    char *end;
    fixture.address = strtoull(line, &end, 10);
    fixture.spinner = strtoull(end, NULL, 10);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    bsk_recording_free(fixture->recording);
    if (fixture->child > 0)
        kill(fixture->child, SIGKILL);
    kill(fixture->pid, SIGKILL);
    waitpid(fixture->pid, NULL, 0);
    fclose(fixture->in);
    fclose(fixture->out);
    close(fixture->bell);
    return 0;
}

static void ring(void *user)
{
    const uint64_t one = 1;
    if (write(*(int *)user, &one, sizeof(one)) != sizeof(one))
        abort();
}

static void wait_for_bell(struct fixture *fixture)
{
    uint64_t count;
    assert_int_equal(read(fixture->bell, &count, sizeof(count)), sizeof(count));
}

static void start(struct fixture *fixture, const struct bsk_identity *identity)
{
    struct bsk_error err = { 0 };
    const struct bsk_recording_options options = {
        .rate_hz = 200,
        .totals_ms = 50,
        .subprocesses = true,
        .identity = identity,
        .bell = ring,
        .user = &fixture->bell,
    };
    int rc = bsk_recording_start(fixture->pid, &options, &fixture->recording, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
}

/* Waits until the totals have `samples` more than at the first look. */
static struct bsk_totals *wait_for_samples(struct fixture *fixture, uint64_t samples)
{
    struct bsk_totals *totals = NULL;
    while (!totals || totals->samples < samples) {
        bsk_totals_free(totals);
        wait_for_bell(fixture);
        totals = bsk_recording_take_totals(fixture->recording);
    }
    return totals;
}

static struct bsk_profile *stop(struct fixture *fixture)
{
    struct bsk_recording_status status = { 0 };
    bsk_recording_stop(fixture->recording, "stopped");
    while (!status.ended) {
        wait_for_bell(fixture);
        bsk_recording_status(fixture->recording, &status);
    }
    return bsk_recording_take_profile(fixture->recording);
}

static void the_hot_function_is_found_and_the_thread_that_waits_is_not(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, NULL);
    struct bsk_totals *totals = wait_for_samples(fixture, 40);
    assert_string_equal(totals->functions[0].name, "spin");
    assert_true(totals->functions[0].self_percent > 90);
    assert_true(totals->lines[0].line == 5 || totals->lines[0].line == 6);
    bsk_totals_free(totals);
    struct bsk_profile *profile = stop(fixture);
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(profile);
    assert_string_equal(meta->reason, "stopped");
    assert_true(meta->samples >= 40);
    assert_true(bsk_profile_cpu_ns(profile) <= meta->duration_ns * 102 / 100);
    bsk_profile_free(profile);
}

static void a_held_process_uses_nothing(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, NULL);
    bsk_totals_free(wait_for_samples(fixture, 10));
    bsk_recording_hold(fixture->recording, fixture->pid, true);
    struct bsk_recording_status before, after;
    bsk_recording_ask(fixture->recording); /* an order behind the hold: once answered, it holds */
    struct bsk_profile *profile = NULL;
    while (!(profile = bsk_recording_take_profile(fixture->recording)))
        wait_for_bell(fixture);
    bsk_recording_status(fixture->recording, &before);
    bsk_profile_free(profile);
    for (int i = 0; i < 4; i++)
        wait_for_bell(fixture); /* of totals: time passes */
    bsk_recording_status(fixture->recording, &after);
    assert_int_equal(after.samples, before.samples);
    assert_int_equal(after.cpu_ns, before.cpu_ns);
    bsk_recording_hold(fixture->recording, fixture->pid, false);
    bsk_totals_free(wait_for_samples(fixture, before.samples + 10));
}

static void a_child_joins_the_profile_under_its_own_pid(void **state)
{
    struct fixture *fixture = *state;
    char line[64];
    start(fixture, NULL);
    fputs("f\n", fixture->in);
    fflush(fixture->in);
    assert_non_null(fgets(line, sizeof(line), fixture->out));
    fixture->child = (pid_t)strtol(line, NULL, 10);
    struct bsk_recording_status status = { 0 };
    while (status.processes < 2) {
        wait_for_bell(fixture);
        bsk_recording_status(fixture->recording, &status);
    }
    bsk_totals_free(wait_for_samples(fixture, status.samples + 40));
    struct bsk_profile *profile = stop(fixture);
    bool found = false;
    for (uint32_t i = 0; i < bsk_profile_track_count(profile); i++)
        found = found || bsk_profile_track_at(profile, i).pid == fixture->child;
    assert_true(found);
    bsk_profile_free(profile);
}

static void ends_by_itself_when_the_program_does(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, NULL);
    bsk_totals_free(wait_for_samples(fixture, 5));
    fputs("q\n", fixture->in);
    fflush(fixture->in);
    struct bsk_recording_status status = { 0 };
    while (!status.ended) {
        wait_for_bell(fixture);
        bsk_recording_status(fixture->recording, &status);
    }
    assert_string_equal(status.reason, "the program ended");
    struct bsk_profile *profile = bsk_recording_take_profile(fixture->recording);
    assert_non_null(profile);
    assert_true(bsk_profile_samples(profile) >= 5);
    bsk_profile_free(profile);
}

static void whoever_does_not_show_the_proof_is_somebody_else(void **state)
{
    struct fixture *fixture = *state;
    struct bsk_identity right = { .address = fixture->address };
    memcpy(right.bytes, "0123456789abcdef", sizeof(right.bytes));
    struct bsk_identity wrong = right;
    wrong.bytes[3] = 'X';
    struct bsk_error err = { 0 };
    const struct bsk_recording_options options = { .identity = &wrong };
    assert_int_equal(bsk_recording_start(fixture->pid, &options, &fixture->recording, &err),
                     BSK_E_STATE);
    assert_null(fixture->recording);
    start(fixture, &right);
}

static void a_stack_is_read_as_its_thread_says_that_it_begins(void **state)
{
    struct fixture *fixture = *state;
    struct bsk_identity identity = { .address = fixture->address,
                                     .ident = fixture->spinner,
                                     .frames = { "_bootstrap", "_bootstrap_inner" },
                                     .frame_count = 2 };
    memcpy(identity.bytes, "0123456789abcdef", sizeof(identity.bytes));
    struct bsk_error err = { 0 };
    struct bsk_identity wrong = identity;
    strcpy(wrong.frames[1], "run");
    const struct bsk_recording_options options = { .identity = &wrong };
    assert_int_equal(bsk_recording_start(fixture->pid, &options, &fixture->recording, &err),
                     BSK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "says it began in _bootstrap()"));
    assert_null(fixture->recording);
    start(fixture, &identity);
}

static void who_cannot_be_profiled_is_told_why(void **state)
{
    (void)state;
    const struct {
        pid_t pid;
        const char *sentence;
    } cases[] = {
        { 0x3ffffff, "Process not found" },
        { getpid(), "Not a Python process" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_error err = { 0 };
        struct bsk_recording *recording = NULL;
        const struct bsk_recording_options options = { 0 };
        assert_int_not_equal(bsk_recording_start(cases[i].pid, &options, &recording, &err), BSK_OK);
        assert_non_null(strstr(err.message, cases[i].sentence));
        assert_string_not_equal(err.hint, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_hot_function_is_found_and_the_thread_that_waits_is_not,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_held_process_uses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_joins_the_profile_under_its_own_pid, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(ends_by_itself_when_the_program_does, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stack_is_read_as_its_thread_says_that_it_begins, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(whoever_does_not_show_the_proof_is_somebody_else, setup,
                                        teardown),
        cmocka_unit_test(who_cannot_be_profiled_is_told_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
