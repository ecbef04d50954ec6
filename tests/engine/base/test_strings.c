#include "engine/base/strings.h"

#include "engine/base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void utf8_is_told_from_other_bytes(void **state)
{
    (void)state;
    const struct {
        const char *why, *text;
        size_t size, length;
    } cases[] = {
        { "ASCII", "a", 1, 1 },
        { "nothing", "", 0, 0 },
        { "a NUL is a character", "", 1, 1 },
        { "two", "\xc3\xa4", 2, 2 },
        { "three", "\xe8\x9b\x87", 3, 3 },
        { "four", "\xf0\x9f\x90\x8d", 4, 4 },
        { "cut", "\xf0\x9f\x90\x8d", 3, 0 },
        { "a continuation alone", "\x80", 1, 0 },
        { "an overlong slash", "\xc0\xaf", 2, 0 },
        { "overlong, three", "\xe0\x80\xaf", 3, 0 },
        { "a surrogate", "\xed\xa0\x80", 3, 0 },
        { "past the last", "\xf4\x90\x80\x80", 4, 0 },
        { "the last", "\xf4\x8f\xbf\xbf", 4, 4 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        assert_int_equal(bsk_utf8_length(cases[i].text, cases[i].size), cases[i].length);
    }
}

static void paths_are_compared_by_their_parts(void **state)
{
    (void)state;
    assert_true(bsk_path_below("/a/b", "/a"));
    assert_true(bsk_path_below("/a", "/a"));
    assert_false(bsk_path_below("/ab", "/a"));
    assert_false(bsk_path_below("/", "/a"));
    assert_true(bsk_starts_with("abc", "ab"));
    assert_true(bsk_starts_with("abc", ""));
    assert_false(bsk_starts_with("a", "ab"));
    assert_true(bsk_ends_with("a.py", ".py"));
    assert_false(bsk_ends_with("py", ".py"));
}

static void urls_are_encoded(void **state)
{
    (void)state;
    struct bsk_buffer buffer = { 0 };
    bsk_file_url(&buffer, "/tmp/\xc3\xa4 b#?%/x-._~9.py");
    assert_string_equal(bsk_buffer_text(&buffer), "file:///tmp/%C3%A4%20b%23%3F%25/x-._~9.py");
    bsk_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(paths_are_compared_by_their_parts),
        cmocka_unit_test(urls_are_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
