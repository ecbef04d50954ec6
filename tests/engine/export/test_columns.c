#include "engine/export/columns.h"
#include "engine/export/export.h"
#include "engine/profile/reshape.h"
#include "engine/profile/totals.h"
#include "tests/engine/export/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000000 };

static struct bsk_profile *sample(const char *name)
{
    for (size_t i = 0; i < sample_profile_count; i++)
        if (strcmp(sample_profiles[i].name, name) == 0)
            return sample_profiles[i].make();
    fail_msg("no sample %s", name);
    return NULL;
}

static uint32_t function_of(const struct bsk_profile *profile, const char *name)
{
    for (uint32_t i = 0; i < bsk_profile_function_count(profile); i++)
        if (strcmp(bsk_profile_function_at(profile, i).name, name) == 0)
            return i;
    fail_msg("no function %s", name);
    return 0;
}

static uint32_t column_of(const struct bsk_profile *profile, const char *name, uint32_t line)
{
    struct bsk_line_columns columns;
    assert_true(bsk_line_columns_make(profile, &columns));
    uint32_t column = bsk_line_column(&columns, function_of(profile, name), line);
    assert_int_equal(bsk_line_column(&columns, 0, 999), 0); /* a line that is not there */
    bsk_line_columns_free(&columns);
    return column;
}

static void a_line_is_shown_with_the_column_of_half_of_its_samples(void **state)
{
    (void)state;
    struct bsk_profile *profile = sample("columns");
    assert_int_equal(column_of(profile, "<module>", 40), 1);
    assert_int_equal(column_of(profile, "f", 21), 9);
    assert_int_equal(column_of(profile, "g", 31), 0); /* three, each of a third */
    assert_int_equal(column_of(profile, "work", 11),
                     12); /* it ran twice, and called 4 of 7 there */
    bsk_profile_free(profile);
    profile = sample("threads");
    assert_false(bsk_profile_has_columns(profile));
    assert_int_equal(column_of(profile, bsk_profile_function_at(profile, 0).name, 1), 0);
    bsk_profile_free(profile);
}

static void columns_split_neither_nodes_nor_lines_nor_the_timeline(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 7, 7, "a.py", "");
    struct bsk_profile_frame frame = {
        bsk_profile_function(profile, "f", "/a.py", 1, BSK_FUNCTION_PYTHON), 3
    };
    uint32_t node = BSK_NO_NODE;
    for (uint32_t i = 0; i < 1000; i++) {
        node = bsk_profile_stack(profile, track, &frame, 1);
        bsk_profile_add(profile, node, i * 10 * (uint64_t)MS, 10 * MS, 10 * MS, 1);
        bsk_profile_saw_column(profile, node, 1 + i % 5, 1);
    }
    size_t at = 0, runs = 0;
    struct bsk_run run;
    while (bsk_profile_next_run(profile, &at, &run))
        runs++;
    struct bsk_totals *totals = bsk_totals_new(profile);
    assert_int_equal(bsk_profile_node_count(profile), 2);
    assert_int_equal(runs, 1);
    assert_int_equal(totals->line_count, 1);
    assert_int_equal(totals->lines[0].samples, 1000);
    uint32_t place = 0, column, count, all = 0;
    while (bsk_profile_next_column(profile, node, &place, &column, &count)) {
        assert_in_range(column, 1, 5);
        assert_int_equal(count, 200);
        all += count;
    }
    assert_int_equal(all, 1000);
    bsk_totals_free(totals);
    bsk_profile_free(profile);
}

static void a_node_keeps_so_many_columns_and_no_more(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 7, 7, "a.py", "");
    uint32_t root = bsk_profile_track_root(profile, track);
    for (uint32_t i = 1; i <= 100000; i++)
        bsk_profile_saw_column(profile, root, i, UINT32_MAX);
    bsk_profile_saw_column(profile, root, 1, UINT32_MAX); /* is full already */
    bsk_profile_saw_column(profile, BSK_NO_NODE, 1, 1);
    bsk_profile_called_from(profile, BSK_NO_NODE, 1);
    uint32_t at = 0, column, count, columns = 0;
    while (bsk_profile_next_column(profile, root, &at, &column, &count))
        columns++;
    assert_int_equal(columns, 64);
    assert_true(bsk_profile_bytes(profile) < 20000);
    bsk_profile_free(profile);
}

static void call_column_is(const struct bsk_profile *profile, const char *name, uint32_t column)
{
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        if (node->depth > 0 &&
            strcmp(bsk_profile_function_at(profile, node->function).name, name) == 0)
            assert_int_equal(bsk_profile_call_column(profile, i), column);
    }
}

static void a_copy_has_the_columns_and_a_filter_those_of_what_stays(void **state)
{
    (void)state;
    struct bsk_profile *profile = sample("columns"), *copy = bsk_profile_clone(profile);
    bsk_profile_saw_column(profile, 1, 77, 9); /* is the first one's own */
    assert_int_equal(column_of(copy, "work", 11), 12);
    call_column_is(copy, "f", 12);
    call_column_is(copy, "g", 20);
    bsk_profile_free(profile);

    const char *const exclude[] = { "*/nothing.py" };
    struct bsk_reshape how = { .exclude = exclude, .exclude_count = 1 };
    struct bsk_profile *same = bsk_profile_reshape(copy, &how, NULL);
    assert_int_equal(column_of(same, "f", 21), 9);
    call_column_is(same, "f", 12);
    bsk_profile_free(same);

    how = (struct bsk_reshape){ .no_lines = true };
    struct bsk_profile *plain = bsk_profile_reshape(copy, &how, NULL);
    assert_false(bsk_profile_has_columns(plain));
    bsk_profile_free(plain);
    bsk_profile_free(copy);
}

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

static void formats_without_a_place_for_columns_do_not_change(void **state)
{
    (void)state;
    static const struct {
        const char *format, *key;
        size_t count; /* of frames or events with one */
    } cases[] = { { "speedscope", "\"col\":", 3 },
                  { "chrometrace", "\"column\":", 0 },
                  { "raw", NULL, 0 },
                  { "flamegraph", NULL, 0 },
                  { "cpuprofile", NULL, 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_profile *profile = sample("columns");
        char *texts[2] = { NULL, NULL };
        size_t size = 0;
        print_message("  %s\n", cases[i].format);
        FILE *out = open_memstream(&texts[0], &size);
        assert_int_equal(bsk_exporter_named(cases[i].format)->write(profile, out, NULL), BSK_OK);
        fclose(out);
        if (cases[i].key) {
            size_t found = count_of(texts[0], cases[i].key);
            assert_true(cases[i].count ? found == cases[i].count : found > 3);
        } else {
            /* the same as of a profile that never had any */
            struct bsk_profile *bare = bsk_profile_like(profile);
            uint32_t track = bsk_profile_track(bare, 7, 7, "app.py", "MainThread");
            uint32_t nodes[64] = { bsk_profile_track_root(bare, track) };
            for (uint32_t f = 0; f < bsk_profile_function_count(profile); f++) {
                struct bsk_function function = bsk_profile_function_at(profile, f);
                bsk_profile_function(bare, function.name, function.path, function.first_line,
                                     function.kind);
            }
            for (uint32_t n = 1; n < bsk_profile_node_count(profile); n++) {
                const struct bsk_node *node = bsk_profile_node_at(profile, n);
                nodes[n] = bsk_profile_step(bare, nodes[node->parent], node->function, node->line);
                bsk_profile_add(bare, nodes[n], 0, 0, node->self_ns, (uint32_t)node->samples);
            }
            struct bsk_run run;
            for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);)
                bsk_profile_add_run(bare, nodes[run.node], run.start_ns, run.wall_ns, run.cpu_ns,
                                    run.samples);
            assert_false(bsk_profile_has_columns(bare));
            out = open_memstream(&texts[1], &size);
            assert_int_equal(bsk_exporter_named(cases[i].format)->write(bare, out, NULL), BSK_OK);
            fclose(out);
            assert_string_equal(texts[0], texts[1]);
            bsk_profile_free(bare);
        }
        free(texts[0]);
        free(texts[1]);
        bsk_profile_free(profile);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_shown_with_the_column_of_half_of_its_samples),
        cmocka_unit_test(columns_split_neither_nodes_nor_lines_nor_the_timeline),
        cmocka_unit_test(a_node_keeps_so_many_columns_and_no_more),
        cmocka_unit_test(a_copy_has_the_columns_and_a_filter_those_of_what_stays),
        cmocka_unit_test(formats_without_a_place_for_columns_do_not_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
