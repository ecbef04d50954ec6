/* One PID that is another Python every few milliseconds: never mistaken for the one before. */
#include "engine/sampling/sampler.h"
#include "tests/engine/fixtures/children.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { EXECS = 200 };

/* All numbered functions of one stack must be of the same program; -1: there are none. */
static int number_of(const struct bsk_thread_sample *thread)
{
    int number = -1;
    for (size_t f = 0; f < thread->depth; f++) {
        int one;
        const char *name = thread->frames[f].code->name;
        if (sscanf(name, "work_%d", &one) != 1 && sscanf(name, "run_%d", &one) != 1)
            continue;
        if (number >= 0)
            assert_int_equal(one, number);
        number = one;
    }
    return number;
}

static void never_mistakes_an_exec_for_the_same_program(void **state)
{
    (void)state;
    const char *const *pythons = all_pythons();
    if (!pythons[0])
        skip();
    const char *first = pythons[0], *second = pythons[1] ? pythons[1] : pythons[0];
    char last[16], line[64];
    snprintf(last, sizeof(last), "%d", EXECS);
    const char *script = SOURCE_FOLDER "/tests/engine/fixtures/exec_chain.py";
    const char *const arguments[] = { first, "-S", script, "0", last, first, second, NULL };
    struct child child = start_child(arguments);
    read_line(&child, line, sizeof(line));
    struct bsk_sampler *sampler = NULL;
    int opened = 0, gone = 0, named = 0, met = -1, programs = 0, of_this = -1;
    struct pollfd end = { .fd = fileno(child.output), .events = POLLIN };
    while (poll(&end, 1, 0) == 0) {
        struct bsk_error err = { 0 };
        const struct bsk_sample *sample = NULL;
        if (!sampler) {
            int rc =
                bsk_sampler_open(child.pid, &(struct bsk_sampler_options){ 0 }, &sampler, &err);
            if (rc != BSK_OK && rc != BSK_E_FORMAT && rc != BSK_E_TORN && rc != BSK_E_GONE)
                fail_msg("%d: %s", rc, err.message);
            opened += rc == BSK_OK;
            of_this = -1;
            continue;
        }
        int rc = bsk_sampler_take(sampler, &sample, &err);
        if (rc == BSK_E_GONE) {
            bsk_sampler_close(sampler);
            sampler = NULL;
            gone++;
            continue;
        }
        if (rc != BSK_OK && rc != BSK_E_TORN)
            fail_msg("%d: %s", rc, err.message);
        for (size_t t = 0; rc == BSK_OK && t < sample->thread_count; t++) {
            int number = sample->threads[t].has_stack ? number_of(&sample->threads[t]) : -1;
            if (number < 0)
                continue;
            named++;
            assert_true(number >= met); /* none that has ended comes back */
            if (of_this >= 0)
                assert_int_equal(number, of_this); /* one opening is one program */
            programs += number > met;
            of_this = met = number;
        }
    }
    print_message("  %d execs: opened %d times, %d gone, %d programs seen in %d stacks\n", EXECS,
                  opened, gone, programs, named);
    assert_true(programs > EXECS / 10); /* as many as a loaded machine has time for */
    bsk_sampler_close(sampler);
    stop_child(&child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_mistakes_an_exec_for_the_same_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
