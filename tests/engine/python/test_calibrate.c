#include "engine/python/calibrate.h"
#include "engine/python/fits.h"
#include "engine/python/internal.h"
#include "tests/engine/fixtures/children.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct target {
    struct child child;
    struct bsk_process *process;
    struct bsk_found found;
    struct bsk_layout layout;
};

static struct target open_target(const char *python, const char *fixture, const char *argument)
{
    struct target target = { .child = start_fixture(python, fixture, argument) };
    struct bsk_error err = { 0 };
    char line[4096];
    do /* known.py ends what it says by an empty line, the others say one */
        read_line(&target.child, line, sizeof(line));
    while (line[0] != '\0' && strcmp(fixture, "known.py") == 0);
    assert_int_equal(bsk_process_open(target.child.pid, &target.process, &err), BSK_OK);
    int rc = bsk_find_python(target.process, &target.found, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    assert_int_equal(bsk_layout_choose(target.process, &target.found, &target.layout, &err),
                     BSK_OK);
    return target;
}

static void close_target(struct target *target)
{
    bsk_process_close(target->process);
    stop_child(&target->child);
}

static double ms_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) * 1e3 +
           (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static void fits_every_python(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct bsk_error err = { 0 };
        struct timespec start;
        bool complete = false;
        struct target target = open_target(*python, "known.py", "nested");
        clock_gettime(CLOCK_MONOTONIC, &start);
        int rc = bsk_calibrate(target.process, &target.layout, target.found.runtime,
                               target.found.version, &complete, &err);
        print_message("  %s: %.2f ms %s\n", target.found.version, ms_since(&start), err.message);
        assert_string_equal(err.message, "");
        assert_int_equal(rc, BSK_OK);
        assert_true(complete);
        close_target(&target);
    }
}

/* Every place, moved by one word either way, is noticed, and it is that place which is named.
 * thread.size is a ceiling and no place; it is the one field that is not held to this. */
static void names_each_place_that_was_moved(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct target target = open_target(*python, "known.py", "nested");
        size_t moved = 0, missed = 0;
        for (size_t i = 0; i < bsk_layout_field_count(); i++) {
            const struct bsk_layout_field *field = bsk_layout_field(i);
            if (strcmp(field->name, "thread.size") == 0 ||
                !bsk_fits_applies(&target.layout, (enum bsk_field)i))
                continue;
            for (int by = -8; by <= 8; by += 16) {
                struct bsk_layout layout = target.layout;
                struct bsk_error err = { 0 };
                bool complete;
                uint32_t place;
                char wanted[128];
                memcpy(&place, (char *)&layout + field->at, sizeof(place));
                place += (uint32_t)by;
                memcpy((char *)&layout + field->at, &place, sizeof(place));
                int rc = bsk_calibrate(target.process, &layout, target.found.runtime,
                                       target.found.version, &complete, &err);
                snprintf(wanted, sizeof(wanted), "CPython %s: %s does not fit",
                         target.found.version, field->name);
                moved++;
                if (rc != BSK_E_UNSUPPORTED || strcmp(err.message, wanted) != 0) {
                    missed++;
                    print_message("    %s %+d: %s\n", field->name, by,
                                  rc == BSK_OK ? complete ? "fits" : "not complete" : err.message);
                }
            }
        }
        print_message("  %s: %zu moved, %zu not noticed\n", target.found.version, moved, missed);
        close_target(&target);
        assert_int_equal(missed, 0);
    }
}

/* What a target does meanwhile must never look like another build. */
static void never_refuses_a_busy_python(void **state)
{
    (void)state;
    enum { OPENS = 250, KINDS = 5 };
    static const char *const busy[KINDS] = { "flutter", "churn", "asyncio", "fresh_code",
                                             "digger" };
    for (const char *const *python = all_pythons(); *python; python++) {
        double longest = 0, all = 0;
        int complete_count = 0;
        for (size_t i = 0; i < KINDS; i++) {
            struct target target = open_target(*python, "busy.py", busy[i]);
            for (int open = 0; open < OPENS; open++) {
                struct bsk_error err = { 0 };
                struct timespec start;
                bool complete;
                clock_gettime(CLOCK_MONOTONIC, &start);
                int rc = bsk_calibrate(target.process, &target.layout, target.found.runtime,
                                       target.found.version, &complete, &err);
                double took = ms_since(&start);
                assert_string_equal(err.message, "");
                assert_int_equal(rc, BSK_OK);
                complete_count += complete;
                longest = took > longest ? took : longest;
                all += took;
            }
            close_target(&target);
        }
        print_message("  %d opens, %d complete, %.2f ms each, at most %.1f ms\n", KINDS * OPENS,
                      complete_count, all / (KINDS * OPENS), longest);
        assert_true(complete_count > 2 * OPENS); /* of 5 times as many; the rest comes later */
    }
}

/* From the moment of its exec on, until it can be opened: not a Python yet, or starting, or there.
 */
static void waits_for_a_python_that_starts(void **state)
{
    (void)state;
    enum { STARTS = 25, TRIES_MAX = 1000000 };
    for (const char *const *python = all_pythons(); *python; python++) {
        int not_yet = 0, starting = 0;
        for (int i = 0; i < STARTS; i++) {
            struct child child = start_fixture(*python, "known.py", "nested");
            int rc = BSK_E_TORN;
            for (int try = 0; rc != BSK_OK && try < TRIES_MAX; try++) {
                struct bsk_error err = { 0 };
                struct bsk_process *process = NULL;
                struct bsk_python *opened = NULL;
                rc = bsk_process_open(child.pid, &process, &err);
                if (rc == BSK_OK)
                    rc = bsk_python_open(process, &opened, &err);
                if (rc != BSK_OK && rc != BSK_E_FORMAT && rc != BSK_E_TORN && rc != BSK_E_GONE)
                    fail_msg("%s: %d %s", *python, rc, err.message);
                not_yet += rc == BSK_E_FORMAT || rc == BSK_E_GONE;
                starting += rc == BSK_E_TORN;
                bsk_python_close(opened);
                bsk_process_close(process);
            }
            assert_int_equal(rc, BSK_OK);
            stop_child(&child);
        }
        print_message("  %s: %d looks before it was a Python, %d while it started\n", *python,
                      not_yet, starting);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_every_python),
        cmocka_unit_test(names_each_place_that_was_moved),
        cmocka_unit_test(never_refuses_a_busy_python),
        cmocka_unit_test(waits_for_a_python_that_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
