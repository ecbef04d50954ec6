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

static int open_python(pid_t pid, struct bsk_error *err)
{
    struct bsk_process *process = NULL;
    struct bsk_python *python = NULL;
    int rc = bsk_process_open(pid, &process, err);
    if (rc == BSK_OK)
        rc = bsk_python_open(process, &python, err);
    bsk_python_close(python);
    bsk_process_close(process);
    return rc;
}

static void says_what_is_no_python(void **state)
{
    (void)state;
    struct bsk_error err = { 0 };
    const char *const cat[] = { "sh", "-c", "echo ready; cat", NULL };
    struct child child = start_child(cat);
    char line[16];
    read_line(&child, line, sizeof(line));
    assert_int_equal(open_python(child.pid, &err), BSK_E_FORMAT);
    assert_ptr_equal(strstr(err.message, "Not a Python process"), err.message);
    assert_string_not_equal(err.hint, "");
    pid_t found;
    assert_int_equal(bsk_python_find_below(child.pid, &found, &err), BSK_E_FORMAT);
    stop_child(&child);
    assert_int_equal(open_python(child.pid ? child.pid : 0x3fffff, &err), BSK_E_GONE);
    assert_ptr_equal(strstr(err.message, "Process not found"), err.message);
}

static void names_a_python_that_is_too_old(void **state)
{
    (void)state;
    if (!old_python())
        skip();
    struct bsk_error err = { 0 };
    char line[16];
    const char *const arguments[] = {
        old_python(), "-S", "-c",
        "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()", NULL
    };
    struct child child = start_child(arguments);
    read_line(&child, line, sizeof(line));
    assert_int_equal(open_python(child.pid, &err), BSK_E_UNSUPPORTED);
    print_message("  %s\n", err.message);
    assert_ptr_equal(strstr(err.message, "Not a Python process"), err.message);
    assert_true(strstr(err.message, "CPython 2.7") || strstr(err.message, "CPython 3."));
    stop_child(&child);
}

static void finds_a_python_below_a_shell(void **state)
{
    (void)state;
    char script[9000], line[64];
    for (const char *const *python = all_pythons(); *python; python++) {
        struct bsk_error err = { 0 };
        pid_t found = 0;
        snprintf(script, sizeof(script),
                 "sh -c '%s -S -c \"import os, sys; print(os.getpid(), flush=True); "
                 "sys.stdin.read()\"; :'; :",
                 *python);
        const char *const arguments[] = { "sh", "-c", script, NULL };
        struct child child = start_child(arguments);
        read_line(&child, line, sizeof(line));
        int rc = bsk_python_find_below(child.pid, &found, &err);
        assert_string_equal(err.message, "");
        assert_int_equal(rc, BSK_OK);
        assert_int_equal(found, atoi(line));
        assert_int_equal(bsk_python_find_below(found, &found, &err), BSK_OK);
        assert_int_equal(found, atoi(line));
        close(child.input); /* the innermost ends by itself, and its parents with it */
        child.input = -1;
        stop_child(&child);
    }
}

static void lists_the_pythons_of_this_machine(void **state)
{
    (void)state;
    char line[64];
    for (const char *const *python = all_pythons(); *python; python++) {
        struct bsk_error err = { 0 };
        struct child child = start_fixture(*python, "busy.py", "sleep");
        struct bsk_python_listing *items = NULL;
        size_t count = 0;
        bool seen = false;
        read_line(&child, line, sizeof(line));
        assert_int_equal(bsk_python_list(&items, &count, &err), BSK_OK);
        for (size_t i = 0; i < count; i++) {
            if (items[i].pid != child.pid)
                continue;
            seen = true;
            print_message("  %s %s\n", items[i].version, items[i].command);
            assert_string_equal(items[i].reason, "");
            assert_true(items[i].can_profile);
            assert_non_null(strstr(items[i].command, "busy.py"));
            assert_non_null(strchr(items[i].version, '.'));
        }
        assert_true(seen);
        free(items);
        stop_child(&child);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_no_python),
        cmocka_unit_test(names_a_python_that_is_too_old),
        cmocka_unit_test(finds_a_python_below_a_shell),
        cmocka_unit_test(lists_the_pythons_of_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
