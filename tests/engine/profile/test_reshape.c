#include "engine/profile/reshape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MS = 1000000 };

/* "main:3 lib:9 leaf:20": frames outermost first, each function in the file of its letter. */
static const struct source {
    const char *name, *path;
    uint32_t first_line;
    enum bsk_function_kind kind;
} sources[] = {
    { "main", "/srv/app/main.py", 1, BSK_FUNCTION_PYTHON },
    { "work", "/srv/app/sub/work.py", 10, BSK_FUNCTION_PYTHON },
    { "lib", "/usr/lib/python3.11/json/decoder.py", 30, BSK_FUNCTION_PYTHON },
    { "made", "<string>", 1, BSK_FUNCTION_PYTHON },
    { "(debugger)", "", 0, BSK_FUNCTION_SPECIAL },
};

static uint32_t add_stack(struct bsk_profile *profile, uint32_t track, const char *stack)
{
    struct bsk_profile_frame frames[16];
    size_t depth = 0;
    char copy[256], *rest = copy, *word;
    snprintf(copy, sizeof(copy), "%s", stack);
    while ((word = strtok_r(rest, " ", &rest))) {
        char *colon = strchr(word, ':');
        *colon = '\0';
        for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
            if (strcmp(sources[i].name, word) == 0)
                frames[depth].function = bsk_profile_function(
                    profile, word, sources[i].path, sources[i].first_line, sources[i].kind);
        }
        frames[depth++].line = (uint32_t)atoi(colon + 1);
    }
    return bsk_profile_stack(profile, track, frames, depth);
}

static struct bsk_profile *known_profile(void)
{
    struct bsk_profile *profile = bsk_profile_new(0);
    assert_non_null(profile);
    uint32_t one = bsk_profile_track(profile, 100, 100, "main.py", "MainThread");
    uint32_t two = bsk_profile_track(profile, 100, 101, "main.py", "Thread 101");
    uint32_t a = add_stack(profile, one, "main:3 work:12");
    uint32_t b = add_stack(profile, one, "main:4 work:13");
    uint32_t c = add_stack(profile, one, "main:3 lib:31");
    uint32_t d = add_stack(profile, two, "lib:33 made:2");
    uint32_t e = add_stack(profile, two, "lib:33 (debugger):0");
    uint32_t f = bsk_profile_track_root(profile, two);
    bsk_profile_add(profile, a, 0, 10 * MS, 9 * MS, 1);
    bsk_profile_add(profile, b, 10 * MS, 10 * MS, 8 * MS, 2);
    bsk_profile_add(profile, c, 20 * MS, 10 * MS, 7 * MS, 3);
    bsk_profile_add(profile, d, 0, 10 * MS, 6 * MS, 4);
    bsk_profile_add(profile, e, 10 * MS, 10 * MS, 5 * MS, 5);
    bsk_profile_add(profile, f, 20 * MS, 10 * MS, 4 * MS, 6);
    bsk_profile_add_states(profile, a, 1, 2, 3);
    bsk_profile_add_states(profile, b, 10, 20, 30);
    struct bsk_profile_meta *meta = bsk_profile_meta(profile);
    meta->samples = 21;
    meta->duration_ns = 30 * MS;
    return profile;
}

/* Every stack with weight: "100 MainThread;main:3;work:12 1/9", sorted, a line each. */
static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static const char *told(const struct bsk_profile *profile)
{
    static char out[4096];
    char lines[32][256];
    size_t count = 0;
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        char text[256] = "", before[256];
        if (node->samples == 0)
            continue;
        snprintf(text, sizeof(text), " %d/%d", (int)node->samples, (int)(node->self_ns / MS));
        for (const struct bsk_node *at = node; at->parent != BSK_NO_NODE;
             at = bsk_profile_node_at(profile, at->parent)) {
            snprintf(before, sizeof(before), "%s", text);
            snprintf(text, sizeof(text), ";%s:%u%.200s",
                     bsk_profile_function_at(profile, at->function).name, at->line, before);
        }
        snprintf(lines[count++], 256, "%d%.200s",
                 (int)bsk_profile_track_at(profile, bsk_profile_track_of(profile, i)).tid, text);
    }
    qsort(lines, count, sizeof(lines[0]), by_text);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s\n", lines[i]);
    return out;
}

static void reshapes_frames(void **state)
{
    static const char *const app[] = { "/srv/app" }, *const sub[] = { "/srv/app/sub" },
                             *const work_file[] = { "work.py", "nothing" },
                             *const nothing[] = { "/srv/ap" }, *const made[] = { "<string>" };
    static const struct {
        const char *why;
        struct bsk_reshape how;
        const char *expected;
        uint64_t lost;
    } cases[] = {
        { "nothing asked, nothing changed",
          { 0 },
          "100;main:3;lib:31 3/7\n100;main:3;work:12 1/9\n100;main:4;work:13 2/8\n"
          "101 6/4\n101;lib:33;(debugger):0 5/5\n101;lib:33;made:2 4/6\n",
          0 },
        { "by function: the line where each begins",
          { .by_function = true },
          "100;main:1;lib:30 3/7\n100;main:1;work:10 3/17\n"
          "101 6/4\n101;lib:30;(debugger):0 5/5\n101;lib:30;made:1 4/6\n",
          0 },
        { "no lines: those of one function are one",
          { .no_lines = true },
          "100;main:0;lib:0 3/7\n100;main:0;work:0 3/17\n"
          "101 6/4\n101;lib:0;(debugger):0 5/5\n101;lib:0;made:0 4/6\n",
          0 },
        { "threads and processes outermost, a name only where there is one",
          { .no_lines = true, .thread_frames = true, .process_frames = true },
          "100;process 100:\"main.py\":0;thread (100): MainThread:0;main:0;lib:0 3/7\n"
          "100;process 100:\"main.py\":0;thread (100): MainThread:0;main:0;work:0 3/17\n"
          "101;process 100:\"main.py\":0;thread (101):0 6/4\n"
          "101;process 100:\"main.py\":0;thread (101):0;lib:0;(debugger):0 5/5\n"
          "101;process 100:\"main.py\":0;thread (101):0;lib:0;made:0 4/6\n",
          0 },
        { "only a folder: what is called outside weighs in its caller, foreign stacks go",
          { .only = app, .only_count = 1 },
          "100;main:3 3/7\n100;main:3;work:12 1/9\n100;main:4;work:13 2/8\n",
          15 },
        { "only a folder further in: outer frames go, weight stays",
          { .only = sub, .only_count = 1 },
          "100;work:12 1/9\n100;work:13 2/8\n",
          18 },
        { "only a file, by its name alone; one of several patterns is enough",
          { .only = work_file, .only_count = 2 },
          "100;work:12 1/9\n100;work:13 2/8\n",
          18 },
        { "a folder is no prefix of letters", { .only = nothing, .only_count = 1 }, "", 21 },
        { "excluded frames give their weight to their caller; threads without frames stay",
          { .exclude = app, .exclude_count = 1 },
          "100;lib:31 3/7\n101 6/4\n101;lib:33;(debugger):0 5/5\n101;lib:33;made:2 4/6\n",
          3 },
        { "exclude wins over only",
          { .only = app, .only_count = 1, .exclude = sub, .exclude_count = 1 },
          "100;main:3 4/16\n100;main:4 2/8\n",
          15 },
        { "names that are no paths",
          { .exclude = made, .exclude_count = 1 },
          "100;main:3;lib:31 3/7\n100;main:3;work:12 1/9\n100;main:4;work:13 2/8\n"
          "101 6/4\n101;lib:33 4/6\n101;lib:33;(debugger):0 5/5\n",
          0 },
    };
    (void)state;
    struct bsk_profile *profile = known_profile();
    bsk_profile_meta(profile)->filled = bsk_profile_meta(profile)->unread = 21;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_reshape_loss loss = { 0 };
        print_message("  %s\n", cases[i].why);
        struct bsk_profile *other = bsk_profile_reshape(profile, &cases[i].how, &loss);
        assert_non_null(other);
        assert_string_equal(told(other), cases[i].expected);
        assert_int_equal(loss.samples, cases[i].lost);
        assert_int_equal(bsk_profile_samples(other) + loss.samples, bsk_profile_samples(profile));
        assert_int_equal(bsk_profile_cpu_ns(other) + loss.cpu_ns, bsk_profile_cpu_ns(profile));
        assert_int_equal(bsk_profile_meta_const(other)->samples + loss.samples, 21);
        /* all of them were filled in and unread: all of those that are left are */
        assert_int_equal(bsk_profile_meta_const(other)->filled + loss.samples, 21);
        assert_int_equal(bsk_profile_meta_const(other)->unread + loss.samples, 21);
        uint64_t run_samples = 0;
        struct bsk_run run;
        for (size_t at = 0; bsk_profile_next_run(other, &at, &run);)
            run_samples += run.samples;
        assert_int_equal(run_samples, bsk_profile_samples(other));
        bsk_profile_free(other);
    }
    bsk_profile_free(profile);
}

static void carries_what_threads_did(void **state)
{
    (void)state;
    struct bsk_profile *profile = known_profile();
    struct bsk_profile *other =
        bsk_profile_reshape(profile, &(struct bsk_reshape){ .no_lines = true }, NULL);
    uint64_t gil = 0, wait = 0, idle = 0;
    for (uint32_t i = 0; i < bsk_profile_node_count(other); i++) {
        gil += bsk_profile_node_at(other, i)->gil_ns;
        wait += bsk_profile_node_at(other, i)->wait_ns;
        idle += bsk_profile_node_at(other, i)->idle_ns;
    }
    assert_int_equal(gil, 11);
    assert_int_equal(wait, 22);
    assert_int_equal(idle, 33);
    bsk_profile_free(other);
    bsk_profile_free(profile);
}

static void tells_what_came_after_an_earlier_clone(void **state)
{
    (void)state;
    struct bsk_profile *profile = known_profile();
    struct bsk_profile *before = bsk_profile_clone(profile);
    uint32_t node = add_stack(profile, 0, "main:3 lib:31");
    /* goes on where it was: one run of 10 + 20 ms in the timeline */
    bsk_profile_add(profile, node, 30 * MS, 20 * MS, 14 * MS, 6);
    node = add_stack(profile, 0, "main:9");
    bsk_profile_add(profile, node, 50 * MS, 10 * MS, 2 * MS, 1);
    bsk_profile_meta(profile)->samples = 28;
    bsk_profile_meta(profile)->duration_ns = 60 * MS;
    struct bsk_profile *after =
        bsk_profile_reshape(profile, &(struct bsk_reshape){ .since = before }, NULL);
    assert_string_equal(told(after), "100;main:3;lib:31 6/14\n100;main:9 1/2\n");
    assert_int_equal(bsk_profile_meta_const(after)->samples, 7);
    assert_int_equal(bsk_profile_meta_const(after)->duration_ns, 30 * MS);
    struct bsk_run run;
    size_t at = 0;
    assert_true(bsk_profile_next_run(after, &at, &run));
    assert_int_equal(run.start_ns, 0);
    assert_int_equal(run.wall_ns, 20 * MS);
    assert_int_equal(run.samples, 6);
    assert_true(bsk_profile_next_run(after, &at, &run));
    assert_int_equal(run.start_ns, 20 * MS);
    assert_false(bsk_profile_next_run(after, &at, &run));
    bsk_profile_free(after);
    bsk_profile_free(before);
    bsk_profile_free(profile);
}

static void a_lower_ceiling_makes_only_the_timeline_coarser(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 1, 1, "p", "t");
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t node = add_stack(profile, track, i % 3 ? "main:3 work:12" : "main:4 lib:30");
        bsk_profile_add(profile, node, (uint64_t)i * MS, MS, MS - i % 7, 1);
    }
    struct bsk_profile *other = bsk_profile_clone(profile);
    bsk_profile_coarsen(other, 1000);
    size_t runs = 0;
    uint64_t samples = 0;
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(other, &at, &run); runs++)
        samples += run.samples;
    assert_in_range(runs, 100, 1000);
    assert_int_equal(samples, 100000);
    assert_int_equal(bsk_profile_samples(other), 100000);
    assert_int_equal(bsk_profile_cpu_ns(other), bsk_profile_cpu_ns(profile));
    assert_true(bsk_profile_window_ns(other) > 0);
    bsk_profile_free(other);
    bsk_profile_free(profile);
}

static void paths_fit_patterns(void **state)
{
    static const struct {
        const char *path, *pattern;
        bool fits;
    } cases[] = {
        { "/srv/app/a.py", "/srv/app", true },
        { "/srv/app/a.py", "/srv/app/", true },
        { "/srv/app/a.py", "/srv/app/a.py", true },
        { "/srv/app/a.py", "/srv/ap", false },
        { "/srv/app/a.py", "/", true },
        { "<string>", "/", false },
        { "<string>", "<string>", true },
        { "<frozen importlib._bootstrap>", "<frozen*", true },
        { "/srv/app/a.py", "app", true },
        { "/srv/app/a.py", "a.py", true },
        { "/srv/app/a.py", "ap", false },
        { "/srv/app/a.py", "*.py", true },
        { "/srv/app/a.py", "/srv/*/a.py", true },
        { "/srv/app/a.py", "/srv/*.pyx", false },
        { "/srv/app/a[1].py", "a[[]1].py", true },
        { "", "a", false },
        { "", "/", false },
        { "/srv/app/a.py", "", false },
        { "//a//b", "b", true },
        { "a", "a", true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s %s\n", cases[i].path, cases[i].pattern);
        assert_int_equal(bsk_path_fits(cases[i].path, cases[i].pattern), cases[i].fits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshapes_frames),
        cmocka_unit_test(carries_what_threads_did),
        cmocka_unit_test(tells_what_came_after_an_earlier_clone),
        cmocka_unit_test(a_lower_ceiling_makes_only_the_timeline_coarser),
        cmocka_unit_test(paths_fit_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
