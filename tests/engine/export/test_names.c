#include "engine/export/names.h"
#include "engine/export/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void paths_say_whose_code_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum bsk_code_kind kind;
    } cases[] = {
        { "/srv/app/main.py", BSK_CODE_USER },
        { "<string>", BSK_CODE_USER },
        { "", BSK_CODE_USER },
        { "/home/python3/app.py", BSK_CODE_USER },
        { "/opt/lib/python3-tools/app.py", BSK_CODE_USER },
        { "/usr/lib/python3.12/json/decoder.py", BSK_CODE_LIBRARY },
        { "/opt/lib64/python3.8/os.py", BSK_CODE_LIBRARY },
        { "/opt/lib/python3.14t/os.py", BSK_CODE_LIBRARY },
        { "/usr/lib/python312.zip/os.py", BSK_CODE_LIBRARY },
        { "<frozen importlib._bootstrap>", BSK_CODE_LIBRARY },
        { "/usr/lib/python3/dist-packages/apt/cache.py", BSK_CODE_PACKAGE },
        { "/srv/venv/lib/python3.13/site-packages/numpy/core.py", BSK_CODE_PACKAGE },
        { "/srv/venv/lib/python3.13/site-packages/numpy/_core.so", BSK_CODE_NATIVE },
        { "/lib/x86_64-linux-gnu/libc.so.6", BSK_CODE_NATIVE },
        { "/srv/app/fast.pyx", BSK_CODE_NATIVE },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_function function = { .name = "f", .path = cases[i].path };
        print_message("  %s\n", cases[i].path);
        assert_int_equal(bsk_code_kind(&function), cases[i].kind);
        function.kind = BSK_FUNCTION_SPECIAL;
        assert_int_equal(bsk_code_kind(&function), BSK_CODE_SPECIAL);
    }
}

static void file_names_are_as_short_as_they_can_be(void **state)
{
    (void)state;
    static const struct {
        const char *files[4]; /* of the user's, which decide what is left out */
        const char *path, *expected;
    } cases[] = {
        { { "/srv/app/main.py" }, "/srv/app/main.py", "main.py" },
        { { "/srv/app/main.py", "/srv/app/lib/x.py" }, "/srv/app/lib/x.py", "lib/x.py" },
        { { "/srv/app/main.py", "/srv/apple/x.py" }, "/srv/apple/x.py", "apple/x.py" },
        { { "/srv/app/main.py", "/home/me/x.py" }, "/home/me/x.py", "/home/me/x.py" },
        { { "/srv/app/main.py", "/usr/lib/python3.12/os.py" }, "/srv/app/main.py", "main.py" },
        { { "/srv/app/main.py" }, "/usr/lib/python3.12/json/decoder.py", "json/decoder.py" },
        { { "/srv/app/main.py" }, "/usr/lib/python312.zip/os.py", "os.py" },
        { { "/srv/app/main.py" },
          "/srv/app/venv/lib/python3.13/site-packages/numpy/core.py",
          "numpy/core.py" },
        { { "/srv/app/main.py" }, "/a/site-packages/x/site-packages/y/dist-packages/z.py", "z.py" },
        { { "<string>" }, "<string>", "<string>" },
        { { "/x.py" }, "/x.py", "/x.py" },
        { { "/srv/app/main.py" }, "/srv/app/", "/srv/app/" },
        { { NULL }, "/srv/app/main.py", "/srv/app/main.py" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int whole = 0; whole < 2; whole++) {
            struct bsk_profile *profile = bsk_profile_new(0);
            struct bsk_names names;
            for (size_t f = 0; f < 4 && cases[i].files[f]; f++)
                bsk_profile_function(profile, "f", cases[i].files[f], 1, BSK_FUNCTION_PYTHON);
            bsk_profile_meta(profile)->full_filenames = whole;
            assert_true(bsk_names_init(&names, profile));
            assert_string_equal(bsk_names_short(&names, cases[i].path),
                                whole ? cases[i].path : cases[i].expected);
            bsk_names_free(&names);
            bsk_profile_free(profile);
        }
    }
}

static void names_are_one_line_that_any_reader_takes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "plain <name> & 'all'", "plain <name> & 'all'" },
        { "tab\tline\n\r", "tab\xe2\x90\x89line\xe2\x90\x8a\xe2\x90\x8d" },
        { "\x01\x1f\x7f", "\xe2\x90\x81\xe2\x90\x9f\xe2\x90\xa1" },
        { "\xff ok \xc0\xaf", "\xef\xbf\xbd ok \xef\xbf\xbd\xef\xbf\xbd" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a lone surrogate */
        { "\xef\xbf\xbe\xef\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd" }, /* U+FFFE, U+FFFF */
        { "\xe2\x80\xae"
          "evil",
          "\xef\xbf\xbd"
          "evil" },
        { "\xc2\x85\xc2\xa0", "\xef\xbf\xbd\xc2\xa0" },
        { "\xe8\x9b\x87\xf0\x9f\x90\x8d", "\xe8\x9b\x87\xf0\x9f\x90\x8d" },
        { "cut \xf0\x9f\x90", "cut \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_buffer out = { 0 };
        bsk_append_plain(&out, cases[i][0]);
        assert_string_equal(bsk_buffer_text(&out), cases[i][1]);
        bsk_buffer_free(&out);
    }
}

static void numbers_are_written_shortly(void **state)
{
    (void)state;
    static const struct {
        double value;
        int decimals;
        const char *expected;
    } cases[] = {
        { 0, 5, "0" },
        { 1, 2, "1" },
        { 0.5, 2, "0.5" },
        { 0.05, 2, "0.05" },
        { 0.004, 2, "0" },
        { 0.996, 2, "1" },
        { 12.34567, 5, "12.34567" },
        { 100.10000, 5, "100.1" },
        { 0.000012, 5, "0.00001" },
        { 1190, 0, "1190" },
        { 123456789.5, 1, "123456789.5" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_stream stream = { 0 };
        bsk_stream_fixed(&stream, cases[i].value, cases[i].decimals);
        assert_string_equal(bsk_buffer_text(&stream.held), cases[i].expected);
        bsk_buffer_free(&stream.held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_say_whose_code_it_is),
        cmocka_unit_test(file_names_are_as_short_as_they_can_be),
        cmocka_unit_test(names_are_one_line_that_any_reader_takes),
        cmocka_unit_test(numbers_are_written_shortly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
