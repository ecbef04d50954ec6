/*
 * Chrome's Trace Event Format, which Perfetto, chrome://tracing and speedscope open: a row for each
 * thread, a "complete" event (ph "X") for each stretch in which a frame stayed on the stack, as the
 * timeline has it. Names and arguments are py-spy's: `name`, args.filename, args.line.
 *
 * Times are microseconds since the start of the recording. Within one thread events nest, and come
 * in the order of their ends, inner ones first.
 */
#include "engine/export/about.h"
#include "engine/export/columns.h"
#include "engine/export/export.h"
#include "engine/export/pairs.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_MAX = 1000000, /* about 120 MiB: frames too far in are left out until it fits */
    DEPTH_MIN = 8,        /* but not frames above this */
    DEPTH_MAX = 500,      /* Perfetto does not show 512 levels */
    GAP_US = 10,          /* a shorter pause of a thread is none, in a recording of up to an hour */
    MADE_UP_TID = 1 << 30, /* above any thread's number; for tracks that share one */
};

struct open_frame {
    uint32_t node, frame;
    uint64_t start_us;
};

struct row {                 /* a track */
    struct open_frame *open; /* outermost first; beside the tree, whose nodes lie far apart */
    uint32_t depth, capacity;
    uint64_t end_us; /* up to where it is known */
    int64_t tid;
    char head[64]; /* of its events, as text, up to the time */
    size_t head_bytes;
};

struct span { /* of the text of a frame, in `text` */
    size_t at, size;
};

struct trace {
    const struct bsk_profile *profile;
    struct row *rows; /* by track */
    uint32_t track_count, max_depth;
    uint64_t gap_us;                   /* a shorter pause is none */
    uint64_t left_out;                 /* runs of which frames are left out */
    uint64_t events_at[DEPTH_MAX + 1]; /* by depth; while `json` is NULL events are only counted */
    struct bsk_pairs frames;           /* (function, line) */
    struct bsk_buffer text;            /* of all frames: what follows the numbers in an event */
    struct bsk_line_columns columns;
    struct span *spans; /* by frame */
    uint32_t *frame_of; /* by node */
    struct bsk_json *json;
    struct bsk_buffer event;
};

static void trace_free(struct trace *trace)
{
    for (uint32_t t = 0; trace->rows && t < trace->track_count; t++)
        free(trace->rows[t].open);
    free(trace->rows);
    bsk_pairs_free(&trace->frames);
    bsk_line_columns_free(&trace->columns);
    bsk_buffer_free(&trace->text);
    free(trace->spans);
    free(trace->frame_of);
    bsk_buffer_free(&trace->event);
}

static const struct bsk_node *node_at(const struct trace *trace, uint32_t node)
{
    return bsk_profile_node_at(trace->profile, node);
}

/* The text of each frame is written once, and copied into each event. */
static bool name_frames(struct trace *trace)
{
    uint32_t nodes = (uint32_t)bsk_profile_node_count(trace->profile);
    trace->frame_of = malloc(((size_t)nodes + 1) * sizeof(*trace->frame_of));
    if (!trace->frame_of)
        return false;
    for (uint32_t i = 0; i < nodes; i++) {
        const struct bsk_node *node = node_at(trace, i);
        trace->frame_of[i] = UINT32_MAX;
        if (node->depth == 0)
            continue;
        trace->frame_of[i] = bsk_pair(&trace->frames, node->function, node->line);
        if (trace->frame_of[i] == UINT32_MAX)
            return false;
    }
    trace->spans = malloc(((size_t)trace->frames.count + 1) * sizeof(*trace->spans));
    if (!trace->spans || !bsk_line_columns_make(trace->profile, &trace->columns))
        return false;
    for (uint32_t i = 0; i < trace->frames.count; i++) {
        uint64_t key = trace->frames.keys[i];
        struct bsk_function function =
            bsk_profile_function_at(trace->profile, (uint32_t)(key >> 32));
        uint32_t column = bsk_line_column(&trace->columns, (uint32_t)(key >> 32), (uint32_t)key);
        size_t at = trace->text.size;
        struct bsk_json json = { .out = &trace->text, .started = true }; /* begins with a comma */
        bsk_json_field_text(&json, "name", function.name);
        if (function.path[0]) {
            bsk_json_key(&json, "args");
            bsk_json_begin(&json, '{');
            bsk_json_field_text(&json, "filename", function.path);
            if ((uint32_t)key > 0)
                bsk_json_field_uint(&json, "line", (uint32_t)key);
            if (column > 0)
                bsk_json_field_uint(&json, "column", column);
            bsk_json_end(&json, '}');
        }
        bsk_json_end(&json, '}');
        trace->spans[i] = (struct span){ at, trace->text.size - at };
    }
    return !trace->text.failed;
}

static void add_uint(struct bsk_buffer *out, const char *key, uint64_t value)
{
    char digits[20], *at = digits + sizeof(digits);
    bsk_buffer_text_append(out, key);
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    bsk_buffer_append(out, at, (size_t)(digits + sizeof(digits) - at));
}

static void write_event(struct trace *trace, uint32_t track, uint32_t frame, uint64_t start_us,
                        uint64_t end_us)
{
    struct bsk_buffer *event = &trace->event;
    const struct span *span = &trace->spans[frame];
    event->size = 0;
    add_uint(event,
             "{\"ph\":\"X\",\"pid\":", (uint64_t)bsk_profile_track_at(trace->profile, track).pid);
    add_uint(event, ",\"tid\":", (uint64_t)trace->rows[track].tid);
    add_uint(event, ",\"ts\":", start_us);
    add_uint(event, ",\"dur\":", end_us - start_us);
    bsk_buffer_append(event, trace->text.data + span->at, span->size);
    bsk_json_raw(trace->json, event->data, event->size);
}

static void close_frames(struct trace *trace, uint32_t track, uint32_t depth)
{
    struct row *row = &trace->rows[track];
    while (row->depth > depth) {
        const struct open_frame *frame = &row->open[row->depth - 1];
        if (trace->json)
            write_event(trace, track, frame->frame, frame->start_us, row->end_us);
        else
            trace->events_at[row->depth]++;
        row->depth--;
    }
}

static bool make_room(struct row *row, uint32_t depth)
{
    if (depth <= row->capacity)
        return true;
    struct open_frame *open = realloc(row->open, depth * sizeof(*open));
    if (!open)
        return false;
    memset(open + row->capacity, 0, (depth - row->capacity) * sizeof(*open));
    row->open = open;
    row->capacity = depth;
    return true;
}

static bool take_run(struct trace *trace, const struct bsk_run *run)
{
    struct row *row = &trace->rows[run->track];
    uint32_t node = run->node, depth = node_at(trace, node)->depth;
    uint64_t start_us = run->start_ns / 1000, end_us = (run->start_ns + run->wall_ns) / 1000;
    trace->left_out += depth > trace->max_depth;
    for (; depth > trace->max_depth; depth--)
        node = node_at(trace, node)->parent;
    if (start_us < row->end_us)
        start_us = row->end_us; /* events of a thread nest, whatever the timeline says */
    if (end_us < start_us)
        end_us = start_us;
    if (!make_room(row, depth))
        return false;
    uint32_t shared = depth;
    if (start_us > row->end_us + trace->gap_us) {
        shared = 0;
    } else {
        if (row->depth > 0)
            row->end_us = start_us;
        for (uint32_t at = node; shared > 0; shared--) {
            if (shared <= row->depth && row->open[shared - 1].node == at)
                break;
            at = node_at(trace, at)->parent;
        }
    }
    close_frames(trace, run->track, shared);
    for (uint32_t d = depth; d > shared; d--) {
        row->open[d - 1] = (struct open_frame){ node, trace->frame_of[node], start_us };
        node = node_at(trace, node)->parent;
    }
    row->depth = depth;
    row->end_us = end_us;
    return true;
}

static bool walk(struct trace *trace)
{
    struct bsk_run run;
    trace->left_out = 0;
    for (uint32_t t = 0; t < trace->track_count; t++) {
        trace->rows[t].end_us = 0;
    }
    for (size_t at = 0; bsk_profile_next_run(trace->profile, &at, &run);) {
        if ((run.samples > 0 || run.cpu_ns > 0) && !take_run(trace, &run))
            return false;
    }
    for (uint32_t t = 0; t < trace->track_count; t++)
        close_frames(trace, t, 0);
    return true;
}

/* Numbers rows, and writes what they are called. Tracks that share a thread's number (it was given
 * anew, or several interpreters ran in it) get numbers that are made up. */
static bool write_names(struct trace *trace)
{
    struct bsk_pairs pids = { 0 }, tids = { 0 };
    bool done = true;
    for (uint32_t t = 0; done && t < trace->track_count; t++) {
        struct bsk_track track = bsk_profile_track_at(trace->profile, t);
        uint32_t pid_count = pids.count, tid_count = tids.count;
        done = bsk_pair(&pids, (uint32_t)track.pid, 0) != UINT32_MAX &&
               bsk_pair(&tids, (uint32_t)track.pid, (uint32_t)track.tid) != UINT32_MAX;
        trace->rows[t].tid = tids.count > tid_count ? track.tid : MADE_UP_TID + (int64_t)t;
        struct row *row = &trace->rows[t];
        row->head_bytes = (size_t)snprintf(
            row->head, sizeof(row->head),
            "{\"ph\":\"X\",\"pid\":%d,\"tid\":%lld,\"ts\":", (int)track.pid, (long long)row->tid);
        for (int thread = pids.count > pid_count ? 0 : 1; thread < 2; thread++) {
            bsk_json_begin(trace->json, '{');
            bsk_json_field_text(trace->json, "ph", "M");
            bsk_json_field_int(trace->json, "pid", track.pid);
            bsk_json_field_int(trace->json, "tid", trace->rows[t].tid);
            bsk_json_field_text(trace->json, "name", thread ? "thread_name" : "process_name");
            bsk_json_key(trace->json, "args");
            bsk_json_begin(trace->json, '{');
            bsk_json_field_text(trace->json, "name", thread ? track.thread : track.process);
            bsk_json_end(trace->json, '}');
            bsk_json_end(trace->json, '}');
        }
    }
    bsk_pairs_free(&pids);
    bsk_pairs_free(&tids);
    return done;
}

static bool plan(struct trace *trace)
{
    trace->track_count = (uint32_t)bsk_profile_track_count(trace->profile);
    trace->rows = calloc((size_t)trace->track_count + 1, sizeof(*trace->rows));
    if (!trace->rows || !name_frames(trace))
        return false;
    /* starts are rounded to a 2^32nd of the recording */
    trace->gap_us = GAP_US + (bsk_profile_meta_const(trace->profile)->duration_ns / 1000 >> 31);
    trace->max_depth = DEPTH_MAX;
    if (!walk(trace))
        return false;
    /* What is above a level does not depend on whether that level is shown. */
    uint64_t events = 0;
    for (uint32_t depth = 1; depth <= DEPTH_MAX; depth++) {
        events += trace->events_at[depth];
        if (events > EVENTS_MAX && depth > DEPTH_MIN) {
            trace->max_depth = depth - 1;
            break;
        }
    }
    return true;
}

static int write_chrometrace(const struct bsk_profile *profile, FILE *out, struct bsk_error *err)
{
    struct trace trace = { .profile = profile };
    struct bsk_buffer buffer = { 0 };
    struct bsk_json json = { .out = &buffer, .file = out };
    bool done = plan(&trace);
    if (done) {
        trace.json = &json;
        bsk_json_begin(&json, '{');
        bsk_json_field_text(&json, "displayTimeUnit", "ms");
        bsk_json_key(&json, "traceEvents");
        bsk_json_begin(&json, '[');
        done = write_names(&trace) && walk(&trace);
        bsk_json_end(&json, ']');
        bsk_export_about(profile, &json);
        bsk_json_field_uint(&json, "shownDepth", trace.max_depth);
        bsk_json_field_uint(&json, "stretchesCut", trace.left_out);
        bsk_json_end(&json, '}');
        bsk_json_end(&json, '}');
        bsk_buffer_append(&buffer, "\n", 1);
    }
    int rc = done && !trace.event.failed
                 ? bsk_json_finish(&json, err)
                 : bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a trace");
    trace_free(&trace);
    bsk_buffer_free(&buffer);
    return rc;
}

const struct bsk_exporter bsk_export_chrometrace = { "chrometrace", ".chrometrace.json",
                                                     write_chrometrace };
