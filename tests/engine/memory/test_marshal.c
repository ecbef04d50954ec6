/* Readers of what the debuggee says: what is right is read, what is wrong is refused. */
#include "engine/memory/marshal.h"
#include "engine/memory/traces.h"

#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BYTES(text) (const unsigned char *)(text), sizeof(text) - 1

static void reads_what_python_writes(void **state)
{
    (void)state;
    /* marshal.dumps({'a': 1, 'b': [True, None, 2.5, b'x'], 'c': 'ü', 'd': -2**40, 'e': 2**70}) */
    static const char text[] =
        "\xfb\xda\x01"
        "a\xe9\x01\x00\x00\x00\xda\x01"
        "b[\x04\x00\x00\x00TNg\x00\x00\x00\x00\x00\x00\x04@s\x01\x00\x00\x00x\xda\x01"
        "cu\x02\x00\x00\x00\xc3\xbc\xda\x01"
        "dl\xfd\xff\xff\xff\x00\x00\x00\x00\x00\x04\xda\x01"
        "el\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04"
        "0";
    struct bsk_value_tree tree = { 0 };
    struct bsk_error err = { 0 };
    char copy[3];
    assert_int_equal(bsk_marshal_read(BYTES(text), 0, &tree, &err), BSK_OK);
    assert_int_equal(bsk_value_integer(tree.root, "a", 0), 1);
    const struct bsk_value *b = bsk_value_field(tree.root, "b");
    assert_int_equal(b->count, 4);
    assert_int_equal(b->items[0]->kind, BSK_VALUE_BOOL);
    assert_true(b->items[2]->real > 2.4 && b->items[2]->real < 2.6);
    bsk_value_text(tree.root, "c", copy, sizeof(copy));
    assert_string_equal(copy, "\xc3\xbc");
    assert_int_equal(bsk_value_integer(tree.root, "d", 0), -((int64_t)1 << 40));
    assert_int_equal(bsk_value_bytes(tree.root, "d"), 0);
    assert_true(bsk_value_integer(tree.root, "e", 0) == INT64_MAX);
    assert_null(bsk_value_field(tree.root, "f"));
    assert_int_equal(bsk_value_integer(tree.root, "c", 7), 7);
    bsk_value_tree_free(&tree);
}

static void refuses_what_is_broken(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const unsigned char *bytes;
        size_t size, max_values;
        int rc;
    } cases[] = {
        { "nothing", BYTES(""), 0, BSK_E_FORMAT },
        { "cut in a number", BYTES("i\x01\x00"), 0, BSK_E_FORMAT },
        { "more behind it", BYTES("NN"), 0, BSK_E_FORMAT },
        { "a list longer than the answer", BYTES("[\xff\xff\xff\x7fN"), 0, BSK_E_FORMAT },
        { "a reference to nothing", BYTES("r\x00\x00\x00\x00"), 0, BSK_E_FORMAT },
        { "a list within itself", BYTES("\xdb\x01\x00\x00\x00r\x00\x00\x00\x00"), 0, BSK_E_FORMAT },
        { "a code object", BYTES("c\x00\x00\x00\x00"), 0, BSK_E_FORMAT },
        { "a dict without an end", BYTES("{NN"), 0, BSK_E_FORMAT },
        { "a dict's end where none is", BYTES("0"), 0, BSK_E_FORMAT },
        { "a text longer than the answer",
          BYTES("u\xff\xff\xff\xff"
                "abc"),
          0, BSK_E_FORMAT },
        { "too many values", BYTES(")\x03NNN"), 3, BSK_E_LIMIT },
        { "too deep",
          BYTES(")\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)"
                "\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)\x01)"
                "\x01)\x01N"),
          0, BSK_E_LIMIT },
        { "a number of the least length", BYTES("l\x00\x00\x00\x80"), 0, BSK_E_FORMAT },
        { "a digit over 15 bits", BYTES("l\x01\x00\x00\x00\xff\xff"), 0, BSK_E_FORMAT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_value_tree tree = { 0 };
        struct bsk_error err = { 0 };
        print_message("  %s\n", cases[i].why);
        assert_int_equal(
            bsk_marshal_read(cases[i].bytes, cases[i].size, cases[i].max_values, &tree, &err),
            cases[i].rc);
        assert_true(err.message[0]);
        assert_null(tree.root);
    }
}

static void reads_blocks_of_old_and_new_pythons(void **state)
{
    (void)state;
    /* [(0, 100, (('f.py', 7),)), (0, 30, <the same>)] of 3.8; then of 3.9 with a fourth field and
     * two frames, whose file is the same text again */
    static const char old[] =
        "[\x02\x00\x00\x00)\x03\xe9\x00\x00\x00\x00\xe9\x64\x00\x00\x00\xa9\x01"
        "\xa9\x02\xfa\x04"
        "f.py\xe9\x07\x00\x00\x00)\x03r\x00\x00\x00\x00i\x1e\x00\x00\x00r\x02"
        "\x00\x00\x00";
    static const char new[] =
        "[\x01\x00\x00\x00)\x04i\x00\x00\x00\x00i\x05\x00\x00\x00)\x02)\x02z\x04"
        "f.pyi\x07\x00\x00\x00)\x02z\x04g.pyi\x09\x00\x00\x00i\x02\x00\x00\x00";
    struct bsk_traces traces = { 0 };
    struct bsk_error err = { 0 };
    size_t used = 0;
    assert_int_equal(bsk_traces_read(&traces, BYTES(old), &used, &err), BSK_OK);
    assert_int_equal(used, sizeof(old) - 1);
    assert_int_equal(bsk_traces_read(&traces, BYTES(new), &used, &err), BSK_OK);
    assert_int_equal(traces.path_count, 2);
    assert_int_equal(traces.frame_count, 2);
    assert_int_equal(traces.stack_count, 2);
    assert_int_equal(traces.stacks[0].bytes, 130);
    assert_int_equal(traces.stacks[0].blocks, 2);
    assert_int_equal(traces.stacks[1].depth, 2);
    assert_int_equal(traces.frames[traces.frames_of[traces.stacks[1].first]].line, 7);
    assert_int_equal(traces.bytes, 135);
    /* Cut anywhere, it is refused. */
    for (size_t size = 0; size < sizeof(new) - 1; size++) {
        struct bsk_traces cut = { 0 };
        assert_int_equal(bsk_traces_read(&cut, (const unsigned char *)new, size, &used, &err),
                         BSK_E_FORMAT);
        bsk_traces_free(&cut);
    }
    bsk_traces_free(&traces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_python_writes),
        cmocka_unit_test(refuses_what_is_broken),
        cmocka_unit_test(reads_blocks_of_old_and_new_pythons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
