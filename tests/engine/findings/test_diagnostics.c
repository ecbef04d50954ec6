#include "engine/findings/diagnostics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/bsk-diagnostics-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "%s/a.py", folder);
    unlink(path);
    return rmdir(folder);
}

static void write_source(const char *path, const void *text, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static const char *diagnose(struct bsk_source_cache *cache, const char *path, uint32_t line,
                            struct bsk_buffer *buffer)
{
    struct bsk_hot_line hot = { "f", line, 612, 61.2, BSK_LEVEL_CRITICAL };
    const struct bsk_hot_file file = { .path = path, .lines = &hot, .line_count = 1 };
    struct bsk_json json = { .out = buffer };
    bsk_buffer_clear(buffer);
    bsk_diagnostics_write(cache, &file, &json);
    return bsk_buffer_text(buffer);
}

static void a_diagnostic_has_all_its_fields(void **state)
{
    (void)state;
    struct bsk_hot_line line = { "f", 7, 1, 1.0, BSK_LEVEL_COOL };
    struct bsk_hot_function function = { "hot_a", 3, 612, 61.2, 80.1, BSK_LEVEL_CRITICAL };
    const struct bsk_hot_file file = { "/nowhere/a.py", &line, 1, &function, 1 };
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer };
    bsk_diagnostics_write(NULL, &file, &json);
    assert_string_equal(
        bsk_buffer_text(&buffer),
        "[{\"range\":{\"start\":{\"line\":6,\"character\":0},\"end\":{\"line\":6,\"character\":"
        "1000}},"
        "\"severity\":2,\"code\":\"BSK-PROF-LINE\",\"source\":\"basilisk\","
        "\"message\":\"1.0% of CPU time on this line (1 sample, cool)\","
        "\"data\":{\"percent\":1.0,\"samples\":1,\"level\":\"cool\"}},"
        "{\"range\":{\"start\":{\"line\":2,\"character\":0},\"end\":{\"line\":2,\"character\":1000}"
        "},"
        "\"severity\":2,\"code\":\"BSK-PROF-FUNC\",\"source\":\"basilisk\","
        "\"message\":\"Function hot_a: 61.2% of CPU time in itself, 80.1% with what it calls "
        "(612 samples, critical)\","
        "\"data\":{\"percent\":61.2,\"samples\":612,\"level\":\"critical\"}}]");
    bsk_buffer_free(&buffer);
}

static void a_range_is_the_text_of_the_line(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf"
                               "x = 1\n"
                               "    y = 2  \r\n"
                               "\tz = '\xc3\xa4\xf0\x9f\x90\x8d'\r"
                               "   \n"
                               "bad = '\xe4'\n"
                               "\n"
                               "last";
    const struct {
        const char *why;
        uint32_t line, start, end;
    } cases[] = {
        { "a byte order mark does not count", 1, 0, 5 },
        { "blanks at both ends do not", 2, 4, 9 },
        { "a tab is one; beyond the basic plane is two; \\r ends a line", 3, 1, 10 },
        { "blanks alone are all of the line", 4, 0, 3 },
        { "not UTF-8: the whole line", 5, 0, 1000 },
        { "nothing at all", 6, 0, 0 },
        { "no end of line", 7, 0, 4 },
        { "past the end: the file has changed", 8, 0, 1000 },
    };
    char path[64], expected[128];
    struct bsk_buffer buffer = { 0 };
    struct bsk_source_cache *cache = bsk_source_cache_new();
    snprintf(path, sizeof(path), "%s/a.py", folder);
    write_source(path, text, sizeof(text) - 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("  %s\n", cases[i].why);
        snprintf(expected, sizeof(expected),
                 "[{\"range\":{\"start\":{\"line\":%u,\"character\":%u},"
                 "\"end\":{\"line\":%u,\"character\":%u}},",
                 cases[i].line - 1, cases[i].start, cases[i].line - 1, cases[i].end);
        const char *got = diagnose(cache, path, cases[i].line, &buffer);
        assert_memory_equal(got, expected, strlen(expected));
    }
    bsk_buffer_free(&buffer);
    bsk_source_cache_free(cache);
}

static void a_changed_file_is_read_again(void **state)
{
    (void)state;
    char path[64];
    struct bsk_buffer buffer = { 0 };
    struct bsk_source_cache *cache = bsk_source_cache_new();
    snprintf(path, sizeof(path), "%s/a.py", folder);
    write_source(path, "one", 3);
    assert_non_null(strstr(diagnose(cache, path, 1, &buffer), "\"character\":3"));
    write_source(path, "three", 5);
    assert_non_null(strstr(diagnose(cache, path, 1, &buffer), "\"character\":5"));
    unlink(path);
    assert_non_null(strstr(diagnose(cache, path, 1, &buffer), "\"character\":1000"));
    assert_non_null(strstr(diagnose(cache, "/tmp", 1, &buffer), "\"character\":1000"));
    assert_non_null(strstr(diagnose(cache, "/dev/zero", 1, &buffer), "\"character\":1000"));
    for (int i = 0; i < 200; i++) { /* more than it holds */
        snprintf(path, sizeof(path), "/nowhere/%d.py", i);
        diagnose(cache, path, 1, &buffer);
    }
    bsk_buffer_free(&buffer);
    bsk_source_cache_free(cache);
    bsk_source_cache_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_diagnostic_has_all_its_fields),
        cmocka_unit_test(a_range_is_the_text_of_the_line),
        cmocka_unit_test(a_changed_file_is_read_again),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
