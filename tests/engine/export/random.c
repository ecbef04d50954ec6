#include "tests/engine/export/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What programs, packages and broken memory have called things. */
static const char *const names[] = {
    "main",
    "<module>",
    "<lambda>",
    "Class.method.<locals>.inner",
    "]]>",
    "</title></svg><script>alert(1)</script>",
    "&amp;&#0;&",
    "quote\"apostrophe'back\\slash",
    "semi;colon; 17",
    "line\nbreak\r\n\ttab",
    "\x01\x02\x1b[31mred\x7f",
    "\xff\xfe\xc0\xaf",
    "\xed\xa0\x80 lone surrogate",
    "\xef\xbf\xbe\xef\xbf\xbf not characters",
    "\xe2\x80\xae right to left",
    "\xc2\x85\xc2\xa0",
    "\xe8\x9b\x87\xe8\x9b\x87\xe8\x9b\x87",
    "\xf0\x9f\x90\x8d",
    "cut \xf0\x9f\x90",
    "",
    " ",
    "${name} %s %n",
    "a very long name that goes on and on and on and on and on and on and on and on and on and on",
};

static const char *const paths[] = {
    "/srv/app/main.py",
    "/srv/app/lib/util.py",
    "/srv/app/we ird;na\nme\xff.py",
    "/usr/lib/python3.12/json/decoder.py",
    "/usr/lib/python312.zip/os.py",
    "/venv/lib/python3.12/site-packages/numpy/core.py",
    "/usr/lib/python3/dist-packages/apt.py",
    "/venv/lib/python3.12/site-packages/numpy/_core.cpython-312-x86_64-linux-gnu.so",
    "<frozen importlib._bootstrap>",
    "<string>",
    "",
    "relative/path.py",
    "/",
    "<ipython-input-1-]]>\">",
};

static uint32_t next(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((*state >> 33) % below);
}

static const char *pick(uint64_t *state)
{
    return names[next(state, sizeof(names) / sizeof(names[0]))];
}

struct bsk_profile *random_profile(uint32_t seed)
{
    enum { FRAMES = 300, MS = 1000000 };
    struct bsk_profile_frame frames[FRAMES];
    uint32_t functions[40], tracks[100];
    bool has_lines[40];
    uint64_t state = seed, starts[100] = { 0 }, end_ns = 0;
    struct bsk_profile *profile = bsk_profile_new(next(&state, 4) == 0 ? 32 : 0);
    if (!profile)
        abort();
    struct bsk_profile_meta *meta = bsk_profile_meta(profile);
    uint32_t track_count = next(&state, 5) == 0 ? 100 : 1 + next(&state, 4);
    uint32_t depth_max = next(&state, 6) == 0 ? FRAMES : 1 + next(&state, 12);
    uint32_t samples = next(&state, 200);
    snprintf(meta->name, sizeof(meta->name), "%s", pick(&state));
    snprintf(meta->command, sizeof(meta->command), "%s %s", pick(&state), pick(&state));
    snprintf(meta->python, sizeof(meta->python), "3.13.0");
    snprintf(meta->reason, sizeof(meta->reason), "%s", pick(&state));
    meta->started_unix_ns = next(&state, 2) ? 1700000000LL * 1000000000 : 0;
    meta->rate_hz = next(&state, 1000);
    meta->errors = next(&state, 9);
    meta->filled = next(&state, 9);
    meta->unread = next(&state, 9);
    meta->clock = (enum bsk_clock)next(&state, 3);
    meta->method = (enum bsk_method)next(&state, 3);
    meta->full_filenames = next(&state, 2);
    for (uint32_t t = 0; t < track_count; t++) {
        uint32_t pid = 1 + next(&state, 3);
        tracks[t] = bsk_profile_track(profile, (pid_t)pid, (pid_t)(pid + next(&state, 60)),
                                      pick(&state), pick(&state));
    }
    /* past 71 minutes the timeline's starts are rounded to more than a microsecond */
    uint64_t begin_ns = next(&state, 3) == 0 ? 4 * 3600 * 1000000000ULL : 0;
    for (uint32_t t = 0; t < 100; t++)
        starts[t] = begin_ns;
    for (uint32_t f = 0; f < 40; f++) {
        const char *path = paths[next(&state, sizeof(paths) / sizeof(paths[0]))];
        functions[f] = bsk_profile_function(profile, pick(&state), path, next(&state, 50),
                                            path[0] ? BSK_FUNCTION_PYTHON : BSK_FUNCTION_SPECIAL);
        has_lines[f] = path[0];
    }
    for (uint32_t s = 0; s < samples; s++) {
        uint32_t depth = next(&state, depth_max + 1), t = next(&state, track_count);
        uint64_t *start_ns = &starts[tracks[t]];
        for (uint32_t d = 0; d < depth; d++) {
            uint32_t f = next(&state, d < 3 ? 2 : 40);
            frames[d] =
                (struct bsk_profile_frame){ functions[f], has_lines[f] ? next(&state, 4) : 0 };
        }
        uint32_t node = bsk_profile_stack(profile, tracks[t], frames, depth);
        uint64_t wall_ns = next(&state, 20 * MS), cpu_ns = next(&state, 3) ? wall_ns / 2 : 0;
        *start_ns += next(&state, 2) ? next(&state, 5 * MS) : 0;
        bsk_profile_add(profile, node, *start_ns, wall_ns, cpu_ns, next(&state, 3));
        bsk_profile_add_states(profile, node, cpu_ns / 2, next(&state, 2) ? 0 : MS,
                               next(&state, 2) ? 0 : 7 * MS);
        for (uint32_t c = next(&state, 3) ? next(&state, 80) : 0; c-- > 0;)
            bsk_profile_saw_column(profile, node, next(&state, 100), 1 + next(&state, 3));
        bsk_profile_called_from(profile, node, next(&state, 4));
        *start_ns += wall_ns;
        end_ns = *start_ns > end_ns ? *start_ns : end_ns;
    }
    meta->duration_ns = end_ns + next(&state, MS);
    meta->samples = bsk_profile_samples(profile);
    return profile;
}
