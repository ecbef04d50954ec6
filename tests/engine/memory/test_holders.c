/* What holders are called, in real programs of every CPython. */
#include "engine/memory/evidence.h"
#include "engine/memory/holders.h"
#include "tests/engine/memory/look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *why, *code;
    const char *name; /* NULL: it has none, and is told by type and module */
} rows[] = {
    { "a global", "kept = [Leak() for i in range(99)]", "list app.kept" },
    { "an attribute of a global",
      "class Registry:\n    def __init__(self): self.items = {}\nregistry = Registry()\n"
      "for i in range(99): registry.items[i] = Leak()",
      "dict app.registry.items" },
    { "a class's attribute", "class Registry:\n    items = [Leak() for i in range(99)]",
      "list app.Registry.items" },
    { "a list in a dict", "by_name = {'eggs': [Leak() for i in range(99)]}",
      "list app.by_name['eggs']" },
    { "a list in a list", "lists = [[], [Leak() for i in range(99)]]", "list app.lists[1]" },
    { "a long key is not shown",
      "by_name = {'eggs and spam and eggs and spam': [Leak() for i in range(99)]}",
      "list app.by_name[...]" },
    { "a tuple as a key", "cache = {(1, 'a'): {i: Leak() for i in range(99)}}",
      "dict app.cache[(1, 'a')]" },
    { "a set", "kept = {Leak() for i in range(99)}", "set app.kept" },
    { "a type of a module's",
      "import collections\nqueue = collections.deque(Leak() for i in range(99))",
      "collections.deque app.queue" },
    { "a subclass of dict",
      "class Cache(dict): pass\ncache = Cache((i, Leak()) for i in range(99))",
      "app.Cache app.cache" },
    { "a closure",
      "def make():\n    kept = [Leak() for i in range(99)]\n    def use(): return kept\n"
      "    return use\nuse = make()",
      "list app.use (closure kept)" },
    { "a default argument", "def f(seen=[Leak() for i in range(99)]): pass",
      "list app.f.__defaults__[0]" },
    { "a running function's variable",
      "import threading\nready, stop = threading.Event(), threading.Event()\n"
      "def work():\n    batch = [Leak() for i in range(99)]\n    ready.set()\n    stop.wait()\n"
      "threading.Thread(target=work, daemon=True).start()\nready.wait()",
      "list batch in function work" },
    { "a generator that waits",
      "def gen():\n    kept = [Leak() for i in range(99)]\n    yield 1\n    yield kept\n"
      "g = gen()\nnext(g)",
      "list app.g (local kept)" },
    { "an unbounded lru_cache",
      "import functools\n@functools.lru_cache(maxsize=None)\ndef get(key): return Leak()\n"
      "for i in range(99): get(i)",
      "dict inside app.get" },
    { "held from C alone",
      "import ctypes\none = [Leak() for i in range(99)]\n"
      "ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))\ndel one",
      NULL },
    { "a name of other letters",
      "gr\xc3\xb6\xc3\x9f"
      "e = [Leak() for i in range(99)]",
      "list app.gr\xc3\xb6\xc3\x9f"
      "e" },
};

/* NULL where no way was found. */
static struct bsk_references *ways_to(struct debuggee *debuggee, const struct bsk_graph *graph,
                                      uint64_t id)
{
    struct bsk_references *refs = NULL;
    struct bsk_script_options options = { { 0 } };
    struct bsk_error err = { 0 };
    uint64_t twice[2] = { id, id };
    if (bsk_holders_make(graph, twice, 2, &refs, &err) != BSK_OK) {
        assert_int_equal(err.code, BSK_E_STATE);
        return NULL;
    }
    assert_int_equal(bsk_holders_options(refs, &options, NULL), BSK_OK);
    struct bsk_memory_job *job = debuggee_job(debuggee, &bsk_script_references, &options, NULL);
    bsk_buffer_free(&options.text);
    bsk_references_label(refs, result_of(job)->value, &err);
    assert_string_equal(err.message, "");
    bsk_memory_job_free(job);
    return refs;
}

static void the_name_of_a_holder_is_the_way_to_it(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        print_message("  %s\n", *python);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct debuggee debuggee = start_debuggee(*python);
            struct bsk_nodes nodes = { NULL, 0 };
            struct bsk_hold hold = { 0 };
            struct bsk_evidence evidence = { 0 };
            app_does(&debuggee, "class Leak:\n    def __init__(self): self.x = 1\n");
            app_does(&debuggee, rows[i].code);
            struct bsk_graph *graph = graph_of(&debuggee, &(struct bsk_references_wish){ 0 });
            assert_int_equal(bsk_graph_of_type(graph, "Leak", &nodes, NULL), BSK_OK);
            assert_int_equal(bsk_hold_look(graph, &nodes, &hold, &evidence, NULL), BSK_OK);
            assert_int_equal(evidence.objects, 99);
            struct bsk_references *refs = ways_to(&debuggee, graph, hold.holder_id);
            char name[BSK_HOLDER_NAME_BYTES] = "-";
            bool named = refs && bsk_holder_name(refs, hold.holder_id, name, sizeof(name));
            if (getenv("VERBOSE"))
                print_message("    %s: %s (%s)\n", rows[i].why, name, evidence.holder);
            assert_string_equal(name, rows[i].name ? rows[i].name : "-");
            assert_int_equal(named, rows[i].name != NULL);
            bsk_references_free(refs);
            bsk_nodes_free(&nodes);
            bsk_graph_free(graph);
            stop_debuggee(&debuggee);
        }
    }
}

static void a_holder_that_is_gone_by_then_has_no_name(void **state)
{
    (void)state;
    struct debuggee debuggee = start_debuggee(gil_pythons()[0]);
    struct bsk_nodes nodes = { NULL, 0 };
    struct bsk_hold hold = { 0 };
    struct bsk_evidence evidence = { 0 };
    char name[BSK_HOLDER_NAME_BYTES] = "as it was";
    app_does(&debuggee, "class Leak: pass\nkept = [Leak() for i in range(99)]");
    struct bsk_graph *graph = graph_of(&debuggee, &(struct bsk_references_wish){ 0 });
    assert_int_equal(bsk_graph_of_type(graph, "Leak", &nodes, NULL), BSK_OK);
    assert_int_equal(bsk_hold_look(graph, &nodes, &hold, &evidence, NULL), BSK_OK);
    app_does(&debuggee, "kept = None");
    struct bsk_references *refs = ways_to(&debuggee, graph, hold.holder_id);
    assert_non_null(refs);
    assert_false(bsk_holder_name(refs, hold.holder_id, name, sizeof(name)));
    assert_false(bsk_holder_name(refs, 8, name, sizeof(name)));
    assert_string_equal(name, "as it was");
    bsk_references_free(refs);
    bsk_nodes_free(&nodes);
    bsk_graph_free(graph);
    stop_debuggee(&debuggee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_of_a_holder_is_the_way_to_it),
        cmocka_unit_test(a_holder_that_is_gone_by_then_has_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
