#include "engine/import/build.h"

#include "engine/base/strings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FUNCTIONS = 1000000,
    MAX_TRACKS = 100000,
    MAX_FRAMES = 500000000, /* of all stacks together: half a minute's work */
};

struct bsk_pull bsk_build_pull(struct bsk_build *build, const void *bytes, size_t size)
{
    if (size == 0)
        bytes = ""; /* of nothing there may be no address */
    return (struct bsk_pull){ .start = bytes,
                              .at = bytes,
                              .end = (const char *)bytes + size,
                              .name = build->name,
                              .err = build->err };
}

/* py-spy's `process 4711:"python app.py"`. */
static bool take_process(struct bsk_build *build, const char *name)
{
    int pid = 0, used = 0;
    if (sscanf(name, "process %9d%n", &pid, &used) != 1 || pid <= 0 || name[used] != ':')
        return false;
    const char *begin = name + used + 1 + (name[used + 1] == '"');
    size_t size = strlen(begin);
    size -= size > 0 && begin[size - 1] == '"';
    build->pid = pid;
    snprintf(build->process, sizeof(build->process), "%.*s", (int)(size < 255 ? size : 255), begin);
    return true;
}

/* py-spy's `thread (4711): name`, or `thread (0x7F…)` where only that is known. */
static bool take_thread(struct bsk_build *build, const char *name)
{
    if (!bsk_starts_with(name, "thread ("))
        return false;
    char *end;
    long long tid = strtoll(name + strlen("thread ("), &end, 0);
    if (*end != ')' || end == name + strlen("thread ("))
        return false;
    build->tid = (int)(tid & 0x7fffffff);
    snprintf(build->thread, sizeof(build->thread), "%s",
             bsk_starts_with(end, "): ") ? end + 3 : "");
    return true;
}

uint32_t bsk_build_function(struct bsk_build *build, const char *name, const char *path,
                            uint32_t first_line)
{
    bool special = !path[0] && name[0] == '(';
    return bsk_profile_function(build->out->profile, name, path, special ? 0 : first_line,
                                special ? BSK_FUNCTION_SPECIAL : BSK_FUNCTION_PYTHON);
}

bool bsk_build_is_track(struct bsk_build *build, const char *name)
{
    return (name[0] == 'p' && take_process(build, name)) ||
           (name[0] == 't' && take_thread(build, name));
}

int bsk_build_label(struct bsk_build *build, char *text, struct bsk_profile_frame *out_frame)
{
    size_t size = strlen(text);
    char *open = size > 2 && text[size - 1] == ')' ? strstr(text + 1, " (") : NULL;
    const char *path = "";
    uint32_t line = 0;
    if (open) {
        text[size - 1] = '\0';
        *open = '\0';
        path = open + 2;
        char *colon = strrchr(path, ':'), *end;
        if (colon && colon[1] >= '0' && colon[1] <= '9') {
            unsigned long number = strtoul(colon + 1, &end, 10);
            if (*end == '\0' && number < 1000000000) {
                line = (uint32_t)number;
                *colon = '\0';
            }
        }
    }
    *out_frame = (struct bsk_profile_frame){ bsk_build_function(build, text, path, 0), line };
    return out_frame->function == UINT32_MAX
               ? bsk_fail(build->err, BSK_E_MEMORY, NULL, "out of memory")
               : BSK_OK;
}

void bsk_build_begin_stack(struct bsk_build *build)
{
    build->depth = 0;
    build->pid = build->tid = 0;
    build->process[0] = build->thread[0] = '\0';
}

int bsk_build_frame(struct bsk_build *build, uint32_t function, uint32_t line)
{
    if (build->depth >= BSK_IMPORT_MAX_DEPTH)
        return bsk_fail(build->err, BSK_E_LIMIT, NULL, "%.200s: a stack has more than %d frames",
                        build->name, BSK_IMPORT_MAX_DEPTH);
    if (build->depth == build->capacity) {
        size_t capacity = build->capacity * 2 + 64;
        void *frames = realloc(build->frames, capacity * sizeof(*build->frames));
        if (!frames)
            return bsk_fail(build->err, BSK_E_MEMORY, NULL, "out of memory");
        build->frames = frames;
        build->capacity = capacity;
    }
    if (build->frames_read++ > MAX_FRAMES)
        return bsk_fail(build->err, BSK_E_LIMIT, NULL,
                        "%.200s: its stacks have more than %d frames together", build->name,
                        MAX_FRAMES);
    build->frames[build->depth++] = (struct bsk_profile_frame){ function, line };
    return BSK_OK;
}

void bsk_build_turn(struct bsk_build *build)
{
    for (size_t i = 0; i < build->depth / 2; i++) {
        struct bsk_profile_frame frame = build->frames[i];
        build->frames[i] = build->frames[build->depth - 1 - i];
        build->frames[build->depth - 1 - i] = frame;
    }
}

uint32_t bsk_build_track(struct bsk_build *build)
{
    return bsk_profile_track(build->out->profile, build->pid, build->tid, build->process,
                             build->thread);
}

int bsk_build_room(struct bsk_build *build, size_t nodes)
{
    const struct bsk_profile *profile = build->out->profile;
    if (bsk_profile_node_count(profile) + nodes > BSK_IMPORT_MAX_NODES ||
        bsk_profile_function_count(profile) > MAX_FUNCTIONS ||
        bsk_profile_track_count(profile) > MAX_TRACKS)
        return bsk_fail(build->err, BSK_E_LIMIT, "a profile that is summed up (raw, pprof) may fit",
                        "%.200s: more than %d distinct stacks, %d functions or %d threads",
                        build->name, BSK_IMPORT_MAX_NODES, MAX_FUNCTIONS, MAX_TRACKS);
    return BSK_OK;
}

int bsk_build_stack(struct bsk_build *build, uint32_t track, uint32_t *out_node)
{
    struct bsk_profile *profile = build->out->profile;
    if (track == UINT32_MAX)
        track = bsk_build_track(build);
    int rc = bsk_build_room(build, build->depth);
    if (rc < 0)
        return rc;
    *out_node = bsk_profile_stack(profile, track, build->frames, build->depth);
    if (*out_node == BSK_NO_NODE)
        return bsk_fail(build->err, BSK_E_MEMORY, NULL, "out of memory");
    return BSK_OK;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static uint64_t to_count(double value)
{
    return value > 0 && value < 9e15 ? (uint64_t)value : 0;
}

static uint64_t to_ns(double seconds)
{
    return to_count(seconds * 1e9);
}

static void about_text(struct bsk_build *build, struct bsk_span key, const char *text)
{
    struct bsk_profile_meta *meta = bsk_profile_meta(build->out->profile);
    if (bsk_pull_is(key, "name"))
        copy(meta->name, sizeof(meta->name), text);
    else if (bsk_pull_is(key, "command"))
        copy(meta->command, sizeof(meta->command), text);
    else if (bsk_pull_is(key, "python"))
        copy(meta->python, sizeof(meta->python), text);
    else if (bsk_pull_is(key, "reason"))
        copy(meta->reason, sizeof(meta->reason), text);
    else if (bsk_pull_is(key, "commit"))
        copy(build->out->commit, sizeof(build->out->commit), text);
    else if (bsk_pull_is(key, "version"))
        snprintf(build->out->maker, sizeof(build->out->maker), "basilisk %s", text);
    else if (bsk_pull_is(key, "clock")) {
        meta->clock = strcmp(text, "wall") == 0  ? BSK_CLOCK_WALL
                      : strcmp(text, "gil") == 0 ? BSK_CLOCK_GIL
                                                 : BSK_CLOCK_CPU;
        build->out->clock_known = true;
    }
}

static void about_number(struct bsk_build *build, struct bsk_span key, double value,
                         struct bsk_said *said)
{
    struct bsk_profile_meta *meta = bsk_profile_meta(build->out->profile);
    if (bsk_pull_is(key, "seconds"))
        meta->duration_ns = to_ns(value);
    else if (bsk_pull_is(key, "cpuSeconds"))
        said->cpu_seconds = value;
    else if (bsk_pull_is(key, "sampleRate"))
        meta->rate_hz = value;
    else if (bsk_pull_is(key, "samples"))
        said->samples = to_count(value);
    else if (bsk_pull_is(key, "errors"))
        meta->errors = to_count(value);
    else if (bsk_pull_is(key, "torn"))
        meta->torn = to_count(value);
    else if (bsk_pull_is(key, "missed"))
        meta->missed = to_count(value);
    else if (bsk_pull_is(key, "filled"))
        meta->filled = to_count(value);
    else if (bsk_pull_is(key, "unread"))
        meta->unread = to_count(value);
}

void bsk_build_about(struct bsk_build *build, struct bsk_pull *pull, struct bsk_said *said)
{
    struct bsk_buffer room = { 0 };
    struct bsk_span key;
    said->there = true;
    build->out->clock_known = true; /* before files said it, there was the CPU's alone */
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        char c = bsk_pull_peek(pull);
        if (c == '"')
            about_text(build, key, bsk_pull_text(pull, &room));
        else if (c == '-' || (c >= '0' && c <= '9'))
            about_number(build, key, bsk_pull_number(pull), said);
        else
            bsk_pull_skip(pull);
    }
    bsk_buffer_free(&room);
}
