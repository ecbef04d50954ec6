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
        cmocka_unit_test(never_makes_more_steps_than_bytes),
        cmocka_unit_test(agrees_with_every_python_on_its_own_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
