/*
 * speedscope's own format: frames once, then "sampled" profiles of stacks and weights. The frames
 * may come after the profiles, so the file is passed over once, and then read in the order that it
 * needs.
 */
#include "engine/import/build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FRAMES = 4000000 };

struct frame {
    uint32_t function, line;
    bool is_track; /* a process or a thread, as py-spy writes them: no function */
};

struct speedscope {
    struct bsk_build *build;
    struct frame *frames;
    size_t count, capacity;
    struct bsk_buffer room;
    struct bsk_said said;
    double ns_per_sample; /* of files that say how many samples they hold; 0: each entry is one */
    double carried;       /* samples that earlier entries left over */
    uint64_t entries;
    double first_ns; /* weight of the first entry */
};

static bool out_of_memory(struct bsk_pull *pull)
{
    return bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
}

static bool keep_frame(struct speedscope *file, struct bsk_pull *pull, struct frame frame)
{
    if (file->count == MAX_FRAMES)
        return bsk_pull_fail(pull, BSK_E_LIMIT, "more than %d frames", MAX_FRAMES);
    if (file->count == file->capacity) {
        size_t capacity = file->capacity * 2 + 256;
        struct frame *frames = realloc(file->frames, capacity * sizeof(*frames));
        if (!frames)
            return out_of_memory(pull);
        file->frames = frames;
        file->capacity = capacity;
    }
    file->frames[file->count++] = frame;
    return true;
}

static void read_frame(struct speedscope *file, struct bsk_pull *pull)
{
    struct bsk_buffer path = { 0 };
    struct bsk_span key;
    double line = 0;
    bool named = false;
    bsk_buffer_clear(&file->room);
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        if (bsk_pull_is(key, "name")) {
            bsk_pull_text(pull, &file->room);
            named = true;
        } else if (bsk_pull_is(key, "file")) {
            bsk_pull_text(pull, &path);
        } else if (bsk_pull_is(key, "line")) {
            line = bsk_pull_number(pull);
        } else {
            bsk_pull_skip(pull);
        }
    }
    if (!pull->failed && !named)
        bsk_pull_fail(pull, BSK_E_FORMAT, "this frame has no name");
    struct frame frame = { .line = line > 0 && line < 1e9 ? (uint32_t)line : 0 };
    const char *name = bsk_buffer_text(&file->room), *file_name = bsk_buffer_text(&path);
    frame.is_track = !file_name[0] && bsk_build_is_track(file->build, name);
    if (!pull->failed && !frame.is_track) {
        frame.function = bsk_build_function(file->build, name, file_name, 0);
        if (frame.function == UINT32_MAX)
            out_of_memory(pull);
    }
    if (!pull->failed)
        keep_frame(file, pull, frame);
    bsk_buffer_free(&path);
}

static void read_shared(struct speedscope *file, struct bsk_pull *pull)
{
    struct bsk_span key;
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        if (!bsk_pull_is(key, "frames")) {
            bsk_pull_skip(pull);
            continue;
        }
        bsk_pull_array(pull);
        while (bsk_pull_item(pull))
            read_frame(file, pull);
    }
}

static double ns_of_unit(struct bsk_pull *pull, const char *unit)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = { { "nanoseconds", 1 }, { "microseconds", 1e3 }, { "milliseconds", 1e6 },
                  { "seconds", 1e9 },   { "none", 0 },           { "", 0 } };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i].unit, unit) == 0)
            return units[i].ns;
    }
    bsk_pull_fail(pull, BSK_E_FORMAT, "its weights are \"%.40s\", which is no time", unit);
    return 0;
}

struct recorded { /* one of the profiles: bookmarks of its parts */
    struct bsk_pull samples, weights;
    bool has_samples, has_weights;
    double unit_ns; /* 0: weights are counts */
    uint32_t track;
};

/* The samples that a weight stands for, so that all together are as many as the file says. */
static uint32_t samples_of(struct speedscope *file, double ns, double count)
{
    double exact =
        file->ns_per_sample > 0 ? ns / file->ns_per_sample + file->carried + 1e-6 : count;
    if (file->ns_per_sample <= 0)
        return exact >= 1 && exact < 4e9 ? (uint32_t)exact : 1;
    double whole = floor(exact);
    whole = whole < 0 ? 0 : whole > 4e9 ? 4e9 : whole;
    file->carried = exact - whole < 1 ? exact - whole - 1e-6 : 0;
    return (uint32_t)whole;
}

static bool read_stack(struct speedscope *file, struct bsk_pull *pull, uint32_t track,
                       uint32_t *out_node)
{
    struct bsk_build *build = file->build;
    bsk_build_begin_stack(build);
    bsk_pull_array(pull);
    while (bsk_pull_item(pull)) {
        uint64_t index = bsk_pull_index(pull, file->count ? file->count - 1 : 0, "a frame");
        if (!pull->failed && !file->frames)
            bsk_pull_fail(pull, BSK_E_FORMAT, "a stack names a frame, but there are none");
        if (pull->failed || !file->frames)
            return false;
        const struct frame *frame = &file->frames[index];
        if (frame->is_track)
            continue; /* the profile of its own says which thread this is */
        if (bsk_build_frame(build, frame->function, frame->line) < 0) {
            pull->failed = true;
            return false;
        }
    }
    if (!pull->failed && bsk_build_stack(build, track, out_node) < 0)
        pull->failed = true;
    return !pull->failed;
}

static bool add_samples(struct speedscope *file, struct recorded *recorded, struct bsk_pull *pull)
{
    struct bsk_pull samples = recorded->samples, weights = recorded->weights;
    struct bsk_profile *profile = file->build->out->profile;
    uint64_t at_ns = 0;
    bsk_pull_array(&samples);
    bsk_pull_array(&weights);
    while (bsk_pull_item(&samples)) {
        uint32_t node = BSK_NO_NODE;
        if (!read_stack(file, &samples, recorded->track, &node))
            break;
        if (!bsk_pull_item(&weights)) {
            bsk_pull_fail(&weights, BSK_E_FORMAT, "fewer weights than samples");
            break;
        }
        double weight = bsk_pull_number(&weights);
        double ns = recorded->unit_ns > 0 ? weight * recorded->unit_ns : weight * 1e6;
        if (!weights.failed && (weight < 0 || ns > 9e18 - (double)at_ns))
            bsk_pull_fail(&weights, BSK_E_FORMAT, "a weight is negative or too large");
        if (weights.failed)
            break;
        uint64_t whole = (uint64_t)(ns + 0.5);
        if (whole == 0)
            continue;
        file->entries++;
        if (file->first_ns == 0)
            file->first_ns = ns;
        bsk_profile_add(profile, node, at_ns, whole, whole,
                        samples_of(file, ns, recorded->unit_ns > 0 ? 1 : weight));
        at_ns += whole;
    }
    if (!samples.failed && !weights.failed && bsk_pull_item(&weights))
        bsk_pull_fail(&weights, BSK_E_FORMAT, "more weights than samples");
    pull->failed = pull->failed || samples.failed || weights.failed;
    return !pull->failed;
}

/* Ours are "app.py (PID 4711) MainThread", py-spy's `Process 1 Thread 2 "name"`. */
static uint32_t track_of(struct speedscope *file, const char *name)
{
    struct bsk_profile *profile = file->build->out->profile;
    const char *pid_at = strstr(name, "(PID ");
    int pid = 0, tid = 0;
    if (sscanf(name, "Process %9d Thread %9d", &pid, &tid) != 2 && pid_at)
        sscanf(pid_at, "(PID %9d)", &pid);
    /* Numbered by hand, since two threads of one name are two tracks. */
    return bsk_profile_track(profile, pid, (pid_t)bsk_profile_track_count(profile) + 1, "", name);
}

static void read_profile(struct speedscope *file, struct bsk_pull *pull)
{
    struct recorded recorded = { .unit_ns = 0 };
    struct bsk_span key;
    struct bsk_buffer name = { 0 };
    bsk_pull_object(pull);
    while (bsk_pull_key(pull, &key)) {
        if (bsk_pull_is(key, "type")) {
            const char *type = bsk_pull_text(pull, &file->room);
            if (!pull->failed && strcmp(type, "sampled") != 0)
                bsk_pull_fail(pull, BSK_E_FORMAT,
                              "a profile of type \"%.40s\"; only \"sampled\" ones can be compared",
                              type);
        } else if (bsk_pull_is(key, "name")) {
            bsk_pull_text(pull, &name);
        } else if (bsk_pull_is(key, "unit")) {
            recorded.unit_ns = ns_of_unit(pull, bsk_pull_text(pull, &file->room));
        } else if (bsk_pull_is(key, "samples")) {
            recorded.samples = *pull;
            recorded.has_samples = bsk_pull_skip(pull);
        } else if (bsk_pull_is(key, "weights")) {
            recorded.weights = *pull;
            recorded.has_weights = bsk_pull_skip(pull);
        } else {
            bsk_pull_skip(pull);
        }
    }
    if (!pull->failed && (!recorded.has_samples || !recorded.has_weights))
        bsk_pull_fail(pull, BSK_E_FORMAT, "this profile has no samples or no weights");
    if (!pull->failed) {
        recorded.track = track_of(file, bsk_buffer_text(&name));
        if (recorded.track == UINT32_MAX)
            out_of_memory(pull);
        else
            add_samples(file, &recorded, pull);
        file->build->out->has_time = recorded.unit_ns > 0;
    }
    bsk_buffer_free(&name);
}

/* What only some files say is told from the samples. */
static void complete(struct speedscope *file)
{
    struct bsk_imported *out = file->build->out;
    struct bsk_profile_meta *meta = bsk_profile_meta(out->profile);
    if (!file->said.there && out->has_time && file->first_ns > 0)
        meta->rate_hz = 1e9 / file->first_ns; /* py-spy: one entry a sample, all of one weight */
}

int bsk_read_speedscope(struct bsk_build *build, const char *bytes, size_t size)
{
    struct speedscope file = { .build = build };
    struct bsk_pull pull = bsk_build_pull(build, bytes, size), shared, profiles;
    bool has_shared = false, has_profiles = false;
    struct bsk_span key;
    bsk_pull_object(&pull);
    while (bsk_pull_key(&pull, &key)) {
        if (bsk_pull_is(key, "shared")) {
            shared = pull;
            has_shared = bsk_pull_skip(&pull);
        } else if (bsk_pull_is(key, "profiles")) {
            profiles = pull;
            has_profiles = bsk_pull_skip(&pull);
        } else if (bsk_pull_is(key, "basilisk")) {
            bsk_build_about(build, &pull, &file.said);
        } else if (bsk_pull_is(key, "exporter")) {
            snprintf(build->out->maker, sizeof(build->out->maker), "%s",
                     bsk_pull_text(&pull, &file.room));
        } else {
            bsk_pull_skip(&pull);
        }
    }
    bsk_pull_done(&pull);
    if (!pull.failed && (!has_shared || !has_profiles))
        bsk_pull_fail(&pull, BSK_E_FORMAT, "a speedscope file without \"%s\"",
                      has_shared ? "profiles" : "shared");
    build->out->has_order = true;
    if (!pull.failed) {
        if (file.said.samples > 0 && file.said.cpu_seconds > 0)
            file.ns_per_sample = file.said.cpu_seconds * 1e9 / (double)file.said.samples;
        read_shared(&file, &shared);
        pull.failed = shared.failed;
    }
    if (!pull.failed) {
        bsk_pull_array(&profiles);
        while (bsk_pull_item(&profiles))
            read_profile(&file, &profiles);
        pull.failed = profiles.failed;
        complete(&file);
    }
    free(file.frames);
    bsk_buffer_free(&file.room);
    return pull.failed ? build->err->code : BSK_OK;
}
