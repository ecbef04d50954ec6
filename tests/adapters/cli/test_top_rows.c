/* The table of `top`, from profiles made by hand: shares, folding, recursion, intervals, order. */
#include "adapters/cli/top_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

enum { MS = 1000000 };

struct made {
    struct bsk_profile *profile;
    uint32_t track, main_function, work, recurse, dumps, encode;
};

static struct made make(void)
{
    struct made made = { .profile = bsk_profile_new(0) };
    assert_non_null(made.profile);
    made.track = bsk_profile_track(made.profile, getpid(), getpid(), "app.py", "MainThread");
    made.main_function =
        bsk_profile_function(made.profile, "<module>", "/srv/app.py", 1, BSK_FUNCTION_PYTHON);
    made.work = bsk_profile_function(made.profile, "work", "/srv/app.py", 10, BSK_FUNCTION_PYTHON);
    made.recurse =
        bsk_profile_function(made.profile, "recurse", "/srv/deep.py", 5, BSK_FUNCTION_PYTHON);
    made.dumps = bsk_profile_function(made.profile, "dumps", "/usr/lib/python3.11/json/__init__.py",
                                      100, BSK_FUNCTION_PYTHON);
    made.encode = bsk_profile_function(
        made.profile, "encode", "/usr/lib/python3.11/json/encoder.py", 200, BSK_FUNCTION_PYTHON);
    return made;
}

/* `spent` on the CPU, in the stack of these functions, each at its line 7. */
static void spend(struct made *made, uint64_t spent, const uint32_t *functions, size_t depth)
{
    struct bsk_profile_frame frames[8];
    for (size_t i = 0; i < depth; i++)
        frames[i] = (struct bsk_profile_frame){ functions[i], 7 };
    uint32_t node = bsk_profile_stack(made->profile, made->track, frames, depth);
    bsk_profile_add(made->profile, node, bsk_profile_meta(made->profile)->duration_ns, spent, spent,
                    1);
    bsk_profile_add_states(made->profile, node, spent / 2, spent / 4, 3 * spent);
    bsk_profile_meta(made->profile)->duration_ns += spent;
}
#define SPEND(made, spent, ...)                                                                    \
    spend(made, spent, (const uint32_t[]){ __VA_ARGS__ },                                          \
          sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static const struct top_row *row_named(const struct top_rows *rows, const char *name)
{
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(rows->items[i].name, name) == 0)
            return &rows->items[i];
    return NULL;
}

static void a_library_is_one_row_with_an_exact_total(void **state)
{
    (void)state;
    struct made made = make();
    SPEND(&made, 10 * MS, made.main_function, made.work);
    SPEND(&made, 20 * MS, made.main_function, made.work, made.dumps);
    SPEND(&made, 30 * MS, made.main_function, made.work, made.dumps, made.encode);
    struct top_question question = { .now = made.profile, .track = UINT32_MAX };
    struct top_rows *rows = top_rows_new(&question);
    assert_non_null(rows);
    assert_int_equal(rows->count, 3);
    assert_string_equal(rows->items[0].name, "[json]");
    assert_string_equal(rows->items[0].path, "standard library");
    assert_int_equal(rows->items[0].own_ns, 50 * MS);
    assert_int_equal(rows->items[0].total_ns, 50 * MS); /* dumps() calls encode(): not 80 */
    assert_int_equal(row_named(rows, "work")->own_ns, 10 * MS);
    assert_int_equal(row_named(rows, "work")->total_ns, 60 * MS);
    assert_int_equal(rows->interval_ns, 60 * MS);
    assert_int_equal(rows->cpu_ns, 60 * MS);
    assert_int_equal(rows->gil_ns, 30 * MS);
    top_rows_free(rows);
    question.unfold = true;
    rows = top_rows_new(&question);
    assert_null(row_named(rows, "[json]"));
    assert_int_equal(row_named(rows, "dumps")->total_ns, 50 * MS);
    assert_int_equal(row_named(rows, "encode")->own_ns, 30 * MS);
    top_rows_free(rows);
    bsk_profile_free(made.profile);
}

static void recursion_counts_once(void **state)
{
    (void)state;
    struct made made = make();
    SPEND(&made, 10 * MS, made.recurse, made.recurse, made.recurse);
    SPEND(&made, 5 * MS, made.recurse, made.work, made.recurse);
    struct top_question question = { .now = made.profile, .track = UINT32_MAX };
    for (int view = TOP_FUNCTIONS; view <= TOP_LINES; view++) {
        question.view = (enum top_view)view;
        struct top_rows *rows = top_rows_new(&question);
        const struct top_row *row = row_named(rows, "recurse");
        assert_int_equal(row->own_ns, 15 * MS);
        assert_int_equal(row->total_ns, 15 * MS);
        assert_int_equal(row->line, view == TOP_LINES ? 7 : 5);
        top_rows_free(rows);
    }
    bsk_profile_free(made.profile);
}

static void an_interval_is_what_came_since(void **state)
{
    (void)state;
    struct made made = make();
    SPEND(&made, 100 * MS, made.work);
    struct bsk_profile *zero = bsk_profile_clone(made.profile);
    SPEND(&made, 10 * MS, made.work);
    struct bsk_profile *before = bsk_profile_clone(made.profile);
    SPEND(&made, 1 * MS, made.work);
    SPEND(&made, 3 * MS, made.recurse); /* a node that `before` has not */
    struct top_question question = { .now = made.profile, .track = UINT32_MAX };
    const struct {
        const char *why;
        const struct bsk_profile *before, *zero;
        uint64_t own, all, interval;
    } cases[] = {
        { "from the start", NULL, NULL, 111, 111, 114 },
        { "the last interval, all since the start", before, NULL, 1, 111, 4 },
        { "all since zero", before, zero, 1, 11, 4 },
        { "just zeroed: both are the same", before, before, 1, 1, 4 },
        { "nothing has happened since", made.profile, made.profile, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        question.before = cases[i].before;
        question.zero = cases[i].zero;
        struct top_rows *rows = top_rows_new(&question);
        const struct top_row *row = row_named(rows, "work");
        assert_int_equal(row ? row->own_ns : 0, cases[i].own * MS);
        assert_int_equal(row ? row->all_own_ns : 0, cases[i].all * MS);
        assert_int_equal(rows->interval_ns, cases[i].interval * MS);
        top_rows_free(rows);
    }
    bsk_profile_free(before);
    bsk_profile_free(zero);
    bsk_profile_free(made.profile);
}

static void weights_are_cpu_gil_or_wall(void **state)
{
    (void)state;
    struct made made = make();
    SPEND(&made, 8 * MS, made.work);
    const struct {
        enum top_weight weight;
        uint64_t own;
    } cases[] = { { TOP_CPU, 8 }, { TOP_GIL, 4 }, { TOP_WALL, 8 + 2 + 24 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct top_question question = { .now = made.profile,
                                         .weight = cases[i].weight,
                                         .track = UINT32_MAX };
        struct top_rows *rows = top_rows_new(&question);
        assert_int_equal(rows->items[0].own_ns, cases[i].own * MS);
        assert_int_equal(rows->items[0].wait_ns, 2 * MS);
        assert_int_equal(rows->cpu_ns, 8 * MS);
        top_rows_free(rows);
    }
    bsk_profile_free(made.profile);
}

static void rows_by_filter_order_and_thread(void **state)
{
    (void)state;
    struct made made = make();
    SPEND(&made, 30 * MS, made.work);
    SPEND(&made, 10 * MS, made.recurse, made.main_function);
    uint32_t other = bsk_profile_track(made.profile, getpid(), 1 << 30, "app.py", "other");
    uint32_t first = made.track;
    made.track = other;
    SPEND(&made, 5 * MS, made.recurse);
    struct top_question question = { .now = made.profile, .track = UINT32_MAX, .filter = "DEEP" };
    struct top_rows *rows = top_rows_new(&question);
    assert_int_equal(rows->count, 1); /* by its file, whatever the case */
    assert_string_equal(rows->items[0].name, "recurse");
    top_rows_free(rows);

    question = (struct top_question){ .now = made.profile, .track = UINT32_MAX, .sort = TOP_TOTAL };
    rows = top_rows_new(&question);
    assert_string_equal(rows->items[0].name, "work");
    assert_string_equal(rows->items[1].name, "recurse"); /* 15 in all */
    top_rows_free(rows);
    question.reverse = true;
    rows = top_rows_new(&question);
    assert_string_equal(rows->items[0].name, "<module>");
    top_rows_free(rows);

    question = (struct top_question){ .now = made.profile, .track = other };
    rows = top_rows_new(&question);
    assert_int_equal(rows->count, 1);
    assert_int_equal(rows->items[0].total_ns, 5 * MS);
    top_rows_free(rows);

    question = (struct top_question){ .now = made.profile, .track = first, .view = TOP_THREADS };
    rows = top_rows_new(&question);
    assert_int_equal(rows->count, 2); /* one has ended, and used the CPU in this interval */
    assert_string_equal(rows->items[0].name, "MainThread");
    assert_false(rows->items[0].ended);
    assert_true(rows->items[1].ended);
    assert_int_equal(rows->items[1].tid, 1 << 30);
    assert_int_equal(rows->threads, 1);
    assert_int_equal(rows->threads_on_cpu, 2);
    top_rows_free(rows);
    question.before = made.profile;
    rows = top_rows_new(&question);
    assert_int_equal(rows->count, 1);
    top_rows_free(rows);
    bsk_profile_free(made.profile);
}

static void an_empty_profile_has_no_rows(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    for (int view = TOP_FUNCTIONS; view <= TOP_THREADS; view++) {
        struct top_question question = { .now = profile,
                                         .view = (enum top_view)view,
                                         .track = UINT32_MAX };
        struct top_rows *rows = top_rows_new(&question);
        assert_non_null(rows);
        assert_int_equal(rows->count, 0);
        top_rows_free(rows);
    }
    bsk_profile_free(profile);
}

static void knows_libraries_by_their_paths(void **state)
{
    (void)state;
    const struct {
        const char *path, *package; /* NULL: the user's own */
        bool standard;
    } cases[] = {
        { "/usr/lib/python3.11/json/decoder.py", "json", true },
        { "/usr/lib/python3.11/threading.py", "threading", true },
        { "/usr/lib64/python3.13t/re/__init__.py", "re", true },
        { "/usr/lib/python3/dist-packages/apt/cache.py", "apt", false },
        { "/home/a/venv/lib/python3.12/site-packages/numpy/core/x.py", "numpy", false },
        { "/home/a/venv/lib/python3.12/site-packages/six.py", "six", false },
        { "<frozen importlib._bootstrap>", "importlib", true },
        { "<frozen runpy>", "runpy", true },
        { "<string>", NULL, false },
        { "<ipython-input-1>", NULL, false },
        { "/srv/python3.11/app.py", NULL, false }, /* no library: it is not below lib/ */
        { "/srv/lib/python3000/app.py", NULL, false },
        { "/srv/app.py", NULL, false },
        { "", NULL, false },
        { "/usr/lib/python3.11/", NULL, false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char package[TOP_PACKAGE_BYTES] = "";
        bool standard = false;
        print_message("  %s\n", cases[i].path);
        assert_int_equal(top_library(cases[i].path, package, &standard), cases[i].package != NULL);
        if (cases[i].package) {
            assert_string_equal(package, cases[i].package);
            assert_int_equal(standard, cases[i].standard);
        }
    }
}

static void shortens_paths_to_what_tells(void **state)
{
    (void)state;
    const struct {
        const char *path, *expected;
    } cases[] = {
        { "/usr/lib/python3.11/json/decoder.py", "json/decoder.py" },
        { "/v/lib/python3.12/site-packages/numpy/x.py", "numpy/x.py" },
        { "/srv/app/main.py", "main.py" },
        { "/srv/app/pkg/mod.py", "pkg/mod.py" },
        { "/srv/other/mod.py", "/srv/other/mod.py" },
        { "/data/mod.py", "mod.py" },
        { "/srv/app", "/srv/app" },
        { "<string>", "<string>" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(top_short_path(cases[i].path, "/srv/app", "/data"), cases[i].expected);
    assert_string_equal(top_short_path("/a.py", "", "/"), "/a.py");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_is_one_row_with_an_exact_total),
        cmocka_unit_test(recursion_counts_once),
        cmocka_unit_test(an_interval_is_what_came_since),
        cmocka_unit_test(weights_are_cpu_gil_or_wall),
        cmocka_unit_test(rows_by_filter_order_and_thread),
        cmocka_unit_test(an_empty_profile_has_no_rows),
        cmocka_unit_test(knows_libraries_by_their_paths),
        cmocka_unit_test(shortens_paths_to_what_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
