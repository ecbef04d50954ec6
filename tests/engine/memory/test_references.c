/* The graph of real programs: what holds the objects that a test has planted, in every CPython. */
#include "engine/memory/evidence.h"
#include "engine/memory/references.h"
#include "tests/engine/memory/look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *why, *code, *first_way[4];
} holders[] = {
    { "a list of a module",
      "cache = [Leak() for i in range(500)]",
      { "module app", "global cache -> list, 500 entries", "[", NULL } },
    { "a dict of a module",
      "cache = {'k%d' % i: Leak() for i in range(500)}",
      { "module app", "global cache -> dict", "['k", NULL } },
    { "an attribute of an instance",
      "class Registry:\n    def __init__(self): self.items = []\n"
      "registry = Registry()\nregistry.items.extend(Leak() for i in range(500))",
      { "global registry -> app.Registry", ".items -> list", "[", NULL } },
    { "a slot",
      "class Slotted:\n    __slots__ = ('held',)\n"
      "one = Slotted()\none.held = [Leak() for i in range(50)]",
      { "global one -> app.Slotted", ".held -> list", "[", NULL } },
    { "a class's attribute",
      "class Base:\n    seen = [Leak() for i in range(50)]",
      { "global Base -> type", ".seen -> list", "[", NULL } },
    { "a closure",
      "def make():\n    kept = [Leak() for i in range(50)]\n    def use(): return kept\n"
      "    return use\nuse = make()",
      { "global use -> function", "closure kept -> list", "[", NULL } },
    { "a set",
      "cache = set(Leak() for i in range(50))",
      { "global cache -> set, 50 entries", "in the set -> app.Leak", NULL } },
    { "a deque",
      "import collections\nqueue = collections.deque(Leak() for i in range(50))",
      { "global queue -> collections.deque", "[", NULL } },
    { "callbacks: bound methods",
      "callbacks = []\nclass Leaky(Leak):\n    def on(self): pass\n"
      "for i in range(50): callbacks.append(Leaky().on)",
      { "global callbacks -> list", "[", ".__self__ -> app.Leaky", NULL } },
    { "a default argument",
      "def f(seen=[Leak() for i in range(50)]): pass",
      { "global f -> function", ".__defaults__ -> tuple", "[0] -> list", "[" } },
    { "a linked list",
      "head = None\nfor i in range(300):\n    one = Leak()\n    one.next = head\n    head = one\n"
      "del one",
      { "global head -> app.Leak", NULL } },
    { "a thread's local",
      "import threading\nlocal = threading.local()\nlocal.items = [Leak() for i in range(50)]",
      { "items", "[", NULL } },
    { "a running function's variable",
      "import threading\nready, stop = threading.Event(), threading.Event()\n"
      "def work():\n    batch = [Leak() for i in range(50)]\n    ready.set()\n    stop.wait()\n"
      "threading.Thread(target=work, daemon=True).start()\nready.wait()",
      { "running function work (/app/program.py:", "local batch -> list", "[", NULL } },
    { "a generator that waits",
      "def gen():\n    kept = [Leak() for i in range(50)]\n    yield 1\n    yield kept\n"
      "g = gen()\nnext(g)",
      { "global g -> generator", "local kept -> list", "[", NULL } },
    { "held from C alone",
      "import ctypes\none = Leak()\nctypes.pythonapi.Py_IncRef(ctypes.py_object(one))\ndel one",
      { "held by C code, by no object: app.Leak", NULL } },
    { "lru_cache",
      "import functools\n@functools.lru_cache(maxsize=None)\ndef get(key): return Leak()\n"
      "for i in range(50): get(i)",
      { "global get -> functools._lru_cache_wrapper", "[", NULL } },
};

static void the_planted_holder_and_its_label_lie_on_the_first_way(void **state)
{
    (void)state;
    for (const char *const *python = all_pythons(); *python; python++) {
        print_message("  %s\n", *python);
        for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
            struct debuggee debuggee = start_debuggee(*python);
            if (getenv("VERBOSE"))
                print_message("    %s\n", holders[i].why);
            app_does(&debuggee, "class Leak:\n    def __init__(self): self.x = 1\n");
            app_does(&debuggee, holders[i].code);
            struct look look = look_at(&debuggee, i == 8 ? "Leaky" : "Leak", false);
            char *text = strdup(bsk_buffer_text(&look.text));
            if (getenv("VERBOSE"))
                print_message("%s\n", text);
            assert_non_null(text);
            char *end = strstr(text, "<== here");
            if (end)
                *end = '\0';
            const char *at = text;
            for (int j = 0; j < 4 && holders[i].first_way[j]; j++) {
                const char *found = at ? strstr(at, holders[i].first_way[j]) : NULL;
                if (!found)
                    print_error("%s: no \"%s\" in\n%s\n", holders[i].why, holders[i].first_way[j],
                                bsk_buffer_text(&look.text));
                assert_non_null(found);
                at = found;
            }
            free(text);
            end_look(&look);
            stop_debuggee(&debuggee);
        }
    }
}

/* --- evidence ---------------------------------------------------------------------------------
 */

static const struct {
    const char *why, *code; /* its line with "# site" is the site; step() is one interval's work */
    enum bsk_evidence_kind kind; /* after the fifth look */
} growths[] = {
    { "a list of a module",
      "kept = []\ndef step():\n    for i in range(100):\n        kept.append(Leak()) # site\n",
      BSK_EVIDENCE_LEAKED },
    { "a dict of a module",
      "kept = {}\ndef step():\n    for i in range(100):\n"
      "        kept[len(kept)] = bytes(500) # site\n",
      BSK_EVIDENCE_LEAKED },
    { "an attribute, behind a wrapper each",
      "class R:\n    def __init__(self): self.all = {}\nr = R()\ndef step():\n"
      "    for i in range(100):\n        r.all[len(r.all)] = (i, [Leak()]) # site\n",
      BSK_EVIDENCE_LEAKED },
    { "a closure",
      "def make():\n    seen = []\n    def step():\n        for i in range(100):\n"
      "            seen.append(Leak()) # site\n    return step\nstep = make()\n",
      BSK_EVIDENCE_LEAKED },
    { "a linked list",
      "head = None\ndef step():\n    global head\n    for i in range(100):\n"
      "        one = Leak() # site\n        one.next = head\n        head = one\n",
      BSK_EVIDENCE_LEAKED },
    { "two containers hold each",
      "a, b = [], {}\ndef step():\n    for i in range(100):\n        one = Leak() # site\n"
      "        a.append(one)\n        b[len(b)] = one\n",
      BSK_EVIDENCE_LEAKED },
    { "lru_cache without a bound",
      "import functools\nat = 0\n@functools.lru_cache(maxsize=None)\ndef get(key):\n"
      "    return Leak() # site\ndef step():\n    global at\n    for i in range(100):\n"
      "        get(at)\n        at += 1\n",
      BSK_EVIDENCE_LEAKED },
    { "a variable of a function that runs, looked at often",
      "import threading\ngo, did = threading.Semaphore(0), threading.Semaphore(0)\n"
      "def work():\n    kept = []\n    while True:\n        go.acquire()\n"
      "        for i in range(100):\n            kept.append(Leak()) # site\n"
      "        did.release()\n"
      "threading.Thread(target=work, daemon=True).start()\n"
      "def step():\n    go.release()\n    did.acquire()\n",
      BSK_EVIDENCE_LEAKED },
    { "a deque with maxlen",
      "import collections\nkept = collections.deque(maxlen=5000)\ndef step():\n"
      "    for i in range(100):\n        kept.append(Leak()) # site\n",
      BSK_EVIDENCE_BOUNDED },
    { "lru_cache with a bound",
      "import functools\nat = 0\n@functools.lru_cache(maxsize=1000)\ndef get(key):\n"
      "    return Leak() # site\ndef step():\n    global at\n    for i in range(100):\n"
      "        get(at)\n        at += 1\n",
      BSK_EVIDENCE_BOUNDED },
    { "an LRU of its own, full",
      "import collections\nkept = collections.OrderedDict()\nat = 0\ndef step():\n"
      "    global at\n    for i in range(100):\n        kept[at] = Leak() # site\n"
      "        at += 1\n        if len(kept) > 150: kept.popitem(False)\n",
      BSK_EVIDENCE_HELD },
    { "a cache that fills up",
      "kept, at = {}, 100\ndef step():\n    global at\n    for i in range(at):\n"
      "        kept[len(kept)] = Leak() # site\n    at = at // 3\n",
      BSK_EVIDENCE_HELD },
    { "a batch that is cleared",
      "kept, at = [], 0\ndef step():\n    global at\n    if at % 2 == 0: kept.clear()\n"
      "    at += 1\n    for i in range(100 + at):\n        kept.append(Leak()) # site\n",
      BSK_EVIDENCE_HELD },
    { "a batch that is made anew",
      "kept = []\ndef step():\n    global kept\n"
      "    new = [Leak() for i in range(300)] # site\n    kept = new\n",
      BSK_EVIDENCE_HELD },
    { "cycles that wait for the collector",
      "import gc\ngc.disable()\ndef step():\n    for i in range(100):\n"
      "        one = Leak() # site\n        one.me = one\n",
      BSK_EVIDENCE_GARBAGE },
    { "a batch of a function at work",
      "import threading\ngo, did = threading.Semaphore(0), threading.Semaphore(0)\n"
      "def work():\n    while True:\n        kept = []\n        for part in range(3):\n"
      "            go.acquire()\n            for i in range(100):\n"
      "                kept.append(Leak()) # site\n            did.release()\n"
      "threading.Thread(target=work, daemon=True).start()\n"
      "def step():\n    go.release()\n    did.acquire()\n",
      BSK_EVIDENCE_IN_USE },
    { "many small holders",
      "kept = {}\ndef step():\n    for i in range(100):\n"
      "        globals()['v%d' % len(kept)] = Leak() # site\n        kept[len(kept)] = 1\n",
      BSK_EVIDENCE_NONE },
};

static uint32_t line_of_site(const char *code)
{
    uint32_t line = 1;
    const char *site = strstr(code, "# site");
    assert_non_null(site);
    for (const char *at = code; at < site; at++)
        line += *at == '\n';
    return line;
}

static struct bsk_evidence look_at_site(struct debuggee *debuggee, uint32_t line,
                                        struct bsk_hold *hold)
{
    const struct bsk_references_site site = { "/app/program.py", line };
    const struct bsk_references_wish wish = { .sites = &site, .site_count = 1 };
    struct bsk_graph *graph = graph_of(debuggee, &wish);
    struct bsk_nodes objects = { NULL, 0 };
    struct bsk_evidence evidence;
    assert_int_equal(bsk_graph_of_group(graph, 0, &objects, NULL), BSK_OK);
    assert_int_equal(bsk_hold_look(graph, &objects, hold, &evidence, NULL), BSK_OK);
    bsk_nodes_free(&objects);
    bsk_graph_free(graph);
    return evidence;
}

static void evidence_tells_leaks_from_what_only_grows(void **state)
{
    (void)state;
    const char *const *first = all_pythons();
    for (const char *const *python = first; *python; python++) {
        print_message("  %s\n", *python);
        for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++) {
            if (python != first && (i + (size_t)(python - first)) % 3 != 0 && !getenv("ALL"))
                continue; /* all on one, a third on each other: it takes minutes */
            struct debuggee debuggee = start_debuggee(*python);
            struct bsk_hold hold = { 0 };
            struct bsk_evidence evidence = { 0 };
            bsk_memory_job_free(debuggee_job(&debuggee, &bsk_script_start, NULL, NULL));
            app_does(&debuggee, "class Leak:\n    def __init__(self): self.x = 1\n");
            debuggee_does(&debuggee, "import ctypes"); /* 3.11: as pydevd does */
            app_does(&debuggee, growths[i].code);
            for (int looks = 0; looks < 5; looks++) {
                app_does(&debuggee, "step()");
                evidence = look_at_site(&debuggee, line_of_site(growths[i].code), &hold);
                if (getenv("VERBOSE"))
                    print_message("    %s: %d of %u, share %.2f, grown %u, holder %s\n",
                                  growths[i].why, evidence.kind, hold.objects, evidence.share,
                                  hold.grown, evidence.holder);
                assert_true(looks > 0 || evidence.kind != BSK_EVIDENCE_LEAKED);
            }
            if (evidence.kind != growths[i].kind)
                print_error("%s: %d, not %d\n", growths[i].why, evidence.kind, growths[i].kind);
            assert_int_equal(evidence.kind, growths[i].kind);
            stop_debuggee(&debuggee);
        }
    }
}

static void taking_the_roots_reference_away_takes_the_evidence_back(void **state)
{
    (void)state;
    static const char code[] = "kept = []\n"
                               "def step():\n"
                               "    for i in range(100):\n"
                               "        kept.append(Leak()) # site\n";
    for (const char *const *python = all_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        struct bsk_hold hold = { 0 };
        struct bsk_evidence evidence = { 0 };
        debuggee_does(&debuggee, "import ctypes");
        bsk_memory_job_free(debuggee_job(&debuggee, &bsk_script_start, NULL, NULL));
        app_does(&debuggee, "class Leak:\n    def __init__(self): self.x = 1\n");
        app_does(&debuggee, code);
        for (int looks = 0; looks < 3; looks++) {
            app_does(&debuggee, "step()");
            evidence = look_at_site(&debuggee, line_of_site(code), &hold);
        }
        assert_int_equal(evidence.kind, BSK_EVIDENCE_LEAKED);
        assert_true(evidence.graphs >= 2 && evidence.share > 0.9);
        app_does(&debuggee, "kept = []\nstep()");
        evidence = look_at_site(&debuggee, line_of_site(code), &hold);
        assert_int_not_equal(evidence.kind, BSK_EVIDENCE_LEAKED);
        stop_debuggee(&debuggee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_planted_holder_and_its_label_lie_on_the_first_way),
        cmocka_unit_test(evidence_tells_leaks_from_what_only_grows),
        cmocka_unit_test(taking_the_roots_reference_away_takes_the_evidence_back),
    };
    if (getenv("ONLY"))
        cmocka_set_test_filter(getenv("ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
