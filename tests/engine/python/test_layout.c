#include "engine/python/layout.h"
#include "engine/python/names.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void has_a_row_for_each_old_version(void **state)
{
    (void)state;
    for (int minor = BSK_OLDEST_MINOR; minor <= 12; minor++) {
        struct bsk_layout layout;
        assert_int_equal(bsk_layout_from_table(minor, &layout, NULL), BSK_OK);
        assert_int_equal(layout.minor, minor);
        assert_true(layout.frame.size > layout.frame.lasti);
        assert_true((layout.thread.native_thread_id != 0) == (minor >= 11));
    }
}

static void names_a_version_that_it_does_not_know(void **state)
{
    (void)state;
    struct bsk_layout layout;
    struct bsk_error err = { 0 };
    assert_int_equal(bsk_layout_from_table(7, &layout, &err), BSK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "3.7"));
    uint64_t words[256] = { 0, 0x03630000 };
    memcpy(words, "xdebugpy", 8);
    uint32_t version;
    assert_int_equal(bsk_layout_from_offsets(words, sizeof(words), &layout, &version, &err),
                     BSK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "3.99"));
}

static void refuses_absurd_offsets(void **state)
{
    (void)state;
    struct bsk_layout layout;
    uint32_t version;
    unsigned seed = 7;
    uint64_t words[256];
    for (int round = 0; round < 3000; round++) {
        for (size_t i = 0; i < 256; i++)
            words[i] = (uint64_t)rand_r(&seed) << (rand_r(&seed) % 33);
        memcpy(words, "xdebugpy", 8);
        words[1] = 0x030d00f0 + ((uint64_t)(round % 3) << 16);
        words[2] = 0;
        assert_int_equal(bsk_layout_from_offsets(words, sizeof(words), &layout, &version, NULL),
                         BSK_E_FORMAT);
    }
    memset(words + 1, 0, sizeof(words) - 8);
    words[1] = 0x030d00f0;
    assert_int_equal(bsk_layout_from_offsets(words, sizeof(words), &layout, &version, NULL),
                     BSK_E_FORMAT);
    assert_int_equal(bsk_layout_from_offsets(words, 100, &layout, &version, NULL), BSK_E_FORMAT);
    words[0] = 0;
    assert_int_equal(bsk_layout_from_offsets(words, sizeof(words), &layout, &version, NULL),
                     BSK_E_FORMAT);
}

static void tells_pythons_by_their_names(void **state)
{
    (void)state;
    const struct {
        const char *path;
        bool python, libpython, pypy;
        int minor;
    } cases[] = {
        { "/usr/bin/python3.11", true, false, false, 11 },
        { "/usr/bin/python3.13t", true, false, false, 13 },
        { "/usr/bin/python", true, false, false, -1 },
        { "/usr/bin/python3-config", false, false, false, -1 },
        { "/usr/lib/libpython3.8.so.1.0", false, true, false, 8 },
        { "/opt/pypy/bin/libpypy3.9-c.so", false, false, true, -1 },
        { "/opt/pypy/bin/pypy3.10", false, false, true, -1 },
        { "/usr/bin/pypykatz", false, false, false, -1 },
        { "", false, false, false, -1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int major = -1, minor = -1;
        print_message("  %s\n", cases[i].path);
        assert_int_equal(bsk_name_is_python(cases[i].path), cases[i].python);
        assert_int_equal(bsk_name_is_libpython(cases[i].path), cases[i].libpython);
        assert_int_equal(bsk_name_is_pypy(cases[i].path), cases[i].pypy);
        (void)bsk_name_version(cases[i].path, &major, &minor);
        assert_int_equal(minor, cases[i].minor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_row_for_each_old_version),
        cmocka_unit_test(names_a_version_that_it_does_not_know),
        cmocka_unit_test(refuses_absurd_offsets),
        cmocka_unit_test(tells_pythons_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
