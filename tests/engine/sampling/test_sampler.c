#include "engine/sampling/sampler.h"
#include "tests/engine/fixtures/children.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TEXT_MAX_BYTES = 1 << 14 };

static struct bsk_sampler *open_sampler(pid_t pid, bool idle_stacks)
{
    struct bsk_error err = { 0 };
    struct bsk_sampler *sampler = NULL;
    const struct bsk_sampler_options options = { .idle_stacks = idle_stacks,
                                                 .fresh_states = idle_stacks };
    int rc = bsk_sampler_open(pid, &options, &sampler, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    return sampler;
}

static const struct bsk_sample *take(struct bsk_sampler *sampler)
{
    struct bsk_error err = { 0 };
    const struct bsk_sample *sample = NULL;
    int rc = bsk_sampler_take(sampler, &sample, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    return sample;
}

static const struct bsk_thread_sample *find_thread(const struct bsk_sample *sample, pid_t tid)
{
    for (size_t i = 0; i < sample->thread_count; i++)
        if (sample->threads[i].tid == tid)
            return &sample->threads[i];
    return NULL;
}

/* As long names are kept: 512 bytes and "...". */
static void expect_name(const char *got, const char *said)
{
    if (strlen(said) <= 512) {
        assert_string_equal(got, said);
        return;
    }
    assert_true(strlen(got) < 520);
    assert_memory_equal(got, said, 512);
    assert_string_equal(got + strlen(got) - 3, "...");
}

/* What known.py said of one thread. */
struct said {
    pid_t tid;
    char *frames; /* lines of name, qualname, path, line */
    size_t depth;
};

enum { SAID_MAX = 16 };

static size_t read_said(struct child *child, struct said said[SAID_MAX])
{
    static char text[TEXT_MAX_BYTES];
    size_t count = 0, size = 0;
    FILE *frames = NULL;
    for (read_line(child, text, sizeof(text)); text[0]; read_line(child, text, sizeof(text))) {
        if (strncmp(text, "thread ", 7) == 0) {
            if (frames)
                fclose(frames);
            assert_true(count < SAID_MAX);
            said[count] = (struct said){ .tid = atoi(text + 7) };
            frames = open_memstream(&said[count].frames, &size);
            count++;
        } else {
            assert_true(frames != NULL && count > 0);
            fprintf(frames, "%s\n", text);
            said[count - 1].depth++;
        }
    }
    fclose(frames);
    return count;
}

static void expect_stack(const struct bsk_thread_sample *thread, const struct said *said)
{
    const char *line = said->frames;
    assert_int_equal(thread->depth, said->depth);
    for (size_t i = 0; i < said->depth; i++) {
        static char name[TEXT_MAX_BYTES], qualname[TEXT_MAX_BYTES], path[TEXT_MAX_BYTES];
        unsigned number;
        assert_int_equal(
            sscanf(line, "%[^\t]\t%[^\t]\t%[^\t]\t%u\n", name, qualname, path, &number), 4);
        expect_name(thread->frames[i].code->name, name);
        expect_name(thread->frames[i].code->qualname, qualname);
        assert_string_equal(thread->frames[i].code->path, path);
        assert_int_equal(thread->frames[i].line, number);
        line = strchr(line, '\n') + 1;
    }
}

/* It has said where it is before it gets there: until then its stack is one deeper, or torn. */
static const struct bsk_thread_sample *wait_until_parked(struct bsk_sampler *sampler,
                                                         const struct said *said)
{
    for (int tries = 0; tries < 100000; tries++) {
        const struct bsk_thread_sample *thread = find_thread(take(sampler), said->tid);
        if (thread && thread->state != BSK_THREAD_RUNNING && thread->has_stack &&
            thread->depth == said->depth)
            return thread;
    }
    fail_msg("thread %d never came to where it said it was", (int)said->tid);
    return NULL;
}

static void reads_known_stacks_of_every_python(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "nested",     "multi_line", "init",      "property",  "call",          "lambda",
        "generators", "genexpr",    "asyncio",   "through_c", "comprehension", "handler",
        "exec",       "unicode",    "long_name", "astral",    "deep",          "threads",
    };
    for (const char *const *python = all_pythons(); *python; python++) {
        print_message("  %s\n", *python);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct said said[SAID_MAX] = { 0 };
            struct child child = start_fixture(*python, "known.py", cases[i]);
            size_t count = read_said(&child, said);
            print_message("    %s\n", cases[i]);
            struct bsk_sampler *sampler = open_sampler(child.pid, true);
            for (size_t t = 0; t < count; t++) {
                expect_stack(wait_until_parked(sampler, &said[t]), &said[t]);
                free(said[t].frames);
            }
            bsk_sampler_close(sampler);
            stop_child(&child);
        }
    }
}

/* A relative path is one in the target's working directory. */
static void makes_paths_absolute(void **state)
{
    (void)state;
    const char *const *pythons = all_pythons();
    if (!pythons[0])
        skip();
    struct said said[SAID_MAX] = { 0 };
    char script[9000];
    snprintf(script, sizeof(script), "cd %s/tests/engine && exec %s -S fixtures/known.py nested",
             SOURCE_FOLDER, pythons[0]);
    const char *const arguments[] = { "sh", "-c", script, NULL };
    struct child child = start_child(arguments);
    assert_int_equal(read_said(&child, said), 1);
    struct bsk_sampler *sampler = open_sampler(child.pid, true);
    const struct bsk_thread_sample *thread = wait_until_parked(sampler, &said[0]);
    assert_string_equal(thread->frames[0].code->path,
                        SOURCE_FOLDER "/tests/engine/fixtures/known.py");
    free(said[0].frames);
    bsk_sampler_close(sampler);
    stop_child(&child);
}

static bool is_in(const struct bsk_frame *frame, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(frame->code->name, *names) == 0)
            return true;
    return false;
}

/* On one processor a target mostly stands still while it is read. Harmless where there is but one.
 */
static void run_side_by_side(pid_t target)
{
    cpu_set_t first, second;
    CPU_ZERO(&first);
    CPU_ZERO(&second);
    CPU_SET(0, &first);
    CPU_SET(1, &second);
    if (sched_setaffinity(target, sizeof(first), &first) == 0)
        (void)sched_setaffinity(0, sizeof(second), &second);
}

/* Takes samples until `wanted` stacks were read; each must be one that can exist. */
static void expect_possible_stacks(const char *how, const char *const *leaves,
                                   const char *const *bases, int wanted,
                                   bool (*check)(const struct bsk_thread_sample *thread))
{
    for (const char *const *python = all_pythons(); *python; python++) {
        char line[64];
        int stacks = 0, torn = 0, impossible = 0;
        struct child child = start_fixture(*python, "busy.py", how);
        read_line(&child, line, sizeof(line));
        run_side_by_side(child.pid);
        struct bsk_sampler *sampler = open_sampler(child.pid, false);
        for (int i = 0; stacks < wanted && i < 5000 * wanted; i++) {
            const struct bsk_sample *sample = take(sampler);
            for (size_t t = 0; t < sample->thread_count; t++) {
                const struct bsk_thread_sample *thread = &sample->threads[t];
                torn += thread->torn;
                if (!thread->has_stack)
                    continue;
                assert_false(thread->torn);
                assert_true(thread->depth > 0);
                stacks++;
                impossible += check && !check(thread);
                if (leaves && !is_in(&thread->frames[0], leaves))
                    fail_msg("%s: %s cannot be on top", *python, thread->frames[0].code->name);
                impossible += !is_in(&thread->frames[thread->depth - 1], bases);
                for (size_t f = 0; f < thread->depth; f++)
                    if (thread->frames[f].line == 0 && thread->frames[f].code->path[0] != '\0')
                        fail_msg("%s of %s has no line", thread->frames[f].code->name,
                                 thread->frames[f].code->path);
            }
        }
        print_message("  %s: %d stacks, %d torn, %d impossible\n",
                      bsk_sampler_info(sampler)->version, stacks, torn, impossible);
        /* Two readings that are wrong alike are not excluded. Where frames lie side by side none of
         * 240,000 was seen; docs/sampling.md has what was seen of 3.8 to 3.10. */
        assert_true(impossible * (bsk_sampler_info(sampler)->minor >= 11 ? 500 : 4) <= stacks);
        assert_true(stacks >= wanted);
        bsk_sampler_close(sampler);
        stop_child(&child);
    }
}

static void reads_a_busy_thread(void **state)
{
    (void)state;
    static const char *const leaves[] = { "leaf", "recurse", "<lambda>", "<module>", NULL };
    static const char *const bases[] = { "<module>", NULL };
    expect_possible_stacks("recurse", leaves, bases, 300, NULL);
}

/* Who calls whom in flutter(), and from which of its lines (counted from its first one). */
static bool has_legal_calls(const struct bsk_thread_sample *thread)
{
    static const struct {
        const char *caller, *callee;
        uint32_t line;
    } legal[] = {
        { "a", "leaf", 1 },    { "c", "leaf", 1 },    { "b", "a", 1 },       { "b", "c", 1 },
        { "flutter", "a", 2 }, { "flutter", "b", 3 }, { "flutter", "c", 4 },
    };
    for (size_t f = 0; f + 1 < thread->depth; f++) {
        const struct bsk_frame *caller = &thread->frames[f + 1];
        const char *callee = thread->frames[f].code->name;
        bool found = caller->code->name[0] == '<'; /* the way in: <lambda>, <module> */
        for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++)
            found = found || (strcmp(legal[i].caller, caller->code->name) == 0 &&
                              strcmp(legal[i].callee, callee) == 0 &&
                              caller->line - caller->code->first_line == legal[i].line);
        if (!found)
            return false;
    }
    return true;
}

static void reads_short_calls(void **state)
{
    (void)state;
    static const char *const leaves[] = { "leaf",    "a",        "b",        "c",
                                          "flutter", "<lambda>", "<module>", NULL };
    static const char *const bases[] = { "<module>", NULL };
    expect_possible_stacks("flutter", leaves, bases, 3000, has_legal_calls);
}

static void reads_coroutines(void **state)
{
    (void)state;
    static const char *const bases[] = { "<module>", NULL };
    expect_possible_stacks("asyncio", NULL, bases, 1000, NULL);
}

static void reads_threads_that_come_and_go(void **state)
{
    (void)state;
    static const char *const bases[] = { "<module>", "_bootstrap", "run", "_bootstrap_inner",
                                         NULL };
    expect_possible_stacks("churn", NULL, bases, 300, NULL);
}

static void tells_code_apart_that_had_the_same_address(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        char line[64];
        int made = 0;
        struct child child = start_fixture(*python, "busy.py", "fresh_code");
        read_line(&child, line, sizeof(line));
        struct bsk_sampler *sampler = open_sampler(child.pid, false);
        for (int i = 0; made < 300 && i < 100000; i++) {
            const struct bsk_sample *sample = take(sampler);
            const struct bsk_thread_sample *thread = find_thread(sample, child.pid);
            for (size_t f = 0; thread && f < thread->depth; f++) {
                const struct bsk_code_object *code = thread->frames[f].code;
                if (strncmp(code->path, "made_", 5) != 0 && !strstr(code->path, "/made_"))
                    continue;
                made++;
                /* "made_12" of file "made_12": a mixture of two would have two numbers */
                if (strcmp(code->name, "<module>") != 0)
                    assert_string_equal(strrchr(code->path, '/') + 1, code->name);
            }
        }
        assert_true(made >= 300);
        bsk_sampler_close(sampler);
        stop_child(&child);
    }
}

static void leaves_sleepers_alone_unless_asked(void **state)
{
    (void)state;
    const char *const *pythons = all_pythons();
    if (!pythons[0])
        skip();
    struct said said[SAID_MAX] = { 0 };
    struct child child = start_fixture(pythons[0], "known.py", "nested");
    assert_int_equal(read_said(&child, said), 1);
    struct bsk_sampler *sampler = open_sampler(child.pid, false);
    const struct bsk_thread_sample *thread;
    do
        thread = find_thread(take(sampler), said[0].tid);
    while (thread->state != BSK_THREAD_CALL || thread->has_stack); /* it worked a moment ago */
    assert_false(thread->torn);
    assert_int_equal(thread->depth, 0);
    assert_int_equal(bsk_sampler_info(sampler)->pid, child.pid);
    free(said[0].frames);
    bsk_sampler_close(sampler);
    stop_child(&child);
}

static void wait_until_asleep(pid_t pid, pid_t tid)
{
    char path[64], state = 'R';
    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    while (state != 'S') {
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        fclose(file);
    }
}

/* What it has used, it used since the sample before, in which it was not there. */
static void a_thread_that_worked_and_sleeps_by_the_next_sample_has_its_stack(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        const char *const arguments[] = { *python, "-S", "-c",
                                          "import sys, threading, time\n"
                                          "def works():\n"
                                          "    sum(range(200000))\n"
                                          "    print(threading.get_native_id(), flush=True)\n"
                                          "    time.sleep(60)\n"
                                          "print('ready', flush=True)\n"
                                          "sys.stdin.readline()\n"
                                          "threading.Thread(target=works, daemon=True).start()\n"
                                          "time.sleep(60)\n",
                                          NULL };
        char line[64];
        struct child child = start_child(arguments);
        read_line(&child, line, sizeof(line));
        struct bsk_sampler *sampler = open_sampler(child.pid, false);
        (void)take(sampler);
        assert_int_equal(write(child.input, "\n", 1), 1);
        read_line(&child, line, sizeof(line));
        const struct bsk_thread_sample *thread = NULL;
        pid_t tid = (pid_t)strtol(line, NULL, 10);
        wait_until_asleep(child.pid, tid);
        for (int i = 0; i < 100 && !thread; i++) /* until the list of threads is read anew */
            thread = find_thread(take(sampler), tid);
        assert_non_null(thread);
        assert_true(thread->has_stack);
        assert_true(thread->depth >= 1);
        assert_string_equal(thread->frames[0].code->name, "works");
        bsk_sampler_close(sampler);
        stop_child(&child);
    }
}

static void notices_an_exec_and_the_end(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        char line[64];
        struct bsk_error err = { 0 };
        const struct bsk_sample *sample;
        struct child child = start_fixture(*python, "busy.py", "exec");
        read_line(&child, line, sizeof(line));
        struct bsk_sampler *sampler = open_sampler(child.pid, true);
        (void)take(sampler);
        close(child.input);
        child.input = -1;
        read_line(&child, line, sizeof(line)); /* by the new program */
        assert_int_equal(bsk_sampler_take(sampler, &sample, &err), BSK_E_GONE);
        bsk_sampler_close(sampler);

        sampler = open_sampler(child.pid, true);
        (void)take(sampler);
        stop_child(&child);
        assert_int_equal(bsk_sampler_take(sampler, &sample, &err), BSK_E_GONE);
        assert_ptr_equal(strstr(err.message, "Process not found"), err.message);
        bsk_sampler_close(sampler);
    }
}

/* Killed while it is read, at ever other moments: an end, never a crash. */
static void survives_a_target_that_dies_meanwhile(void **state)
{
    (void)state;
    const char *const *pythons = all_pythons();
    if (!pythons[0])
        skip();
    for (int round = 0; round < 20; round++) {
        char line[64];
        int rc = BSK_OK;
        struct bsk_error err = { 0 };
        const struct bsk_sample *sample;
        struct child child = start_fixture(pythons[0], "busy.py", "churn");
        read_line(&child, line, sizeof(line));
        struct bsk_sampler *sampler = open_sampler(child.pid, true);
        for (int i = 0; rc == BSK_OK || rc == BSK_E_TORN; i++) {
            if (i == round)
                kill(child.pid, SIGKILL);
            rc = bsk_sampler_take(sampler, &sample, &err);
        }
        assert_int_equal(rc, BSK_E_GONE);
        bsk_sampler_close(sampler);
        stop_child(&child);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_known_stacks_of_every_python),
        cmocka_unit_test(makes_paths_absolute),
        cmocka_unit_test(reads_a_busy_thread),
        cmocka_unit_test(reads_short_calls),
        cmocka_unit_test(reads_coroutines),
        cmocka_unit_test(reads_threads_that_come_and_go),
        cmocka_unit_test(tells_code_apart_that_had_the_same_address),
        cmocka_unit_test(leaves_sleepers_alone_unless_asked),
        cmocka_unit_test(a_thread_that_worked_and_sleeps_by_the_next_sample_has_its_stack),
        cmocka_unit_test(notices_an_exec_and_the_end),
        cmocka_unit_test(survives_a_target_that_dies_meanwhile),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
