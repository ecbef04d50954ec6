/* What lies between two frames of a data stack: by its ends, in the proportions that were seen. */
#include "engine/python/bridges.h"
#include "engine/python/proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct bsk_bridge_step by_loop[] = { { 1, false, 40 }, { 2, false, 50 } };
static const struct bsk_bridge_step by_yield[] = { { 3, true, 10 },
                                                   { 4, false, 20 },
                                                   { 2, false, 50 } };

static const struct bsk_bridge *find(const struct bsk_bridges *bridges,
                                     const struct bsk_bridge_key *key, uint64_t lot)
{
    bool only;
    return bsk_bridges_find(bridges, key, NULL, 0, lot, &only);
}

static void finds_chains_by_their_ends(void **state)
{
    (void)state;
    struct bsk_bridges bridges = { 0 };
    const struct bsk_bridge_key key = { 7, 2, BSK_BRIDGE_END }, called = { 7, 2, 9 };
    const struct bsk_bridge_key other = { 8, 2, BSK_BRIDGE_END };
    assert_null(find(&bridges, &key, 0));
    for (int i = 0; i < 4; i++)
        bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, BSK_BRIDGE_END);
    const struct bsk_bridge *found = find(&bridges, &key, 12345);
    assert_non_null(found);
    assert_int_equal(found->count, 2);
    assert_memory_equal(bridges.steps + found->first, by_loop, sizeof(by_loop));
    assert_null(find(&bridges, &called, 0));
    assert_null(find(&bridges, &other, 0));
    bsk_bridges_free(&bridges);
}

static void keeps_their_proportions(void **state)
{
    (void)state;
    enum { DRAWN = 4000 };
    struct bsk_bridges bridges = { 0 };
    const struct bsk_bridge_key key = { 7, 2, BSK_BRIDGE_END };
    int of_loop = 0;
    for (int i = 0; i < 30; i++)
        bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, BSK_BRIDGE_END);
    for (int i = 0; i < 10; i++)
        bsk_bridges_learn(&bridges, 7, 71, by_yield, 3, BSK_BRIDGE_END);
    for (uint64_t i = 0; i < DRAWN; i++)
        of_loop += find(&bridges, &key, bsk_proof_mix(i + 1) >> 16)->count == 2;
    assert_in_range(of_loop, DRAWN * 70 / 100, DRAWN * 80 / 100);
    bsk_bridges_free(&bridges);
}

static void believes_no_accident(void **state)
{
    (void)state;
    struct bsk_bridges bridges = { 0 };
    const struct bsk_bridge_key key = { 7, 2, BSK_BRIDGE_END };
    for (int i = 0; i < 2; i++)
        bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, BSK_BRIDGE_END);
    assert_null(find(&bridges, &key, 0)); /* twice is not enough */
    for (int i = 0; i < 1000; i++)
        bsk_bridges_learn(&bridges, 7, 71, by_yield, 3, BSK_BRIDGE_END);
    bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, BSK_BRIDGE_END);
    for (uint64_t i = 0; i < 2000; i++) /* nor three times in a thousand */
        assert_int_equal(find(&bridges, &key, i)->count, 3);
    bsk_bridges_free(&bridges);
}

static void believes_no_ends_that_are_rare(void **state)
{
    (void)state;
    struct bsk_bridges bridges = { 0 };
    const struct bsk_bridge_key called = { 7, 2, 9 };
    for (int i = 0; i < 5000; i++)
        bsk_bridges_learn(&bridges, 7, 71, by_loop, 1, BSK_BRIDGE_END);
    for (int i = 0; i < 4; i++)
        bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, 9);
    assert_null(find(&bridges, &called, 0)); /* four of 5,000 are none in 1,024 */
    bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, 9);
    assert_non_null(find(&bridges, &called, 0));
    bsk_bridges_free(&bridges);
}

static void prefers_what_fits_better(void **state)
{
    (void)state;
    struct bsk_bridges bridges = { 0 };
    const struct bsk_bridge_key key = { 7, 2, BSK_BRIDGE_END };
    const uint32_t yields[] = { 2, 4 }, loops[] = { 2, 1 }, others[] = { 2, 9 };
    const uint32_t longer[] = { 2, 1, 1 };
    bool only;
    for (int i = 0; i < 20; i++)
        bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, BSK_BRIDGE_END);
    assert_non_null(bsk_bridges_find(&bridges, &key, others, 2, 0, &only));
    assert_false(only); /* it does not fit */
    assert_non_null(bsk_bridges_find(&bridges, &key, loops, 1, 0, &only));
    assert_true(only); /* it is all that was ever seen */
    assert_null(bsk_bridges_find(&bridges, &key, longer, 3, 0, &only));
    for (int i = 0; i < 5; i++)
        bsk_bridges_learn(&bridges, 7, 71, by_yield, 3, BSK_BRIDGE_END);
    for (uint64_t lot = 0; lot < 100; lot++) {
        assert_int_equal(bsk_bridges_find(&bridges, &key, loops, 2, lot, &only)->count, 2);
        assert_true(only);
        assert_int_equal(bsk_bridges_find(&bridges, &key, yields, 2, lot, &only)->count, 3);
        assert_false(only); /* it was not seen often enough to say so */
        assert_non_null(bsk_bridges_find(&bridges, &key, others, 2, lot, &only));
        assert_false(only);
    }
    bsk_bridges_free(&bridges);
}

static void guesses_ends_in_their_proportions(void **state)
{
    (void)state;
    enum { DRAWN = 4000 };
    struct bsk_bridges bridges = { 0 };
    uint32_t code_id = 0;
    int here = 0;
    assert_false(bsk_bridges_guess_end(&bridges, 7, 0, &code_id));
    for (int i = 0; i < 40; i++)
        bsk_bridges_note_end(&bridges, 7, i % 4 ? 2 : BSK_BRIDGE_END);
    assert_false(bsk_bridges_guess_end(&bridges, 8, 0, &code_id));
    for (uint64_t i = 0; i < DRAWN; i++) {
        assert_true(bsk_bridges_guess_end(&bridges, 7, bsk_proof_mix(i + 1) >> 16, &code_id));
        assert_true(code_id == 2 || code_id == BSK_BRIDGE_END);
        here += code_id == BSK_BRIDGE_END;
    }
    assert_in_range(here, DRAWN * 20 / 100, DRAWN * 30 / 100);
    bsk_bridges_free(&bridges);
}

static void is_bounded(void **state)
{
    (void)state;
    struct bsk_bridges bridges = { 0 };
    struct bsk_bridge_step longest[BSK_BRIDGE_MAX_STEPS + 1] = { { 5, false, 1 } };
    const struct bsk_bridge_key key = { 7, 2, BSK_BRIDGE_END };
    bsk_bridges_learn(&bridges, 7, 70, longest, BSK_BRIDGE_MAX_STEPS + 1, BSK_BRIDGE_END);
    assert_int_equal(bridges.used, 0);
    for (uint64_t i = 1; i < 100000; i++)
        bsk_bridges_learn(&bridges, i << 8, i, by_yield, 3, BSK_BRIDGE_END);
    for (int i = 0; i < 3; i++)
        bsk_bridges_learn(&bridges, 7, 70, by_loop, 2, BSK_BRIDGE_END);
    assert_true(bridges.slot_count <= 1 << 15 && bridges.step_capacity <= 1 << 17);
    assert_non_null(find(&bridges, &key, 0));
    for (uint64_t path = 0; path < 100; path++) /* of one key only so many */
        for (int i = 0; i < 3; i++)
            bsk_bridges_learn(&bridges, 9, path, by_loop, 2, BSK_BRIDGE_END);
    bsk_bridges_free(&bridges);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_chains_by_their_ends),
        cmocka_unit_test(keeps_their_proportions),
        cmocka_unit_test(believes_no_accident),
        cmocka_unit_test(believes_no_ends_that_are_rare),
        cmocka_unit_test(prefers_what_fits_better),
        cmocka_unit_test(guesses_ends_in_their_proportions),
        cmocka_unit_test(is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
