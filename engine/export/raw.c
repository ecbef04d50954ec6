/*
 * Collapsed stacks, as py-spy's `-f raw`: "outer (file:line);inner (file:line) COUNT", a line for
 * each distinct stack, the count in samples. flamegraph.pl, inferno and speedscope read it.
 *
 * Threads are one; several processes have a frame each, as with py-spy's --subprocesses. A ';' in a
 * name becomes ',', since nothing in the format can stand for it.
 */
#include "engine/export/export.h"
#include "engine/export/names.h"
#include "engine/export/pairs.h"
#include "engine/export/processes.h"
#include "engine/export/stream.h"

#include <stdlib.h>
#include <string.h>

enum {
    FRAMES_MAX = 4000000, /* in all stacks together, about 140 MiB: deep stacks are cut to fit */
    DEPTH_MIN = 16,       /* but not below this */
};

#define NO_FUNCTION UINT32_MAX /* in the place of a function; then the "line" says which: */
enum { NO_STACK, LEFT_OUT, FIRST_PROCESS };

struct stack {
    uint32_t depth;
    uint64_t samples;
};

struct span { /* a frame's text, in `text` */
    size_t at, size;
};

struct raw {
    const struct bsk_profile *profile;
    struct bsk_names names;
    struct bsk_processes processes;
    struct bsk_pairs frames; /* (function, line) */
    struct bsk_pairs stacks; /* (1 + the stack that its last frame stands on, or 0; the frame) */
    struct stack *stack;     /* by stack */
    uint32_t *stack_of;      /* by node: 1 + its stack; 0: a root that is no frame */
    struct bsk_buffer text;  /* of all frames */
    struct span *spans;      /* by frame */
    uint32_t *path;          /* room for the frames of the deepest stack */
    uint32_t no_stack, left_out, max_depth;
};

static void raw_free(struct raw *raw)
{
    bsk_names_free(&raw->names);
    bsk_processes_free(&raw->processes);
    bsk_pairs_free(&raw->frames);
    bsk_pairs_free(&raw->stacks);
    bsk_buffer_free(&raw->text);
    free(raw->stack);
    free(raw->stack_of);
    free(raw->spans);
    free(raw->path);
}

static bool find_stack(struct raw *raw, uint32_t index)
{
    const struct bsk_node *node = bsk_profile_node_at(raw->profile, index);
    uint32_t outer = 0, frame;
    raw->stack_of[index] = 0;
    if (node->parent != BSK_NO_NODE) {
        outer = raw->stack_of[node->parent];
        frame = bsk_pair(&raw->frames, node->function, node->line);
    } else {
        uint32_t process = raw->processes.of_track[node->function];
        if (raw->processes.count < 2 || process == UINT32_MAX)
            return true;
        frame = bsk_pair(&raw->frames, NO_FUNCTION, FIRST_PROCESS + process);
    }
    uint32_t stack = frame == UINT32_MAX ? frame : bsk_pair(&raw->stacks, outer, frame);
    raw->stack_of[index] = stack + 1;
    return stack != UINT32_MAX;
}

static bool fold(struct raw *raw)
{
    uint32_t nodes = (uint32_t)bsk_profile_node_count(raw->profile);
    raw->stack_of = malloc(((size_t)nodes + 1) * sizeof(*raw->stack_of));
    raw->no_stack = bsk_pair(&raw->frames, NO_FUNCTION, NO_STACK);
    raw->left_out = bsk_pair(&raw->frames, NO_FUNCTION, LEFT_OUT);
    if (!raw->stack_of || raw->left_out == UINT32_MAX)
        return false;
    for (uint32_t i = 0; i < nodes; i++) {
        if (!find_stack(raw, i))
            return false;
    }
    for (uint32_t i = 0; i < nodes; i++) { /* threads that ran without a Python frame */
        if (raw->stack_of[i] > 0 || bsk_profile_node_at(raw->profile, i)->samples == 0)
            continue;
        uint32_t stack = bsk_pair(&raw->stacks, 0, raw->no_stack);
        raw->stack_of[i] = stack + 1;
        if (stack == UINT32_MAX)
            return false;
    }
    raw->stack = calloc((size_t)raw->stacks.count + 1, sizeof(*raw->stack));
    if (!raw->stack)
        return false;
    for (uint32_t i = 0; i < raw->stacks.count; i++) {
        uint32_t outer = (uint32_t)(raw->stacks.keys[i] >> 32);
        raw->stack[i].depth = outer ? raw->stack[outer - 1].depth + 1 : 1;
    }
    for (uint32_t i = 0; i < nodes; i++) {
        if (raw->stack_of[i] > 0)
            raw->stack[raw->stack_of[i] - 1].samples +=
                bsk_profile_node_at(raw->profile, i)->samples;
    }
    return true;
}

static bool limit_depth(struct raw *raw)
{
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < raw->stacks.count; i++)
        deepest = raw->stack[i].depth > deepest ? raw->stack[i].depth : deepest;
    for (raw->max_depth = deepest; raw->max_depth > DEPTH_MIN;) {
        uint64_t frames = 0;
        for (uint32_t i = 0; i < raw->stacks.count; i++) {
            uint32_t depth = raw->stack[i].samples > 0 ? raw->stack[i].depth : 0;
            frames += depth < raw->max_depth ? depth : raw->max_depth;
        }
        if (frames <= FRAMES_MAX)
            break;
        raw->max_depth = raw->max_depth / 2 > DEPTH_MIN ? raw->max_depth / 2 : DEPTH_MIN;
    }
    raw->path = malloc(((size_t)deepest + 2) * sizeof(*raw->path));
    return raw->path != NULL;
}

static void append_special(struct raw *raw, uint32_t which)
{
    if (which == NO_STACK) {
        bsk_buffer_text_append(&raw->text, "(no Python frame)");
    } else if (which == LEFT_OUT) {
        bsk_buffer_text_append(&raw->text, "(frames left out)");
    } else {
        const struct bsk_process *process = &raw->processes.items[which - FIRST_PROCESS];
        struct bsk_track track = bsk_profile_track_at(raw->profile, process->first_track);
        bsk_buffer_printf(&raw->text, "process %d:\"", (int)track.pid);
        bsk_append_plain(&raw->text, track.process);
        bsk_buffer_append(&raw->text, "\"", 1);
    }
}

static bool name_frames(struct raw *raw)
{
    raw->spans = malloc(((size_t)raw->frames.count + 1) * sizeof(*raw->spans));
    if (!raw->spans)
        return false;
    for (uint32_t i = 0; i < raw->frames.count; i++) {
        uint32_t function = (uint32_t)(raw->frames.keys[i] >> 32);
        uint32_t line = (uint32_t)raw->frames.keys[i];
        size_t at = raw->text.size;
        if (function == NO_FUNCTION) {
            append_special(raw, line);
        } else {
            struct bsk_function named = bsk_profile_function_at(raw->profile, function);
            bsk_append_frame(&raw->text, &raw->names, &named, line);
        }
        if (raw->text.failed)
            return false;
        for (size_t c = at; c < raw->text.size; c++) {
            if (raw->text.data[c] == ';')
                raw->text.data[c] = ',';
        }
        raw->spans[i] = (struct span){ at, raw->text.size - at };
    }
    return true;
}

static void write_frame(const struct raw *raw, uint32_t frame, bool more, struct bsk_stream *stream)
{
    bsk_stream_bytes(stream, raw->text.data + raw->spans[frame].at, raw->spans[frame].size);
    bsk_stream_bytes(stream, more ? ";" : " ", 1);
}

/* Of a stack that is too deep, both ends say more than the middle. */
static void write_stack(struct raw *raw, uint32_t index, struct bsk_stream *stream)
{
    uint32_t depth = raw->stack[index].depth, count = 0;
    uint32_t outer = depth, inner = 0; /* frames up to `outer` and past `inner` are written */
    if (depth > raw->max_depth) {
        outer = raw->max_depth / 2;
        inner = depth - raw->max_depth / 2;
    }
    for (uint32_t at = index, d = depth; d > 0; d--) {
        if (d <= outer || d > inner)
            raw->path[count++] = (uint32_t)raw->stacks.keys[at];
        else if (d == inner)
            raw->path[count++] = raw->left_out;
        at = (uint32_t)(raw->stacks.keys[at] >> 32) - 1;
    }
    while (count-- > 0)
        write_frame(raw, raw->path[count], count > 0, stream);
    bsk_stream_uint(stream, raw->stack[index].samples);
    bsk_stream_bytes(stream, "\n", 1);
}

static int write_raw(const struct bsk_profile *profile, FILE *out, struct bsk_error *err)
{
    struct raw raw = { .profile = profile };
    struct bsk_stream stream = { .file = out };
    int rc;
    if (bsk_names_init(&raw.names, profile) && bsk_processes_make(&raw.processes, profile) &&
        fold(&raw) && limit_depth(&raw) && name_frames(&raw)) {
        for (uint32_t i = 0; i < raw.stacks.count; i++) {
            if (raw.stack[i].samples > 0)
                write_stack(&raw, i, &stream);
        }
        rc = bsk_stream_finish(&stream, err);
    } else {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing raw stacks");
    }
    raw_free(&raw);
    return rc;
}

const struct bsk_exporter bsk_export_raw = { "raw", ".folded", write_raw };
