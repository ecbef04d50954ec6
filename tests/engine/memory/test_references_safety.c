/* What the references script must not do to a program, and what is said of one object of a graph.
 */
#include "engine/memory/references.h"
#include "tests/engine/memory/look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The id of the first node whose JSON has `what` in it. */
static uint64_t id_with(const struct bsk_references *refs, const char *what)
{
    struct bsk_buffer text = { 0 };
    struct bsk_json json = { .out = &text };
    bsk_json_begin(&json, '{');
    bsk_references_json(refs, 1, &json);
    bsk_json_end(&json, '}');
    const char *found = strstr(bsk_buffer_text(&text), what);
    assert_non_null(found);
    while (strncmp(found, "{\"id\":\"0x", 9) != 0)
        found--;
    uint64_t id = strtoull(found + 7, NULL, 16);
    bsk_buffer_free(&text);
    return id;
}

static int inspect(struct debuggee *debuggee, const struct bsk_references *refs, uint64_t id,
                   bool repr, struct bsk_buffer *out, struct bsk_error *err)
{
    struct bsk_script_options options = { { 0 } };
    struct bsk_json json = { .out = out };
    assert_int_equal(bsk_references_inspect_options(refs, id, repr, &options, err), BSK_OK);
    struct bsk_memory_job *job = debuggee_job(debuggee, &bsk_script_references, &options, NULL);
    bsk_buffer_free(&options.text);
    bsk_json_begin(&json, '{');
    int rc = bsk_references_inspect_json(refs, id, result_of(job)->value, &json, err);
    bsk_json_end(&json, '}');
    bsk_memory_job_free(job);
    return rc;
}

/* Everything of this class shouts; nobody may make it. */
static const char shouting[] =
    "log = []\n"
    "class Meta(type):\n"
    "    def __hash__(self): log.append('hash of class'); return 1\n"
    "    def __eq__(self, other): log.append('eq of class'); return True\n"
    "    def __getattribute__(self, name): log.append('class ' + name); return None\n"
    "class Loud(metaclass=Meta):\n"
    "    def __init__(self, n): object.__setattr__(self, 'n', n)\n"
    "    def __hash__(self): log.append('hash'); return 1\n"
    "    def __eq__(self, other): log.append('eq'); return True\n"
    "    def __repr__(self): log.append('repr'); return 'Loud!' * 100\n"
    "    def __str__(self): log.append('str'); return ''\n"
    "    def __sizeof__(self): log.append('sizeof'); return 1\n"
    "    def __getattribute__(self, name): log.append('get ' + name); return None\n"
    "    def __len__(self): log.append('len'); return 0\n"
    "    def __bool__(self): log.append('bool'); return False\n"
    "    def __iter__(self): log.append('iter'); return iter(())\n"
    "    def __class_getitem__(cls, key): log.append('getitem')\n"
    "    __class__ = property(lambda self: log.append('class'))\n"
    "    __dict__ = property(lambda self: log.append('dict'))\n"
    "class LoudDict(dict):\n"
    "    def items(self): log.append('items'); return []\n"
    "    def __iter__(self): log.append('iter'); return iter(())\n"
    "    def __getitem__(self, key): log.append('getitem'); return None\n"
    "    def __contains__(self, key): log.append('contains'); return False\n"
    "    def __len__(self): log.append('len'); return 0\n"
    "    def keys(self): log.append('keys'); return []\n"
    "    def values(self): log.append('values'); return []\n"
    "class LoudList(list):\n"
    "    def __iter__(self): log.append('list iter'); return iter(())\n"
    "    def __len__(self): log.append('list len'); return 0\n"
    "    def __getitem__(self, key): log.append('list getitem'); return None\n"
    "kept = LoudDict()\n"
    "dict.__setitem__(kept, 'a', [Loud(1), Loud(2)])\n"
    "listed = LoudList()\n"
    "list.append(listed, dict.__getitem__(kept, 'a')[0])\n"
    "keyed = {}\n"
    "def hold():\n"
    "    import sys\n"
    "    import builtins\n"
    "    builtins.print = lambda *a, **k: log.append('print')\n"
    "    one = dict.__getitem__(kept, 'a')[1]\n"
    "    return sys\n"
    "hold()\n"
    "del log[:]\n";

static void nothing_of_the_program_runs(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        app_does(&debuggee, shouting);
        struct look look = look_at(&debuggee, "Loud", false);
        struct bsk_buffer inside = { 0 };
        assert_non_null(
            strstr(bsk_buffer_text(&look.text), "global kept -> app.LoudDict, 1 entry"));
        uint64_t id = id_with(look.refs, "\"type\":\"Loud\"");
        assert_int_equal(inspect(&debuggee, look.refs, id, false, &inside, NULL), BSK_OK);
        bsk_buffer_free(&inside);
        assert_string_equal(debuggee_says(&debuggee, "__import__('sys').modules['app'].log"), "[]");

        struct look asked = look_at(&debuggee, "Loud", true);
        assert_non_null(strstr(bsk_buffer_text(&asked.text), "Loud!Loud!"));
        assert_string_equal(
            debuggee_says(&debuggee, "set(__import__('sys').modules['app'].log) >= {'repr'}"),
            "True");
        end_look(&asked);
        end_look(&look);
        stop_debuggee(&debuggee);
    }
}

static void one_object_can_be_inspected_until_it_is_gone(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        struct bsk_buffer inside = { 0 };
        struct bsk_error err = { 0 };
        app_does(&debuggee, "class Node: pass\n"
                            "kept = {'a': Node(), 'b': [1, 2], 'c': 'text'}\n");
        struct look look = look_at(&debuggee, "Node", false);
        uint64_t holder = id_with(look.refs, "\"type\":\"dict\"");
        uint64_t node = id_with(look.refs, "\"type\":\"Node\"");
        assert_int_equal(inspect(&debuggee, look.refs, holder, false, &inside, NULL), BSK_OK);
        const char *text = bsk_buffer_text(&inside);
        assert_non_null(strstr(text, "\"label\":\"['a']\",\"type\":\"Node\""));
        assert_non_null(strstr(text, "\"label\":\"['b']\",\"type\":\"list\""));
        assert_non_null(strstr(text, "\"label\":\"['c']\",\"type\":\"str\""));
        assert_non_null(strstr(text, "\"repr\":\"'text'\""));
        bsk_buffer_free(&inside);
        assert_int_equal(bsk_references_inspect_options(
                             look.refs, 0x1230, false, &(struct bsk_script_options){ { 0 } }, NULL),
                         BSK_E_STATE);
        app_does(&debuggee, "kept.clear()\nother = [[] for i in range(100)]\n");
        assert_int_equal(inspect(&debuggee, look.refs, node, false, &inside, &err), BSK_E_STATE);
        assert_string_equal(err.message, "It is gone");
        bsk_buffer_free(&inside);
        end_look(&look);
        stop_debuggee(&debuggee);
    }
}

static void an_expressions_value_is_a_target(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        struct bsk_nodes nodes = { NULL, 0 };
        app_does(&debuggee, "kept = {'a': bytes(1000)}\n");
        struct look look = look_at(&debuggee, "dict", false); /* makes the agent */
        end_look(&look);
        debuggee_does(
            &debuggee,
            "import sys\n"
            "sys.modules['_basilisk'].agent.graph_target = [sys.modules['app'].kept['a']]");
        struct bsk_references *refs = NULL;
        struct bsk_graph *graph =
            graph_of(&debuggee, &(struct bsk_references_wish){ .expression = true });
        assert_int_equal(bsk_graph_of_group(graph, 0, &nodes, NULL), BSK_OK);
        assert_int_equal(nodes.count, 1);
        assert_string_equal(bsk_graph_type(graph, nodes.nodes[0]), "bytes");
        assert_true(bsk_graph_bytes(graph, nodes.nodes[0]) >= 1000);
        assert_int_equal(bsk_references_make(graph, &nodes, "kept['a']", 0, &refs, NULL), BSK_OK);
        label_references(&debuggee, refs, false);
        struct bsk_buffer text = { 0 };
        bsk_references_text(refs, 200, &text);
        assert_non_null(strstr(bsk_buffer_text(&text), "global kept -> dict, 1 entry"));
        assert_non_null(strstr(bsk_buffer_text(&text), "['a'] -> bytes"));
        assert_string_equal(
            debuggee_says(&debuggee,
                          "hasattr(__import__('sys').modules['_basilisk'].agent, 'graph_target')"),
            "False");
        bsk_buffer_free(&text);
        bsk_references_free(refs);
        bsk_nodes_free(&nodes);
        bsk_graph_free(graph);
        stop_debuggee(&debuggee);
    }
}

/* A variable that is gone must not live on in a dictionary that we made of a frame's variables. */
static void nothing_is_kept_alive_and_nothing_is_left(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        app_does(&debuggee, "import gc, threading, weakref\n"
                            "class Node: pass\n"
                            "go, did = threading.Semaphore(0), threading.Semaphore(0)\n"
                            "def work():\n"
                            "    global ref\n"
                            "    one = Node()\n"
                            "    ref = weakref.ref(one)\n"
                            "    did.release()\n"
                            "    go.acquire()\n"
                            "    del one\n"
                            "    did.release()\n"
                            "    go.acquire()\n"
                            "threading.Thread(target=work, daemon=True).start()\n"
                            "did.acquire()\n");
        struct look look = look_at(&debuggee, "Node", false);
        assert_non_null(strstr(bsk_buffer_text(&look.text), "local one -> app.Node"));
        end_look(&look);
        app_does(&debuggee, "go.release()\ndid.acquire()\n");
        assert_string_equal(debuggee_says(&debuggee, "__import__('sys').modules['app'].ref()"),
                            "None");

        /* neither modules nor objects */
        debuggee_does(&debuggee, "import sys, gc\n"
                                 "gc.disable()\ngc.collect()\nmodules = set(sys.modules)\n"
                                 "count = len(gc.get_objects())");
        for (int i = 0; i < 5; i++) {
            look = look_at(&debuggee, "module", false);
            end_look(&look);
        }
        assert_string_equal(debuggee_says(&debuggee, "sorted(set(sys.modules) - modules)"), "[]");
        long long more =
            debuggee_number(&debuggee, "gc.collect() * 0 + len(gc.get_objects()) - count");
        print_message("  %s: %lld objects are left\n", *python, more);
        assert_true(more <= 50);
        assert_string_equal(debuggee_says(&debuggee, "gc.isenabled()"), "False");
        stop_debuggee(&debuggee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_the_program_runs),
        cmocka_unit_test(one_object_can_be_inspected_until_it_is_gone),
        cmocka_unit_test(an_expressions_value_is_a_target),
        cmocka_unit_test(nothing_is_kept_alive_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
