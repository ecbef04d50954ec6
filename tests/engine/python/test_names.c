#include "engine/python/python.h"
#include "tests/engine/fixtures/children.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LINE_BYTES = 4096, SAID_MAX = 256 };

struct target {
    struct child child;
    struct bsk_process *process;
    struct bsk_python *python;
    struct bsk_threads threads;
};

struct said {
    pid_t tid;
    char name[LINE_BYTES];
};

static struct said said[SAID_MAX];

static size_t read_said(struct child *child)
{
    static char line[LINE_BYTES], hex[LINE_BYTES];
    size_t count = 0;
    for (read_line(child, line, sizeof(line)); line[0]; read_line(child, line, sizeof(line))) {
        int tid;
        unsigned byte;
        size_t length = 0;
        assert_true(count < SAID_MAX);
        assert_int_equal(sscanf(line, "%d %4095s", &tid, hex), 2);
        for (const char *at = hex; sscanf(at, "%2x", &byte) == 1; at += 2)
            said[count].name[length++] = (char)byte;
        said[count].name[length] = '\0';
        said[count++].tid = tid;
    }
    return count;
}

static struct target open_target(const char *python, const char *how)
{
    return (struct target){ .child = start_fixture(python, "names.py", how) };
}

static void open_it(struct target *target)
{
    struct bsk_error err = { 0 };
    int rc = bsk_process_open(target->child.pid, &target->process, &err);
    if (rc == BSK_OK)
        rc = bsk_python_open(target->process, &target->python, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
}

static void close_it(struct target *target)
{
    bsk_python_close(target->python);
    bsk_threads_free(&target->threads);
    bsk_process_close(target->process);
    stop_child(&target->child);
}

static void refresh(struct target *target)
{
    struct bsk_error err = { 0 };
    int rc = bsk_python_refresh(target->python, &target->threads, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
}

static void name_all(struct target *target, bool again)
{
    struct bsk_error err = { 0 };
    int rc = bsk_python_name_threads(target->python, again, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
}

static const char *name_of(struct target *target, pid_t tid)
{
    for (size_t i = 0; i < bsk_python_thread_count(target->python); i++)
        if (bsk_python_thread(target->python, i)->tid == tid)
            return bsk_python_thread(target->python, i)->name;
    return NULL;
}

static void expect_said(struct target *target, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = name_of(target, said[i].tid);
        assert_non_null(name);
        if (strlen(said[i].name) < 500) {
            assert_string_equal(name, said[i].name);
        } else { /* cut */
            assert_memory_equal(name, said[i].name, 500);
            assert_string_equal(name + strlen(name) - 3, "...");
        }
    }
}

static void names_threads_of_every_python(void **state)
{
    (void)state;
    static const char *const cases[] = { "kinds", "many_modules", "crowd" };
    for (const char *const *python = all_pythons(); *python; python++) {
        print_message("  %s\n", *python);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct target target = open_target(*python, cases[i]);
            size_t count = read_said(&target.child);
            assert_true(count >= 10);
            open_it(&target);
            refresh(&target);
            assert_string_equal(name_of(&target, target.child.pid), "");
            name_all(&target, false);
            assert_string_equal(name_of(&target, target.child.pid), "MainThread");
            expect_said(&target, count);
            close_it(&target);
        }
    }
}

static void follows_threads_that_are_renamed_and_new(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct target target = open_target(*python, "kinds");
        size_t before = read_said(&target.child);
        open_it(&target);
        refresh(&target);
        name_all(&target, false);
        expect_said(&target, before);
        assert_int_equal(write(target.child.input, "\n", 1), 1);
        size_t after = read_said(&target.child);
        assert_int_equal(after, before + 1);
        refresh(&target);
        name_all(&target, false); /* names the new one alone */
        assert_string_equal(name_of(&target, target.child.pid), "MainThread");
        assert_string_equal(name_of(&target, said[after - 1].tid), "late");
        name_all(&target, true);
        assert_string_equal(name_of(&target, target.child.pid), "the first of all");
        expect_said(&target, after);
        close_it(&target);
    }
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Threads that end while they are named: each name that is given is one that was said. */
static void survives_threads_that_come_and_go(void **state)
{
    (void)state;
    enum { ROUNDS = 3000 };
    for (const char *const *python = all_pythons(); *python; python++) {
        struct target target = open_target(*python, "churn");
        size_t named = 0, unnamed = 0;
        (void)read_said(&target.child);
        open_it(&target);
        double begin = cpu_seconds();
        for (int round = 0; round < ROUNDS; round++) {
            refresh(&target);
            name_all(&target, round % 2 == 0);
            for (size_t i = 0; i < bsk_python_thread_count(target.python); i++) {
                const char *name = bsk_python_thread(target.python, i)->name;
                named += *name != '\0';
                unnamed += *name == '\0';
                if (*name && strcmp(name, "MainThread") != 0)
                    assert_memory_equal(name, "short-", 6);
            }
        }
        print_message("  %s: %zu named, %zu not (yet), %.0f us a round\n", *python, named, unnamed,
                      (cpu_seconds() - begin) * 1e6 / ROUNDS);
        assert_true(named > ROUNDS / 2);
        close_it(&target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_threads_of_every_python),
        cmocka_unit_test(follows_threads_that_are_renamed_and_new),
        cmocka_unit_test(survives_threads_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
