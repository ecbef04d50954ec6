#include "proxy/wire/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct header_case {
    const char *why, *bytes;
    ssize_t expected; /* bytes of the header, 0 for more, else a bsk_code */
    uint64_t body;
};

static const struct header_case cases[] = {
    { "the usual", "Content-Length: 12\r\n\r\n{", 22, 12 },
    { "a type before the length", "Content-Type: x\r\nContent-Length: 5\r\n\r\n", 38, 5 },
    { "a type behind the length", "Content-Length: 5\r\nContent-Type: x; y=z\r\n\r\n", 43, 5 },
    { "no space, other case, a tab", "content-length:7\t\r\n\r\n", 21, 7 },
    { "an empty body", "Content-Length: 0\r\n\r\n", 21, 0 },
    { "nothing yet", "", 0, 0 },
    { "half a name", "Content-Le", 0, 0 },
    { "half of the blank line", "Content-Length: 12\r\n\r", 0, 0 },
    { "a web page can reach our port", "POST / HTTP/1.1\r\n", BSK_E_FORMAT, 0 },
    { "and is known by its first byte", "P", BSK_E_FORMAT, 0 },
    { "another field", "Content-Length: 5\r\nHost: a\r\n\r\n", BSK_E_FORMAT, 0 },
    { "no length", "Content-Type: x\r\n\r\n", BSK_E_FORMAT, 0 },
    { "two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", BSK_E_FORMAT, 0 },
    { "no number", "Content-Length: five\r\n\r\n", BSK_E_FORMAT, 0 },
    { "nothing at all", "Content-Length: \r\n\r\n", BSK_E_FORMAT, 0 },
    { "a sign", "Content-Length: -5\r\n\r\n", BSK_E_FORMAT, 0 },
    { "a number and more", "Content-Length: 5 6\r\n\r\n", BSK_E_FORMAT, 0 },
    { "too large", "Content-Length: 99999999999999999999\r\n\r\n", BSK_E_FORMAT, 0 },
    { "a line that ends in LF alone", "Content-Length: 5\n\n", BSK_E_FORMAT, 0 },
    { "a body without header", "{\"seq\":1}", BSK_E_FORMAT, 0 },
};

static void tells_done_more_and_broken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t body = 0;
        print_message("  %s\n", cases[i].why);
        assert_int_equal(dap_parse_header(cases[i].bytes, strlen(cases[i].bytes), &body, NULL),
                         cases[i].expected);
        assert_int_equal(body, cases[i].body);
    }
}

static void answers_the_same_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t part = 0; part < strlen(cases[i].bytes); part++) {
            uint64_t body = 0;
            ssize_t early = dap_parse_header(cases[i].bytes, part, &body, NULL);
            if (early != 0)
                assert_int_equal(early, cases[i].expected);
        }
    }
}

static void gives_up_after_4096_bytes(void **state)
{
    (void)state;
    static const char head[] = "Content-Type: ";
    char bytes[DAP_HEADER_MAX_BYTES + 10];
    uint64_t body = 0;
    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, head, sizeof(head) - 1);
    assert_int_equal(dap_parse_header(bytes, DAP_HEADER_MAX_BYTES - 1, &body, NULL), 0);
    assert_int_equal(dap_parse_header(bytes, sizeof(bytes), &body, NULL), BSK_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_done_more_and_broken_apart),
        cmocka_unit_test(answers_the_same_at_every_split),
        cmocka_unit_test(gives_up_after_4096_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
