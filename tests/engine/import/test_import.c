#include "engine/base/buffer.h"
#include "engine/export/export.h"
#include "engine/import/import.h"
#include "engine/profile/totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include <cmocka.h>

enum { MS = 1000000 };

static struct bsk_profile *sample(void)
{
    struct bsk_profile *profile = bsk_profile_new(0);
    struct bsk_profile_meta *meta = bsk_profile_meta(profile);
    snprintf(meta->name, sizeof(meta->name), "app.py");
    snprintf(meta->python, sizeof(meta->python), "3.13.0");
    meta->rate_hz = 100;
    meta->duration_ns = 2000 * (uint64_t)MS;
    uint32_t main_thread = bsk_profile_track(profile, 7, 7, "app.py", "MainThread");
    uint32_t other = bsk_profile_track(profile, 7, 8, "app.py", "Thread; odd");
    uint32_t module =
        bsk_profile_function(profile, "<module>", "/srv/my app (2)/app.py", 1, BSK_FUNCTION_PYTHON);
    uint32_t hot = bsk_profile_function(profile, "Worker.hot", "/srv/my app (2)/h\xc3\xb6t.py", 10,
                                        BSK_FUNCTION_PYTHON);
    uint32_t debugger = bsk_profile_function(profile, "(debugger)", "", 0, BSK_FUNCTION_SPECIAL);
    const struct bsk_profile_frame deep[] = { { module, 3 }, { hot, 11 }, { hot, 12 } };
    const struct bsk_profile_frame ours[] = { { module, 4 }, { debugger, 0 } };
    for (int i = 0; i < 100; i++) {
        bsk_profile_add(profile, bsk_profile_stack(profile, main_thread, deep, 2 + i % 2),
                        (uint64_t)i * 20 * MS, 10 * MS, 10 * MS, 1);
        bsk_profile_add(profile, bsk_profile_stack(profile, i % 4 ? main_thread : other, ours, 2),
                        (uint64_t)(i * 20 + 10) * MS, 10 * MS, 10 * MS, 1);
    }
    meta->samples = 200;
    return profile;
}

static int take(const char *bytes, size_t size, struct bsk_imported *out, struct bsk_error *err)
{
    *err = (struct bsk_error){ 0 };
    return bsk_import_bytes("file", bytes, size, out, err);
}

static double self_of(const struct bsk_totals *totals, const char *name)
{
    for (size_t i = 0; i < totals->function_count; i++) {
        if (strcmp(totals->functions[i].name, name) == 0)
            return totals->functions[i].self_percent;
    }
    return -1;
}

static void what_was_written_is_read_back(void **state)
{
    static const struct {
        const char *format;
        bool order, meta;
    } cases[] = {
        { "speedscope", true, true }, { "cpuprofile", true, true }, { "chrometrace", true, true },
        { "pprof", false, true },     { "raw", false, false },      { "flamegraph", false, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_profile *profile = sample();
        char *bytes = NULL;
        size_t size = 0;
        struct bsk_error err = { 0 };
        struct bsk_imported back;
        FILE *out = open_memstream(&bytes, &size);
        print_message("  %s\n", cases[i].format);
        assert_int_equal(bsk_exporter_named(cases[i].format)->write(profile, out, &err), BSK_OK);
        fclose(out);
        int rc = take(bytes, size, &back, &err);
        assert_string_equal(err.message, "");
        assert_int_equal(rc, BSK_OK);
        assert_string_equal(back.format, cases[i].format);
        assert_int_equal(back.has_order, cases[i].order);
        assert_in_range(bsk_profile_samples(back.profile), 199, 201);
        if (cases[i].meta) {
            assert_string_equal(bsk_profile_meta_const(back.profile)->python, "3.13.0");
            assert_true(bsk_profile_meta_const(back.profile)->rate_hz == 100);
            assert_string_equal(back.maker, "basilisk " BASILISK_VERSION);
            assert_true(back.clock_known);
        }
        struct bsk_totals *totals = bsk_totals_new(back.profile);
        assert_true(self_of(totals, "Worker.hot") > 49.9 && self_of(totals, "Worker.hot") < 50.1);
        assert_true(self_of(totals, "(debugger)") > 49.9);
        assert_non_null(strstr(totals->functions[0].path[0] ? totals->functions[0].path
                                                            : totals->functions[1].path,
                               "h\xc3\xb6t.py"));
        bsk_totals_free(totals);
        bsk_profile_free(back.profile);
        bsk_profile_free(profile);
        free(bytes);
    }
}

/* What a function at a line used itself, over all stacks; "(not shown)" is left out. */
static uint64_t self_ns_of(const struct bsk_profile *profile, const char *name, uint32_t line)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        if (node->depth > 0 && node->line == line &&
            strcmp(bsk_profile_function_at(profile, node->function).name, name) == 0)
            sum += node->self_ns;
    }
    return sum;
}

static struct bsk_profile *through_svg(const struct bsk_profile *profile)
{
    char *bytes = NULL;
    size_t size = 0;
    struct bsk_error err = { 0 };
    struct bsk_imported back;
    FILE *out = open_memstream(&bytes, &size);
    assert_int_equal(bsk_exporter_named("flamegraph")->write(profile, out, &err), BSK_OK);
    fclose(out);
    int rc = take(bytes, size, &back, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    free(bytes);
    return back.profile;
}

static void a_flame_graph_gives_back_each_nanosecond(void **state)
{
    enum { FUNCTIONS = 40 };
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t functions[FUNCTIONS], tracks[3];
    char name[32];
    unsigned seed = 7;
    for (int i = 0; i < FUNCTIONS; i++) {
        snprintf(name, sizeof(name), "f%d.<&>", i);
        functions[i] =
            bsk_profile_function(profile, name, "/srv/a \"b\" (c)/x.py", 1, BSK_FUNCTION_PYTHON);
    }
    tracks[0] = bsk_profile_track(profile, 7, 7, "app.py", "MainThread");
    tracks[1] = bsk_profile_track(profile, 7, 8, "app.py", "thread 3: odd");
    tracks[2] = bsk_profile_track(profile, 9, 9, "process 1: <b>", "MainThread");
    for (int i = 0; i < 5000; i++) {
        struct bsk_profile_frame stack[12];
        size_t depth = 1 + (size_t)i % 12;
        for (size_t d = 0; d < depth; d++) {
            seed = seed * 1664525 + 1013904223;
            stack[d] = (struct bsk_profile_frame){ functions[(seed >> 16) % (d < 3 ? 2 : 6)],
                                                   (seed >> 24) % 2 };
        }
        bsk_profile_add(profile, bsk_profile_stack(profile, tracks[i % 3], stack, depth), 0, 0,
                        1000003 + seed % 9000000, 1);
    }
    struct bsk_profile *back = through_svg(profile);
    assert_int_equal(bsk_profile_cpu_ns(back), bsk_profile_cpu_ns(profile));
    assert_int_equal(bsk_profile_samples(back), bsk_profile_samples(profile));
    uint64_t hidden = self_ns_of(back, "(not shown)", 0), missing = 0;
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof(name), "f%d.<&>", i);
        for (uint32_t line = 0; line < 2; line++) {
            uint64_t was = self_ns_of(profile, name, line), is = self_ns_of(back, name, line);
            assert_true(is <= was);
            missing += was - is;
        }
    }
    assert_int_equal(missing, hidden); /* what was too narrow to be drawn, and nothing else */
    assert_true(hidden < bsk_profile_cpu_ns(profile) / 3);
    /* what was drawn is drawn again to the nanosecond */
    struct bsk_profile *again = through_svg(back);
    assert_int_equal(bsk_profile_cpu_ns(again), bsk_profile_cpu_ns(profile));
    assert_int_equal(self_ns_of(again, "f0.<&>", 0), self_ns_of(back, "f0.<&>", 0));
    bool tracks_found[2] = { false };
    for (uint32_t i = 0; i < bsk_profile_track_count(back); i++) {
        struct bsk_track track = bsk_profile_track_at(back, i);
        tracks_found[0] |= track.pid == 7 && track.tid == 8 &&
                           strcmp(track.thread, "thread 3: odd") == 0 &&
                           strcmp(track.process, "app.py") == 0;
        tracks_found[1] |= track.pid == 9 && strcmp(track.process, "process 1: <b>") == 0;
    }
    assert_true(tracks_found[0] && tracks_found[1]);
    bsk_profile_free(again);
    bsk_profile_free(back);
    bsk_profile_free(profile);
}

static void thread_frames_of_ours_are_tracks_as_in_other_formats(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 7, 7, "a.py", "");
    const struct bsk_profile_frame frames[] = {
        { bsk_profile_function(profile, "process 12:\"b.py\"", "", 0, BSK_FUNCTION_SPECIAL), 0 },
        { bsk_profile_function(profile, "thread (34): pool (1)", "", 0, BSK_FUNCTION_SPECIAL), 0 },
        { bsk_profile_function(profile, "f", "/a.py", 1, BSK_FUNCTION_PYTHON), 3 },
        { bsk_profile_function(profile, "thread (35): no", "/a.py", 1, BSK_FUNCTION_PYTHON), 4 },
    };
    bsk_profile_add(profile, bsk_profile_stack(profile, track, frames, 4), 0, 0, 5 * MS, 1);
    struct bsk_profile *back = through_svg(profile);
    assert_int_equal(bsk_profile_node_count(back) - bsk_profile_track_count(back), 2);
    struct bsk_track last = bsk_profile_track_at(back, (uint32_t)bsk_profile_track_count(back) - 1);
    assert_int_equal(last.pid, 12);
    assert_int_equal(last.tid, 34);
    assert_string_equal(last.process, "b.py");
    assert_string_equal(last.thread, "pool (1)");
    bsk_profile_free(back);
    bsk_profile_free(profile);
}

static void samples_without_time_are_drawn_and_read_back(void **state)
{
    (void)state;
    struct bsk_profile *profile = bsk_profile_new(0);
    uint32_t track = bsk_profile_track(profile, 7, 7, "", "");
    struct bsk_profile_frame frame = {
        bsk_profile_function(profile, "f", "/a.py", 1, BSK_FUNCTION_PYTHON), 3
    };
    bsk_profile_add(profile, bsk_profile_stack(profile, track, &frame, 1), 0, 0, 0, 17);
    struct bsk_profile *back = through_svg(profile);
    assert_int_equal(bsk_profile_samples(back), 17);
    assert_int_equal(self_ns_of(back, "f", 3), 17 * MS);
    bsk_profile_free(back);
    bsk_profile_free(profile);
}

#define SVG "<?xml version='1.0'?><!-- <svg> --><svg xmlns='http://www.w3.org/2000/svg'>"
#define BOX(weight, x, y, width, label)                                                            \
    "<g data-w='" weight "'><title>" label "\nx</title><rect class='u0' x='" x "' y='" y           \
    "' width='" width "'/></g>"

static void a_hostile_svg_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *why, *bytes, *says;
    } cases[] = {
        { "cut in a tag", SVG "<g data-w='1 1'><re", "line 1: the SVG is cut" },
        { "cut between tags", SVG "\n<g></g>", "line 2: the SVG is cut" },
        { "cut in a comment", SVG "<!-- </svg>", "the SVG is cut" },
        { "a tag in a tag", SVG "<g <g></g></svg>", "a tag that does not end" },
        { "no name", SVG "< ></svg>", "a tag without a name" },
        { "more ends than begins", SVG "</svg></g>", "an end of something that did not begin" },
        { "two documents", SVG "</svg><svg/>", "more than one document" },
        { "a weight of letters", SVG BOX("1 x", "1", "0", "1", "f") "</svg>",
          "data-w is no weight" },
        { "a weight of one number", SVG BOX("1", "1", "0", "1", "f") "</svg>",
          "data-w is no weight" },
        { "a weight of three", SVG BOX("1 1 1", "1", "0", "1", "f") "</svg>",
          "data-w is no weight" },
        { "a negative weight", SVG BOX("-1 1", "1", "0", "1", "f") "</svg>",
          "data-w is no weight" },
        { "a weight past 10^18", SVG BOX("99999999999999999999 1", "1", "0", "1", "f") "</svg>",
          "data-w is no weight" },
        { "no place", SVG BOX("1 1", "NaN", "0", "1", "f") "</svg>", "a box without a place" },
        { "no title", SVG "<g data-w='1 1'><rect x='1' y='1' width='1'/></g></svg>",
          "a box without a title" },
        { "two at the bottom",
          SVG BOX("2 2", "10", "0", "2", "f") BOX("1 1", "20", "0", "1", "g") "</svg>",
          "several boxes lie at the bottom" },
        { "one that hangs in the air",
          SVG BOX("2 2", "10", "0", "2", "f") BOX("1 1", "20", "17", "1", "g") "</svg>",
          "a box stands on no other" },
        { "two that weigh more than the one below",
          SVG BOX("3 3", "10", "0", "4", "f") BOX("2 2", "10", "17", "2", "g")
              BOX("2 2", "12", "17", "2", "h") "</svg>",
          "boxes weigh more than the one that they stand on" },
        { "more of its own than in all", SVG BOX("3 3 4 4", "10", "0", "4", "f") "</svg>",
          "a box weighs less than it uses itself" },
        { "an empty profile of ours", SVG BOX("0 0", "10", "0", "4", "f") "</svg>", "No samples" },
        { "ours and inferno's at once",
          SVG BOX("3 3", "10", "0", "4", "f") "<g><title>g</title><rect fg:x='0' fg:w='1' "
                                              "y='1'/></g></svg>",
          "no box says what it weighs" },
        { "broken metadata", SVG "<metadata>{\"basilisk\":</metadata></svg>",
          "the metadata are broken" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_imported back;
        struct bsk_error err;
        print_message("  %s\n", cases[i].why);
        assert_true(take(cases[i].bytes, strlen(cases[i].bytes), &back, &err) < 0);
        assert_null(back.profile);
        if (!strstr(err.message, cases[i].says))
            assert_string_equal(err.message, cases[i].says);
        assert_true(strncmp(err.message, "file: ", 6) == 0);
    }
    /* entities that would grow are never looked at */
    static const char laughs[] = "<!DOCTYPE svg [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>"
                                 "<svg>" BOX("3 3", "1", "0", "4", "&b;&b;")
                                     BOX("3 3", "1", "17", "4", "&#x66;&b;&#0;") "</svg>";
    struct bsk_imported back;
    struct bsk_error err;
    int rc = take(laughs, strlen(laughs), &back, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    assert_int_equal(self_ns_of(back.profile, "f&b;\xef\xbf\xbd", 0), 3 * MS);
    bsk_profile_free(back.profile);
}

static void raw_lines_are_read_as_py_spy_writes_them(void **state)
{
    static const struct {
        const char *why, *line, *name, *path;
        uint32_t number;
        int pid, tid;
    } cases[] = {
        { "a frame", "f (a/b.py:12) 3\n", "f", "a/b.py", 12, 0, 0 },
        { "no line", "f (libc.so.6) 3\n", "f", "libc.so.6", 0, 0, 0 },
        { "no file", "f 3\n", "f", "", 0, 0, 0 },
        { "a blank and brackets in the path", "f (my app (2)/b.py:1) 3\n", "f", "my app (2)/b.py",
          1, 0, 0 },
        { "no end of line", "f (a.py:1) 3", "f", "a.py", 1, 0, 0 },
        { "an end as on Windows", "f (a.py:1) 3\r\n", "f", "a.py", 1, 0, 0 },
        { "a process and a thread, with a semicolon in its name",
          "process 12:\"python x.py\";thread (34): thr; odd;f (a.py:1) 3\n", "f", "a.py", 1, 12,
          34 },
        { "a child: the innermost process counts",
          "process 12:\"a\";process 13:\"b\";thread (34);f (a.py:1) 3\n", "f", "a.py", 1, 13, 34 },
        { "frozen", "f (<frozen importlib._bootstrap>:241) 3\n", "f",
          "<frozen importlib._bootstrap>", 241, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_imported back;
        struct bsk_error err;
        print_message("  %s\n", cases[i].why);
        assert_int_equal(take(cases[i].line, strlen(cases[i].line), &back, &err), BSK_OK);
        assert_int_equal(bsk_profile_samples(back.profile), 3);
        assert_int_equal(bsk_profile_function_count(back.profile), 1);
        struct bsk_function function = bsk_profile_function_at(back.profile, 0);
        assert_string_equal(function.name, cases[i].name);
        assert_string_equal(function.path, cases[i].path);
        assert_int_equal(bsk_profile_node_at(back.profile, 1)->line, cases[i].number);
        assert_int_equal(bsk_profile_track_at(back.profile, 0).pid, cases[i].pid);
        assert_int_equal(bsk_profile_track_at(back.profile, 0).tid, cases[i].tid);
        bsk_profile_free(back.profile);
    }
}

#define FRAMES "{\"shared\":{\"frames\":[{\"name\":\"f\"}]},\"profiles\":["

static void a_broken_file_is_refused_with_the_place(void **state)
{
    static const struct {
        const char *why, *bytes, *says;
    } cases[] = {
        { "nothing", "", "the file is empty" },
        { "blanks", " \n ", "this is no profile" },
        { "text", "Dear diary\n", "this is no profile" },
        { "another SVG", "<svg xmlns=''></svg>", "an SVG in which no box says what it weighs" },
        { "HTML", "<!DOCTYPE html><p>", "this is no profile" },
        { "other JSON", "{\"a\": 1}", "neither \"shared\"" },
        { "cut JSON", "{\"shared\":{\"frames\":[",
          "line 1, column 22: a value was expected, but the "
          "file ends here" },
        { "the place counts lines", "{\"shared\":\n{\n ?",
          "line 3, column 2: text in quotes was "
          "expected, not '?'" },
        { "no such frame", FRAMES "{\"type\":\"sampled\",\"samples\":[[1]],\"weights\":[1]}]}",
          "a frame is no whole number from 0 to 0" },
        { "a negative frame", FRAMES "{\"type\":\"sampled\",\"samples\":[[-1]],\"weights\":[1]}]}",
          "a whole number was expected" },
        { "fewer weights", FRAMES "{\"type\":\"sampled\",\"samples\":[[0],[0]],\"weights\":[1]}]}",
          "fewer weights than samples" },
        { "more weights", FRAMES "{\"type\":\"sampled\",\"samples\":[[0]],\"weights\":[1,2]}]}",
          "more weights than samples" },
        { "negative weight", FRAMES "{\"type\":\"sampled\",\"samples\":[[0]],\"weights\":[-1]}]}",
          "a weight is negative" },
        { "huge weight",
          FRAMES "{\"type\":\"sampled\",\"unit\":\"seconds\",\"samples\":[[0]],"
                 "\"weights\":[1e300]}]}",
          "negative or too large" },
        { "no number", FRAMES "{\"type\":\"sampled\",\"samples\":[[0]],\"weights\":[1e999]}]}",
          "a number was expected" },
        { "events", FRAMES "{\"type\":\"evented\"}]}", "type \"evented\"" },
        { "bytes", FRAMES "{\"type\":\"sampled\",\"unit\":\"bytes\"}]}", "which is no time" },
        { "no samples", FRAMES "{\"type\":\"sampled\",\"samples\":[],\"weights\":[]}]}",
          "No samples" },
        { "nodes in a circle",
          "{\"nodes\":[{\"id\":1,\"hitCount\":1,\"children\":[2]},{\"id\":2,\"children\":[1]}]}",
          "hangs below itself" },
        { "a node twice", "{\"nodes\":[{\"id\":1},{\"id\":1}]}", "two nodes have the id 1" },
        { "a child that is not there", "{\"nodes\":[{\"id\":1,\"children\":[9]}]}",
          "there is no such node" },
        { "left and never entered", "[{\"ph\":\"E\",\"ts\":1,\"pid\":1,\"tid\":1}]",
          "leaves a function that none entered" },
        { "back in time",
          "[{\"ph\":\"B\",\"name\":\"f\",\"ts\":9,\"pid\":1,\"tid\":1},"
          "{\"ph\":\"E\",\"ts\":1,\"pid\":1,\"tid\":1}]",
          "comes before the one" },
        { "a line without count", "f (a.py:1) 3\nf (a.py:2)\n", "line 2: no count" },
        { "a cut line", "f (a.py:1) 3\nf (a.", "line 2: the file ends" },
        { "counts beyond reason", "f 9999999999999\n", "more than 10^12" },
        { "cut gzip", "\x1f\x8b\x08", "gzip: " },
        { "a broken protobuf", "\x0a\x7f\x01", "byte 2: broken or cut" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_imported back;
        struct bsk_error err;
        print_message("  %s\n", cases[i].why);
        assert_true(take(cases[i].bytes, strlen(cases[i].bytes), &back, &err) < 0);
        assert_null(back.profile);
        if (!strstr(err.message, cases[i].says))
            assert_string_equal(err.message, cases[i].says); /* shows both */
        assert_true(strncmp(err.message, "file: ", 6) == 0);
        assert_null(strchr(err.message, '\n'));
    }
}

static void every_cut_of_a_real_file_is_refused_or_read(void **state)
{
    (void)state;
    struct bsk_profile *profile = sample();
    static const char *const formats[] = { "speedscope", "cpuprofile", "chrometrace",
                                           "pprof",      "raw",        "flamegraph" };
    for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
        char *bytes = NULL;
        size_t size = 0;
        struct bsk_error err = { 0 };
        FILE *out = open_memstream(&bytes, &size);
        bsk_exporter_named(formats[f])->write(profile, out, &err);
        fclose(out);
        for (size_t cut = 0; cut < size; cut += 1 + size / 500) {
            /* in a block of its own, so that the sanitizer sees each byte read past it */
            char *part = malloc(cut + 1);
            struct bsk_imported back;
            memcpy(part, bytes, cut);
            int rc = take(part, cut, &back, &err);
            if (strcmp(formats[f], "raw") != 0 && cut + 1 < size)
                assert_true(rc < 0);
            assert_true((rc == BSK_OK) == (err.message[0] == '\0'));
            bsk_profile_free(back.profile);
            free(part);
        }
        free(bytes);
    }
    bsk_profile_free(profile);
}

static void hostile_sizes_end_at_a_ceiling(void **state)
{
    (void)state;
    struct bsk_buffer deep = { 0 };
    struct bsk_imported back;
    struct bsk_error err;
    for (int i = 0; i < 1000000; i++)
        bsk_buffer_text_append(&deep, "{\"a\":[");
    assert_int_equal(take(deep.data, deep.size, &back, &err), BSK_E_LIMIT);
    assert_non_null(strstr(err.message, "nested more than"));
    bsk_buffer_clear(&deep);
    for (int i = 0; i < 200000; i++)
        bsk_buffer_text_append(&deep, "f;");
    bsk_buffer_text_append(&deep, "f 1\n");
    assert_int_equal(take(deep.data, deep.size, &back, &err), BSK_E_LIMIT);
    assert_non_null(strstr(err.message, "frames"));
    bsk_buffer_free(&deep);
}

static void twenty_megabytes_are_read_in_a_second(void **state)
{
    (void)state;
    struct bsk_buffer text = { 0 };
    struct bsk_imported back;
    struct bsk_error err;
    struct timespec begin, end;
    bsk_buffer_text_append(&text, "{\"shared\":{\"frames\":[");
    for (int i = 0; i < 500; i++)
        bsk_buffer_printf(&text, "%s{\"name\":\"f%d\",\"file\":\"/a.py\",\"line\":%d}",
                          i ? "," : "", i, i);
    bsk_buffer_text_append(
        &text, "]},\"profiles\":[{\"type\":\"sampled\",\"unit\":\"seconds\",\"samples\":[");
    unsigned seed = 1;
    int count = 0;
    for (; text.size < 19000000; count++) {
        bsk_buffer_text_append(&text, count ? ",[0,1,2" : "[0,1,2");
        for (int d = 0; d < 17; d++) {
            seed = seed * 1664525 + 1013904223;
            bsk_buffer_printf(&text, ",%u", 3 + d * 29 + (seed >> 16) % 2);
        }
        bsk_buffer_text_append(&text, "]");
    }
    bsk_buffer_text_append(&text, "],\"weights\":[");
    for (int i = 0; i < count; i++)
        bsk_buffer_text_append(&text, i ? ",0.01" : "0.01");
    bsk_buffer_text_append(&text, "]}]}");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    assert_int_equal(take(text.data, text.size, &back, &err), BSK_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    print_message("  %zu MB, %d samples: %.2f s of CPU, profile of %zu MB\n", text.size >> 20,
                  count, seconds, bsk_profile_bytes(back.profile) >> 20);
    assert_int_equal(bsk_profile_samples(back.profile), count);
    assert_true(seconds < 10); /* an upper bound for the sanitizers; docs/diff.md has the figure */
    bsk_profile_free(back.profile);
    bsk_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_flame_graph_gives_back_each_nanosecond),
        cmocka_unit_test(thread_frames_of_ours_are_tracks_as_in_other_formats),
        cmocka_unit_test(samples_without_time_are_drawn_and_read_back),
        cmocka_unit_test(a_hostile_svg_is_refused_with_the_reason),
        cmocka_unit_test(raw_lines_are_read_as_py_spy_writes_them),
        cmocka_unit_test(a_broken_file_is_refused_with_the_place),
        cmocka_unit_test(every_cut_of_a_real_file_is_refused_or_read),
        cmocka_unit_test(hostile_sizes_end_at_a_ceiling),
        cmocka_unit_test(twenty_megabytes_are_read_in_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
