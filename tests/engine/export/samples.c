#include "tests/engine/export/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000000 };

static struct bsk_profile *begin(const char *name)
{
    struct bsk_profile *profile = bsk_profile_new(0);
    if (!profile)
        abort();
    struct bsk_profile_meta *meta = bsk_profile_meta(profile);
    snprintf(meta->name, sizeof(meta->name), "%s", name);
    snprintf(meta->python, sizeof(meta->python), "3.13.0");
    snprintf(meta->command, sizeof(meta->command), "python %s", name);
    snprintf(meta->reason, sizeof(meta->reason), "program ended");
    meta->started_unix_ns = 1700000000LL * 1000000000;
    meta->rate_hz = 100;
    return profile;
}

static struct bsk_profile *finish(struct bsk_profile *profile, uint64_t duration_ns)
{
    struct bsk_profile_meta *meta = bsk_profile_meta(profile);
    meta->duration_ns = duration_ns;
    meta->samples = bsk_profile_samples(profile);
    meta->sweeps = duration_ns / (10 * MS);
    return profile;
}

static uint32_t python(struct bsk_profile *profile, const char *name, uint32_t line)
{
    return bsk_profile_function(profile, name, "/srv/my app/app.py", line, BSK_FUNCTION_PYTHON);
}

static uint32_t two(struct bsk_profile *profile, uint32_t track, uint32_t outer,
                    uint32_t outer_line, uint32_t inner, uint32_t inner_line)
{
    const struct bsk_profile_frame frames[] = { { outer, outer_line }, { inner, inner_line } };
    return bsk_profile_stack(profile, track, frames, 2);
}

static struct bsk_profile *empty(void)
{
    return finish(begin(""), 0);
}

static struct bsk_profile *only_idle(void)
{
    struct bsk_profile *profile = begin("sleeper.py");
    bsk_profile_track(profile, 4711, 4711, "sleeper.py", "MainThread");
    return finish(profile, 2000 * (uint64_t)MS);
}

/* Lines of one function, a pause, the debugger, and CPU time that no run carries. */
static struct bsk_profile *one_thread(void)
{
    struct bsk_profile *profile = begin("app.py");
    uint32_t track = bsk_profile_track(profile, 4711, 4711, "app.py", "MainThread");
    uint32_t module = python(profile, "<module>", 1), hot = python(profile, "hot", 10);
    uint32_t debugger = bsk_profile_function(profile, "(debugger)", "", 0, BSK_FUNCTION_SPECIAL);
    uint32_t at_11 = two(profile, track, module, 40, hot, 11);
    uint32_t at_12 = two(profile, track, module, 40, hot, 12);
    uint32_t traced = two(profile, track, module, 41, debugger, 0);
    bsk_profile_add(profile, at_11, 0, 10 * MS, 10 * MS, 1);
    bsk_profile_add(profile, at_12, 10 * MS, 10 * MS, 9 * MS, 1);
    bsk_profile_add(profile, at_11, 20 * MS, 10 * MS, 10 * MS, 1);
    bsk_profile_add(profile, at_11, 80 * MS, 10 * MS, 10 * MS, 1);
    bsk_profile_add(profile, traced, 90 * MS, 10 * MS, 4 * MS, 1);
    bsk_profile_add(profile, at_12, 100 * MS, 0, 123, 0);
    return finish(profile, 100 * MS);
}

/* Two processes, three threads; two run at once; one of the threads is never on the CPU. */
static struct bsk_profile *threads(void)
{
    struct bsk_profile *profile = begin("app.py");
    uint32_t first = bsk_profile_track(profile, 4711, 4711, "app.py", "MainThread");
    uint32_t second = bsk_profile_track(profile, 4711, 4712, "app.py", "Thread 4712");
    uint32_t child = bsk_profile_track(profile, 4800, 4800, "worker.py", "MainThread");
    bsk_profile_track(profile, 4711, 4713, "app.py", "idle one");
    bsk_profile_name_track(profile, second, "pool-0");
    uint32_t module = python(profile, "<module>", 1), work = python(profile, "work", 5);
    bsk_profile_add(profile, two(profile, first, module, 2, work, 6), 0, 20 * MS, 20 * MS, 2);
    bsk_profile_add(profile, two(profile, second, module, 3, work, 7), 0, 20 * MS, 10 * MS, 1);
    bsk_profile_add(profile, two(profile, child, module, 2, work, 6), 5 * MS, 40 * MS, 40 * MS, 4);
    bsk_profile_add(profile, two(profile, first, module, 2, work, 8), 30 * MS, 10 * MS, 10 * MS, 1);
    return finish(profile, 50 * MS);
}

static struct bsk_profile *strange_names(void)
{
    struct bsk_profile *profile = begin("n\xc3\xa4me \xf0\x9f\x90\x8d\".py");
    uint32_t track =
        bsk_profile_track(profile, 1, 1, "n\xc3\xa4me.py", "thread \x01\x1b[31m\xff\xc0\xaf\n");
    static const char *const names[] = { "gr\xc3\xb6\xc3\x9f", "\xe8\x9b\x87",   "\xf0\x9f\x90\x8d",
                                         "tab\there",          "quote\"slash\\", "nul-ish\x01\x7f",
                                         "broken\xff\xfe",     "<lambda>" };
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint32_t function =
            bsk_profile_function(profile, names[i], i % 2 ? "/tmp/\xc3\xa4 b#?%.py" : "<string>", i,
                                 BSK_FUNCTION_PYTHON);
        const struct bsk_profile_frame frame = { function, i };
        bsk_profile_add(profile, bsk_profile_stack(profile, track, &frame, 1),
                        i * 10 * (uint64_t)MS, 10 * MS, 10 * MS, 1);
    }
    bsk_profile_add(profile, bsk_profile_stack(profile, track, NULL, 0), 80 * MS, 10 * MS, 10 * MS,
                    1);
    return finish(profile, 90 * MS);
}

static struct bsk_profile *deep(void)
{
    enum { DEPTH = 10000 };
    static struct bsk_profile_frame frames[DEPTH];
    struct bsk_profile *profile = begin("deep.py");
    uint32_t track = bsk_profile_track(profile, 1, 1, "deep.py", "MainThread");
    uint32_t even = python(profile, "even", 1), odd = python(profile, "odd", 4);
    for (uint32_t i = 0; i < DEPTH; i++)
        frames[i] = (struct bsk_profile_frame){ i % 2 ? odd : even, i % 2 ? 5 : 2 };
    for (uint32_t i = 0; i < 50; i++)
        bsk_profile_add(profile, bsk_profile_stack(profile, track, frames, DEPTH - i),
                        i * 10 * (uint64_t)MS, 10 * MS, 10 * MS, 1);
    return finish(profile, 500 * MS);
}

/* 200 functions, stacks at random: many more nodes than a viewer can show. */
static struct bsk_profile *pruned(void)
{
    enum { FUNCTIONS = 200, SAMPLES = 40000, DEPTH = 12 };
    struct bsk_profile *profile = begin("big.py");
    uint32_t tracks[2], functions[FUNCTIONS], seed = 1;
    tracks[0] = bsk_profile_track(profile, 1, 1, "big.py", "MainThread");
    tracks[1] = bsk_profile_track(profile, 1, 2, "big.py", "Thread 2");
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%u", i);
        functions[i] = python(profile, name, i * 10 + 1);
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct bsk_profile_frame frames[DEPTH];
        for (uint32_t d = 0; d < DEPTH; d++) {
            seed = seed * 1664525 + 1013904223;
            uint32_t f = (seed >> 16) % (d < 4 ? 2 : FUNCTIONS);
            frames[d] = (struct bsk_profile_frame){ functions[f], f * 10 + 2 + (seed >> 28) % 3 };
        }
        bsk_profile_add(profile, bsk_profile_stack(profile, tracks[i % 2], frames, DEPTH),
                        i / 2 * 10 * (uint64_t)MS, 10 * MS, 7 * MS, 1);
    }
    return finish(profile, SAMPLES / 2 * 10 * (uint64_t)MS);
}

/* A timeline far past its ceiling: stacks are cut in it, weights stay. */
static struct bsk_profile *coarse(void)
{
    enum { FUNCTIONS = 500, SAMPLES = 20000 };
    struct bsk_profile *profile = bsk_profile_new(64);
    if (!profile)
        abort();
    uint32_t track = bsk_profile_track(profile, 1, 1, "long.py", "MainThread");
    uint32_t main_function = python(profile, "main", 1), seed = 7;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        char name[16];
        seed = seed * 1664525 + 1013904223;
        snprintf(name, sizeof(name), "f%u", (seed >> 16) % FUNCTIONS);
        uint32_t node = two(profile, track, main_function, 2, python(profile, name, 1), 3);
        bsk_profile_add(profile, node, i * 10 * (uint64_t)MS, 10 * MS, 5 * MS + i, 1);
    }
    return finish(profile, SAMPLES * 10 * (uint64_t)MS);
}

/* Every kind of code, asleep and waiting for the GIL, by the wall clock. */
static struct bsk_profile *kinds(void)
{
    static const struct {
        const char *name, *path;
        uint32_t line;
    } functions[] = {
        { "<module>", "/srv/shop/run.py", 1 },
        { "Server.serve", "/srv/shop/web/server.py", 30 },
        { "render", "/srv/shop/venv/lib/python3.13/site-packages/templates/render.py", 88 },
        { "loads", "/usr/lib/python3.13/json/__init__.py", 299 },
        { "_find_and_load", "<frozen importlib._bootstrap>", 1349 },
        { "parse", "/srv/shop/venv/lib/python3.13/site-packages/fast/_parse.pyx", 12 },
        { "(garbage collector)", "", 0 },
        { "(unread)", "", 0 },
        { "wait", "/usr/lib/python3.13/threading.py", 327 },
    };
    static const uint8_t stacks[][6] = { /* function numbers from 1, outermost first */
                                         { 1, 2, 3 },       { 1, 2, 3, 4 }, { 1, 2, 3, 6 },
                                         { 1, 2, 3, 4, 7 }, { 1, 5 },       { 1, 2, 8 },
                                         { 1, 2 }
    };
    struct bsk_profile *profile = begin("run.py");
    uint32_t index[16], first = bsk_profile_track(profile, 7, 7, "run.py", "MainThread");
    uint32_t second = bsk_profile_track(profile, 7, 8, "run.py", "pool-1_0");
    struct bsk_profile_meta *meta = bsk_profile_meta(profile);
    meta->clock = BSK_CLOCK_WALL;
    meta->method = BSK_METHOD_TICK;
    meta->filled = 12;
    meta->unread = 4;
    meta->torn = 1;
    for (uint32_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        index[i] =
            bsk_profile_function(profile, functions[i].name, functions[i].path, functions[i].line,
                                 functions[i].path[0] ? BSK_FUNCTION_PYTHON : BSK_FUNCTION_SPECIAL);
    uint64_t at_ns = 0;
    for (uint32_t s = 0; s < sizeof(stacks) / sizeof(stacks[0]); s++) {
        struct bsk_profile_frame frames[6];
        size_t depth = 0;
        for (; depth < 6 && stacks[s][depth]; depth++) {
            uint32_t f = stacks[s][depth] - 1U;
            frames[depth] =
                (struct bsk_profile_frame){ index[f],
                                            functions[f].line ? functions[f].line + s + 1 : 0 };
        }
        uint32_t samples = 40U >> s;
        uint32_t node = bsk_profile_stack(profile, first, frames, depth);
        samples += samples == 0;
        bsk_profile_add(profile, node, at_ns, samples * 10 * (uint64_t)MS,
                        samples * 10 * (uint64_t)MS, samples);
        bsk_profile_add_states(profile, node, samples * 7 * (uint64_t)MS, samples * MS, 0);
        at_ns += samples * 10 * (uint64_t)MS;
    }
    const struct bsk_profile_frame asleep[] = { { index[0], 9 }, { index[8], 359 } };
    uint32_t node = bsk_profile_stack(profile, second, asleep, 2);
    bsk_profile_add(profile, node, 0, at_ns, at_ns, (uint32_t)(at_ns / 10 / MS));
    bsk_profile_add_states(profile, node, 0, 0, at_ns);
    return finish(profile, at_ns);
}

/* One line that runs at two columns and calls from three; one that is seen at no column most. */
static struct bsk_profile *columns(void)
{
    struct bsk_profile *profile = begin("app.py");
    uint32_t track = bsk_profile_track(profile, 7, 7, "app.py", "MainThread");
    uint32_t module = python(profile, "<module>", 1), work = python(profile, "work", 10);
    uint32_t f = python(profile, "f", 20), g = python(profile, "g", 30);
    const struct bsk_profile_frame in_f[] = { { module, 40 }, { work, 11 }, { f, 21 } };
    const struct bsk_profile_frame in_g[] = { { module, 40 }, { work, 11 }, { g, 31 } };
    uint32_t nodes[] = { two(profile, track, module, 40, work, 11),
                         bsk_profile_stack(profile, track, in_f, 3),
                         bsk_profile_stack(profile, track, in_g, 3) };
    static const struct {
        uint32_t node, column, called;
    } seen[] = { { 0, 5, 1 },  { 0, 12, 1 }, { 1, 9, 12 },  { 1, 9, 12 }, { 1, 9, 5 },
                 { 2, 3, 20 }, { 2, 7, 20 }, { 2, 15, 20 }, { 0, 12, 1 }, { 1, 0, 0 } };
    for (uint32_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
        uint32_t node = nodes[seen[i].node];
        bsk_profile_add(profile, node, i * 10 * (uint64_t)MS, 10 * MS, 10 * MS - i, 1);
        bsk_profile_saw_column(profile, node, seen[i].column, 1);
        bsk_profile_called_from(profile, node, seen[i].called);
    }
    return finish(profile, 100 * MS);
}

const struct sample_profile sample_profiles[] = {
    { "kinds", kinds, true },         { "empty", empty, true },
    { "only-idle", only_idle, true }, { "one-thread", one_thread, true },
    { "threads", threads, true },     { "strange-names", strange_names, true },
    { "deep", deep, false },          { "pruned", pruned, false },
    { "coarse", coarse, false },      { "columns", columns, true },
};
const size_t sample_profile_count = sizeof(sample_profiles) / sizeof(sample_profiles[0]);
