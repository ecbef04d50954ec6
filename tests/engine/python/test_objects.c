#include "engine/python/locals.h"
#include "engine/python/numbers.h"
#include "engine/python/python.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_as_repr_does_in_every_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
