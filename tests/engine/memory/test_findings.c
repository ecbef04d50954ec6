/* What is made of snapshots: confidence, warnings, the .heapprofile. */
#include "engine/base/strings.h"
#include "engine/export/heapprofile.h"
#include "engine/findings/memory.h"
#include "engine/memory/arena.h"
#include "engine/memory/score.h"
#include "engine/memory/words.h"
#include "engine/profile/profile.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int after(const uint64_t *levels, size_t count, double work_s)
{
    struct bsk_score score = bsk_score_start();
    for (size_t i = 1; i < count; i++)
        bsk_score_interval(&score, levels[i - 1], levels[i], work_s, work_s);
    return bsk_score_confidence(&score);
}

static void confidence_follows_growth(void **state)
{
    (void)state;
    enum { KB = 1000 };
    static const struct {
        const char *why;
        uint64_t levels[8];
        size_t count;
        int least, most;
    } cases[] = {
        { "one growth", { 0, 100 * KB }, 2, 35, 35 },
        { "two", { 0, 100 * KB, 200 * KB }, 3, 68, 69 },
        { "three", { 0, 100 * KB, 200 * KB, 300 * KB }, 4, 89, 90 },
        { "for ever",
          { 0, 100 * KB, 200 * KB, 300 * KB, 400 * KB, 500 * KB, 600 * KB, 700 * KB },
          8,
          94,
          94 },
        { "then it stops", { 0, 100 * KB, 200 * KB, 300 * KB, 300 * KB, 300 * KB }, 6, 20, 40 },
        { "ever slower", { 0, 800 * KB, 1200 * KB, 1400 * KB, 1500 * KB, 1550 * KB }, 6, 0, 30 },
        { "given back", { 0, 500 * KB, 1000 * KB, 0, 500 * KB, 1000 * KB, 0 }, 7, 0, 10 },
        { "flat", { 500 * KB, 500 * KB, 501 * KB, 500 * KB }, 4, 0, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int got = after(cases[i].levels, cases[i].count, 1);
        print_message("  %s: %d\n", cases[i].why, got);
        assert_in_range(got, cases[i].least, cases[i].most);
    }
    /* An interval without work says nothing: neither growth nor a plateau. */
    struct bsk_score score = bsk_score_start(), before;
    bsk_score_interval(&score, 0, 100 * KB, 1, 1);
    before = score;
    bsk_score_interval(&score, 100 * KB, 100 * KB, 0, 1);
    assert_int_equal(bsk_score_confidence(&score), bsk_score_confidence(&before));
}

static void definite_needs_the_graph(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        int alone;
        struct bsk_evidence evidence;
        int least, most;
    } cases[] = {
        { "nothing asked", 94, { .kind = BSK_EVIDENCE_NONE, .share = 1 }, 94, 94 },
        { "a root that grows",
          90,
          { .kind = BSK_EVIDENCE_LEAKED, .share = 1, .graphs = 2 },
          95,
          100 },
        { "a root seen once",
          94,
          { .kind = BSK_EVIDENCE_LEAKED, .share = 1, .graphs = 1 },
          94,
          94 },
        { "half of it", 90, { .kind = BSK_EVIDENCE_LEAKED, .share = 0.5, .graphs = 2 }, 90, 90 },
        { "hardly any growth",
          20,
          { .kind = BSK_EVIDENCE_LEAKED, .share = 1, .graphs = 2 },
          20,
          20 },
        { "a bound", 94, { .kind = BSK_EVIDENCE_BOUNDED, .share = 1 }, 40, 69 },
        { "calls that run", 94, { .kind = BSK_EVIDENCE_IN_USE, .share = 0.9 }, 40, 69 },
        { "garbage", 94, { .kind = BSK_EVIDENCE_GARBAGE, .share = 1 }, 0, 39 },
        { "held, no more", 94, { .kind = BSK_EVIDENCE_HELD, .share = 1 }, 94, 94 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        assert_in_range(bsk_score_with_evidence(cases[i].alone, &cases[i].evidence), cases[i].least,
                        cases[i].most);
    }
}

static struct bsk_memory_snapshot *made(uint64_t leaked)
{
    static struct bsk_memory_frame stack[2] = {
        { "/usr/lib/python3.11/json/decoder.py", 10, "decode" }, { "/app/main.py", 42, "load" }
    };
    struct bsk_memory_snapshot *s = calloc(1, sizeof(*s));
    struct bsk_memory_site *sites = calloc(2, sizeof(*sites));
    sites[0] = (struct bsk_memory_site){ .path = stack[0].path,
                                         .line = 10,
                                         .function = "decode",
                                         .text = "x = {}",
                                         .bytes = leaked,
                                         .count = leaked / 100 + 1,
                                         .stack = stack,
                                         .stack_count = 2,
                                         .user_path = "/app/main.py",
                                         .user_line = 42 };
    sites[1] = (struct bsk_memory_site){ .path = "/app/b\xc3\xbc.py",
                                         .line = 7,
                                         .function = "",
                                         .text = "",
                                         .bytes = 5000,
                                         .count = 2,
                                         .user_path = "/app/b\xc3\xbc.py",
                                         .user_line = 7 };
    s->sites = sites;
    s->site_count = s->top_count = 2;
    s->rest_bytes = 300;
    s->debugger_bytes = 77;
    s->traced_bytes = leaked + 5377;
    s->has_sites = true;
    s->pid = 4711;
    return s;
}

static void give_back(struct bsk_memory_snapshot *snapshot)
{
    free((void *)snapshot->sites);
    snapshot->sites = NULL;
    bsk_memory_snapshot_free(snapshot);
}

static void warns_on_the_users_line_and_falls_when_the_holder_is_gone(void **state)
{
    (void)state;
    struct bsk_memory_history *history = bsk_memory_history_new();
    struct bsk_memory_snapshot *kept[6];
    struct bsk_error err = { 0 };
    struct bsk_memory_diff *diff = NULL;
    const char *library = "/usr/lib/python3.11/json/decoder.py";
    for (size_t i = 0; i < 5; i++) {
        kept[i] = made(100000 * (i + 1));
        kept[i]->work_s = (double)i;
        assert_int_equal(bsk_memory_history_add(history, kept[i], &err), BSK_OK);
    }
    struct bsk_evidence evidence = { BSK_EVIDENCE_LEAKED, 1, 2, "dict __main__.cache", 12345 };
    assert_int_equal(bsk_memory_history_evidence(history, library, 10, &evidence, &err), BSK_OK);
    assert_int_equal(bsk_memory_history_evidence(history, library, 11, &evidence, &err),
                     BSK_E_STATE);
    assert_int_equal(bsk_memory_history_diff(history, 0, 0, &diff, &err), BSK_OK);
    assert_int_equal(diff->leaks[0].band, BSK_LEAK_DEFINITE);
    assert_string_equal(diff->leaks[0].reasons[0],
                        "all of it (12,345 objects) hangs on dict __main__.cache, which grows");
    assert_string_equal(diff->leaks[0].reasons[1],
                        "grew in 4 of 4 intervals, 98 KiB each, nothing given back");
    const char *paths[BSK_DIFF_LEAKS];
    assert_int_equal(bsk_memory_finding_paths(diff, paths), 1);
    assert_string_equal(paths[0], "/app/main.py");
    struct bsk_buffer text = { 0 };
    struct bsk_json json = { .out = &text };
    bsk_memory_findings_write(NULL, diff, paths[0], &json);
    struct json_object *list = json_tokener_parse(bsk_buffer_text(&text)), *value, *inner;
    assert_int_equal(json_object_array_length(list), 1);
    struct json_object *one = json_object_array_get_idx(list, 0);
    json_object_object_get_ex(one, "code", &value);
    assert_string_equal(json_object_get_string(value), "BSK-PROF-MEM");
    json_object_object_get_ex(one, "range", &value);
    json_object_object_get_ex(value, "start", &inner);
    json_object_object_get_ex(inner, "line", &value);
    assert_int_equal(json_object_get_int(value), 41);
    json_object_object_get_ex(one, "data", &value);
    json_object_object_get_ex(value, "line", &inner);
    assert_int_equal(json_object_get_int(inner), 10);
    json_object_put(list);
    bsk_buffer_free(&text);
    bsk_memory_diff_free(diff);

    kept[5] = made(600000); /* nothing is said of it any more */
    kept[5]->work_s = 5;
    assert_int_equal(bsk_memory_history_add(history, kept[5], &err), BSK_OK);
    assert_int_equal(bsk_memory_history_diff(history, 0, 0, &diff, &err), BSK_OK);
    assert_int_equal(diff->leaks[0].band, BSK_LEAK_HIGH);
    bsk_memory_diff_free(diff);
    assert_int_equal(bsk_memory_history_diff(history, 2, 4, &diff, &err), BSK_OK);
    assert_int_equal(diff->leaks[0].growth_bytes, 200000);
    bsk_memory_diff_free(diff);
    assert_int_equal(bsk_memory_history_diff(history, 4, 4, &diff, &err), BSK_E_STATE);
    assert_int_equal(bsk_memory_history_diff(history, 1, 99, &diff, &err), BSK_E_STATE);
    for (size_t i = 0; i < 6; i++) {
        free((void *)kept[i]->sites);
        kept[i]->sites = NULL;
        kept[i]->site_count = 0;
    }
    bsk_memory_history_free(history);
}

static uint64_t sum_of(struct json_object *node, int *count)
{
    struct json_object *value, *frame;
    static const char *const required[] = { "functionName", "scriptId", "url", "lineNumber",
                                            "columnNumber" };
    assert_true(json_object_object_get_ex(node, "callFrame", &frame));
    for (size_t i = 0; i < 5; i++)
        assert_true(json_object_object_get_ex(frame, required[i], &value));
    json_object_object_get_ex(frame, "scriptId", &value);
    assert_true(json_object_is_type(value, json_type_string));
    assert_true(json_object_object_get_ex(node, "selfSize", &value));
    uint64_t sum = json_object_get_uint64(value);
    assert_true(json_object_object_get_ex(node, "id", &value));
    assert_true(json_object_object_get_ex(node, "children", &value));
    ++*count;
    for (size_t i = 0; i < json_object_array_length(value); i++)
        sum += sum_of(json_object_array_get_idx(value, i), count);
    return sum;
}

static struct json_object *exported(const struct bsk_memory_snapshot *snapshot,
                                    const struct bsk_profile *profile)
{
    char *bytes = NULL;
    size_t size = 0;
    struct bsk_error err = { 0 };
    FILE *out = open_memstream(&bytes, &size);
    assert_int_equal(bsk_heapprofile_write(snapshot, profile, out, &err), BSK_OK);
    fclose(out);
    struct json_object *parsed = json_tokener_parse(bytes);
    assert_non_null(parsed);
    free(bytes);
    return parsed;
}

static void a_heapprofile_adds_up_to_what_is_traced(void **state)
{
    (void)state;
    struct bsk_memory_snapshot *snapshot = made(100000), nothing = { .has_sites = true };
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "app.py", "MainThread");
    struct bsk_profile_frame way[2] = {
        { bsk_profile_function(profile, "main", "/app/b\xc3\xbc.py", 1, BSK_FUNCTION_PYTHON), 3 },
        { bsk_profile_function(profile, "fill", "/app/b\xc3\xbc.py", 5, BSK_FUNCTION_PYTHON), 7 },
    };
    bsk_profile_add(profile, bsk_profile_stack(profile, track, way, 2), 0, 10, 10, 3);
    struct bsk_memory_frame stack[4];
    uint64_t samples = 0;
    assert_int_equal(bsk_heap_inferred_stack(profile, "/app/b\xc3\xbc.py", 7, stack, 4, &samples),
                     2);
    assert_int_equal(samples, 3);
    assert_string_equal(stack[1].function, "main");
    for (int with = 0; with < 2; with++) {
        int count = 0;
        struct json_object *head, *samples_list, *file = exported(snapshot, with ? profile : NULL);
        json_object_object_get_ex(file, "head", &head);
        assert_int_equal(sum_of(head, &count), snapshot->traced_bytes);
        assert_int_equal(count,
                         with ? 7 : 6); /* root, two sites, a caller or two, rest, debugger */
        json_object_object_get_ex(file, "samples", &samples_list);
        assert_int_equal(json_object_array_length(samples_list), 4);
        json_object_put(file);
    }
    int count = 0;
    struct json_object *head, *file = exported(&nothing, NULL);
    json_object_object_get_ex(file, "head", &head);
    assert_int_equal(sum_of(head, &count), 0);
    assert_int_equal(count, 1);
    json_object_put(file);
    bsk_profile_free(profile);
    give_back(snapshot);
}

static void a_stack_is_inferred_only_where_none_was_traced(void **state)
{
    (void)state;
    static const struct bsk_memory_frame seen[3] = { { "/app/b\xc3\xbc.py", 7, "fill" },
                                                     { "/app/main.py", 3, "main" },
                                                     { "/app/main.py", 9, "<module>" } };
    struct bsk_memory_history *history = bsk_memory_history_new();
    struct bsk_memory_snapshot *kept[2];
    struct bsk_memory_diff *diff = NULL;
    struct bsk_error err = { 0 };
    for (size_t i = 0; i < 2; i++) {
        kept[i] = made(100000 * (i + 1));
        kept[i]->memory = bsk_arena_new();
        ((struct bsk_memory_site *)kept[i]->sites)[1].bytes *= i + 1;
        assert_true(bsk_memory_snapshot_infer(kept[i], 0, seen, 3, 41));
        assert_true(bsk_memory_snapshot_infer(kept[i], 1, seen, 1, 41)); /* nobody called it */
        assert_int_equal(kept[i]->sites[1].stack_count, 0);
        assert_true(bsk_memory_snapshot_infer(kept[i], 1, seen, 2, 41));
        assert_int_equal(bsk_memory_history_add(history, kept[i], &err), BSK_OK);
    }
    assert_int_equal(kept[1]->sites[0].stack_samples, 0);
    assert_string_equal(kept[1]->sites[0].stack[1].function, "load");
    assert_int_equal(kept[1]->sites[1].stack_samples, 41);
    assert_int_equal(bsk_memory_history_diff(history, 0, 0, &diff, &err), BSK_OK);
    for (size_t i = 0; i < 2; i++) {
        struct bsk_leak *leak = &diff->leaks[i];
        bool traced = leak->line == 10;
        /* What the snapshot knew, then what is known by now. */
        assert_int_equal(leak->stack_samples, traced ? 0 : 41);
        assert_true(bsk_memory_diff_infer(diff, i, seen, 3, 50));
        assert_int_equal(leak->stack_samples, traced ? 0 : 50);
        assert_int_equal(leak->stack_count, traced ? 2 : 3);
        assert_string_equal(leak->stack[1].function, traced ? "load" : "main");
        assert_int_equal(leak->user_line, traced ? 42 : 7);
    }
    bsk_memory_diff_free(diff);
    for (size_t i = 0; i < 2; i++) {
        free((void *)kept[i]->sites);
        kept[i]->sites = NULL;
        kept[i]->site_count = 0;
    }
    bsk_memory_history_free(history);
}

static void a_library_line_is_warned_of_where_the_users_code_called_it(void **state)
{
    (void)state;
    static const struct bsk_memory_frame seen[2] = {
        { "/usr/lib/python3.11/site-packages/lib.py", 7, "grow" }, { "/app/main.py", 3, "main" }
    };
    struct bsk_leak leak = { .path = seen[0].path,
                             .line = 7,
                             .user_path = seen[0].path,
                             .user_line = 7,
                             .growth_bytes = 5000,
                             .band = BSK_LEAK_HIGH,
                             .confidence = 80 };
    struct bsk_memory_diff diff = { .leaks = &leak, .leak_count = 1, .memory = bsk_arena_new() };
    struct bsk_buffer text = { 0 };
    struct bsk_json json = { .out = &text };
    assert_true(bsk_memory_diff_infer(&diff, 0, seen, 2, 12));
    bsk_memory_findings_write(NULL, &diff, "/app/main.py", &json);
    assert_non_null(strstr(bsk_buffer_text(&text), "lib.py:7, as far as the sampler saw, and not"));
    bsk_buffer_free(&text);
    bsk_arena_free(diff.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confidence_follows_growth),
        cmocka_unit_test(definite_needs_the_graph),
        cmocka_unit_test(warns_on_the_users_line_and_falls_when_the_holder_is_gone),
        cmocka_unit_test(a_heapprofile_adds_up_to_what_is_traced),
        cmocka_unit_test(a_stack_is_inferred_only_where_none_was_traced),
        cmocka_unit_test(a_library_line_is_warned_of_where_the_users_code_called_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
