#include "engine/profile/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct bsk_profile *profile;
static uint32_t track, other_track;

static int begin(void **state)
{
    (void)state;
    profile = bsk_profile_new(0);
    track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    other_track = bsk_profile_track(profile, 2, 2, "worker.py", "MainThread");
    return 0;
}

static int end(void **state)
{
    (void)state;
    bsk_profile_free(profile);
    return 0;
}

static uint32_t function(const char *name, const char *path)
{
    return bsk_profile_function(profile, name, path, 1, BSK_FUNCTION_PYTHON);
}

static void add(uint32_t on, const struct bsk_profile_frame *frames, size_t depth, uint64_t cpu_ns)
{
    bsk_profile_add(profile, bsk_profile_stack(profile, on, frames, depth), 0, 0, cpu_ns, 1);
}

static const struct bsk_function_total *named(const struct bsk_totals *totals, const char *name)
{
    for (size_t i = 0; i < totals->function_count; i++) {
        if (strcmp(totals->functions[i].name, name) == 0)
            return &totals->functions[i];
    }
    return NULL;
}

static void recursion_counts_once(void **state)
{
    (void)state;
    uint32_t f = function("f", "/a.py"), g = function("g", "/a.py");
    const struct bsk_profile_frame direct[] = { { f, 2 }, { f, 2 }, { f, 3 } };
    const struct bsk_profile_frame mutual[] = { { f, 2 }, { g, 9 }, { f, 2 }, { g, 9 } };
    add(track, direct, 3, 60);
    add(track, mutual, 4, 30);
    add(other_track, mutual, 2, 10);
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(named(totals, "f")->total_ns, 100);
    assert_int_equal(named(totals, "f")->total_samples, 3);
    assert_int_equal(named(totals, "f")->self_ns, 60);
    assert_int_equal(named(totals, "g")->total_ns, 40);
    assert_int_equal(named(totals, "g")->self_ns, 40);
    assert_true(named(totals, "f")->total_percent == 100.0);
    assert_string_equal(totals->functions[0].name, "f");
    bsk_totals_free(totals);
}

static void lines_sum_over_threads_and_name_their_busiest_function(void **state)
{
    (void)state;
    uint32_t f = function("f", "/a.py"), lambda = function("<lambda>", "/a.py");
    const struct bsk_profile_frame outer[] = { { f, 5 } }, inner[] = { { f, 5 }, { lambda, 5 } };
    add(track, outer, 1, 10);
    add(other_track, outer, 1, 10);
    add(track, inner, 2, 15);
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(totals->line_count, 1);
    assert_int_equal(totals->lines[0].self_ns, 35);
    assert_int_equal(totals->lines[0].samples, 3);
    assert_string_equal(totals->lines[0].function, "f");
    bsk_totals_free(totals);
}

static void what_has_no_line_is_in_the_functions_alone(void **state)
{
    (void)state;
    uint32_t f = function("f", "/a.py");
    uint32_t debugger = bsk_profile_function(profile, "(debugger)", "", 0, BSK_FUNCTION_SPECIAL);
    const struct bsk_profile_frame traced[] = { { f, 1 }, { debugger, 0 } };
    const struct bsk_profile_frame unknown[] = { { f, 0 } };
    add(track, traced, 2, 7);
    add(track, unknown, 1, 3);
    add(track, NULL, 0, 90); /* no Python frame at all still counts in the percentages */
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(totals->line_count, 0);
    assert_int_equal(totals->function_count, 2);
    assert_int_equal(named(totals, "(debugger)")->kind, BSK_FUNCTION_SPECIAL);
    assert_true(named(totals, "(debugger)")->self_percent == 7.0);
    bsk_totals_free(totals);
}

static void equal_weights_are_ordered_by_path_and_line(void **state)
{
    (void)state;
    const struct bsk_profile_frame frames[] = { { function("b", "/b.py"), 1 },
                                                { function("a", "/a.py"), 9 },
                                                { function("a", "/a.py"), 2 } };
    for (size_t i = 0; i < 3; i++)
        add(track, &frames[i], 1, 5);
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(totals->lines[0].line, 2);
    assert_int_equal(totals->lines[1].line, 9);
    assert_string_equal(totals->lines[2].path, "/b.py");
    bsk_totals_free(totals);
}

static void nothing_is_fine_too(void **state)
{
    (void)state;
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(totals->line_count + totals->function_count, 0);
    bsk_totals_free(totals);
    bsk_totals_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recursion_counts_once, begin, end),
        cmocka_unit_test_setup_teardown(lines_sum_over_threads_and_name_their_busiest_function,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_has_no_line_is_in_the_functions_alone, begin, end),
        cmocka_unit_test_setup_teardown(equal_weights_are_ordered_by_path_and_line, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_fine_too, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
