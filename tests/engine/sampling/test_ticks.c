/* Sampling at the threads' own clock ticks: exact stacks, true shares, on every Python. Skipped
 * with the reason where the kernel does not let us. BASILISK_TICKS=100000 asks for more of each
 * program than the few thousand that a test has time for. */
#include "engine/sampling/ticks.h"
#include "tests/bench/legal.h"
#include "tests/bench/program.h"
#include "tests/engine/fixtures/children.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { FAST_HZ = 10000, READ_MS = 20, NAMES_MAX = 16, MADE_MAX = 65536 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static uint64_t ticks_wanted(uint64_t usually)
{
    const char *text = getenv("BASILISK_TICKS");
    return text ? strtoull(text, NULL, 10) : usually;
}

/* What was seen of one target. */
struct seen {
    struct bsk_sampler *sampler;
    struct bsk_sampler_ticks *ticks;
    struct bench_legal *legal;
    uint64_t count, stacks, torn, truncated, empty, legal_count, bare, impossible, no_line, deepest;
    uint64_t with_gil;
    pid_t first, only, not_this; /* threads: of the first tick; 0: all, none */
    uint64_t of_not_this;
    uint64_t made, reused, made_of[MADE_MAX]; /* leaves of generated.py */
    const char *names[NAMES_MAX];             /* leaves to count, ended by NULL */
    uint64_t leaves[NAMES_MAX];
    char offender[1024];
};

static void note_offender(struct seen *seen, const struct bsk_python_tick *tick)
{
    size_t at = 0;
    for (size_t i = tick->depth < 12 ? tick->depth : 12; i-- > 0;)
        at += (size_t)snprintf(seen->offender + at, sizeof(seen->offender) - at, "%.40s:%u ",
                               tick->frames[i].code->name, tick->frames[i].line);
}

static void on_tick(const struct bsk_python_tick *tick, void *user)
{
    struct seen *seen = user;
    if (seen->first == 0)
        seen->first = tick->tid;
    if (seen->not_this && tick->tid == seen->not_this)
        seen->of_not_this++;
    if (seen->only && tick->tid != seen->only)
        return;
    seen->count++;
    seen->torn += tick->torn;
    seen->truncated += tick->truncated;
    if (!tick->has_stack)
        return;
    if (tick->depth == 0) {
        seen->empty++;
        return;
    }
    seen->stacks++;
    seen->with_gil += tick->holds_gil;
    if (tick->depth > seen->deepest)
        seen->deepest = tick->depth;
    for (size_t i = 0; i < tick->depth; i++)
        seen->no_line +=
            tick->frames[i].line == 0 && strcmp(tick->frames[i].code->name, "(reused code)") != 0;
    for (size_t i = 0; i < NAMES_MAX && seen->names[i]; i++)
        seen->leaves[i] += strcmp(tick->frames[0].code->name, seen->names[i]) == 0;
    unsigned made;
    if (sscanf(tick->frames[0].code->name, "made_%u", &made) == 1 && made < MADE_MAX) {
        seen->made++;
        seen->made_of[made]++;
    }
    seen->reused += strcmp(tick->frames[0].code->name, "(reused code)") == 0;
    if (!seen->legal || strcmp(tick->frames[0].code->name, "watch") == 0)
        return; /* of common.py: runs before it can watch itself */
    const struct bsk_thread_sample sample = { .tid = tick->tid,
                                              .state = BSK_THREAD_RUNNING,
                                              .has_stack = true,
                                              .frames = tick->frames,
                                              .depth = tick->depth };
    switch (bench_legal_judge(seen->legal, &sample)) {
    case BENCH_LEGAL:
        seen->legal_count++;
        break;
    case BENCH_BARE:
        seen->bare++;
        break;
    case BENCH_IMPOSSIBLE:
        if (seen->impossible++ == 0)
            note_offender(seen, tick);
        break;
    }
}

static bool open_ticks(struct seen *seen, pid_t pid, uint32_t rate_hz)
{
    struct bsk_error err = { 0 };
    int rc = bsk_sampler_open(pid, NULL, &seen->sampler, &err);
    for (int i = 0; rc == BSK_E_TORN && i < 100; i++) {
        pause_ms(20);
        rc = bsk_sampler_open(pid, NULL, &seen->sampler, &err);
    }
    if (rc == BSK_OK)
        rc = bsk_sampler_ticks_start(seen->sampler, rate_hz, &seen->ticks, &err);
    if (rc != BSK_OK)
        print_message("  %s\n", err.message);
    return rc == BSK_OK;
}

static void close_ticks(struct seen *seen)
{
    bsk_sampler_ticks_stop(seen->ticks);
    bsk_sampler_close(seen->sampler);
    seen->ticks = NULL;
    seen->sampler = NULL;
}

/* Until there are so many, or the target is gone (then with its answer), or a minute is over. */
static int read_until(struct seen *seen, uint64_t count)
{
    double end = seconds() + 60;
    int rc = BSK_OK;
    while (seen->count < count && rc == BSK_OK && seconds() < end) {
        pause_ms(READ_MS);
        rc = bsk_sampler_ticks_read(seen->ticks, on_tick, seen, NULL);
    }
    return rc;
}

/* Says why, and ends the test, where this kernel or this user may not. */
static int skip_where_refused(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct bsk_error err = { 0 };
    char line[64];
    struct child child = start_fixture(all_pythons()[0], "brief.py", NULL);
    read_line(&child, line, sizeof(line));
    int rc = bsk_sampler_open(child.pid, NULL, &seen.sampler, &err);
    if (rc == BSK_OK)
        rc = bsk_sampler_ticks_start(seen.sampler, 100, &seen.ticks, &err);
    close_ticks(&seen);
    stop_child(&child);
    if (rc != BSK_E_PERMISSION && rc != BSK_E_UNSUPPORTED)
        return 0;
    printf("SKIPPED: %s\n", err.message);
    exit(0);
}

/* --- every stack is one that the program can have ----------------------------------------------
 */

static void expect_legal(const char *letter, uint32_t rate_hz, uint64_t usually)
{
    const struct bench_program *program = bench_program_named(letter);
    assert_non_null(program);
    for (const char *const *python = all_pythons(); *python; python++) {
        struct bench_child child;
        struct seen seen = { 0 };
        struct bsk_python_tick_counts counts;
        assert_true(bench_start_legal(program, *python, &child));
        seen.legal = bench_legal_read(child.output);
        bench_stop(&child);
        assert_non_null(seen.legal);
        assert_true(bench_start(program, *python, -1, &child));
        assert_true(open_ticks(&seen, child.pid, rate_hz));
        assert_int_equal(read_until(&seen, ticks_wanted(usually)), BSK_OK);
        bsk_sampler_ticks_counts(seen.ticks, &counts);
        print_message("  %s: %llu ticks, %llu legal, %llu impossible, %llu bare, %llu without "
                      "Python, %llu torn, %llu reused, %llu lost%s%s\n",
                      bsk_sampler_info(seen.sampler)->version, (unsigned long long)seen.count,
                      (unsigned long long)seen.legal_count, (unsigned long long)seen.impossible,
                      (unsigned long long)seen.bare, (unsigned long long)seen.empty,
                      (unsigned long long)seen.torn, (unsigned long long)counts.reused,
                      (unsigned long long)counts.kernel.lost, seen.impossible ? ": " : "",
                      seen.offender);
        close_ticks(&seen);
        bench_stop(&child);
        bench_legal_free(seen.legal);
        assert_true(seen.legal_count > 0);
        assert_int_equal(seen.impossible, 0);
        assert_int_equal(seen.no_line, 0);
        /* A frame that is being made, or unlinked before it is off the top (3.12's generators):
         * up to 6 in 20,000 were seen of threads that start and end, 3 in 2,000 of 3.12. */
        assert_true(seen.torn * 100 <= seen.count);
        /* Code is thrown away by none of them; one in 40,000 ticks on a thread that begins was led
         * from its first frame on to what lay there before. */
        assert_true(counts.reused <= (letter[0] == 's' ? 1 + seen.count / 20000 : 0));
    }
}

static void short_calls_in_turn(void **state)
{
    (void)state;
    expect_legal("f", FAST_HZ, 2000);
}

static void unequal_short_calls(void **state)
{
    (void)state;
    expect_legal("h", FAST_HZ, 2000);
}

static void one_call_site_of_python_and_c(void **state)
{
    (void)state;
    expect_legal("p", FAST_HZ, 2000);
}

static void asyncio_tasks(void **state)
{
    (void)state;
    expect_legal("d", FAST_HZ, 2000);
}

static void generators(void **state)
{
    (void)state;
    expect_legal("g", FAST_HZ, 2000);
}

static void threads_that_start_and_end(void **state)
{
    (void)state;
    expect_legal("s", 5000, 1000);
}

static void stacks_ten_thousand_deep(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct bench_child child;
        struct seen seen = { 0 };
        if (!bench_start(bench_program_named("r"), *python, -1, &child)) {
            print_message("  %s does not get as deep by itself\n", *python);
            continue;
        }
        assert_true(open_ticks(&seen, child.pid, 200));
        assert_int_equal(read_until(&seen, 20), BSK_OK);
        print_message("  %s: %llu ticks, %llu torn, %llu frames deep\n",
                      bsk_sampler_info(seen.sampler)->version, (unsigned long long)seen.count,
                      (unsigned long long)seen.torn, (unsigned long long)seen.deepest);
        close_ticks(&seen);
        bench_stop(&child);
        assert_int_equal(seen.truncated, 0);
        assert_int_equal(seen.torn, 0);
        assert_in_range(seen.deepest, 10000, 10010); /* shuffling calls, too */
    }
}

/* --- shares are those of the work ---------------------------------------------------------------
 */

/* `slack`: what a call itself costs, and that other tests beside it take the caches from some of
 * the work (4.7 sigma was seen once); starting threads costs more. The bench is for exact figures.
 */
static bool has_shares(const struct seen *seen, const double *shares, size_t count, double slack,
                       const char *what)
{
    uint64_t sum = 0;
    bool right = true;
    for (size_t i = 0; i < count; i++)
        sum += seen->leaves[i];
    for (size_t i = 0; i < count; i++) {
        double found = (double)seen->leaves[i] / (double)sum;
        double sigma = sqrt(shares[i] * (1 - shares[i]) / (double)sum);
        print_message("  %s: %s %.2f %% of %llu, %.1f sigma from %.2f %%\n", what, seen->names[i],
                      100 * found, (unsigned long long)sum, (found - shares[i]) / sigma,
                      100 * shares[i]);
        right = right && fabs(found - shares[i]) < 3.5 * sigma + slack;
    }
    return right;
}

static void shares_of_counted_work(void **state)
{
    (void)state;
    enum { PROCESSES = 2 };
    const double shares[] = { 0.60, 0.25, 0.10, 0.05 };
    for (const char *const *python = all_pythons(); *python; python++) {
        /* Ticks tell time, and what is known is work. Once in some hundred processes the same
         * bytecode took half as long again in one function as in the others (3.11.2, 68.9 % of the
         * time for 60 % of the work), all through that process: another one is asked then. */
        bool right = false;
        for (int i = 0; i < PROCESSES && !right; i++) {
            struct bench_child child;
            struct seen seen = { .names = { "heavy", "medium", "light", "faint" } };
            assert_true(bench_start(bench_program_named("a"), *python, -1, &child));
            assert_true(open_ticks(&seen, child.pid, 1000));
            assert_int_equal(read_until(&seen, ticks_wanted(2500)), BSK_OK);
            right = has_shares(&seen, shares, sizeof(shares) / sizeof(shares[0]), 0.025,
                               bsk_sampler_info(seen.sampler)->version);
            close_ticks(&seen);
            bench_stop(&child);
        }
        assert_true(right);
    }
}

/* Code that is gone when its ticks are read: without a name, never with another's, and with its
 * share. */
static void code_that_is_thrown_away(void **state)
{
    (void)state;
    enum { ONE_MAX = 40 }; /* each runs for a few ticks at most */
    static struct seen seen;
    char line[64];
    for (const char *const *python = all_pythons(); *python; python++) {
        seen = (struct seen){ .names = { "stays" } };
        struct child child = start_fixture(*python, "generated.py", NULL);
        uint64_t most = 0;
        read_line(&child, line, sizeof(line));
        assert_true(open_ticks(&seen, child.pid, 1000));
        assert_int_equal(read_until(&seen, ticks_wanted(1500)), BSK_OK);
        for (size_t i = 0; i < MADE_MAX; i++)
            most = seen.made_of[i] > most ? seen.made_of[i] : most;
        double thrown = (double)(seen.made + seen.reused);
        double share = thrown / (thrown + (double)seen.leaves[0]);
        print_message("  %s: %llu named, at most %llu of one, %llu without a name: %.1f %%\n",
                      bsk_sampler_info(seen.sampler)->version, (unsigned long long)seen.made,
                      (unsigned long long)most, (unsigned long long)seen.reused, 100 * share);
        close_ticks(&seen);
        stop_child(&child);
        assert_true(most <= ONE_MAX);
        assert_int_equal(seen.torn, 0);
        assert_true(fabs(share - 0.5) < 0.08);
    }
}

/* A clock of 200 Hz ticks once in each of the program's rounds: without jitter, always at the same
 * moment of it. */
static void a_program_in_step_with_the_clock(void **state)
{
    (void)state;
    const double shares[] = { 0.70, 0.30 };
    char line[64];
    const char *const *python = all_pythons();
    struct seen seen = { .names = { "front", "back" } };
    struct child child = start_fixture(python[0], "beat.py", NULL);
    read_line(&child, line, sizeof(line));
    assert_true(open_ticks(&seen, child.pid, 200));
    assert_int_equal(read_until(&seen, 1600), BSK_OK);
    /* In step it would be all or nothing. A period is drawn for a second, and one that is near to a
     * round's, or to a simple part of it, shows in the sum of a few. */
    assert_true(has_shares(&seen, shares, sizeof(shares) / sizeof(shares[0]), 0.15, "in rhythm"));
    close_ticks(&seen);
    stop_child(&child);
}

static void threads_too_short_for_a_clock(void **state)
{
    (void)state;
    const double shares[] = { 2.0 / 3, 1.0 / 3 };
    char line[64];
    for (const char *const *python = all_pythons(); *python; python++) {
        struct seen seen = { .names = { "much", "little" } };
        struct child child = start_fixture(*python, "brief.py", NULL);
        read_line(&child, line, sizeof(line));
        assert_true(open_ticks(&seen, child.pid, 1000));
        assert_int_equal(read_until(&seen, 1500), BSK_OK);
        print_message("  %s: %llu of %llu ticks on the short threads\n",
                      bsk_sampler_info(seen.sampler)->version,
                      (unsigned long long)seen.leaves[0] + seen.leaves[1],
                      (unsigned long long)seen.count);
        assert_true(seen.leaves[0] + seen.leaves[1] > seen.count / 5);
        assert_true(
            has_shares(&seen, shares, sizeof(shares) / sizeof(shares[0]), 0.04, "short threads"));
        close_ticks(&seen);
        stop_child(&child);
    }
}

/* --- targets that change ------------------------------------------------------------------------
 */

static void an_exec_ends_it_and_nothing_is_made_up(void **state)
{
    (void)state;
    char line[64];
    const char *python = all_pythons()[0];
    const char *const arguments[] = {
        python,
        "-S",
        "-c",
        "import os, sys, time\n"
        "def before():\n"
        "    end = time.monotonic() + 60\n"
        "    while time.monotonic() < end and not os.path.exists(sys.argv[1]): pass\n"
        "print('ready', flush=True)\n"
        "before()\n"
        "os.execv(sys.executable, [sys.executable, '-S', '-c', 'def after():\\n while True: "
        "pass\\nprint(1, flush=True)\\nafter()'])\n",
        "/tmp",
        NULL
    };
    char path[] = "/tmp/basilisk-exec-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    const char *with_path[8];
    memcpy(with_path, arguments, sizeof(arguments));
    with_path[4] = path;
    struct child child = start_child(with_path);
    read_line(&child, line, sizeof(line));
    struct seen seen = { .names = { "before", "after", "<module>" } };
    assert_true(open_ticks(&seen, child.pid, 2000));
    assert_int_equal(read_until(&seen, 100), BSK_OK);
    fd = mkstemp(path);
    if (fd < 0) { /* the pattern is used up: by its name then */
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    read_line(&child, line, sizeof(line)); /* the new program works */
    assert_int_equal(read_until(&seen, UINT64_MAX), BSK_E_GONE);
    unlink(path);
    assert_true(seen.leaves[0] > 0);
    assert_int_equal(seen.leaves[1], 0);
    close_ticks(&seen);
    assert_true(open_ticks(&seen, child.pid, 2000)); /* and can be read itself */
    uint64_t before = seen.count;
    assert_int_equal(read_until(&seen, before + 100), BSK_OK);
    assert_true(seen.leaves[1] > 0);
    close_ticks(&seen);
    stop_child(&child);
}

static void a_target_that_is_killed_is_an_end(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct bench_child child;
        struct seen seen = { 0 };
        assert_true(bench_start(bench_program_named("c"), *python, -1, &child));
        assert_true(open_ticks(&seen, child.pid, FAST_HZ));
        assert_int_equal(read_until(&seen, 50), BSK_OK);
        kill(child.pid, SIGKILL);
        assert_int_equal(read_until(&seen, UINT64_MAX), BSK_E_GONE);
        close_ticks(&seen);
        bench_stop(&child);
    }
}

static void who_is_ignored_or_paused_does_not_tick(void **state)
{
    (void)state;
    struct bench_child child;
    struct seen seen = { 0 };
    assert_true(bench_start(bench_program_named("c"), all_pythons()[0], -1, &child));
    assert_true(open_ticks(&seen, child.pid, 1000));
    assert_int_equal(read_until(&seen, 1), BSK_OK);
    seen.not_this = seen.first;
    assert_true(seen.not_this > 0);
    while (seen.of_not_this == 0)
        assert_int_equal(read_until(&seen, seen.count + 1), BSK_OK);
    bsk_sampler_ignore(seen.sampler, seen.not_this);
    assert_int_equal(read_until(&seen, seen.count + 1), BSK_OK); /* which ends its clock */
    assert_int_equal(read_until(&seen, seen.count + 1), BSK_OK); /* and this takes the last ones */
    uint64_t before = seen.of_not_this;
    assert_int_equal(read_until(&seen, seen.count + 200), BSK_OK);
    assert_int_equal(seen.of_not_this, before);

    bsk_sampler_ticks_pause(seen.ticks, true);
    assert_int_equal(bsk_sampler_ticks_read(seen.ticks, on_tick, &seen, NULL), BSK_OK);
    before = seen.count;
    pause_ms(100);
    assert_int_equal(bsk_sampler_ticks_read(seen.ticks, on_tick, &seen, NULL), BSK_OK);
    assert_int_equal(seen.count, before);
    bsk_sampler_ticks_pause(seen.ticks, false);
    assert_int_equal(read_until(&seen, before + 50), BSK_OK);
    close_ticks(&seen);
    bench_stop(&child);
}

static void two_that_sample_one_program_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct bench_child child;
    struct seen one = { 0 }, other = { 0 };
    assert_true(bench_start(bench_program_named("f"), all_pythons()[0], -1, &child));
    assert_true(open_ticks(&one, child.pid, 1000));
    assert_true(open_ticks(&other, child.pid, 1000));
    assert_int_equal(read_until(&one, 200), BSK_OK);
    assert_int_equal(read_until(&other, 200), BSK_OK);
    close_ticks(&one);
    assert_int_equal(read_until(&other, 400), BSK_OK);
    close_ticks(&other);
    bench_stop(&child);
}

static void who_may_not_is_told_what_is_missing(void **state)
{
    (void)state;
    /* Another user, without capabilities, may read what is its own; ticks it may not have. */
    pid_t reader = fork();
    if (reader == 0) {
        struct seen seen = { 0 };
        struct bsk_error err = { 0 };
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(0);
        const char *const arguments[] = { "/usr/bin/python3", "-S", "-c",
                                          "print('ready', flush=True)\nwhile True: pass", NULL };
        if (access(arguments[0], X_OK) != 0)
            _exit(0);
        char line[64];
        struct child child = start_child(arguments);
        read_line(&child, line, sizeof(line));
        int rc = bsk_sampler_open(child.pid, NULL, &seen.sampler, &err);
        if (rc == BSK_OK)
            rc = bsk_sampler_ticks_start(seen.sampler, 100, &seen.ticks, &err);
        else
            rc = BSK_E_PERMISSION; /* ptrace_scope: not what is asked here */
        stop_child(&child);
        _exit(rc == BSK_E_PERMISSION && (err.hint[0] != '\0') ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_calls_in_turn),
        cmocka_unit_test(unequal_short_calls),
        cmocka_unit_test(one_call_site_of_python_and_c),
        cmocka_unit_test(asyncio_tasks),
        cmocka_unit_test(generators),
        cmocka_unit_test(threads_that_start_and_end),
        cmocka_unit_test(stacks_ten_thousand_deep),
        cmocka_unit_test(shares_of_counted_work),
        cmocka_unit_test(code_that_is_thrown_away),
        cmocka_unit_test(a_program_in_step_with_the_clock),
        cmocka_unit_test(threads_too_short_for_a_clock),
        cmocka_unit_test(an_exec_ends_it_and_nothing_is_made_up),
        cmocka_unit_test(a_target_that_is_killed_is_an_end),
        cmocka_unit_test(who_is_ignored_or_paused_does_not_tick),
        cmocka_unit_test(two_that_sample_one_program_do_not_disturb_each_other),
        cmocka_unit_test(who_may_not_is_told_what_is_missing),
    };
    return cmocka_run_group_tests(tests, skip_where_refused, NULL);
}
