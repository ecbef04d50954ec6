#include "proxy/wire/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *why, *body;
    enum dap_scan_status status;
    enum dap_message_type type;
    const char *name;
    int64_t seq, request_seq;
} cases[] = {
    { "debugpy's order", "{\"seq\": 4, \"type\": \"event\", \"event\": \"output\", \"body\": {}}",
      DAP_SCAN_END, DAP_EVENT, "output", 4, -1 },
    { "VS Code's order: the type comes last",
      "{\"command\":\"launch\",\"arguments\":{\"type\":\"python\",\"x\":[1,{\"seq\":3}]},"
      "\"type\":\"request\",\"seq\":2}",
      DAP_SCAN_END, DAP_REQUEST, "launch", 2, -1 },
    { "a response",
      "{\"seq\":9,\"type\":\"response\",\"request_seq\":1073741824,\"success\":true,"
      "\"command\":\"evaluate\",\"body\":null}",
      DAP_SCAN_END, DAP_RESPONSE, "evaluate", 9, 1073741824 },
    { "spaces everywhere", " {\n \"type\" :\t\"event\" ,\r\n\"event\" : \"x\" } ", DAP_SCAN_END,
      DAP_EVENT, "x", -1, -1 },
    { "escapes in a key and in a value",
      "{\"t\\u0079pe\":\"re\\u0071uest\",\"comm\\u0061nd\":\"la\\u0075nch\"}", DAP_SCAN_END,
      DAP_REQUEST, "launch", -1, -1 },
    { "quotes and brackets inside of texts",
      "{\"a\":\"}\\\"]\\\\\",\"b\":[\"{\",\"\\\"\"],\"type\":\"event\",\"event\":\"e\"}",
      DAP_SCAN_END, DAP_EVENT, "e", -1, -1 },
    { "the first of two keys", "{\"type\":\"event\",\"type\":\"request\"}", DAP_SCAN_END, DAP_EVENT,
      "", -1, -1 },
    { "a type that is none", "{\"type\":5,\"command\":\"x\"}", DAP_SCAN_END, DAP_TYPE_OTHER, "x",
      -1, -1 },
    { "a type that is an object", "{\"type\":{},\"command\":\"x\"}", DAP_SCAN_END, DAP_TYPE_OTHER,
      "x", -1, -1 },
    { "numbers that are no integers", "{\"seq\":1.5,\"type\":\"request\",\"request_seq\":\"3\"}",
      DAP_SCAN_END, DAP_REQUEST, "", -1, -1 },
    { "a name that fits nowhere",
      "{\"type\":\"event\",\"event\":"
      "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
      DAP_SCAN_END, DAP_EVENT, "", -1, -1 },
    { "not closed", "{\"type\":\"event\"", DAP_SCAN_MORE, DAP_EVENT, "", -1, -1 },
    { "no object", "[1]", DAP_SCAN_BROKEN, DAP_TYPE_UNKNOWN, "", -1, -1 },
    { "no JSON", "hello", DAP_SCAN_BROKEN, DAP_TYPE_UNKNOWN, "", -1, -1 },
    { "broken behind the type", "{\"type\":\"event\" 5", DAP_SCAN_BROKEN, DAP_EVENT, "", -1, -1 },
};

static void check(size_t i, const struct dap_scan *scan)
{
    assert_int_equal(scan->status, cases[i].status);
    assert_int_equal(scan->type, cases[i].type);
    assert_string_equal(scan->name, cases[i].name);
    assert_int_equal(scan->seq, cases[i].seq);
    assert_int_equal(scan->request_seq, cases[i].request_seq);
}

static void finds_the_keys_of_the_top_level(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dap_scan scan;
        print_message("  %s\n", cases[i].why);
        dap_scan_begin(&scan);
        dap_scan_feed(&scan, cases[i].body, strlen(cases[i].body));
        check(i, &scan);
    }
}

static void finds_them_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = strlen(cases[i].body);
        for (size_t part = 0; part <= size; part++) {
            struct dap_scan scan;
            dap_scan_begin(&scan);
            dap_scan_feed(&scan, cases[i].body, part);
            dap_scan_feed(&scan, cases[i].body + part, size - part);
            check(i, &scan);
        }
    }
}

/* What decides must not wait for the body of a large message. */
static void knows_enough_before_the_body(void **state)
{
    (void)state;
    static const char head[] = "{\"seq\":1,\"type\":\"event\",\"event\":\"output\"";
    struct dap_scan scan;
    dap_scan_begin(&scan);
    assert_int_equal(dap_scan_feed(&scan, head, sizeof(head) - 1), DAP_SCAN_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_keys_of_the_top_level),
        cmocka_unit_test(finds_them_at_every_split),
        cmocka_unit_test(knows_enough_before_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
