/* Whether a generator is on the stack: what lies before its frame, in each Python. */
#include "engine/python/memory.h"
#include "tests/engine/fixtures/children.h"

#include <stdlib.h>
#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A frame object's second word is the address of the interpreter's frame. */
static const char states[] =
    "import ctypes, sys\n"
    "def at(frame):\n"
    "    return ctypes.c_void_p.from_address(id(frame) + object.__basicsize__ + 8).value\n"
    "def tell(what, on_stack, address):\n"
    "    state = ctypes.string_at(address - 8, 8)\n"
    "    print(sys.version_info[1], on_stack, int.from_bytes(state, 'little'), what)\n"
    "def inner():\n"
    "    tell('runs', 1, at(sys._getframe()))\n"
    "    yield\n"
    "def outer():\n"
    "    yield from inner()\n"
    "    tell('runs again', 1, at(sys._getframe()))\n"
    "async def coroutine():\n"
    "    tell('coroutine runs', 1, at(sys._getframe()))\n"
    "    return 1\n"
    "async def awaits():\n"
    "    frame = sys._getframe()\n"
    "    class Looks:\n"
    "        def __await__(self):\n"
    "            tell('awaits', 1, at(frame))\n"
    "            yield\n"
    "    await Looks()\n"
    "if sys.version_info >= (3, 11):\n"
    "    generator = outer()\n"
    "    address = at(generator.gi_frame)\n"
    "    tell('made', 0, address)\n"
    "    next(generator)\n"
    "    tell('suspended', 0, address)\n"
    "    next(generator, None)\n"
    "    tell('over', 0, address)\n"
    "    one = coroutine()\n"
    "    try: one.send(None)\n"
    "    except StopIteration: pass\n"
    "    two = awaits()\n"
    "    address = at(two.cr_frame)\n"
    "    two.send(None)\n"
    "    tell('suspended in await', 0, address)\n"
    "    two.close()\n"
    "    tell('closed', 0, address)\n"
    "print('end')\n";

static void say_whether_they_are_on_the_stack(void **state)
{
    (void)state;
    size_t checked = 0;
    for (const char *const *python = all_pythons(); *python; python++) {
        const char *const command[] = { *python, "-S", "-c", states, NULL };
        struct child child = start_child(command);
        char line[128];
        for (read_line(&child, line, sizeof(line)); strcmp(line, "end") != 0;
             read_line(&child, line, sizeof(line))) {
            char *rest;
            struct bsk_layout layout = { .minor = (int)strtol(line, &rest, 10) };
            bool on_stack = strtol(rest, &rest, 10) != 0;
            uint64_t before = strtoull(rest, &rest, 10);
            if (bsk_frame_on_stack(&layout, (const uint8_t *)&before) != on_stack)
                fail_msg("%s: %s: %#llx", *python, rest + 1, (unsigned long long)before);
            checked++;
        }
        stop_child(&child);
    }
    print_message("  %zu states\n", checked);
    assert_true(checked > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(say_whether_they_are_on_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
