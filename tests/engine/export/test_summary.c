#include "engine/export/summary.h"
#include "tests/engine/export/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *summary_of(const struct bsk_profile *profile)
{
    char *text = NULL;
    size_t size = 0;
    struct bsk_error err = { 0 };
    FILE *out = open_memstream(&text, &size);
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(bsk_summary_write(profile, totals, "app-20261121-120450", out, &err), BSK_OK);
    fclose(out);
    bsk_totals_free(totals);
    return text;
}

static size_t lines_with_text(const char *text)
{
    size_t count = 0;
    for (const char *at = text; *at; at += *at == '\n')
        for (count += *at != '\n'; *at && *at != '\n'; at++)
            ;
    return count;
}

static void ten_lines_say_what_ran_what_was_hot_and_how_to_look(void **state)
{
    (void)state;
    for (size_t i = 0; i < sample_profile_count; i++) {
        if (strcmp(sample_profiles[i].name, "kinds") != 0)
            continue;
        struct bsk_profile *profile = sample_profiles[i].make();
        char *text = summary_of(profile);
        static const char *const says[] = {
            "# Profile of `run.py`\n",
            "`python run.py`, Python 3.13.0, ",
            "(program ended); paths are below `/srv/shop/`",
            " samples at 100 Hz, 0 errors, 1 torn, 12 filled in, 4 unread, ",
            "read at each thread's clock tick (eBPF)",
            "- line: ",
            "% itself, ",
            "`templates/render.py:89` in `render`",
            "`app-20261121-120450` + `.svg` (a browser), `.cpuprofile` (VS Code), ",
            "`basilisk diff A B`",
        };
        for (size_t s = 0; s < sizeof(says) / sizeof(says[0]); s++)
            if (!strstr(text, says[s]))
                assert_string_equal(text, says[s]); /* shows both */
        assert_int_equal(lines_with_text(text), 10);
        free(text);
        bsk_profile_free(profile);
    }
}

static void names_cannot_leave_their_place(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct bsk_profile *profile = random_profile(seed);
        char *text = summary_of(profile);
        size_t ticks = 0;
        for (const char *at = text; *at; at++) {
            ticks += *at == '`';
            assert_true((unsigned char)*at >= 0x20 || *at == '\n');
            if (*at == '\n')
                assert_true(ticks % 2 == 0); /* code ends on its line */
        }
        assert_in_range(lines_with_text(text), 4, 11);
        free(text);
        bsk_profile_free(profile);
    }
}

static void without_samples_it_says_so(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    char *text = summary_of(profile);
    assert_non_null(strstr(text, "No samples"));
    free(text);
    bsk_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_lines_say_what_ran_what_was_hot_and_how_to_look),
        cmocka_unit_test(names_cannot_leave_their_place),
        cmocka_unit_test(without_samples_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
