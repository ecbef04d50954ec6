/*
 * A flame graph as one SVG file that needs nothing else: outermost frames at the top, width is
 * weight. Without scripts it is a picture 1200 wide with a title on each box; with them it fills
 * the window, zooms and searches (flamegraph.js). flamegraph.css has the colours.
 *
 * A box is <g><title>LABEL, a line break, and what it weighs</title><rect/><text/></g>; `x` and
 * `width` have five decimals, from which the script knows how boxes lie upon each other.
 *
 * For engine/import/svg.c the exact weight of a box is in data-w: total and samples, and, where
 * that is not what the boxes on it leave, its own of both; in ns, where data-unit of all boxes says
 * so. What the profile says of itself is in <metadata>, as other formats have it under "basilisk".
 */
#include "engine/base/strings.h"
#include "engine/export/about.h"
#include "engine/export/export.h"
#include "engine/export/flame.h"
#include "engine/export/names.h"
#include "engine/export/stream.h"

#include <stdlib.h>
#include <string.h>

/* made of the files of that name by the build */
extern const char bsk_flamegraph_css[];
extern const char bsk_flamegraph_js[];

enum {
    WIDTH = 1200,
    SIDE = 10,         /* free at the left and right */
    ROW = 17,          /* a level, with a line of page below each box */
    BOX = 16,          /* a box's height */
    LINE = 19,         /* of the head */
    DIGITS = 5,        /* after the point: a box of 0.1 can be zoomed to the whole window */
    MAX_BOXES = 30000, /* browsers stay quick */
    MAX_LEVELS = 250,  /* a page of 4,300: stacks of 10,000 frames cannot be read anyway */
};

static const double cell = 7.22; /* a character of 12 px monospace; name: half as much again */
static const double narrowest = 0.1;

struct page {
    const struct bsk_profile *profile;
    const struct bsk_profile_meta *meta;
    struct bsk_flame flame;
    struct bsk_names names;
    struct bsk_stream *out;
    struct bsk_buffer label; /* of the box that is being written */
    struct bsk_buffer head;  /* what the head says next */
    double x, y;             /* where in the head it goes */
    double unit;             /* width of a weight of 1 */
    struct on_it {
        uint64_t total, samples;
    } * on_it; /* by box: what the boxes on it weigh together */
};

/* `text` is plain (bsk_append_plain()): what XML forbids is gone, what it reads is escaped here. */
static void escaped(struct bsk_stream *out, const char *text, size_t size)
{
    size_t plain = 0;
    for (size_t i = 0; i < size; i++) {
        const char *entity = text[i] == '&'   ? "&amp;"
                             : text[i] == '<' ? "&lt;"
                             : text[i] == '>' ? "&gt;"
                             : text[i] == '"' ? "&quot;"
                                              : NULL;
        if (!entity)
            continue;
        bsk_stream_bytes(out, text + plain, i - plain);
        bsk_stream_text(out, entity);
        plain = i + 1;
    }
    bsk_stream_bytes(out, text + plain, size - plain);
}

/* How many cells of a terminal a character takes: 2 for those of East Asia and pictures. */
static unsigned cells_of(const char *at, size_t length)
{
    const unsigned char *c = (const unsigned char *)at;
    if (length == 4)
        return c[0] == 0xf0 && c[1] == 0x9f ? 2 : 1;
    if (length < 3)
        return 1;
    unsigned point = (c[0] & 0x0fU) << 12 | (c[1] & 0x3fU) << 6 | (c[2] & 0x3fU);
    return (point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) ||
                   (point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
                   (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60)
               ? 2
               : 1;
}

/* The bytes of `text` that fit into `cells`; *out_used is what they take. */
static size_t fitting(const char *text, size_t size, unsigned cells, unsigned *out_used)
{
    size_t kept = 0;
    *out_used = 0;
    while (kept < size) {
        size_t length = bsk_utf8_length(text + kept, size - kept);
        length += length == 0; /* cannot be: the text is valid */
        unsigned more = cells_of(text + kept, length);
        if (*out_used + more > cells)
            break;
        *out_used += more;
        kept += length;
    }
    return kept;
}

/* Writes what fits, with an ellipsis where that is not all. Returns the cells it took. */
static unsigned fitted(struct bsk_stream *out, const char *text, size_t size, unsigned cells)
{
    unsigned used;
    size_t kept = fitting(text, size, cells, &used);
    if (kept < size && cells > 0) {
        kept = fitting(text, size, cells - 1, &used);
        escaped(out, text, kept);
        bsk_stream_text(out, "…");
        return used + 1;
    }
    escaped(out, text, kept);
    return used;
}

/* One thing that the head says; the next follows it, or begins a line where there is no room.
 * `classes`: "row" begins a line, "name" is large, "dim" is not important. A `colour` is a class of
 * the style sheet, shown as a small square. */
static void say(struct page *page, const char *classes, const char *colour)
{
    bool row = strstr(classes, "row") != NULL, name = strstr(classes, "name") != NULL;
    double wide = name ? cell * 1.5 : cell, square = colour ? 16 : 0;
    unsigned room = (unsigned)((WIDTH - 2 * SIDE - square) / wide), used;
    fitting(page->head.data, page->head.size, room, &used);
    double width = used * wide + square;
    if (row || (page->x > SIDE && page->x + width > WIDTH - SIDE)) {
        page->x = SIDE;
        page->y += page->y > 0 ? LINE : 26;
    }
    bsk_stream_printf(page->out, "<g class=\"%s\" transform=\"translate(%.1f %.0f)\">", classes,
                      page->x, page->y);
    if (colour)
        bsk_stream_printf(page->out, "<rect class=\"%s\" y=\"-10\" width=\"11\" height=\"11\"/>",
                          colour);
    bsk_stream_text(page->out, colour ? "<text x=\"16\">" : "<text>");
    fitted(page->out, page->head.data, page->head.size, room);
    bsk_stream_text(page->out, "</text></g>\n");
    page->x += width + 2 * cell;
    bsk_buffer_clear(&page->head);
}

static void say_count(struct page *page, uint64_t count, const char *what)
{
    bsk_buffer_printf(&page->head, "%llu %s", (unsigned long long)count, what);
    say(page, "", NULL);
}

static void say_text(struct page *page, const char *classes, const char *text)
{
    if (!text[0])
        return;
    bsk_append_plain(&page->head, text);
    say(page, classes, NULL);
}

static const char *const kind_colours[BSK_CODE_KINDS] = { "u", "l", "p", "n", "s" };
static const char *const kind_names[BSK_CODE_KINDS] = { "your code", "standard library",
                                                        "site-packages", "native code",
                                                        "special (in brackets)" };

/* What each kind of code used itself: the legend with the answer in it. */
static void say_kinds(struct page *page)
{
    uint64_t own[BSK_CODE_KINDS] = { 0 }, all = page->flame.boxes[0].total;
    bool there[BSK_CODE_KINDS] = { false };
    for (uint32_t i = 0; i < bsk_profile_node_count(page->profile); i++) {
        const struct bsk_node *node = bsk_profile_node_at(page->profile, i);
        if (node->depth == 0)
            continue;
        struct bsk_function function = bsk_profile_function_at(page->profile, node->function);
        enum bsk_code_kind kind = bsk_code_kind(&function);
        own[kind] += page->flame.weight_is_samples ? node->samples : node->self_ns;
        there[kind] = true;
    }
    bool first = true;
    for (int kind = 0; kind < BSK_CODE_KINDS; kind++) {
        char colour[3] = { kind_colours[kind][0], '0', '\0' };
        if (!there[kind])
            continue;
        bsk_buffer_printf(&page->head, "%s %.1f %%", kind_names[kind],
                          all ? 100.0 * (double)own[kind] / (double)all : 0.0);
        say(page, first ? "row" : "", colour);
        first = false;
    }
}

static void write_head(struct page *page)
{
    const struct bsk_profile_meta *meta = page->meta;
    const struct bsk_flame *flame = &page->flame;
    const char *clock = bsk_clock_name(meta->clock);
    char jit[BSK_JIT_PHRASE_BYTES];
    bsk_stream_text(page->out, "<g class=\"head\">\n");
    bsk_append_plain(&page->head, bsk_export_name(page->profile));
    bsk_buffer_printf(&page->head, ": %s time", clock);
    say(page, "name row", NULL);
    say_text(page, "dim row", meta->command);
    bsk_buffer_printf(&page->head, "%.3f s of %s time in %.3f s",
                      (double)bsk_profile_cpu_ns(page->profile) / 1e9, clock,
                      (double)meta->duration_ns / 1e9);
    say(page, "row", NULL);
    say_count(page, bsk_profile_samples(page->profile), "samples");
    if (meta->rate_hz > 0) {
        bsk_buffer_printf(&page->head, "%g Hz", meta->rate_hz);
        say(page, "", NULL);
    }
    say_count(page, meta->errors, "errors");
    say_count(page, meta->torn, "torn");
    say_count(page, meta->filled, "filled in");
    say_count(page, meta->unread, "unread");
    if (meta->stopped > 0)
        say_count(page, meta->stopped, "stops");
    if (meta->missed > 0)
        say_count(page, meta->missed, "missed");
    if (bsk_profile_lost(page->profile) > 0)
        say_count(page, bsk_profile_lost(page->profile), "lost");
    say_text(page, "", bsk_method_phrase(meta->method));
    bsk_jit_phrase(meta, jit, sizeof(jit));
    say_text(page, "", jit);
    if (meta->python[0]) {
        bsk_buffer_text_append(&page->head, "Python ");
        say_text(page, "", meta->python);
    }
    say_text(page, "", meta->reason);
    say_text(page, "dim", bsk_export_maker);
    say_kinds(page);
    if (meta->clock == BSK_CLOCK_WALL) {
        bsk_buffer_text_append(&page->head, "pale: asleep");
        say(page, "", NULL);
    }
    if (flame->narrow > 0) {
        bsk_buffer_printf(&page->head, "%u frames below %.2g %% are not shown", flame->narrow,
                          flame->min_share * 100);
        say(page, "dim", NULL);
    }
    if (flame->too_deep > 0) {
        bsk_buffer_printf(&page->head, "below level %d: %u frames as their own time alone",
                          MAX_LEVELS, flame->too_deep);
        say(page, "dim", NULL);
    }
    bsk_stream_text(page->out, "</g>\n");
}

static unsigned hash_of(const char *text)
{
    unsigned hash = 2166136261U;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash ^ hash >> 15;
}

/* What a box is called goes to page->label; its colour is returned in two letters. */
static void name_box(struct page *page, const struct bsk_box *box, char out_colour[3])
{
    struct bsk_buffer *label = &page->label;
    unsigned shade = 0;
    char colour = 'r';
    bsk_buffer_clear(label);
    switch (box->kind) {
    case BSK_BOX_ALL:
        bsk_append_plain(label, bsk_export_name(page->profile));
        break;
    case BSK_BOX_PROCESS:
    case BSK_BOX_THREAD: {
        bool process = box->kind == BSK_BOX_PROCESS;
        uint32_t index = process ? page->flame.processes.items[box->index].first_track : box->index;
        struct bsk_track track = bsk_profile_track_at(page->profile, index);
        bsk_buffer_printf(label, process ? "process %d: " : "thread %d: ",
                          (int)(process ? track.pid : track.tid));
        bsk_append_plain(label, process ? track.process : track.thread);
        shade = 1;
        break;
    }
    case BSK_BOX_LEFT_OUT:
        bsk_buffer_text_append(label, "(levels left out)");
        colour = 's';
        break;
    case BSK_BOX_FRAME: {
        struct bsk_function function = bsk_profile_function_at(page->profile, box->index);
        bsk_append_frame(label, &page->names, &function, box->line);
        colour = kind_colours[bsk_code_kind(&function)][0];
        shade = hash_of(function.name) % 4;
        break;
    }
    }
    out_colour[0] = colour;
    out_colour[1] = (char)('0' + shade);
    out_colour[2] = '\0';
}

static void seconds(struct bsk_stream *out, const char *before, uint64_t ns, const char *after)
{
    bsk_stream_text(out, before);
    bsk_stream_fixed(out, (double)ns / 1e9, ns < 1000000000 ? 6 : 3);
    bsk_stream_text(out, after);
}

/* "12 samples, 3.4 %, 0.12 s of CPU time; own: 4 samples, 0.04 s", and what it waited. */
static void write_title(struct page *page, const struct bsk_box *box)
{
    struct bsk_stream *out = page->out;
    bool timed = !page->flame.weight_is_samples;
    uint64_t all = page->flame.boxes[0].total;
    bsk_stream_text(out, "<title>");
    escaped(out, page->label.data, page->label.size);
    bsk_stream_text(out, "\n");
    bsk_stream_uint(out, box->samples);
    bsk_stream_text(out, box->samples == 1 ? " sample, " : " samples, ");
    bsk_stream_fixed(out, all ? 100.0 * (double)box->total / (double)all : 0.0, 2);
    bsk_stream_text(out, " %");
    if (timed) {
        seconds(out, ", ", box->total, " s of ");
        bsk_stream_text(out, bsk_clock_name(page->meta->clock));
        bsk_stream_text(out, " time");
    }
    if (box->self_samples > 0 || box->self > 0) {
        bsk_stream_text(out, "; own: ");
        bsk_stream_uint(out, box->self_samples);
        bsk_stream_text(out, box->self_samples == 1 ? " sample" : " samples");
        if (timed)
            seconds(out, ", ", box->self, " s");
    }
    if (box->wait_ns > 0)
        seconds(out, "\nwaited for the GIL: ", box->wait_ns, " s");
    if (box->idle_ns > 0)
        seconds(out, "\nasleep: ", box->idle_ns, " s");
    if (box->call_ns > 0)
        seconds(out, "\nin system calls: ", box->call_ns, " s");
    bsk_stream_text(out, "</title>");
}

static void write_weight(struct page *page, const struct bsk_box *box)
{
    struct bsk_stream *out = page->out;
    const struct on_it *on_it = &page->on_it[box - page->flame.boxes];
    uint64_t left = box->kind == BSK_BOX_FRAME ? box->total - on_it->total : 0;
    uint64_t samples_left = box->kind == BSK_BOX_FRAME ? box->samples - on_it->samples : 0;
    bsk_stream_text(out, " data-w=\"");
    bsk_stream_uint(out, box->total);
    bsk_stream_text(out, " ");
    bsk_stream_uint(out, box->samples);
    if (box->self != left || box->self_samples != samples_left) {
        bsk_stream_text(out, " ");
        bsk_stream_uint(out, box->self);
        bsk_stream_text(out, " ");
        bsk_stream_uint(out, box->self_samples);
    }
    bsk_stream_text(out, "\">");
}

static void write_box(struct page *page, const struct bsk_box *box)
{
    struct bsk_stream *out = page->out;
    char colour[3];
    name_box(page, box, colour);
    bool asleep = page->meta->clock == BSK_CLOCK_WALL && box->level > 0 &&
                  box->idle_ns + box->call_ns > box->total / 10 * 9;
    double x = SIDE + (double)box->start * page->unit, width = (double)box->total * page->unit;
    if (box->level == 0 && width <= 0)
        width = WIDTH - 2 * SIDE; /* an empty profile has its outermost box all the same */
    bool thin = width < 3;        /* a border would hide it */
    bsk_stream_text(out, thin && asleep ? "<g class=\"z thin\""
                         : thin         ? "<g class=\"thin\""
                         : asleep       ? "<g class=\"z\""
                                        : "<g");
    write_weight(page, box);
    write_title(page, box);
    bsk_stream_text(out, "<rect class=\"");
    bsk_stream_text(out, colour);
    bsk_stream_text(out, "\" x=\"");
    bsk_stream_fixed(out, x, DIGITS);
    bsk_stream_text(out, "\" y=\"");
    bsk_stream_uint(out, (uint64_t)box->level * ROW);
    bsk_stream_text(out, "\" width=\"");
    bsk_stream_fixed(out, width, DIGITS);
    bsk_stream_printf(out, "\" height=\"%d\"/>", BOX);
    unsigned cells = width > 6 ? (unsigned)((width - 6) / cell) : 0;
    if (cells >= 3) {
        bsk_stream_text(out, "<text x=\"");
        bsk_stream_fixed(out, x + 3, 2);
        bsk_stream_text(out, "\" y=\"");
        bsk_stream_uint(out, (uint64_t)box->level * ROW + 12);
        bsk_stream_text(out, "\">");
        fitted(out, page->label.data, page->label.size, cells);
        bsk_stream_text(out, "</text>");
    }
    bsk_stream_text(out, "</g>\n");
}

static void write_metadata(struct page *page)
{
    struct bsk_buffer text = { 0 };
    struct bsk_json json = { .out = &text };
    bsk_json_begin(&json, '{');
    bsk_export_about(page->profile, &json);
    bsk_json_end(&json, '}');
    bsk_json_end(&json, '}');
    bsk_buffer_clear(&page->label);
    bsk_append_plain(&page->label, bsk_buffer_text(&text));
    page->label.failed |= text.failed;
    bsk_stream_text(page->out, "<metadata>");
    escaped(page->out, page->label.data, page->label.size);
    bsk_stream_text(page->out, "</metadata>\n");
    bsk_buffer_free(&text);
}

static bool weigh_what_stands_on_boxes(struct page *page)
{
    const struct bsk_flame *flame = &page->flame;
    page->on_it = calloc(flame->count, sizeof(*page->on_it));
    for (uint32_t i = 1; page->on_it && i < flame->count; i++) {
        struct on_it *parent = &page->on_it[flame->boxes[i].parent];
        parent->total += flame->boxes[i].total;
        parent->samples += flame->boxes[i].samples;
    }
    return page->on_it != NULL;
}

static void write_page(struct page *page)
{
    struct bsk_stream *out = page->out, head = { 0 };
    page->out = &head; /* held until its height is known */
    write_head(page);
    page->out = out;
    double top = page->y + 32;
    double height = top + (double)page->flame.levels * ROW + SIDE;
    bsk_stream_printf(out,
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%d\" "
                      "height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n<title>",
                      WIDTH, height, WIDTH, height);
    bsk_buffer_clear(&page->label);
    bsk_append_plain(&page->label, bsk_export_name(page->profile));
    escaped(out, page->label.data, page->label.size);
    bsk_stream_printf(out, ": %s time</title>\n", bsk_clock_name(page->meta->clock));
    write_metadata(page);
    bsk_stream_text(out, "<style><![CDATA[\n");
    bsk_stream_text(out, bsk_flamegraph_css);
    bsk_stream_printf(out, "]]></style>\n<rect class=\"page\" width=\"%d\" height=\"%.0f\"/>\n",
                      WIDTH, height);
    bsk_stream_bytes(out, head.held.data, head.held.size);
    out->held.failed |= head.held.failed || page->head.failed || page->label.failed;
    bsk_buffer_free(&head.held);
    bsk_stream_printf(out,
                      "<text class=\"about\" transform=\"translate(%d %.0f)\"></text>\n"
                      "<g class=\"plot\" data-unit=\"%s\" transform=\"translate(0 %.0f)\">\n",
                      SIDE, top - 10, page->flame.weight_is_samples ? "samples" : "ns", top);
    for (uint32_t i = 0; i < page->flame.count; i++)
        write_box(page, &page->flame.boxes[i]);
    bsk_stream_text(out, "</g>\n<script><![CDATA[\n");
    bsk_stream_text(out, bsk_flamegraph_js);
    bsk_stream_text(out, "]]></script>\n</svg>\n");
    out->held.failed |= page->label.failed;
}

static int write_flamegraph(const struct bsk_profile *profile, FILE *file, struct bsk_error *err)
{
    const struct bsk_flame_limits limits = { .min_share = narrowest / (WIDTH - 2 * SIDE),
                                             .max_boxes = MAX_BOXES,
                                             .max_levels = MAX_LEVELS };
    struct bsk_stream out = { .file = file };
    struct page page = { .profile = profile, .meta = bsk_profile_meta_const(profile), .out = &out };
    int rc;
    if (bsk_flame_make(profile, &limits, &page.flame) && bsk_names_init(&page.names, profile) &&
        weigh_what_stands_on_boxes(&page)) {
        uint64_t all = page.flame.boxes[0].total;
        page.unit = all ? (double)(WIDTH - 2 * SIDE) / (double)all : 0;
        write_page(&page);
        rc = bsk_stream_finish(&out, err);
    } else {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing a flame graph");
    }
    bsk_flame_free(&page.flame);
    bsk_names_free(&page.names);
    free(page.on_it);
    bsk_buffer_free(&page.label);
    bsk_buffer_free(&page.head);
    return rc;
}

const struct bsk_exporter bsk_export_flamegraph = { "flamegraph", ".svg", write_flamegraph };
