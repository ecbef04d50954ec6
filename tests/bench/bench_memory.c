/*
 * What a snapshot costs the debuggee, and us: each row beside what the same program takes to do the
 * analysis itself, in one run, as ratios.
 *
 *   bench_memory [PYTHON]
 */
#include "engine/base/clock.h"
#include "engine/memory/growth.h"
#include "tests/engine/memory/debuggee.h"

#include <stdlib.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct row {
    int blocks, frames;
    bool census;
    double ceiling_ms; /* of the debuggee's CPU, issue 5; 0: none named */
    const char *peer;  /* run once, in the debuggee; "": none */
} rows[] = {
    { 200000, 1, true, 100, "take_snapshot().statistics" },
    { 200000, 10, true, 120, "take_snapshot().statistics" },
    { 1000000, 1, true, 500, "take_snapshot().statistics" },
    { 10000000, 1, true, 0, "" },
};

static double peer_ms(struct debuggee *debuggee)
{
    debuggee_does(debuggee, "import tracemalloc, time, json\n"
                            "a = time.thread_time()\n"
                            "s = tracemalloc.take_snapshot().statistics('lineno')[:100]\n"
                            "text = json.dumps([(str(t.traceback), t.size, t.count) for t in s])\n"
                            "used = time.thread_time() - a; del s, text\n");
    return atof(debuggee_says(debuggee, "used")) * 1000;
}

static void one(const char *python, const struct row *row)
{
    char code[512];
    struct bsk_script_options options = { 0 };
    struct debuggee debuggee = start_debuggee(python);
    bsk_script_option_int(&options, "frames", row->frames);
    bsk_memory_job_free(debuggee_job(&debuggee, &bsk_script_start, &options, NULL));
    bsk_buffer_free(&options.text);
    /* Two blocks for three things, a third of them containers, below 20 calls. */
    snprintf(code, sizeof(code),
             "keep = []\n"
             "def deep(n): return deep(n - 1) if n else fill()\n"
             "def fill():\n"
             "    for i in range(%d):\n"
             "        keep.append(b'%%d' %% i)\n"
             "        if i %% 2: keep.append([])\n"
             "deep(20)\n",
             row->blocks * 2 / 3);
    debuggee_does(&debuggee, code);
    double best_ms = 1e9, decode_ms = 1e9;
    struct bsk_memory_snapshot *snapshot = NULL;
    size_t dump = 0;
    for (int i = 0; i < (row->ceiling_ms > 0 ? 3 : 1); i++) {
        struct bsk_error err = { 0 };
        struct bsk_memory_job *job = debuggee_job(&debuggee, &bsk_script_snapshot, NULL, NULL);
        const struct bsk_memory_job_result *result = result_of(job);
        bsk_memory_snapshot_free(snapshot);
        uint64_t began = bsk_now_ns();
        assert_int_equal(bsk_memory_snapshot_new(result, &snapshot, &err), BSK_OK);
        double took_ms = (double)(bsk_now_ns() - began) / 1e6;
        decode_ms = took_ms < decode_ms ? took_ms : decode_ms;
        double ms = result->cpu_seconds * 1000;
        best_ms = ms < best_ms ? ms : best_ms;
        dump = result->dump_bytes;
        bsk_memory_job_free(job);
    }
    print_message("%9d %2d frames: debuggee %6.1f ms CPU", row->blocks, row->frames, best_ms);
    if (row->ceiling_ms > 0)
        print_message(" (at most %.0f)", row->ceiling_ms);
    print_message(", %5.1f MB dumped, decoded in %5.1f ms, %llu blocks, %llu objects",
                  (double)dump / 1e6, decode_ms, (unsigned long long)snapshot->blocks,
                  (unsigned long long)snapshot->object_count);
    if (snapshot->missing[0])
        print_message("; %s", snapshot->missing);
    if (row->peer[0]) {
        double peer = peer_ms(&debuggee);
        print_message("; %s: %.0f ms (%.1fx)", row->peer, peer, peer / best_ms);
    }
    print_message("\n");
    bsk_memory_snapshot_free(snapshot);
    stop_debuggee(&debuggee);
}

static const char *python;

static void costs(void **state)
{
    (void)state;
    print_message("%s\n", python);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        one(python, &rows[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(costs) };
    python = argc > 1 ? argv[1] : all_pythons()[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
