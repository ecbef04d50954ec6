/* The scripts in every CPython that there is: what they answer, and that they leave nothing. */
#include "tests/engine/memory/debuggee.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_job_answers_in_every_python(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        struct bsk_memory_job *job = debuggee_job(&debuggee, &bsk_script_start, NULL, NULL);
        const struct bsk_memory_job_result *result = result_of(job);
        assert_int_equal(bsk_value_integer(result->value, "frames", 0), 1);
        assert_int_equal(bsk_value_integer(result->value, "pid", 0), debuggee.pid);
        assert_false(bsk_value_is_true(result->value, "foreign"));
        bsk_memory_job_free(job);

        debuggee_does(&debuggee, "keep = [bytearray(1000) for i in range(1000)]");
        job = debuggee_job(&debuggee, &bsk_script_snapshot, NULL, NULL);
        result = result_of(job);
        assert_true(bsk_value_is_true(result->value, "tracing"));
        assert_true(bsk_value_bytes(result->value, "traced") > 1000000);
        assert_int_equal(bsk_value_field(result->value, "missing")->count, 0);
        assert_true(result->dump_bytes > 10000);
        assert_false(result->through_channel);
        print_message("    %zu bytes dumped, %zu types, cpu %.1f ms\n", result->dump_bytes,
                      bsk_value_field(result->value, "types")->count, result->cpu_seconds * 1000);
        bsk_memory_job_free(job);

        job = debuggee_job(&debuggee, &bsk_script_census, NULL, NULL);
        assert_true(bsk_value_integer(result_of(job)->value, "objects", 0) > 1000);
        bsk_memory_job_free(job);
        job = debuggee_job(&debuggee, &bsk_script_collect, NULL, NULL);
        assert_non_null(bsk_value_field(result_of(job)->value, "collected"));
        bsk_memory_job_free(job);
        job = debuggee_job(&debuggee, &bsk_script_stop, NULL, NULL);
        assert_true(bsk_value_is_true(result_of(job)->value, "stopped"));
        bsk_memory_job_free(job);
        stop_debuggee(&debuggee);
    }
}

static const char begun[] = "(__import__('_tracemalloc').is_tracing(), "
                            "hasattr(__import__('sys').modules.get('_basilisk'), 'agent'))";

static void says_in_the_end(struct debuggee *debuggee, const char *expression, const char *expected)
{
    const char *said = "";
    for (int i = 0; i < 1000 && strcmp(said, expected) != 0; i++) {
        said = debuggee_says(debuggee, expression); /* a thread of ours may be at its last line */
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    assert_string_equal(said, expected);
}

/* Runs the undo of a start; what it answered. */
static bool undo_says_running(struct debuggee *debuggee)
{
    struct bsk_buffer text = { 0 };
    struct bsk_value_tree tree = { 0 };
    const void *bytes = NULL;
    char word[16];
    size_t size = 0;
    bsk_script_undo(&text, &bsk_script_stop, (struct bsk_script_how){ 0 });
    assert_int_equal(debuggee_runs(debuggee, bsk_buffer_text(&text), &bytes, &size), BSK_OK);
    assert_int_equal(bsk_marshal_read(bytes, size, 0, &tree, NULL), BSK_OK);
    bsk_value_text(tree.root, "state", word, sizeof(word));
    bsk_value_tree_free(&tree);
    bsk_buffer_free(&text);
    return strcmp(word, "running") == 0;
}

static void a_start_that_was_given_up_is_taken_back(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        assert_false(undo_says_running(&debuggee)); /* nothing has begun */
        says_in_the_end(&debuggee, begun, "(False, False)");
        bsk_memory_job_free(debuggee_job(&debuggee, &bsk_script_start, NULL, NULL));
        says_in_the_end(&debuggee, begun, "(True, True)");
        assert_false(undo_says_running(&debuggee));
        says_in_the_end(&debuggee, begun, "(False, False)");

        /* While it is at work: its own thread takes it back. */
        static const struct bsk_script slow = { "start",
                                                "def run(a, options):\n"
                                                "    a.modules['tracing'] = {'foreign': False}\n"
                                                "    a.tracemalloc.start(1)\n"
                                                "    while not a.stop_asked():\n"
                                                "        a.time.sleep(0.001)\n"
                                                "    return {}\n",
                                                NULL };
        static const unsigned char nonce[BSK_NONCE_BYTES] = "0123456789abcde";
        struct bsk_buffer text = { 0 };
        const void *bytes;
        size_t size;
        bsk_script_begin(&text, &slow, nonce, NULL, (struct bsk_script_how){ .wait_ms = 5 });
        assert_int_equal(debuggee_runs(&debuggee, bsk_buffer_text(&text), &bytes, &size), BSK_OK);
        bsk_buffer_free(&text);
        says_in_the_end(&debuggee, begun, "(True, True)");
        assert_true(undo_says_running(&debuggee));
        says_in_the_end(&debuggee, begun, "(False, False)");
        assert_false(undo_says_running(&debuggee));
        stop_debuggee(&debuggee);
    }
}

static void an_expressions_value_is_not_kept_past_the_next_job(void **state)
{
    (void)state;
    struct debuggee debuggee = start_debuggee(gil_pythons()[0]);
    bsk_memory_job_free(debuggee_job(&debuggee, &bsk_script_start, NULL, NULL));
    debuggee_does(&debuggee,
                  "import sys, weakref\nclass T: pass\none = T()\nseen = weakref.ref(one)\n"
                  "sys.modules['_basilisk'].agent.graph_target = [one]\ndel one");
    assert_string_equal(debuggee_says(&debuggee, "seen() is None"), "False");
    bsk_memory_job_free(debuggee_job(&debuggee, &bsk_script_census, NULL, NULL));
    says_in_the_end(&debuggee, "seen() is None", "True");
    stop_debuggee(&debuggee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_answers_in_every_python),
        cmocka_unit_test(a_start_that_was_given_up_is_taken_back),
        cmocka_unit_test(an_expressions_value_is_not_kept_past_the_next_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
