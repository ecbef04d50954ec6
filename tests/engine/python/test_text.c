#include "engine/python/proof.h"
#include "engine/python/text.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void writes_utf8_whatever_the_kind(void **state)
{
    (void)state;
    static const uint16_t narrow[] = { 'a', 0xe9, 0x540d, 0xd800, 0 };
    static const uint32_t wide[] = { 0x1f40d, 0x110000, 'z' };
    const struct {
        const char *why;
        const void *characters;
        size_t length;
        unsigned kind;
        bool cut;
        size_t room;
        const char *expected;
    } cases[] = {
        { "nothing", "", 0, 1, false, 16, "" },
        { "ASCII as it is", "spam", 4, 1, false, 16, "spam" },
        { "ASCII that just fits", "spam", 4, 1, false, 5, "spam" },
        { "ASCII that does not", "spammer", 7, 1, false, 7, "spa..." },
        { "cut before it came here", "spam", 4, 1, true, 16, "spam..." },
        { "Latin-1", "\xe9", 1, 1, false, 16, "\xc3\xa9" },
        { "two bytes, a surrogate and NUL", narrow, 5, 2, false, 32,
          "a\xc3\xa9\xe5\x90\x8d\xef\xbf\xbd\xef\xbf\xbd" },
        { "no half a character before the dots", narrow, 5, 2, false, 8, "a\xc3\xa9..." },
        { "four bytes, past the last character", wide, 3, 4, false, 32,
          "\xf0\x9f\x90\x8d\xef\xbf\xbdz" },
        { "room for the dots alone", wide, 3, 4, false, 4, "..." },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[64];
        print_message("  %s\n", cases[i].why);
        size_t size = bsk_text_utf8(cases[i].characters, cases[i].length, cases[i].kind,
                                    cases[i].cut, out, cases[i].room);
        assert_string_equal(out, cases[i].expected);
        assert_int_equal(size, strlen(out));
        assert_true(size < cases[i].room);
    }
}

static void proves_only_what_it_learnt(void **state)
{
    (void)state;
    struct bsk_proof proof = { 0 };
    assert_false(bsk_proof_holds(&proof, bsk_proof_mix(1)));
    for (int times = 0; times < 3; times++) {
        assert_false(bsk_proof_holds(&proof, bsk_proof_mix(7)));
        for (uint32_t i = 0; i < 5000; i++)
            bsk_proof_learn(&proof, bsk_proof_mix(i));
    }
    for (uint32_t i = 0; i < 5000; i++) {
        assert_true(bsk_proof_holds(&proof, bsk_proof_mix(i)));
        assert_false(bsk_proof_holds(&proof, bsk_proof_mix(i + 5000)));
    }
    bsk_proof_free(&proof);
}

static void weighs_a_path_by_the_one_below(void **state)
{
    (void)state;
    struct bsk_proof proof = { 0 };
    const uint64_t below = bsk_proof_mix(1), path = bsk_proof_mix(2);
    for (int i = 0; i < 3; i++)
        bsk_proof_learn(&proof, path);
    assert_true(bsk_proof_is_part(&proof, path, below, 1));
    for (int i = 0; i < 2000; i++)
        bsk_proof_learn(&proof, below);
    assert_true(bsk_proof_is_part(&proof, path, below, 1024));
    assert_false(bsk_proof_is_part(&proof, path, below, 512));
    for (int i = 0; i < 100000; i++)
        bsk_proof_learn(&proof, below); /* counts up to 65,535 */
    assert_true(bsk_proof_is_part(&proof, path, below, 21846));
    assert_false(bsk_proof_is_part(&proof, path, below, 21844));
    bsk_proof_free(&proof);
}

static void remembers_what_a_place_calls(void **state)
{
    (void)state;
    struct bsk_proof proof = { 0 };
    assert_null(bsk_proof_site(&proof, 1, 2));
    for (uint32_t i = 0; i < 1000; i++)
        for (uint32_t callee = 0; callee < 10; callee++)
            bsk_proof_learn_site(&proof, i, 2, callee, callee ? BSK_SITE_CALLS : BSK_SITE_HEAP);
    const struct bsk_site *site = bsk_proof_site(&proof, 999, 2);
    assert_non_null(site);
    assert_int_equal(site->flags, BSK_SITE_CALLS | BSK_SITE_HEAP);
    for (uint32_t i = 0; i < BSK_SITE_CALLEES; i++) {
        assert_int_equal(site->callees[i], i);
        assert_int_equal(site->times[i], 1);
    }
    assert_null(bsk_proof_site(&proof, 999, 3));
    bsk_proof_free(&proof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_utf8_whatever_the_kind),
        cmocka_unit_test(proves_only_what_it_learnt),
        cmocka_unit_test(weighs_a_path_by_the_one_below),
        cmocka_unit_test(remembers_what_a_place_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
