#include "engine/base/json.h"

#include <json-c/json.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void text_is_always_valid(void **state)
{
    (void)state;
    const struct {
        const char *why, *text, *json;
    } cases[] = {
        { "plain", "app.py", "\"app.py\"" },
        { "none", NULL, "\"\"" },
        { "quotes and slashes", "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
        { "short escapes", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
        { "other control characters", "\x01\x1b\x7f", "\"\\u0001\\u001b\\u007f\"" },
        { "UTF-8 stays", "\xc3\xa4\xf0\x9f\x90\x8d", "\"\xc3\xa4\xf0\x9f\x90\x8d\"" },
        { "a stray byte",
          "a\xff"
          "b",
          "\"a\xef\xbf\xbd"
          "b\"" },
        { "a surrogate", "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "cut short", "\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_buffer buffer = { 0 };
        struct bsk_json json = { .out = &buffer };
        print_message("  %s\n", cases[i].why);
        bsk_json_text(&json, cases[i].text);
        assert_int_equal(bsk_json_finish(&json, NULL), BSK_OK);
        assert_string_equal(bsk_buffer_text(&buffer), cases[i].json);
        bsk_buffer_free(&buffer);
    }
}

static void commas_are_its_business(void **state)
{
    (void)state;
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer };
    bsk_json_begin(&json, '{');
    bsk_json_field_text(&json, "a", "x");
    bsk_json_field_int(&json, "b", INT64_MIN);
    bsk_json_field_uint(&json, "c", UINT64_MAX);
    bsk_json_field_double(&json, "d", 1.25, 1);
    bsk_json_field_double(&json, "e", NAN, 1);
    bsk_json_field_bool(&json, "f", true);
    bsk_json_key(&json, "g");
    bsk_json_begin(&json, '[');
    bsk_json_begin(&json, '[');
    bsk_json_end(&json, ']');
    bsk_json_begin(&json, '{');
    bsk_json_end(&json, '}');
    bsk_json_uint(&json, 0);
    bsk_json_raw(&json, "null", 4);
    bsk_json_end(&json, ']');
    bsk_json_end(&json, '}');
    assert_string_equal(bsk_buffer_text(&buffer),
                        "{\"a\":\"x\",\"b\":-9223372036854775808,\"c\":18446744073709551615,"
                        "\"d\":1.2,\"e\":0.0,\"f\":true,\"g\":[[],{},0,null]}");
    bsk_buffer_free(&buffer);
}

/* Every byte string, as text, is what a JSON library reads back, but for what is no UTF-8. */
static void a_library_reads_back_what_was_written(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 2000; round++) {
        char text[32];
        size_t size = 0;
        for (; size < sizeof(text) - 1; size++) {
            seed = seed * 1664525 + 1013904223;
            text[size] = (char)(seed >> 24 ? seed >> 24 : 1);
        }
        text[size] = '\0';
        struct bsk_buffer buffer = { 0 };
        struct bsk_json json = { .out = &buffer };
        bsk_json_text(&json, text);
        struct json_tokener *tokener = json_tokener_new();
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        const char *document = bsk_buffer_text(&buffer);
        struct json_object *read = json_tokener_parse_ex(tokener, document, (int)buffer.size + 1);
        assert_non_null(read);
        json_object_put(read);
        json_tokener_free(tokener);
        bsk_buffer_free(&buffer);
    }
}

static void a_file_gets_everything_and_memory_stays_small(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = file };
    bsk_json_begin(&json, '[');
    for (uint64_t i = 0; i < 100000; i++)
        bsk_json_uint(&json, 1000000 + i);
    bsk_json_end(&json, ']');
    assert_int_equal(bsk_json_finish(&json, NULL), BSK_OK);
    fclose(file);
    assert_int_equal(size, 100000 * 8 + 1);
    assert_true(buffer.capacity <= 256 << 10);
    free(text);

    file = fopen("/dev/full", "we");
    setvbuf(file, NULL, _IONBF, 0);
    struct bsk_json full = { .out = &buffer, .file = file };
    struct bsk_error err = { 0 };
    bsk_buffer_clear(&buffer);
    bsk_json_uint(&full, 1);
    assert_int_equal(bsk_json_finish(&full, &err), BSK_E_IO);
    assert_string_equal(err.hint, "is the disk full?");
    fclose(file);
    bsk_buffer_free(&buffer);
}

static void running_out_of_room_is_told_once_at_the_end(void **state)
{
    (void)state;
    struct bsk_buffer buffer = { .max_bytes = 8 };
    struct bsk_json json = { .out = &buffer };
    for (int i = 0; i < 10; i++)
        bsk_json_text(&json, "word");
    assert_int_equal(bsk_json_finish(&json, NULL), BSK_E_MEMORY);
    bsk_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_always_valid),
        cmocka_unit_test(commas_are_its_business),
        cmocka_unit_test(a_library_reads_back_what_was_written),
        cmocka_unit_test(a_file_gets_everything_and_memory_stays_small),
        cmocka_unit_test(running_out_of_room_is_told_once_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
