#include "engine/python/lines.h"
#include "tests/engine/fixtures/children.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { LINE_MAX_BYTES = 1 << 22 };

static uint32_t line_at(enum bsk_line_form form, const char *table, size_t size, int64_t offset)
{
    struct bsk_line_step steps[64];
    size_t count = bsk_lines_decode(form, (const uint8_t *)table, size, 10, steps, 64);
    assert_true(count <= 64);
    return bsk_lines_find(steps, count, offset, 10);
}

static void finds_the_line_in_each_form_of_table(void **state)
{
    (void)state;
    const struct {
        const char *why;
        enum bsk_line_form form;
        const char *table;
        size_t size;
        int64_t offset;
        uint32_t line;
    } cases[] = {
        { "an empty table has the first line alone", BSK_LINES_LNOTAB, "", 0, 4, 10 },
        { "a step forward", BSK_LINES_LNOTAB, "\x04\x02", 2, 4, 12 },
        { "before the step", BSK_LINES_LNOTAB, "\x04\x02", 2, 2, 10 },
        { "a step back", BSK_LINES_LNOTAB, "\x04\x05\x02\xfe", 4, 6, 13 },
        { "many lines take several pairs", BSK_LINES_LNOTAB, "\x04\x7f\x00\x7f", 4, 4, 264 },
        { "half a pair is ignored", BSK_LINES_LNOTAB, "\x04\x02\x09", 3, 20, 12 },
        { "a range and its line", BSK_LINES_PEP626, "\x04\x01\x04\x02", 4, 6, 13 },
        { "a range without a line", BSK_LINES_PEP626, "\x04\x01\x04\x80", 4, 6, 0 },
        { "the line goes on after one", BSK_LINES_PEP626, "\x02\x01\x02\x80\x02\x01", 6, 4, 12 },
        { "a frame that has not begun", BSK_LINES_PEP626, "\x04\x03", 2, -2, 10 },
        { "one line, columns follow", BSK_LINES_LOCATION, "\xd8\x01\x02\xd8\x01\x02", 6, 2, 12 },
        { "a short form keeps the line", BSK_LINES_LOCATION, "\x80\x11\x80\x11", 4, 2, 10 },
        { "no columns, line delta -1", BSK_LINES_LOCATION, "\xe8\x03", 2, 0, 9 },
        { "no location", BSK_LINES_LOCATION, "\xf9", 1, 2, 0 },
        { "the long form", BSK_LINES_LOCATION, "\xf0\x04\x00\x01\x01", 5, 0, 12 },
        { "a varint of two bytes", BSK_LINES_LOCATION, "\xe8\x40\x02", 3, 0, 74 },
        { "a varint that never ends", BSK_LINES_LOCATION, "\xe8\x7f\x7f", 3, 0, 0 },
        { "garbage where an entry should begin", BSK_LINES_LOCATION, "\x05\x05", 2, 0, 10 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        uint32_t line = line_at(cases[i].form, cases[i].table, cases[i].size, cases[i].offset);
        if (strstr(cases[i].why, "never ends"))
            continue; /* any answer will do: that there is one is the point */
        assert_int_equal(line, cases[i].line);
    }
}

static void finds_the_columns_in_each_kind_of_entry(void **state)
{
    (void)state;
    const struct {
        const char *why, *table;
        size_t size;
        uint32_t line, end_line, column, end_column;
    } cases[] = {
        { "the short form: column 5, 3 wide", "\x80\x53", 2, 10, 10, 6, 8 },
        { "its column goes up to 79", "\xc8\x7f", 2, 10, 10, 80, 94 },
        { "one line", "\xd8\x04\x09", 3, 11, 11, 5, 9 },
        { "no columns", "\xe8\x02", 2, 11, 11, 0, 0 },
        { "no location", "\xf8", 1, 0, 0, 0, 0 },
        { "the long form: line 12 to 14, columns 99 and 4", "\xf0\x04\x02\x64\x01\x05", 6, 12, 14,
          0x24 + 64, 4 },
        { "the long form without columns", "\xf0\x02\x01\x00\x00", 5, 11, 12, 0, 0 },
        { "a column past 65,535 is none", "\xf0\x00\x00\x41\x40\x10\x41\x40\x10", 9, 10, 10, 0, 0 },
        { "cut behind the first byte", "\xd8", 1, 11, 11, 1, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_line_step step;
        print_message("  %s\n", cases[i].why);
        size_t count = bsk_lines_decode(BSK_LINES_LOCATION, (const uint8_t *)cases[i].table,
                                        cases[i].size, 10, &step, 1);
        assert_int_equal(count, 1);
        assert_int_equal(step.line, cases[i].line);
        assert_int_equal(step.end_line, cases[i].end_line);
        assert_int_equal(step.column, cases[i].column);
        assert_int_equal(step.end_column, cases[i].end_column);
    }
    for (int form = BSK_LINES_LNOTAB; form <= BSK_LINES_PEP626; form++) {
        struct bsk_line_step steps[8];
        size_t count = bsk_lines_decode(form, (const uint8_t *)"\x04\x01\x04\x02", 4, 10, steps, 8);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(steps[i].column | steps[i].end_column, 0);
    }
}

static void never_makes_more_steps_than_bytes(void **state)
{
    (void)state;
    unsigned seed = 1;
    uint8_t table[256];
    struct bsk_line_step steps[sizeof(table) + 1];
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)rand_r(&seed) % sizeof(table);
        for (size_t i = 0; i < size; i++)
            table[i] = (uint8_t)rand_r(&seed);
        for (int form = BSK_LINES_LNOTAB; form <= BSK_LINES_LOCATION; form++) {
            size_t count = bsk_lines_decode(form, table, size, 1, steps, size + 1);
            assert_true(count <= size + 1);
            for (size_t i = 1; i < count; i++)
                assert_true(steps[i].start > steps[i - 1].start);
        }
    }
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t size = 0;
    for (unsigned byte; hex[0] != '-' && sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        out[size] = (uint8_t)byte;
    return size;
}

/* What one line of lines.py says against what we say, at every instruction. */
static void compare(enum bsk_line_form form, char *text, uint8_t *table,
                    struct bsk_line_step *steps)
{
    char *hex = strchr(text, ' ') + 1, *said = strchr(hex, ' ') + 1;
    uint32_t first_line = (uint32_t)strtoul(text, NULL, 10);
    said[-1] = '\0';
    size_t size = from_hex(hex, table);
    size_t count = bsk_lines_decode(form, table, size, first_line, steps, size + 1);
    long line = -1, offset = 0;
    for (char *at = said; *at; at += *at == ',') {
        long next = strtol(at, &at, 10), next_line = strtol(at + 1, &at, 10);
        for (; line >= 0 && offset < next; offset += 2)
            if (bsk_lines_find(steps, count, offset, first_line) != (uint32_t)line)
                fail_msg("offset %ld: %u instead of %ld (table %s)", offset,
                         bsk_lines_find(steps, count, offset, first_line), line, hex);
        offset = next;
        line = next_line;
    }
}

/* The same of columns: each instruction. Returns how many there were, and how many had columns. */
static size_t compare_columns(char *text, uint8_t *table, struct bsk_line_step *steps,
                              size_t *out_with)
{
    char *hex = strchr(text, ' ') + 1, *said = strchr(hex, ' ') + 1;
    uint32_t first_line = (uint32_t)strtoul(text, NULL, 10);
    said[-1] = '\0';
    size_t size = from_hex(hex, table), instructions = 0;
    size_t count = bsk_lines_decode(BSK_LINES_LOCATION, table, size, first_line, steps, size + 1);
    for (char *at = said; *at && *at != '\n'; at += *at == ',', instructions++) {
        long is[5] = { 0 };
        for (size_t i = 0; i < 5; i++)
            is[i] = strtol(at + (i > 0), &at, 10);
        bool has = is[1] > 0 && is[3] >= 0; /* a module begins at line 0, column 0 */
        const struct bsk_line_step *step = bsk_lines_step(steps, count, is[0]);
        assert_non_null(step);
        if (step->line != is[1] || (is[1] > 0 && step->end_line != is[2]) ||
            step->column != (has ? is[3] + 1 : 0) || step->end_column != (has ? is[4] : 0))
            fail_msg("offset %ld: %u-%u, %u-%u instead of %ld-%ld, %ld-%ld (table %s)", is[0],
                     step->line, step->end_line, step->column, step->end_column, is[1], is[2],
                     is[3], is[4], hex);
        *out_with += has;
    }
    return instructions;
}

static void columns_agree_with_every_python_on_its_own_library(void **state)
{
    (void)state;
    char *text = malloc(LINE_MAX_BYTES);
    uint8_t *table = malloc(LINE_MAX_BYTES);
    struct bsk_line_step *steps = malloc(LINE_MAX_BYTES * sizeof(*steps));
    assert_true(text && table && steps);
    for (const char *const *python = all_pythons(); *python; python++) {
        const char *const ask[] = { *python, "-S", "-c", "import sys; print(sys.version_info[1])",
                                    NULL };
        struct child asked = start_child(ask);
        read_line(&asked, text, LINE_MAX_BYTES);
        stop_child(&asked);
        int minor = atoi(text);
        if (minor < 11)
            continue; /* no such columns: finds_the_columns_in_each_kind_of_entry() */
        for (int without = 0; without < 2; without++) {
            size_t instructions = 0, with = 0;
            setenv("PYTHONNODEBUGRANGES", "1", 1);
            if (!without)
                unsetenv("PYTHONNODEBUGRANGES");
            struct child child = start_fixture(*python, "lines.py", "columns");
            while (fgets(text, LINE_MAX_BYTES, child.output))
                instructions += compare_columns(text, table, steps, &with);
            stop_child(&child);
            print_message("  3.%d%s: %zu instructions, %zu with columns\n", minor,
                          without ? " -X no_debug_ranges" : "", instructions, with);
            assert_true(instructions > 100000);
            assert_true(without ? with == 0 : with > instructions / 2);
        }
    }
    unsetenv("PYTHONNODEBUGRANGES");
    free(text);
    free(table);
    free(steps);
}

static void agrees_with_every_python_on_its_own_library(void **state)
{
    (void)state;
    char *text = malloc(LINE_MAX_BYTES);
    uint8_t *table = malloc(LINE_MAX_BYTES);
    struct bsk_line_step *steps = malloc(LINE_MAX_BYTES * sizeof(*steps));
    assert_true(text && table && steps);
    for (const char *const *python = all_pythons(); *python; python++) {
        int minor = 0;
        size_t codes = 0;
        const char *const ask[] = { *python, "-S", "-c", "import sys; print(sys.version_info[1])",
                                    NULL };
        struct child asked = start_child(ask);
        read_line(&asked, text, LINE_MAX_BYTES);
        stop_child(&asked);
        minor = atoi(text);
        enum bsk_line_form form = minor <= 9    ? BSK_LINES_LNOTAB
                                  : minor == 10 ? BSK_LINES_PEP626
                                                : BSK_LINES_LOCATION;
        struct child child = start_fixture(*python, "lines.py", NULL);
        while (fgets(text, LINE_MAX_BYTES, child.output)) {
            compare(form, text, table, steps);
            codes++;
        }
        stop_child(&child);
        print_message("  3.%d: %zu code objects\n", minor, codes);
        assert_true(codes > 1000);
    }
    free(text);
    free(table);
    free(steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_line_in_each_form_of_table),
        cmocka_unit_test(finds_the_columns_in_each_kind_of_entry),
        cmocka_unit_test(columns_agree_with_every_python_on_its_own_library),
        cmocka_unit_test(never_makes_more_steps_than_bytes),
        cmocka_unit_test(agrees_with_every_python_on_its_own_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
