#include "proxy/commands/near.h"

#include "proxy/commands/family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void what_was_meant_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *meant;
    } cases[] = {
        { "/profil", "/profile" },   /* a letter is missing */
        { "/profilee", "/profile" }, /* one too many */
        { "/porfile", "/profile" },  /* two changed places */
        { "/memsnp", "/memsnap" },
        { "/memrefz Node", "/memrefs" },     /* with its argument */
        { "/MEMLEAK", "/memleak" },          /* case does not count */
        { "/mem-leak", "/memleak" },         /* nor do dashes */
        { "/mem leak 5", "/memleak" },       /* nor a blank inside */
        { "\t/Prof_Diff 1 2", "/profdiff" }, /* nor blanks before */
        { "/profiling", "/profile" },
        { "/proc", "/processes" },         /* a beginning */
        { "/snapshot", "/profsnapshot" },  /* an end */
        { "/diff", "/profdiff /memdiff" }, /* both, in the table's order */
        { "/prof start", "/profile /profsnapshot /profstop /profdiff" },
        { "/memory", "/memleak" },
        { "/help", "/basilisk" },
        { "/profil\nprint(1)", "/profile" }, /* more lines make no expression of it */
        { "/profile", "" },                  /* it is one */
        { "/profile nonsense", "" },
        { "/nothing", "" }, /* like none of ours */
        { "/tmp", "" },
        { "/tmp/profile", "" }, /* a path */
        { "/profile/x", "" },
        { "/gc", "" }, /* too short to tell */
        { "/", "" },
        { "", "" },
        { "//profil", "" },
        { "/ profil", "" },
        { "/9profil", "" },
        { "x/profil", "" }, /* an expression */
        { "profil", "" },
        { "/profil\xc3\xa9", "" },
        { "/profilprofilprofilprofilprofil", "" } /* longer than any */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dap_near near = { .count = 0 };
        char found[200] = "";
        size_t count = dap_near_find(cases[i].text, &near);
        assert_int_equal(count, dap_near_find(cases[i].text, NULL));
        for (size_t j = 0; j < count; j++)
            snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s", j ? " " : "",
                     near.names[j]);
        print_message("  \"%s\": %s\n", cases[i].text, found);
        assert_string_equal(found, cases[i].meant);
    }
}

static void no_command_is_near_to_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < dap_command_count; i++) {
        const char *name = dap_command_table[i].console;
        assert_true(!name || dap_near_find(name, NULL) == 0);
    }
}

static void the_sentence_names_them_all(void **state)
{
    (void)state;
    struct dap_near near;
    char text[256], small[24];
    assert_int_equal(dap_near_find("/prof", &near), 4);
    dap_near_sentence(&near, text, sizeof(text));
    assert_string_equal(text, "There is no /prof; did you mean /profile, /profsnapshot, /profstop "
                              "or /profdiff? /basilisk lists the commands");
    dap_near_sentence(&near, small, sizeof(small)); /* cut, and no further */
    assert_string_equal(small, "There is no /prof; did ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_meant_is_found),
        cmocka_unit_test(no_command_is_near_to_another),
        cmocka_unit_test(the_sentence_names_them_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
