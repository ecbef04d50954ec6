#include "engine/base/amounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void bytes_are_written_in_units_of_1024_with_at_most_three_digits(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0 B" },
        { 950, "950 B" },
        { 999, "999 B" },
        { 1000, "1.0 KiB" }, /* no "1000 B": it would be wider than its column */
        { 1024, "1.0 KiB" },
        { 1234, "1.2 KiB" },
        { 10188, "9.9 KiB" },
        { 10189, "10 KiB" }, /* not "9.95" as "9.9" or "10.0" */
        { 999 << 10, "999 KiB" },
        { 1 << 20, "1.0 MiB" },
        { 36 << 20, "36 MiB" },
        { 5ULL << 40, "5.0 TiB" },
        { UINT64_MAX, "16 EiB" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        assert_string_equal(bsk_bytes_text(cases[i].bytes, text, sizeof(text)), cases[i].text);
        assert_ptr_equal(bsk_bytes_text(cases[i].bytes, text, sizeof(text)), text);
    }
}

static void counts_are_written_in_groups_of_three(void **state)
{
    (void)state;
    static const struct {
        uint64_t count;
        const char *text;
    } cases[] = {
        { 0, "0" },          { 999, "999" },           { 1000, "1,000" },
        { 12345, "12,345" }, { 1234567, "1,234,567" }, { UINT64_MAX, "18,446,744,073,709,551,615" }
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[28];
        assert_string_equal(bsk_count_text(cases[i].count, text, sizeof(text)), cases[i].text);
    }
    char small[4] = "abc";
    bsk_count_text(1234567, small, sizeof(small)); /* cut, and ended */
    assert_true(small[0] == '1' && !small[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_written_in_units_of_1024_with_at_most_three_digits),
        cmocka_unit_test(counts_are_written_in_groups_of_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
