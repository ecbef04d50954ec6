/* The scripts in every CPython that there is: what they answer, and that they leave nothing. */
#include "tests/engine/memory/debuggee.h"

#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_answers_in_every_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
