#include "engine/base/strings.h"
#include "engine/python/layout.h"
#include "engine/python/locals.h"
#include "engine/python/numbers.h"
#include "engine/python/python.h"
#include "engine/python/repr.h"
#include "tests/engine/fixtures/children.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct target {
    struct child child;
    struct bsk_process *process;
    struct bsk_python *python;
    struct bsk_threads threads;
};

static void open_target(struct target *target)
{
    struct bsk_error err = { 0 };
    int rc = bsk_process_open(target->child.pid, &target->process, &err);
    if (rc == BSK_OK)
        rc = bsk_python_open(target->process, &target->python, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
}

static void close_target(struct target *target)
{
    bsk_python_close(target->python);
    bsk_threads_free(&target->threads);
    bsk_process_close(target->process);
    stop_child(&target->child);
}

/* The stack of its main thread, once it reads as one that is whole and has `least` frames. */
static struct bsk_python_thread *read_main(struct target *target, size_t least)
{
    for (int tries = 0; tries < 10000; tries++) {
        struct bsk_error err = { 0 };
        bool changed;
        assert_int_equal(bsk_python_refresh(target->python, &target->threads, &err), BSK_OK);
        for (size_t i = 0; i < bsk_python_thread_count(target->python); i++) {
            struct bsk_python_thread *thread = bsk_python_thread(target->python, i);
            if (thread->tid != target->child.pid)
                continue;
            assert_int_equal(bsk_python_read_stacks(target->python, &thread, 1, &changed, &err),
                             BSK_OK);
            if (thread->has_stack && !thread->torn && thread->depth >= least)
                return thread;
        }
    }
    fail_msg("its stack could not be read");
    return NULL;
}

static char *from_hex(const char *hex)
{
    size_t length = 0;
    char *text = malloc(strlen(hex) / 2 + 1);
    assert_non_null(text);
    for (char pair[3] = ""; hex[0] && hex[1]; hex += 2) {
        memcpy(pair, hex, 2);
        text[length++] = (char)strtol(pair, NULL, 16);
    }
    text[length] = '\0';
    return text;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* The first `limit` characters, and "..." where there are more. */
static char *cut(const char *text, size_t limit)
{
    size_t count = 0, bytes = 0;
    char *copy = malloc(strlen(text) + 4);
    assert_non_null(copy);
    for (; text[bytes]; bytes++)
        if (((unsigned char)text[bytes] & 0xc0) != 0x80 && count++ == limit)
            break;
    memcpy(copy, text, bytes);
    strcpy(copy + bytes, text[bytes] ? "..." : "");
    return copy;
}

static const struct bsk_local *find_local(const struct bsk_locals *locals, const char *name)
{
    for (size_t i = 0; i < locals->count; i++)
        if (strcmp(locals->items[i].name, name) == 0)
            return &locals->items[i];
    return NULL;
}

static const struct bsk_frame *find_frame(const struct bsk_python_thread *thread, const char *name)
{
    for (size_t i = 0; i < thread->depth; i++)
        if (strcmp(thread->frames[i].code->name, name) == 0)
            return &thread->frames[i];
    return NULL;
}

static size_t differing;

static void compare(const char *function, const char *name, const char *got, const char *expected)
{
    size_t same = 0;
    if (strcmp(got, expected) == 0)
        return;
    while (got[same] == expected[same])
        same++;
    same = same > 40 ? same - 40 : 0;
    print_message("    %s.%s differs at byte %zu: %.200s\n        expected %.200s\n", function,
                  name, same, got + same, expected + same);
    differing++;
}

struct said {
    char function[64], *name, *text;
    int argument;
};

enum { SAID_MAX = 1024 };

static size_t read_said(struct child *child, struct said said[SAID_MAX])
{
    char *line = NULL, function[64] = "";
    size_t size = 0, count = 0;
    while (getline(&line, &size, child->output) > 1) {
        char *name, *argument, *text, *rest = NULL;
        if (sscanf(line, "function %63s", function) == 1)
            continue;
        name = strtok_r(line, " ", &rest);
        argument = strtok_r(NULL, " ", &rest);
        text = strtok_r(NULL, "\n", &rest);
        assert_non_null(text);
        assert_true(count < SAID_MAX);
        strcpy(said[count].function, function);
        said[count].name = from_hex(name);
        said[count].argument = atoi(argument);
        said[count++].text = from_hex(text);
    }
    free(line);
    return count;
}

static void expect_locals(struct target *target, const struct bsk_python_thread *thread,
                          const struct said *said, size_t count, size_t limit)
{
    struct bsk_locals locals = { 0 };
    const char *function = "";
    size_t compared = 0;
    for (size_t i = 0; i < count; i++) {
        struct bsk_error err = { 0 };
        if (strcmp(function, said[i].function) != 0) {
            if (locals.items)
                assert_int_equal(compared, locals.count); /* no more than there should be */
            function = said[i].function;
            compared = 0;
            bsk_locals_free(&locals);
            const struct bsk_frame *frame = find_frame(thread, function);
            assert_non_null(frame);
            int rc = bsk_locals_read(target->python, frame, limit, &locals, &err);
            assert_string_equal(err.message, "");
            assert_int_equal(rc, BSK_OK);
            for (size_t k = 1; k < locals.count; k++) /* arguments first */
                assert_true(locals.items[k - 1].argument || !locals.items[k].argument);
        }
        const struct bsk_local *local = find_local(&locals, said[i].name);
        if (!local) {
            print_message("    %s.%s is missing\n", function, said[i].name);
            differing++;
            continue;
        }
        char *expected = cut(said[i].text, limit);
        compare(function, said[i].name, local->text, expected);
        assert_int_equal(local->argument, said[i].argument);
        assert_true(characters(local->text) <= limit + 3);
        free(expected);
        compared++;
    }
    bsk_locals_free(&locals);
}

static void reads_as_repr_does_in_every_python(void **state)
{
    (void)state;
    static struct said said[SAID_MAX];
    static const size_t limits[] = { 1 << 20, 128, 17, 1, 0 };
    for (const char *const *python = all_pythons(); *python; python++) {
        struct target target = { .child = start_fixture(*python, "values.py", "") };
        size_t count = read_said(&target.child, said);
        print_message("  %s: %zu values\n", *python, count);
        assert_true(count > 250);
        open_target(&target);
        struct bsk_python_thread *thread = read_main(&target, 15);
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
            expect_locals(&target, thread, said, count, limits[i]);
        close_target(&target);
        for (size_t i = 0; i < count; i++) {
            free(said[i].name);
            free(said[i].text);
        }
    }
    assert_int_equal(differing, 0);
}

static void writes_numbers_as_python_does(void **state)
{
    (void)state;
    static const struct {
        const char *why, *expected;
        double value;
    } floats[] = {
        { "the least of all has one digit", "5e-324", 5e-324 },
        { "the largest has seventeen", "1.7976931348623157e+308", 1.7976931348623157e308 },
        { "a zero has a sign", "-0.0", -0.0 },
        { "up to sixteen digits there is no exponent", "9999999999999998.0", 9999999999999998.0 },
        { "from 1e16 on there is one", "1e+16", 1e16 },
        { "small ones are plain down to 1e-4", "0.0001", 1e-4 },
        { "and then not", "1e-05", 1e-5 },
        { "no digit of noise", "0.1", 0.1 },
        { "a power of two, where the gap below is the narrower one", "9007199254740992.0", 0x1p53 },
        { "the nearest of the shortest", "2.2250738585072014e-308", 0x1p-1022 },
    };
    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        char text[BSK_FLOAT_BYTES];
        print_message("  %s\n", floats[i].why);
        bsk_number_float(floats[i].value, true, text);
        assert_string_equal(text, floats[i].expected);
    }
    char text[BSK_INT_BYTES];
    uint32_t digits[1000];
    memset(digits, 0xff, sizeof(digits));
    assert_true(bsk_number_int(digits, 0, false, text));
    assert_string_equal(text, "0");
    assert_true(bsk_number_int((uint32_t[]){ 1, 1 }, 2, true, text));
    assert_string_equal(text, "-1073741825");
    assert_true(bsk_number_int(digits, 476, true, text)); /* 2^14280 - 1 has 4,299 digits */
    assert_int_equal(strlen(text), 4300);
    assert_false(bsk_number_int(digits, 477, false, text));
    assert_false(bsk_number_int(digits, 1000, false, text));
}

/* Every word of the target's heap taken for an object, while it runs: what comes out is text, and
 * soon. (Run under the sanitizers too.) */
static void makes_text_of_any_garbage(void **state)
{
    (void)state;
    enum { WORDS = 20000, LIMIT = 200 };
    for (const char *const *python = all_pythons(); *python; python++) {
        char line[16], path[4096];
        struct bsk_error err = { 0 };
        struct bsk_objects *objects = NULL;
        struct bsk_maps maps = { 0 };
        snprintf(path, sizeof(path), "%s/fixtures/mutating.py", SOURCE_FOLDER);
        const char *const arguments[] = { *python, "-S", path, NULL };
        struct target target = { .child = start_child(arguments) };
        read_line(&target.child, line, sizeof(line));
        open_target(&target);
        assert_int_equal(bsk_objects_of(target.python, &objects, &err), BSK_OK);
        assert_int_equal(bsk_maps_read(target.process, &maps, &err), BSK_OK);
        size_t tried = 0, readable = 0;
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (size_t i = 0; i < maps.count; i++) {
            const struct bsk_mapping *mapping = &maps.items[i];
            uint64_t size = mapping->end - mapping->start, step = size / 64 / 2000 * 64 + 8;
            if (!mapping->writable || !mapping->readable)
                continue;
            for (uint64_t at = 0; at < size && tried < WORDS; at += step, tried++) {
                char *text = bsk_repr(objects, mapping->start + at, LIMIT);
                assert_non_null(text);
                assert_true(characters(text) <= LIMIT + 3);
                for (size_t k = 0, length = strlen(text); k < length;) {
                    size_t bytes = bsk_utf8_length(text + k, length - k);
                    assert_int_not_equal(bytes, 0);
                    k += bytes;
                }
                readable += strcmp(text, "<unreadable>") != 0;
                free(text);
                if (tried % 64 == 0)
                    bsk_objects_forget(objects);
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        print_message("  %s: %zu of %zu words read as something, %.0f ms\n", *python, readable,
                      tried,
                      (double)(end.tv_sec - begin.tv_sec) * 1e3 +
                          (double)(end.tv_nsec - begin.tv_nsec) / 1e6);
        bsk_maps_free(&maps);
        close_target(&target);
    }
}

/* A target that puts a member elsewhere than our table is refused by the name of that member. */
static void refuses_objects_that_are_laid_out_otherwise(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        struct child child = start_fixture(*python, "busy.py", "sleep");
        struct target target = { .child = child };
        struct bsk_error err = { 0 };
        struct bsk_object_places places;
        static uint8_t offsets[BSK_OFFSETS_MAX_BYTES], changed[BSK_OFFSETS_MAX_BYTES];
        char line[16];
        size_t refused = 0;
        read_line(&target.child, line, sizeof(line));
        open_target(&target);
        const struct bsk_python_info *info = bsk_python_info(target.python);
        if (info->minor >= 13) {
            assert_int_equal(bsk_process_read(target.process, bsk_python_anchor(target.python),
                                              offsets, sizeof(offsets), &err),
                             BSK_OK);
            assert_int_equal(bsk_places_find(info->minor, info->free_threaded, offsets,
                                             sizeof(offsets), &places, &err),
                             BSK_OK);
            for (size_t word = 3; word < 95; word++) {
                uint64_t value;
                memcpy(changed, offsets, sizeof(changed));
                memcpy(&value, changed + word * 8, 8);
                value += 8;
                memcpy(changed + word * 8, &value, 8);
                int rc = bsk_places_find(info->minor, info->free_threaded, changed, sizeof(changed),
                                         &places, &err);
                if (rc == BSK_OK)
                    continue;
                assert_int_equal(rc, BSK_E_FORMAT);
                assert_non_null(strchr(err.message, '.'));
                refused++;
            }
            print_message("  %s: %zu shifted members refused, the last so: %s\n", *python, refused,
                          err.message);
            assert_true(refused >= 22);
            assert_int_equal(
                bsk_places_find(info->minor, info->free_threaded, offsets, 64, &places, &err),
                BSK_E_FORMAT);
        }
        close_target(&target);
    }
    struct bsk_object_places places;
    struct bsk_error err = { 0 };
    assert_int_equal(bsk_places_find(99, false, NULL, 0, &places, &err), BSK_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "3.99"));
}

/* 2^16 variables and more in one frame. */
static void reads_frames_of_any_size(void **state)
{
    (void)state;
    static const char program[] =
        "import sys\n"
        "body = ''.join('    v%d = %d\\n' % (i, i) for i in range(66000))\n"
        "names = {}\n"
        "exec('def large(say):\\n' + body + '    say()\\n', names)\n"
        "def say():\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "names['large'](say)\n";
    for (const char *const *python = all_pythons(); *python; python++) {
        const char *const arguments[] = { *python, "-S", "-c", program, NULL };
        struct target target = { .child = start_child(arguments) };
        struct bsk_locals locals = { 0 };
        struct bsk_error err = { 0 };
        char line[16];
        read_line(&target.child, line, sizeof(line));
        open_target(&target);
        struct bsk_python_thread *thread = read_main(&target, 3);
        const struct bsk_frame *frame = find_frame(thread, "large");
        assert_non_null(frame);
        int rc = bsk_locals_read(target.python, frame, 10, &locals, &err);
        assert_string_equal(err.message, "");
        assert_int_equal(rc, BSK_OK);
        print_message("  %s: %zu\n", *python, locals.count);
        assert_int_equal(locals.count, BSK_LOCALS_MAX);
        assert_true(locals.items[0].argument);
        assert_string_equal(locals.items[65000].name, "v64999");
        assert_string_equal(locals.items[65000].text, "64999");
        bsk_locals_free(&locals);
        close_target(&target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_numbers_as_python_does),
        cmocka_unit_test(makes_text_of_any_garbage),
        cmocka_unit_test(refuses_objects_that_are_laid_out_otherwise),
        cmocka_unit_test(reads_frames_of_any_size),
        cmocka_unit_test(reads_as_repr_does_in_every_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
