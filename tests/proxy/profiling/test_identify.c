/* Understanding what the debuggee says of itself. */
#include "proxy/profiling/identify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_whole_answer_is_understood(void **state)
{
    (void)state;
    static const char text[] =
        "{\"pid\": 4711, \"address\": 140000000000032, "
        "\"bytes\": \"000102030405060708090a0b0c0d0eff\", "
        "\"folders\": [\"/venv/debugpy\", \"/venv/debugpy/_vendored/pydevd\"], "
        "\"threads\": [[4711, \"MainThread\", false], [4712, \"pydevd.Writer\", true]]}";
    struct dap_identity identity;
    struct bsk_error err = { 0 };
    assert_int_equal(dap_identity_parse(text, strlen(text), &identity, &err), BSK_OK);
    assert_int_equal(identity.pid, 4711);
    assert_true(identity.has_proof);
    assert_true(identity.proof.address == 140000000000032);
    assert_int_equal(identity.proof.bytes[14], 14);
    assert_int_equal(identity.proof.bytes[15], 0xff);
    assert_int_equal(identity.folder_count, 2);
    assert_string_equal(identity.folders[1], "/venv/debugpy/_vendored/pydevd");
    assert_int_equal(identity.thread_count, 2);
    assert_string_equal(identity.threads[1].name, "pydevd.Writer");
    assert_true(identity.threads[1].debugger);
    assert_false(identity.threads[0].debugger);
    dap_identity_free(&identity);
}

static void what_is_missing_or_odd_costs_only_itself(void **state)
{
    (void)state;
    const struct {
        const char *why, *text;
        size_t threads;
    } cases[] = {
        { "a PID is enough", "{\"pid\": 1}", 0 },
        { "bytes that are no hex are no proof",
          "{\"pid\": 1, \"address\": 5, \"bytes\": \"zz0102030405060708090a0b0c0d0e0f\"}", 0 },
        { "nor are too few", "{\"pid\": 1, \"address\": 5, \"bytes\": \"00\"}", 0 },
        { "a row that is no thread is left out",
          "{\"pid\": 1, \"threads\": [7, [], [1, \"a\", false]], \"folders\": {}}", 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dap_identity identity;
        print_message("  %s\n", cases[i].why);
        assert_int_equal(dap_identity_parse(cases[i].text, strlen(cases[i].text), &identity, NULL),
                         BSK_OK);
        assert_false(identity.has_proof);
        assert_int_equal(identity.thread_count, cases[i].threads);
        dap_identity_free(&identity);
    }
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "[]", "{", "\"pid\"", "{\"address\": 1}" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct dap_identity identity;
        struct bsk_error err = { 0 };
        assert_int_equal(dap_identity_parse(texts[i], strlen(texts[i]), &identity, &err),
                         BSK_E_FORMAT);
        assert_string_not_equal(err.message, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer_is_understood),
        cmocka_unit_test(what_is_missing_or_odd_costs_only_itself),
        cmocka_unit_test(what_is_no_answer_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
