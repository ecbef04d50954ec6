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
    assert_false(bsk_proof_holds(&proof, bsk_proof_call(1, 2, 3)));
    for (int times = 0; times < 3; times++) {
        assert_false(bsk_proof_holds(&proof, bsk_proof_call(7, 14, 8)));
        assert_int_equal(bsk_proof_seen(&proof, bsk_proof_call(7, 14, 8)), times > 0);
        for (uint32_t i = 0; i < 5000; i++)
            bsk_proof_learn(&proof, bsk_proof_call(i, i * 2, i + 1));
    }
    for (uint32_t i = 0; i < 5000; i++) {
        assert_true(bsk_proof_holds(&proof, bsk_proof_call(i, i * 2, i + 1)));
        assert_false(bsk_proof_holds(&proof, bsk_proof_call(i, i * 2 + 1, i + 1)));
    }
    bsk_proof_free(&proof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_utf8_whatever_the_kind),
        cmocka_unit_test(proves_only_what_it_learnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
