/* Taking the debugger out of a stack. */
#include "engine/sampling/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DEBUGPY "/venv/debugpy"
#define PYDEVD "/venv/debugpy/_vendored/pydevd"

/* One letter a frame, outermost first, so that a row reads like a stack. */
static const struct bsk_code_object codes[] = {
    ['u'] = { 'u', 1, "main", "main", "/src/app.py" },
    ['v'] = { 'v', 9, "work", "work", "/src/app.py" },
    ['d'] = { 'd', 1, "trace", "trace", PYDEVD "/pydevd.py" },
    ['c'] = { 'c', 1, "main", "main", DEBUGPY "/server/cli.py" },
    ['m'] = { 'm', 1, "__call__", "__call__", PYDEVD "/_pydev_bundle/pydev_monkey.py" },
    ['i'] = { 'i', 1, "do_import", "do_import", PYDEVD "/_pydev_bundle/pydev_import_hook.py" },
    ['e'] = { 'e', 1, "execfile", "execfile", PYDEVD "/_pydev_bundle/_pydev_execfile.py" },
    ['r'] = { 'r', 1, "_run_code", "_run_code", "<frozen runpy>" },
    ['q'] = { 'q', 1, "run_path", "run_path", "/usr/lib/python3.8/runpy.py" },
    ['R'] = { 'R', 1, "_run_code", "_run_code", "/usr/lib/python3.8/runpy.py" },
    ['t'] = { 't', 1, "_bootstrap", "Thread._bootstrap", "/usr/lib/python3.11/threading.py" },
    ['T'] = { 'T', 1, "run", "Thread.run", "/usr/lib/python3.11/threading.py" },
    ['s'] = { 's', 1, "recv", "recv", "/usr/lib/python3.11/socket.py" },
    ['x'] = { 'x', 1, "f", "f", "/venv/debugpy_user/x.py" },
};

static const struct {
    const char *why, *stack, *expected; /* "!" is a thread of the debugger's, "D" its leaf */
    bool main_thread;
} cases[] = {
    { "nothing of the debugger: nothing changes", "uv", "uv", true },
    { "what runs the program beneath it goes", "rrccru", "u", true },
    { "older debugpy runs it through runpy of the library", "qRccqRuv", "uv", true },
    { "what the debugger calls of the library before the program is its own", "rrccss", "D", true },
    { "and what runpy does for it", "rrccqs", "D", true },
    { "and what it imports through its own hook", "ccis", "D", true },
    { "runpy of the user's own `python -m` stays", "rru", "rru", true },
    { "the debugger on top is one frame that weighs", "rceuvd", "uvD", true },
    { "and so is all that it calls", "rceuvdsd", "uvD", true },
    { "imports run through its hook", "ceuiv", "uv", true },
    { "before the program begins", "rrcc", "D", true },
    { "a thread of the debugger's own", "ttds", "!", false },
    { "a thread of the user's, started through a monkey patch", "mttTu", "ttTu", false },
    { "and by _thread.start_new_thread", "mu", "u", false },
    { "a plain thread of the user's", "ttTv", "ttTv", false },
    { "stopped at a breakpoint", "mttTudd", "ttTuD", false },
    { "a folder that only begins like the debugger's", "cex", "x", true },
    { "no frames at all", "", "", true },
};

static void folds_each_stack_as_its_reason_says(void **state)
{
    (void)state;
    static const char *const folders[] = { DEBUGPY, PYDEVD };
    struct bsk_fold *fold = bsk_fold_new(folders, 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t depth = strlen(cases[i].stack);
        struct bsk_frame frames[16];
        char got[20];
        size_t length = 0;
        struct bsk_folded folded;
        print_message("  %s\n", cases[i].why);
        for (size_t at = 0; at < depth; at++)
            frames[depth - 1 - at] =
                (struct bsk_frame){ .code = &codes[(unsigned char)cases[i].stack[at]], .line = 1 };
        assert_true(bsk_fold_stack(fold, frames, depth, cases[i].main_thread, &folded));
        for (size_t at = folded.depth; at > 0; at--)
            got[length++] = (char)folded.frames[at - 1].code->id;
        if (folded.debugger_leaf)
            got[length++] = 'D';
        got[length] = '\0';
        assert_string_equal(folded.debugger_thread ? "!" : got, cases[i].expected);
    }
    bsk_fold_free(fold);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_each_stack_as_its_reason_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
