/* What our scripts leave in a program, and what they must not run: nothing. */
#include "engine/memory/growth.h"
#include "tests/engine/memory/debuggee.h"

#include <stdlib.h>
#include <string.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Everything of a program's that we could have touched. */
static const char look[] =
    "import sys, gc, builtins, os, threading, _thread, signal, warnings, linecache, tracemalloc, "
    "time\n"
    "def ids(names): return {str(k): id(v) for k, v in list(names.items())}\n"
    "def look():\n"
    "    gc.collect()\n"
    "    return dict(\n"
    "        modules=ids(sys.modules), builtins=ids(vars(builtins)), main=sorted(globals()),\n"
    "        gc=(gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.callbacks), "
    "len(gc.garbage)),\n"
    "        threads=(_thread._count(), len(sys._current_frames()), threading.enumerate()),\n"
    "        stack_size=threading.stack_size(), switch=sys.getswitchinterval(),\n"
    "        fds=sorted(os.listdir('/proc/self/fd')), tmp=[f for f in os.listdir('/tmp') if "
    "f.startswith('.basilisk-') and len(f) == 43],\n"
    "        tracing=(tracemalloc.is_tracing(), tracemalloc.get_traceback_limit()),\n"
    "        path=(list(sys.path), list(map(id, sys.meta_path)), "
    "sorted(sys.path_importer_cache)),\n"
    "        hooks=(sys.gettrace(), sys.getprofile(), id(sys.excepthook), "
    "sys.getrecursionlimit()),\n"
    "        signals=[str(signal.getsignal(i)) for i in (1, 2, 13, 15)], "
    "environ=dict(os.environ),\n"
    "        warnings=list(map(str, warnings.filters)), lines=sorted(linecache.cache),\n"
    "        classes=len(object.__subclasses__()))\n"
    "def settle(count):\n" /* a thread of ours takes a moment to end */
    "    end = time.monotonic() + 30\n"
    "    while _thread._count() > count and time.monotonic() < end: time.sleep(0.001)\n";

static struct bsk_memory_job *job_of(struct debuggee *debuggee, const struct bsk_script *script,
                                     const char *python_options,
                                     const struct bsk_memory_job_how *how)
{
    struct bsk_script_options options = { 0 };
    bsk_buffer_text_append(&options.text, python_options);
    struct bsk_memory_job *job = debuggee_job(debuggee, script, &options, how);
    bsk_buffer_free(&options.text);
    return job;
}

static void do_job(struct debuggee *debuggee, const struct bsk_script *script,
                   const char *python_options)
{
    struct bsk_memory_job *job = job_of(debuggee, script, python_options, NULL);
    result_of(job);
    bsk_memory_job_free(job);
}

static struct bsk_memory_snapshot *snapshot_of(struct debuggee *debuggee,
                                               const struct bsk_memory_job_how *how)
{
    struct bsk_memory_snapshot *snapshot = NULL;
    struct bsk_error err = { 0 };
    struct bsk_memory_job *job = job_of(debuggee, &bsk_script_snapshot, "", how);
    if (bsk_memory_snapshot_new(result_of(job), &snapshot, &err) < 0)
        fail_msg("%s", err.message);
    bsk_memory_job_free(job);
    return snapshot;
}

static void remove_agent(struct debuggee *debuggee)
{
    struct bsk_buffer text = { 0 };
    const void *bytes;
    size_t size;
    bsk_script_remove(&text);
    assert_int_equal(debuggee_runs(debuggee, bsk_buffer_text(&text), &bytes, &size), BSK_OK);
    bsk_buffer_free(&text);
}

/* The whole life of a tracking, twice over. */
static void everything(struct debuggee *debuggee)
{
    for (int i = 0; i < 2; i++) {
        do_job(debuggee, &bsk_script_start, "");
        bsk_memory_snapshot_free(snapshot_of(debuggee, NULL));
        bsk_memory_snapshot_free(snapshot_of(debuggee, NULL));
        do_job(debuggee, &bsk_script_census, "'sizes': -1,");
        do_job(debuggee, &bsk_script_collect, "");
        do_job(debuggee, &bsk_script_stop, "");
        remove_agent(debuggee);
    }
}

static void nothing_of_the_programs_is_touched(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        debuggee_does(&debuggee, look);
        debuggee_does(&debuggee, "gc.set_threshold(650, 9, 8)\n"
                                 "before = after = None; before = look()");
        everything(&debuggee);
        debuggee_does(&debuggee, "settle(before['threads'][0]); after = look()");
        assert_string_equal(
            debuggee_says(&debuggee,
                          "[(k, before[k], after[k]) for k in before if before[k] != after[k]]"),
            "[]");
        stop_debuggee(&debuggee);
    }
}

static void a_programs_own_tracing_stays_its_own(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        debuggee_does(&debuggee, look);
        debuggee_does(&debuggee, "tracemalloc.start(5)\n"
                                 "keep = [(i,) for i in range(300000)]\n"
                                 "before = after = totals = now = None; before = look()\n"
                                 "totals = tracemalloc.get_traced_memory()");
        struct bsk_memory_snapshot *snapshot = snapshot_of(&debuggee, NULL);
        assert_true(snapshot->foreign);
        assert_int_equal(snapshot->frames, 5);
        bsk_memory_snapshot_free(snapshot);
        everything(&debuggee);
        debuggee_does(&debuggee, "settle(before['threads'][0]); after = look()\n"
                                 "now = tracemalloc.get_traced_memory()");
        /* 3.8 and 3.9 keep the type that memory without tracing is made with. */
        debuggee_does(&debuggee, "if sys.version_info < (3, 10): del before['classes']");
        assert_string_equal(
            debuggee_says(&debuggee,
                          "[(k, before[k], after[k]) for k in before if before[k] != after[k]]"),
            "[]");
        /* The marshalled blocks alone are 6.6 MB: they must not have been traced. */
        long long grown = debuggee_number(&debuggee, "now[0] - totals[0]");
        long long peak = debuggee_number(&debuggee, "max(0, now[1] - totals[1])");
        print_message("    %+lld bytes, peak %+lld\n", grown, peak);
        assert_true(grown < 400000);
        assert_true(peak < 7000000);
        stop_debuggee(&debuggee);
    }
}

static void runs_nothing_that_the_program_has_replaced(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        debuggee_does(
            &debuggee,
            "import builtins, sys\n"
            "ran = []\n"
            "def trap(name):\n"
            "    def f(*a, **k): ran.append(name); raise RuntimeError(name)\n"
            "    return f\n"
            "class Finder:\n"
            "    find_spec = find_module = trap('finder')\n"
            "sys.meta_path.insert(0, Finder())\n"
            "class Meta(type):\n"
            "    __hash__ = __eq__ = __getattribute__ = __subclasses__ = mro2 = trap('meta')\n"
            "    __instancecheck__ = __subclasscheck__ = __repr__ = __len__ = trap('meta')\n"
            "class Odd(metaclass=Meta):\n"
            "    __sizeof__ = __repr__ = __hash__ = __eq__ = trap('odd')\n"
            "    __getattribute__ = trap('odd')\n"
            "    __module__ = 5\n"
            "odd = [type.__call__(Odd) for i in range(10)]\n"
            "class Sized:\n"
            "    __sizeof__ = trap('sized')\n"
            "class Below(Sized, list): pass\n"
            "sized = [Sized(), Below(), Below([1])]\n"
            "for name in ('__import__', 'open', 'print', 'input', 'breakpoint'):\n"
            "    setattr(builtins, name, trap(name))\n");
        everything(&debuggee);
        do_job(&debuggee, &bsk_script_start, "");
        struct bsk_memory_snapshot *snapshot = snapshot_of(&debuggee, NULL);
        size_t odd = 0;
        for (size_t i = 0; i < snapshot->type_count; i++)
            odd += strcmp(snapshot->types[i].name, "Odd") == 0 && snapshot->types[i].count == 10;
        assert_int_equal(odd, 1);
        bsk_memory_snapshot_free(snapshot);
        assert_string_equal(debuggee_says(&debuggee, "ran"), "[]");
        stop_debuggee(&debuggee);
    }
}

static void waits_for_no_lock_of_a_stopped_program(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        struct bsk_memory_job_how how = { .pid = debuggee.pid, .wait_ms = 20, .stopped = true };
        print_message("  %s\n", *python);
        /* The main thread holds the lock, as at a breakpoint within `with lock:`. A collection of
         * the garbage would wait for it on whichever thread it runs. The first of our calls comes
         * when hardly a container may be made before one is due. */
        debuggee_does(&debuggee, "import threading, gc, time\n"
                                 "lock = threading.Lock()\n"
                                 "class Waits:\n"
                                 "    def __del__(self):\n"
                                 "        with lock: pass\n"
                                 "def soon():\n"
                                 "    gc.collect()\n"
                                 "    gc.disable()\n"
                                 "    for i in range(3):\n"
                                 "        w = Waits(); w.me = w\n"
                                 "    del w\n"
                                 "    lock.acquire()\n"
                                 "    gc.set_threshold(gc.get_count()[0] + 250)\n"
                                 "    gc.enable()\n");
        const struct bsk_script *const scripts[] = { &bsk_script_start, &bsk_script_snapshot,
                                                     &bsk_script_census };
        do_job(&debuggee, &bsk_script_census, ""); /* brings the agent */
        for (size_t i = 0; i < 3; i++) {
            debuggee_does(&debuggee, "soon()");
            struct bsk_memory_job *job = job_of(&debuggee, scripts[i], "", &how);
            result_of(job);
            bsk_memory_job_free(job);
            debuggee_does(&debuggee, "was = gc.isenabled(); gc.disable(); lock.release()");
            assert_string_equal(debuggee_says(&debuggee, "was"), "True");
        }
        stop_debuggee(&debuggee);
    }
}

static void dumps_without_any_file_or_shared_sight(void **state)
{
    (void)state;
    static const struct {
        const char *why, *code;
        bool out_of_sight, through_channel;
    } cases[] = {
        { "memory without a name", "", false, false },
        { "no memfd_create (built for an old C library): an unlinked file",
          "import posix\nif hasattr(posix, 'memfd_create'): del posix.memfd_create", false, false },
        { "no O_TMPFILE either", "posix.O_TMPFILE = 0", false, false },
        { "all file systems are full",
          "import types; posix.fstatvfs = lambda fd: types.SimpleNamespace(f_bavail=0, f_frsize=1)",
          false, true },
        { "no temporary folder at all",
          "def no(*a, **k): raise OSError(2, 'no such folder')\nposix.open = no", false, true },
        { "another machine", "", true, true },
    };
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        debuggee_does(&debuggee, "keep = []");
        do_job(&debuggee, &bsk_script_start, "");
        debuggee_does(&debuggee, "keep += [bytearray(1000) for i in range(2000)]");
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct bsk_memory_job_how how = { .pid = cases[i].out_of_sight ? 0 : debuggee.pid,
                                              .wait_ms = 20,
                                              .piece_bytes = 7001 };
            print_message("    %s\n", cases[i].why);
            debuggee_does(&debuggee, cases[i].code);
            long long files =
                debuggee_number(&debuggee, "len(__import__('os').listdir('/proc/self/fd'))");
            struct bsk_memory_job *job = job_of(&debuggee, &bsk_script_snapshot, "", &how);
            const struct bsk_memory_job_result *result = result_of(job);
            assert_int_equal(result->through_channel, cases[i].through_channel);
            struct bsk_memory_snapshot *snapshot = NULL;
            struct bsk_error err = { 0 };
            assert_int_equal(bsk_memory_snapshot_new(result, &snapshot, &err), BSK_OK);
            assert_string_equal(snapshot->sites[0].path, "/app/program.py");
            assert_true(snapshot->sites[0].bytes > 2000000);
            bsk_memory_snapshot_free(snapshot);
            bsk_memory_job_free(job);
            assert_int_equal(
                debuggee_number(&debuggee, "len(__import__('os').listdir('/proc/self/fd'))"),
                files);
        }
        stop_debuggee(&debuggee);
    }
}

static void over_the_budget_it_says_what_is_missing(void **state)
{
    (void)state;
    static const struct {
        const char *why, *options;
        bool sites, types;
    } cases[] = {
        { "too long", "'budget_ms': 10,", false, false },
        { "too much memory", "'budget_bytes': 1000000,", false, false },
        { "enough", "", true, true },
    };
    const char *python = gil_pythons()[0];
    struct debuggee debuggee = start_debuggee(python);
    struct bsk_memory_history *history = bsk_memory_history_new();
    struct bsk_error err = { 0 };
    do_job(&debuggee, &bsk_script_start, "");
    debuggee_does(&debuggee, "keep = [[i] for i in range(200000)]");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        print_message("    %s\n", cases[i].why);
        struct bsk_memory_job *job =
            job_of(&debuggee, &bsk_script_snapshot, cases[i].options, NULL);
        struct bsk_memory_snapshot *snapshot = NULL;
        assert_int_equal(bsk_memory_snapshot_new(result_of(job), &snapshot, &err), BSK_OK);
        bsk_memory_job_free(job);
        assert_int_equal(snapshot->has_sites, cases[i].sites);
        assert_int_equal(snapshot->has_types, cases[i].types);
        assert_int_equal(snapshot->truncated, !cases[i].sites);
        assert_int_equal(snapshot->missing[0] != '\0', !cases[i].sites);
        assert_true(snapshot->traced_bytes > 10000000);
        if (snapshot->missing[0])
            print_message("      %s\n", snapshot->missing);
        assert_int_equal(bsk_memory_history_add(history, snapshot, &err), BSK_OK);
    }
    struct bsk_memory_diff *diff = NULL;
    assert_int_equal(bsk_memory_history_diff(history, 0, 0, &diff, &err), BSK_OK);
    assert_false(diff->sites_comparable);
    assert_int_equal(diff->leak_count, 0); /* all is new in it, and nothing of that is growth */
    assert_true(diff->missing[0]);
    bsk_memory_diff_free(diff);
    bsk_memory_history_free(history);
    stop_debuggee(&debuggee);
}

static const struct bsk_memory_site *site_at(const struct bsk_memory_snapshot *snapshot,
                                             uint32_t line)
{
    for (size_t i = 0; i < snapshot->site_count; i++)
        if (snapshot->sites[i].line == line &&
            strcmp(snapshot->sites[i].path, "/app/program.py") == 0)
            return &snapshot->sites[i];
    fail_msg("no line %u", line);
    return NULL;
}

static struct bsk_memory_snapshot *snapshot_with(struct debuggee *debuggee, const char *options)
{
    struct bsk_memory_snapshot *snapshot = NULL;
    struct bsk_error err = { 0 };
    struct bsk_memory_job *job = job_of(debuggee, &bsk_script_snapshot, options, NULL);
    assert_int_equal(bsk_memory_snapshot_new(result_of(job), &snapshot, &err), BSK_OK);
    bsk_memory_job_free(job);
    return snapshot;
}

/* Against the same snapshot with all blocks in it: what nodes refer to, what is in a large list,
 * what stands alone. */
static void over_the_budget_lines_are_estimated(void **state)
{
    (void)state;
    static const uint32_t lines[] = { 4, 5, 6 };
    for (const char *const *python = all_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        do_job(&debuggee, &bsk_script_start, "");
        debuggee_does(&debuggee, "class Node:\n"
                                 "    __slots__ = ('x',)\n"
                                 "    def __init__(self, i):\n"
                                 "        self.x = b'%d of some' % i\n"
                                 "kept = [Node(i) for i in range(150000)]\n"
                                 "texts = [str(i) + ' and more' for i in range(150000)]\n");
        struct bsk_memory_snapshot *some = snapshot_with(&debuggee, "'budget_bytes': 40000000,");
        struct bsk_memory_snapshot *all = snapshot_with(&debuggee, "");
        assert_false(some->has_sites);
        assert_true(some->truncated);
        assert_non_null(strstr(some->missing, "lines are estimated from "));
        assert_true(all->has_sites);
        uint64_t told = some->rest_bytes + some->debugger_bytes;
        for (size_t i = 0; i < some->site_count; i++)
            told += some->sites[i].bytes;
        assert_true(told <= some->traced_bytes && told >= some->traced_bytes - 1000);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            const struct bsk_memory_site *guess = site_at(some, lines[i]);
            const struct bsk_memory_site *truth = site_at(all, lines[i]);
            print_message("    line %u: %llu of %llu bytes, %llu of %llu blocks\n", lines[i],
                          (unsigned long long)guess->bytes, (unsigned long long)truth->bytes,
                          (unsigned long long)guess->count, (unsigned long long)truth->count);
            /* Buffers of lists that came from a free list are nobody's. */
            assert_in_range(guess->bytes * 100, truth->bytes * 75, truth->bytes * 107);
            assert_in_range(guess->count * 100, truth->count * 93, truth->count * 107);
        }
        bsk_memory_snapshot_free(some);
        bsk_memory_snapshot_free(all);
        stop_debuggee(&debuggee);
    }
}

static void works_beside_threads_and_tasks(void **state)
{
    (void)state;
    for (const char *const *python = gil_pythons(); *python; python++) {
        struct debuggee debuggee = start_debuggee(*python);
        print_message("  %s\n", *python);
        debuggee_does(&debuggee, look);
        debuggee_does(
            &debuggee,
            "import threading, asyncio, _thread\n"
            "bell, up = threading.Event(), threading.Barrier(201)\n"
            "def stand(): up.wait(); bell.wait()\n"
            "threads = [threading.Thread(target=stand, daemon=True) for i in range(200)]\n"
            "[t.start() for t in threads]\n"
            "up.wait()\n"
            "ticks = [0]\n"
            "async def tick():\n"
            "    while True: ticks[0] += 1; await asyncio.sleep(0.001)\n"
            "async def main(): await asyncio.gather(*[tick() for i in range(20)])\n"
            "loop = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)\n"
            "loop.start()\n"
            "while ticks[0] < 100: pass\n"
            "count = _thread._count()\n");
        everything(&debuggee);
        debuggee_does(&debuggee, "settle(count)");
        assert_string_equal(debuggee_says(&debuggee, "_thread._count() - count"), "0");
        debuggee_does(&debuggee, "now = ticks[0]\nwhile ticks[0] < now + 100: pass");
        stop_debuggee(&debuggee);
    }
}

static void a_job_that_is_not_wanted_any_more_leaves_nothing(void **state)
{
    (void)state;
    struct debuggee debuggee = start_debuggee(gil_pythons()[0]);
    struct bsk_memory_job_how how = { .pid = debuggee.pid };
    struct bsk_memory_job *job = NULL;
    struct bsk_error err = { 0 };
    const char *text;
    uint32_t timeout_ms;
    const void *bytes;
    size_t size;
    do_job(&debuggee, &bsk_script_start, "");
    debuggee_does(&debuggee, "import os, _thread\nkeep = [(i,) for i in range(300000)]\n"
                             "count = _thread._count(); files = len(os.listdir('/proc/self/fd'))");
    assert_int_equal(bsk_memory_job_new(&bsk_script_snapshot, NULL, &how, &job, &err), BSK_OK);
    text = bsk_memory_job_next(job, &timeout_ms);
    assert_non_null(text);
    assert_null(bsk_memory_job_next(job, &timeout_ms)); /* one at a time */
    bsk_memory_job_cancel(job, "not wanted");
    assert_int_equal(debuggee_runs(&debuggee, text, &bytes, &size), BSK_OK);
    bsk_memory_job_answer(job, BSK_OK, bytes, size, NULL);
    text = bsk_memory_job_next(job, &timeout_ms); /* the drop */
    assert_non_null(text);
    assert_int_equal(debuggee_runs(&debuggee, text, &bytes, &size), BSK_OK);
    bsk_memory_job_answer(job, BSK_OK, bytes, size, NULL);
    assert_true(bsk_memory_job_ended(job));
    assert_null(bsk_memory_job_result(job, &err));
    assert_string_equal(err.message, "not wanted");
    bsk_memory_job_free(job);
    debuggee_does(&debuggee, "while _thread._count() > count: pass");
    assert_string_equal(debuggee_says(&debuggee, "len(os.listdir('/proc/self/fd')) - files"), "0");
    stop_debuggee(&debuggee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_no_lock_of_a_stopped_program),
        cmocka_unit_test(nothing_of_the_programs_is_touched),
        cmocka_unit_test(a_programs_own_tracing_stays_its_own),
        cmocka_unit_test(runs_nothing_that_the_program_has_replaced),
        cmocka_unit_test(dumps_without_any_file_or_shared_sight),
        cmocka_unit_test(over_the_budget_it_says_what_is_missing),
        cmocka_unit_test(over_the_budget_lines_are_estimated),
        cmocka_unit_test(works_beside_threads_and_tasks),
        cmocka_unit_test(a_job_that_is_not_wanted_any_more_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
