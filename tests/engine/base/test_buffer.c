#include "engine/base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void it_grows_and_is_consumed(void **state)
{
    (void)state;
    struct bsk_buffer buffer = { 0 };
    assert_string_equal(bsk_buffer_text(&buffer), "");
    assert_true(bsk_buffer_append(&buffer, NULL, 0));
    for (int i = 0; i < 1000; i++)
        assert_true(bsk_buffer_printf(&buffer, "%04d", i));
    assert_int_equal(buffer.size, 4000);
    bsk_buffer_consume(&buffer, 3996);
    assert_string_equal(bsk_buffer_text(&buffer), "0999");
    bsk_buffer_consume(&buffer, 999);
    assert_int_equal(buffer.size, 0);
    assert_true(bsk_buffer_printf(&buffer, "%0500d", 7)); /* longer than its stack buffer */
    assert_int_equal(buffer.size, 500);
    bsk_buffer_free(&buffer);
    bsk_buffer_free(&buffer);
    assert_true(bsk_buffer_text_append(&buffer, "usable again"));
    bsk_buffer_free(&buffer);
}

static void the_ceiling_holds_and_failure_sticks(void **state)
{
    (void)state;
    const struct {
        const char *why;
        size_t first, second;
        bool fits;
    } cases[] = {
        { "just full", 50, 50, true },
        { "one too many", 50, 51, false },
        { "a wild size", 1, SIZE_MAX / 2, false },
        { "sizes that would wrap around", 1, SIZE_MAX, false },
    };
    static const char bytes[200];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_buffer buffer = { .max_bytes = 100 };
        print_message("  %s\n", cases[i].why);
        assert_true(bsk_buffer_append(&buffer, bytes, cases[i].first));
        assert_int_equal(bsk_buffer_append(&buffer, bytes, cases[i].second), cases[i].fits);
        assert_int_equal(buffer.failed, !cases[i].fits);
        if (!cases[i].fits) {
            assert_int_equal(buffer.size, cases[i].first);
            assert_false(bsk_buffer_append(&buffer, bytes, 1));
            assert_string_equal(bsk_buffer_text(&buffer), "");
            bsk_buffer_clear(&buffer);
            assert_true(bsk_buffer_append(&buffer, bytes, 1));
        } else {
            assert_int_equal(bsk_buffer_text(&buffer)[100], 0); /* the end does not count */
        }
        bsk_buffer_free(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_and_is_consumed),
        cmocka_unit_test(the_ceiling_holds_and_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
