#include "engine/findings/heat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void levels_follow_the_table(void **state)
{
    (void)state;
    const struct {
        double percent;
        const char *level;
    } cases[] = {
        { 100, "critical" }, { 10, "critical" }, { 9.99, "hot" }, { 5, "hot" },    { 4.9, "warm" },
        { 2, "warm" },       { 1.9, "cool" },    { 1, "cool" },   { 0.9, "none" }, { 0, "none" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(bsk_level_name(bsk_level_of(cases[i].percent)), cases[i].level);
}

struct line {
    const char *path;
    uint32_t line;
    double percent;
};

static struct bsk_heat *heat_of(const struct line *lines, size_t count,
                                const struct bsk_thresholds *thresholds)
{
    struct bsk_line_total totals_lines[16];
    struct bsk_function_total functions[16];
    for (size_t i = 0; i < count; i++) {
        totals_lines[i] = (struct bsk_line_total){ .path = lines[i].path,
                                                   .function = "f",
                                                   .line = lines[i].line,
                                                   .samples = (uint64_t)(lines[i].percent * 1000),
                                                   .self_percent = lines[i].percent };
        functions[i] =
            (struct bsk_function_total){ .path = lines[i].path,
                                         .name = "f",
                                         .first_line = lines[i].line,
                                         .self_samples = (uint64_t)(lines[i].percent * 1000),
                                         .self_percent = lines[i].percent,
                                         .total_percent = 100 };
    }
    const struct bsk_totals totals = {
        .lines = totals_lines, .line_count = count, .functions = functions, .function_count = count
    };
    return bsk_heat_new(&totals, thresholds);
}

static void only_hot_lines_of_real_files_have_heat(void **state)
{
    (void)state;
    const struct line lines[] = { { "/b.py", 9, 61.24 }, { "/a.py", 7, 9.96 },
                                  { "/b.py", 3, 0.96 },  { "/b.py", 4, 0.94 },
                                  { "<string>", 1, 20 }, { "", 1, 20 },
                                  { "/a.py", 2, 1.96 } };
    struct bsk_heat *heat = heat_of(lines, 7, NULL);
    assert_int_equal(heat->file_count, 2);
    assert_string_equal(heat->files[0].path, "/a.py");
    assert_int_equal(heat->files[0].line_count, 2);
    assert_int_equal(heat->files[0].lines[0].line, 2);
    assert_int_equal(heat->files[0].lines[0].level, BSK_LEVEL_WARM); /* it reads 2.0% */
    assert_true(heat->files[0].lines[1].percent == 10.0);
    assert_int_equal(heat->files[0].lines[1].level, BSK_LEVEL_CRITICAL);
    assert_int_equal(heat->files[0].function_count, 2);
    assert_int_equal(heat->files[1].line_count, 2);
    assert_int_equal(heat->files[1].lines[0].line, 3);
    assert_true(heat->files[1].lines[1].percent == 61.2);
    assert_int_equal(heat->files[1].function_count, 1);
    bsk_heat_free(heat);
    bsk_heat_free(NULL);
}

static struct bsk_heat *heat_of_samples(uint64_t line_samples, uint64_t function_samples,
                                        double percent)
{
    struct bsk_line_total line = { .path = "/a.py",
                                   .function = "f",
                                   .line = 1,
                                   .samples = line_samples,
                                   .self_percent = percent };
    struct bsk_function_total function = { .path = "/a.py",
                                           .name = "f",
                                           .first_line = 1,
                                           .self_samples = function_samples,
                                           .total_samples = 1000,
                                           .self_percent = percent,
                                           .total_percent = 100 };
    const struct bsk_totals totals = {
        .lines = &line, .line_count = 1, .functions = &function, .function_count = 1
    };
    return bsk_heat_new(&totals, NULL);
}

static void a_few_samples_are_no_finding(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t line, function;
        double percent;
        size_t lines, functions;
    } cases[] = {
        { "the only sample of a profile", 1, 1, 100, 0, 0 },
        { "one of twenty", 1, 1, 5, 0, 0 },
        { "four of forty: half of it may be chance", 4, 4, 10, 0, 0 },
        { "five of fifty", 5, 5, 10, 1, 1 },
        { "a function's lines are few, itself is not", 3, 6, 30, 0, 1 },
        { "many samples, and below the threshold", 900, 900, 0.9, 0, 0 },
        { "just at it", 500, 500, 2.0, 1, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        struct bsk_heat *heat = heat_of_samples(cases[i].line, cases[i].function, cases[i].percent);
        bool any = cases[i].lines + cases[i].functions > 0;
        assert_int_equal(heat->file_count, any);
        assert_int_equal(any ? heat->files[0].line_count : 0, cases[i].lines);
        assert_int_equal(any ? heat->files[0].function_count : 0, cases[i].functions);
        bsk_heat_free(heat);
    }
    assert_int_equal(bsk_level_of_samples(50, 4), BSK_LEVEL_NONE);
    assert_int_equal(bsk_level_of_samples(50, 5), BSK_LEVEL_CRITICAL);
}

static void a_lower_threshold_shows_more(void **state)
{
    (void)state;
    const struct line lines[] = { { "/a.py", 1, 0.5 }, { "/a.py", 2, 0.02 } };
    const struct bsk_thresholds low = { .line_percent = 0.01, .function_percent = 50 };
    struct bsk_heat *heat = heat_of(lines, 2, &low);
    assert_int_equal(heat->files[0].line_count, 2);
    assert_int_equal(heat->files[0].lines[0].level, BSK_LEVEL_COOL);
    assert_int_equal(heat->files[0].function_count, 0);
    bsk_heat_free(heat);
    const struct bsk_thresholds high = { .line_percent = 5, .function_percent = 5 };
    heat = heat_of(lines, 2, &high);
    assert_int_equal(heat->file_count, 0);
    bsk_heat_free(heat);
}

struct heard {
    char text[256];
};

static void hear(const struct bsk_hot_file *file, void *user)
{
    struct heard *heard = user;
    size_t used = strlen(heard->text);
    snprintf(heard->text + used, sizeof(heard->text) - used, "%s:%zu ", file->path,
             file->line_count);
}

static void only_files_that_changed_are_told(void **state)
{
    (void)state;
    const struct line before[] = { { "/a.py", 1, 10 }, { "/b.py", 1, 10 }, { "/c.py", 1, 10 } };
    const struct line after[] = {
        { "/b.py", 1, 10 }, { "/c.py", 1, 11 }, { "/d.py", 1, 10 }, { "/d.py", 2, 10 }
    };
    struct bsk_heat *old_heat = heat_of(before, 3, NULL), *new_heat = heat_of(after, 4, NULL);
    const struct {
        const char *why;
        const struct bsk_heat *before, *now;
        const char *told;
    } cases[] = {
        { "nothing was known", NULL, old_heat, "/a.py:1 /b.py:1 /c.py:1 " },
        { "nothing changed", old_heat, old_heat, "" },
        { "gone, the same, changed, new", old_heat, new_heat, "/a.py:0 /c.py:1 /d.py:2 " },
        { "and back", new_heat, old_heat, "/a.py:1 /c.py:1 /d.py:0 " },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct heard heard = { "" };
        print_message("  %s\n", cases[i].why);
        bsk_heat_changes(cases[i].before, cases[i].now, hear, &heard);
        assert_string_equal(heard.text, cases[i].told);
    }
    bsk_heat_free(old_heat);
    bsk_heat_free(new_heat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_follow_the_table),
        cmocka_unit_test(only_hot_lines_of_real_files_have_heat),
        cmocka_unit_test(a_few_samples_are_no_finding),
        cmocka_unit_test(a_lower_threshold_shows_more),
        cmocka_unit_test(only_files_that_changed_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
