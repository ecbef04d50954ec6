#include "proxy/wire/locate.h"
#include "proxy/wire/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void cuts_a_key_with_its_one_comma(void **state)
{
    (void)state;
    static const char *const path[] = { "arguments", "basilisk", NULL };
    static const struct {
        const char *why, *before, *after; /* after NULL: there is none */
    } cases[] = {
        { "alone", "{\"arguments\":{\"basilisk\":{}}}", "{\"arguments\":{}}" },
        { "first", "{\"arguments\":{\"basilisk\":[1,2], \"a\":1}}", "{\"arguments\":{ \"a\":1}}" },
        { "last", "{\"arguments\":{\"a\":1 , \"basilisk\":true }}", "{\"arguments\":{\"a\":1  }}" },
        { "in the middle", "{\"arguments\":{\"a\":1,\"basilisk\":\"},{\",\"b\":2}}",
          "{\"arguments\":{\"a\":1,\"b\":2}}" },
        { "escaped", "{\"arguments\":{\"a\":1,\"b\\u0061silisk\":0}}",
          "{\"arguments\":{\"a\":1}}" },
        { "the last of two", "{\"arguments\":{\"basilisk\":1,\"basilisk\":2}}",
          "{\"arguments\":{\"basilisk\":1}}" },
        { "on another level", "{\"basilisk\":1,\"arguments\":{\"x\":{\"basilisk\":1}}}", NULL },
        { "as a value", "{\"arguments\":{\"x\":\"basilisk\"}}", NULL },
        { "no object", "{\"arguments\":[\"basilisk\"]}", NULL },
        { "cut off", "{\"arguments\":{\"basilisk\":{", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = cases[i].before;
        struct dap_member m;
        char rest[200];
        print_message("  %s\n", cases[i].why);
        bool found = dap_locate(text, strlen(text), path, &m);
        assert_int_equal(found, cases[i].after != NULL);
        if (!found)
            continue;
        snprintf(rest, sizeof(rest), "%.*s%s", (int)m.cut_at, text, text + m.cut_at + m.cut_bytes);
        assert_string_equal(rest, cases[i].after);
    }
}

static void finds_a_nested_value(void **state)
{
    (void)state;
    static const char *const path[] = { "body", "connect", "port", NULL };
    static const char text[] = "{\"body\":{\"connect\":{\"host\":\"h\",\"port\" : 5678 }}}";
    struct dap_member m;
    assert_true(dap_locate(text, sizeof(text) - 1, path, &m));
    assert_int_equal(m.value_bytes, 4);
    assert_memory_equal(text + m.value_at, "5678", 4);
}

static void tells_json_from_other_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        { "{}", true },
        { "[]", true },
        { " [1, -2.5e+3] ", true },
        { "{\"a\":[{},\"\\u00e9\",null,true,false]}", true },
        { "", false },
        { "{", false },
        { "[1,]", false },
        { "{\"a\"}", false },
        { "{\"a\":1,}", false },
        { "{} {}", false },
        { "\"a", false },
        { "\"\n\"", false },
        { "01x", false },
        { "nul", false },
        { "[}", false },
        { "{\"a\":1]", false },
        { "\"\\x\"", false },
        { "1.", false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].text);
        assert_int_equal(dap_is_json(cases[i].text, strlen(cases[i].text)), cases[i].valid);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_a_key_with_its_one_comma),
        cmocka_unit_test(finds_a_nested_value),
        cmocka_unit_test(tells_json_from_other_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
