/* Our numbers of instructions, held against each Python's own. */
#include "engine/python/instructions.h"
#include "tests/engine/fixtures/children.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* 3.11 and 3.12 do not tell the numbers of the specialized ones. */
static const char list[] =
    "import sys, opcode\n"
    "names = dict(opcode.opmap)\n"
    "if sys.version_info >= (3, 13):\n"
    "    import _opcode_metadata; names.update(_opcode_metadata._specialized_opmap)\n"
    "if sys.version_info >= (3, 11):\n"
    "    for name, number in names.items():\n"
    "        if number < 256: print(sys.version_info[1], number, name)\n"
    "print('end')\n";

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names && strcmp(name, *names) != 0)
        names++;
    return *names != NULL;
}

static enum bsk_instruction expected(const char *name)
{
    static const char *const returns[] = { "RETURN_VALUE", "RETURN_CONST", NULL };
    static const char *const resumes[] = { "FOR_ITER", "FOR_ITER_GEN", "FOR_ITER_VIRTUAL", "SEND",
                                           "SEND_GEN", "SEND_VIRTUAL", "SEND_ASYNC_GEN",   NULL };
    static const char *const drops[] = { "POP_TOP",
                                         "END_FOR",
                                         "POP_ITER",
                                         "STORE_FAST",
                                         "STORE_FAST_LOAD_FAST",
                                         "STORE_NAME",
                                         "DELETE_NAME",
                                         "STORE_GLOBAL",
                                         "DELETE_GLOBAL",
                                         "STORE_FAST_STORE_FAST",
                                         "STORE_DEREF",
                                         "DELETE_FAST",
                                         "DELETE_DEREF",
                                         NULL };
    static const char *const unknown[] = { "CACHE", "ENTER_EXECUTOR", "TRACE_RECORD", NULL };
    if (strcmp(name, "RETURN_GENERATOR") == 0)
        return BSK_INSTRUCTION_MAKES;
    if (is_one_of(name, returns))
        return BSK_INSTRUCTION_RETURNS;
    if (is_one_of(name, resumes))
        return BSK_INSTRUCTION_RESUMES;
    if (is_one_of(name, drops))
        return BSK_INSTRUCTION_DROPS;
    if (is_one_of(name, unknown) || strncmp(name, "INSTRUMENTED_", 13) == 0)
        return BSK_INSTRUCTION_UNKNOWN;
    return strstr(name, "CALL") && !strstr(name, "INTRINSIC") ? BSK_INSTRUCTION_CALLS
                                                              : BSK_INSTRUCTION_RUNS;
}

static enum bsk_pushes expected_pushes(int minor, const char *name)
{
    static const char *const pushes[] = { "CALL",
                                          "CALL_KW",
                                          "CALL_FUNCTION_EX",
                                          "CALL_EX_PY",
                                          "CALL_PY_EXACT_ARGS",
                                          "CALL_PY_GENERAL",
                                          "CALL_BOUND_METHOD_EXACT_ARGS",
                                          "CALL_BOUND_METHOD_GENERAL",
                                          "CALL_KW_PY",
                                          "CALL_KW_BOUND_METHOD",
                                          "CALL_ALLOC_AND_ENTER_INIT",
                                          "BINARY_SUBSCR_GETITEM",
                                          "BINARY_OP_SUBSCR_GETITEM",
                                          "LOAD_ATTR_PROPERTY",
                                          "LOAD_ATTR_GETATTRIBUTE_OVERRIDDEN",
                                          NULL };
    if (minor < 13 || expected(name) == BSK_INSTRUCTION_UNKNOWN)
        return BSK_PUSHES_UNKNOWN;
    return is_one_of(name, pushes) ? BSK_PUSHES : BSK_PUSHES_NOT;
}

static bool expected_names(const char *name)
{
    static const char *const names[] = {
        "CALL_PY_EXACT_ARGS",        "CALL_PY_WITH_DEFAULTS",
        "CALL_PY_GENERAL",           "CALL_BOUND_METHOD_EXACT_ARGS",
        "CALL_BOUND_METHOD_GENERAL", "CALL_KW_PY",
        "CALL_KW_BOUND_METHOD",      NULL
    };
    return is_one_of(name, names);
}

static void numbers_are_those_of_each_python(void **state)
{
    (void)state;
    size_t checked = 0;
    for (const char *const *python = all_pythons(); *python; python++) {
        const char *const command[] = { *python, "-S", "-c", list, NULL };
        struct child child = start_child(command);
        char line[128];
        for (read_line(&child, line, sizeof(line)); strcmp(line, "end") != 0;
             read_line(&child, line, sizeof(line))) {
            char *rest;
            int minor = (int)strtol(line, &rest, 10);
            long number = strtol(rest, &rest, 10);
            const char *name = rest + 1;
            if (bsk_instruction_of(minor, (uint8_t)number) != expected(name))
                fail_msg("3.%d: %ld is %s", minor, number, name);
            if (bsk_instruction_pushes(minor, (uint8_t)number) != expected_pushes(minor, name))
                fail_msg("3.%d: %ld is %s, which pushes a frame or not", minor, number, name);
            if (minor >= 13 &&
                bsk_instruction_names_function(minor, (uint8_t)number) != expected_names(name))
                fail_msg("3.%d: %ld is %s, which names its function or not", minor, number, name);
            checked++;
        }
        stop_child(&child);
    }
    print_message("  %zu numbers\n", checked);
    assert_true(checked > 0);
}

static void versions_without_a_table_say_nothing(void **state)
{
    (void)state;
    const int minors[] = { -1, 8, 10, 16, 1000 };
    for (size_t i = 0; i < sizeof(minors) / sizeof(minors[0]); i++)
        for (int opcode = 0; opcode < 256; opcode++) {
            assert_int_equal(bsk_instruction_of(minors[i], (uint8_t)opcode),
                             BSK_INSTRUCTION_UNKNOWN);
            assert_int_equal(bsk_instruction_pushes(minors[i], (uint8_t)opcode),
                             BSK_PUSHES_UNKNOWN);
            assert_false(bsk_instruction_names_function(minors[i], (uint8_t)opcode));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_each_python),
        cmocka_unit_test(versions_without_a_table_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
