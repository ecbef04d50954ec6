/* What comes out of a real Python's heap: the right bytes on the right lines, growth, confidence.
 */
#include "engine/memory/growth.h"
#include "tests/engine/memory/debuggee.h"

#include <stdlib.h>
#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void start(struct debuggee *debuggee, int frames)
{
    struct bsk_script_options options = { 0 };
    bsk_script_option_int(&options, "frames", frames);
    struct bsk_memory_job *job = debuggee_job(debuggee, &bsk_script_start, &options, NULL);
    result_of(job);
    bsk_memory_job_free(job);
    bsk_buffer_free(&options.text);
}

static struct bsk_memory_snapshot *snapshot_how(struct debuggee *debuggee,
                                                const struct bsk_script_options *options,
                                                const struct bsk_memory_job_how *how)
{
    struct bsk_memory_snapshot *snapshot = NULL;
    struct bsk_error err = { 0 };
    struct bsk_memory_job *job = debuggee_job(debuggee, &bsk_script_snapshot, options, how);
    if (bsk_memory_snapshot_new(result_of(job), &snapshot, &err) < 0)
        fail_msg("%s", err.message);
    bsk_memory_job_free(job);
    return snapshot;
}

static struct bsk_memory_snapshot *snapshot_of(struct debuggee *debuggee)
{
    return snapshot_how(debuggee, NULL, NULL);
}

static const struct bsk_memory_site *site_at(const struct bsk_memory_snapshot *snapshot,
                                             const char *path, uint32_t line)
{
    for (size_t i = 0; i < snapshot->site_count; i++) {
        if (snapshot->sites[i].line == line && strcmp(snapshot->sites[i].path, path) == 0)
            return &snapshot->sites[i];
    }
    fail_msg("nothing at %s:%u", path, (unsigned)line);
    return NULL;
}

static void holds_together(const struct bsk_memory_snapshot *snapshot)
{
    uint64_t sum = snapshot->rest_bytes + snapshot->debugger_bytes;
    for (size_t i = 0; i < snapshot->site_count; i++) {
        sum += snapshot->sites[i].bytes;
        assert_true(i == 0 || snapshot->sites[i].bytes <= snapshot->sites[i - 1].bytes);
    }
    assert_true(snapshot->has_sites);
    assert_int_equal(sum, snapshot->traced_bytes);
    assert_true(snapshot->has_types && snapshot->has_type_bytes);
    assert_true(snapshot->rss_bytes > 1000000 && snapshot->start_rss_bytes > 1000000);
    assert_false(snapshot->truncated);
}

static void says_what_each_line_holds_as_tracemalloc_itself_does(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        start(&debuggee, 1);
        debuggee_does(&debuggee, "class Order:\n"
                                 "    def __init__(self): self.a = [None] * 50\n"
                                 "keep = [bytearray(5000) for i in range(300)]\n"
                                 "orders = [Order() for i in range(1000)]\n");
        struct bsk_memory_snapshot *s = snapshot_of(&debuggee);
        holds_together(s);
        debuggee_does(&debuggee, "\n\n\n\n\nimport tracemalloc\n"
                                 "lines = {t.traceback[0].lineno: (t.size, t.count)\n"
                                 "    for t in tracemalloc.take_snapshot().statistics('lineno')\n"
                                 "    if t.traceback[0].filename == '/app/program.py'}\n");
        for (uint32_t line = 2; line <= 4; line++) {
            char expression[64];
            const struct bsk_memory_site *site = site_at(s, "/app/program.py", line);
            snprintf(expression, sizeof(expression), "lines[%u][0]", (unsigned)line);
            assert_int_equal(site->bytes, debuggee_number(&debuggee, expression));
            snprintf(expression, sizeof(expression), "lines[%u][1]", (unsigned)line);
            assert_int_equal(site->count, debuggee_number(&debuggee, expression));
        }
        assert_true(site_at(s, "/app/program.py", 3)->bytes > 1500000);
        bool found = false;
        for (size_t i = 0; i < s->type_count; i++) {
            if (strcmp(s->types[i].name, "__main__.Order") == 0) {
                found = true;
                assert_int_equal(s->types[i].count, 1000);
                assert_true(s->types[i].bytes >= 32000 && s->types[i].bytes < 200000);
            }
        }
        assert_true(found);
        bsk_memory_snapshot_free(s);
        stop_debuggee(&debuggee);
    }
}

static void a_steady_leak_reads_low_medium_high(void **state)
{
    (void)state;
    static const enum bsk_leak_band bands[] = { BSK_LEAK_LOW, BSK_LEAK_MEDIUM, BSK_LEAK_HIGH };
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        struct bsk_memory_history *history = bsk_memory_history_new();
        struct bsk_error err = { 0 };
        struct bsk_memory_diff *diff = NULL;
        print_message("  %s\n", *python);
        start(&debuggee, 1);
        /* Some 100 ms of CPU an interval: evidence is weighed by it, and where another machine
         * takes the CPU for 10 ms, that is no interval of twice the work. */
        debuggee_does(&debuggee, "cache = {}\n"
                                 "def serve(n):\n"
                                 "    for i in range(n):\n"
                                 "        cache[len(cache)] = bytes(1000)\n"
                                 "        pow(3, 1 << 300, (1 << 521) - 1)\n");
        assert_int_equal(bsk_memory_history_add(history, snapshot_of(&debuggee), &err), BSK_OK);
        assert_int_equal(bsk_memory_history_diff(history, 0, 0, &diff, &err), BSK_E_STATE);
        assert_string_equal(err.message, "Take at least two snapshots");
        for (int i = 0; i < 3; i++) {
            debuggee_does(&debuggee, "serve(500)");
            assert_int_equal(bsk_memory_history_add(history, snapshot_of(&debuggee), &err), BSK_OK);
            assert_int_equal(bsk_memory_history_diff(history, 0, 0, &diff, &err), BSK_OK);
            assert_true(diff->leak_count > 0);
            const struct bsk_leak *leak = &diff->leaks[0];
            print_message("    %s:%u %d %s: %s; %s\n", leak->path, (unsigned)leak->line,
                          leak->confidence, bsk_leak_band_name(leak->band), leak->reasons[0],
                          leak->reasons[1]);
            assert_string_equal(leak->path, "/app/program.py");
            assert_int_equal(leak->line, 4);
            assert_int_equal(leak->band, bands[i]);
            bsk_memory_diff_free(diff);
        }
        bsk_memory_history_free(history);
        stop_debuggee(&debuggee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_each_line_holds_as_tracemalloc_itself_does),
        cmocka_unit_test(a_steady_leak_reads_low_medium_high),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
