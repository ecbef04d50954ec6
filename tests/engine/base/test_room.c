#include "engine/base/room.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void an_array_grows_as_it_fills_and_keeps_what_it_holds(void **state)
{
    (void)state;
    uint64_t *items = NULL;
    size_t capacity = 0, grown = 0;
    for (size_t i = 0; i < 1000; i++) {
        size_t before = capacity;
        assert_true(bsk_room_for_one(&items, i, &capacity, sizeof(*items)));
        assert_true(capacity > i);
        grown += capacity != before;
        items[i] = i * i;
    }
    assert_in_range(grown, 2, 10);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(items[i], i * i);
    free(items);
}

static void no_room_changes_nothing(void **state)
{
    (void)state;
    char one = 'x', *items = &one;
    size_t capacity = SIZE_MAX / 4; /* twice as many of them are more than there is memory */
    assert_true(bsk_room_for_one(&items, 0, &capacity, 16)); /* there is room already */
    assert_false(bsk_room_for_one(&items, capacity, &capacity, 16));
    assert_ptr_equal(items, &one);
    assert_int_equal(capacity, SIZE_MAX / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_grows_as_it_fills_and_keeps_what_it_holds),
        cmocka_unit_test(no_room_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
