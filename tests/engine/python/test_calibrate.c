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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_every_python),
        cmocka_unit_test(names_each_place_that_was_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
