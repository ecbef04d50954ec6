/* Understanding what the debuggee says of itself. */
#include "proxy/profiling/identify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void a_whole_answer_is_understood(void **state)
{
    (void)state;
    static const char text[] =
        "{\"pid\": 4711, \"address\": 140000000000032, "
        "\"bytes\": \"000102030405060708090a0b0c0d0eff\", "
        "\"ident\": 140000000001111, \"frames\": [\"_bootstrap\", \"_bootstrap_inner\"], "
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
    assert_true(identity.proof.ident == 140000000001111);
    assert_int_equal(identity.proof.frame_count, 2);
    assert_string_equal(identity.proof.frames[1], "_bootstrap_inner");
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
        { "nulls are no text",
          "{\"pid\": 1, \"address\": 5, \"bytes\": null, \"folders\": [null], "
          "\"threads\": [[1, null, false]]}",
          0 },
        { "frames that are no names say nothing",
          "{\"pid\": 1, \"ident\": [], \"frames\": [1, {}, null]}", 0 },
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

/* Runs the script in a plain Python, as debugpy would, with an _answer() that prints. */
static void the_script_runs_in_any_python_and_its_answer_is_understood(void **state)
{
    (void)state;
    struct bsk_buffer script = { 0 };
    char line[1 << 16];
    int in[2], out[2];
    bsk_buffer_text_append(&script, "_answer = print\n");
    dap_identify_script(&script,
                        getpid()); /* where there is no Yama, naming a tracer does nothing */
    assert_int_equal(pipe(in) | pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execlp("python3", "python3", "-", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    assert_int_equal(write(in[1], script.data, script.size), script.size);
    close(in[1]);
    FILE *answer = fdopen(out[0], "r");
    assert_non_null(fgets(line, sizeof(line), answer));
    fclose(answer);
    waitpid(pid, NULL, 0);
    struct dap_identity identity;
    assert_int_equal(dap_identity_parse(line, strlen(line), &identity, NULL), BSK_OK);
    assert_int_equal(identity.pid, pid);
    assert_true(identity.has_proof);
    assert_int_equal(identity.thread_count, 1);
    assert_int_equal(identity.threads[0].tid, pid);
    assert_string_equal(identity.threads[0].name, "MainThread");
    dap_identity_free(&identity);
    bsk_buffer_free(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer_is_understood),
        cmocka_unit_test(what_is_missing_or_odd_costs_only_itself),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(the_script_runs_in_any_python_and_its_answer_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
