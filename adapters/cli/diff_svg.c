/*
 * The difference as a flame graph: B's stacks, as wide as B spends its time, red where a stack's
 * share grew since A and blue where it shrank. Nothing in it needs a script; each box says its
 * figures in a title, which browsers show beside the pointer.
 */
#include "adapters/cli/diff_show.h"

#include "engine/base/strings.h"
#include "engine/export/names.h"
#include "engine/export/pairs.h"
#include "engine/export/stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LEVELS = 250,
    MAX_BOXES = 20000,
    PAGE_WIDTH = 1200,
    MARGIN = 10,
    ROW_HEIGHT = 18,
    GONE_SHOWN = 5,
    LINE_HEIGHT = 16,
    LINE_CHARACTERS = 160, /* of text across the page */
};
static const double cell = 7.0;      /* of 12 px monospace */
static const double narrowest = 0.3; /* pixels */
#define NONE UINT32_MAX

struct box {              /* the same functions on the way there, in both profiles */
    double before, after; /* shares, with what is called */
    uint32_t parent, number, level;
    uint32_t first_child, next_sibling;
    double x; /* of B, to the left of it */
};

struct graph {
    const struct cli_diff *shown;
    struct bsk_match match;
    struct bsk_pairs pairs; /* (1 + parent, number of the function); (0, 0) is the whole */
    struct box *boxes;
    struct bsk_stream out;
    struct bsk_names names;
    struct bsk_buffer text;
    uint32_t *order; /* children, while they are sorted */
    const struct bsk_diff_function **by_number;
    uint32_t levels, drawn, left_out;
    bool dry;         /* lines are counted, not written */
    double strongest; /* shift, in points: full colour */
};

/* Gives each node its box; a parent's index is smaller than its children's. */
static bool place(struct graph *graph, size_t side, uint32_t **out_box_of)
{
    const struct bsk_profile *profile = graph->shown->sides[side].profile;
    const uint32_t *of = side ? graph->match.of_after : graph->match.of_before;
    uint32_t nodes = (uint32_t)bsk_profile_node_count(profile);
    uint32_t *box_of = calloc((size_t)nodes + 1, sizeof(*box_of));
    *out_box_of = box_of;
    for (uint32_t i = 0; box_of && i < nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        box_of[i] = node->parent == BSK_NO_NODE
                        ? bsk_pair(&graph->pairs, 0, 0)
                        : bsk_pair(&graph->pairs, 1 + box_of[node->parent], of[node->function]);
        if (box_of[i] == UINT32_MAX)
            return false;
    }
    return box_of != NULL;
}

static void weigh(struct graph *graph, size_t side, const uint32_t *box_of)
{
    const struct bsk_profile *profile = graph->shown->sides[side].profile;
    double whole = (double)bsk_profile_cpu_ns(profile);
    for (uint32_t i = 0; i < bsk_profile_node_count(profile); i++) {
        double share = (double)bsk_profile_node_at(profile, i)->self_ns / whole;
        if (side)
            graph->boxes[box_of[i]].after += share;
        else
            graph->boxes[box_of[i]].before += share;
    }
}

static bool build(struct graph *graph)
{
    uint32_t *box_of[2] = { NULL, NULL };
    bool done = bsk_match_make(graph->shown->sides[0].profile, graph->shown->sides[1].profile,
                               &graph->match) &&
                bsk_pair(&graph->pairs, 0, 0) == 0 && place(graph, 0, &box_of[0]) &&
                place(graph, 1, &box_of[1]);
    graph->boxes = done ? calloc((size_t)graph->pairs.count + 1, sizeof(*graph->boxes)) : NULL;
    done = graph->boxes != NULL;
    for (uint32_t i = 0; done && i < graph->pairs.count; i++) {
        struct box *box = &graph->boxes[i];
        uint32_t outer = (uint32_t)(graph->pairs.keys[i] >> 32);
        box->parent = outer ? outer - 1 : NONE;
        box->number = outer ? (uint32_t)graph->pairs.keys[i] : NONE;
        box->level = outer ? graph->boxes[outer - 1].level + 1 : 0;
        box->first_child = box->next_sibling = NONE;
    }
    for (size_t side = 0; done && side < 2 && box_of[side]; side++)
        weigh(graph, side, box_of[side]);
    for (uint32_t i = graph->pairs.count; done && i-- > 1;) {
        struct box *box = &graph->boxes[i], *parent = &graph->boxes[box->parent];
        parent->before += box->before;
        parent->after += box->after;
        box->next_sibling = parent->first_child;
        parent->first_child = i;
    }
    free(box_of[0]);
    free(box_of[1]);
    return done;
}

static const struct graph *sorted_graph; /* qsort knows no user */

static int by_width(const void *left, const void *right)
{
    uint32_t i = *(const uint32_t *)left, j = *(const uint32_t *)right;
    double a = sorted_graph->boxes[i].after, b = sorted_graph->boxes[j].after;
    if (a != b)
        return a > b ? -1 : 1;
    return (i > j) - (i < j);
}

/* Puts the children of a box side by side, the widest first. */
static void lay_out(struct graph *graph, uint32_t index)
{
    struct box *box = &graph->boxes[index];
    uint32_t count = 0;
    for (uint32_t i = box->first_child; i != NONE; i = graph->boxes[i].next_sibling)
        graph->order[count++] = i;
    sorted_graph = graph;
    qsort(graph->order, count, sizeof(*graph->order), by_width);
    double x = box->x;
    box->first_child = NONE;
    for (uint32_t i = 0; i < count; i++) {
        graph->boxes[graph->order[i]].x = x;
        x += graph->boxes[graph->order[i]].after;
    }
    for (uint32_t i = count; i-- > 0;) {
        graph->boxes[graph->order[i]].next_sibling = box->first_child;
        box->first_child = graph->order[i];
    }
}

static double pixels(double share)
{
    return share * (PAGE_WIDTH - 2 * MARGIN);
}

static bool is_drawn(const struct graph *graph, const struct box *box)
{
    return pixels(box->after) >= narrowest && box->level < MAX_LEVELS && graph->drawn < MAX_BOXES;
}

static void escaped(struct bsk_stream *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char *entity = text[i] == '&'   ? "&amp;"
                             : text[i] == '<' ? "&lt;"
                             : text[i] == '>' ? "&gt;"
                             : text[i] == '"' ? "&quot;"
                                              : NULL;
        if (entity)
            bsk_stream_text(out, entity);
        else
            bsk_stream_bytes(out, text + i, 1);
    }
}

/* `text` made plain, in graph->text. */
static const char *plain(struct graph *graph, const char *text)
{
    bsk_buffer_clear(&graph->text);
    bsk_append_plain(&graph->text, text);
    return bsk_buffer_text(&graph->text);
}

/* From grey to red or blue, by how much a box's share shifted. */
static void colour(const struct graph *graph, double points, char out[8])
{
    static const int none[3] = { 0xe6, 0xe4, 0xe0 }, red[3] = { 0xf0, 0x5a, 0x3c },
                     blue[3] = { 0x5b, 0x9b, 0xd9 };
    double part = fmin(1, fabs(points) / graph->strongest);
    const int *end = points > 0 ? red : blue;
    int mixed[3];
    part = fabs(points) < 0.05 ? 0 : 0.12 + 0.88 * sqrt(part);
    for (int i = 0; i < 3; i++)
        mixed[i] = (int)(none[i] + (end[i] - none[i]) * part + 0.5);
    snprintf(out, 8, "#%02x%02x%02x", (unsigned)mixed[0] & 0xff, (unsigned)mixed[1] & 0xff,
             (unsigned)mixed[2] & 0xff);
}

static void write_label(struct graph *graph, const char *text, double width)
{
    size_t room = width > 3 * cell ? (size_t)((width - 6) / cell) : 0;
    size_t left = strlen(text), used = 0, at = 0;
    while (at < left) { /* characters, each a cell: what is wider is cut by the clip */
        size_t length = bsk_utf8_length(text + at, left - at);
        if (++used > room)
            break;
        at += length ? length : 1;
    }
    if (at == left) {
        escaped(&graph->out, text, left);
        return;
    }
    at = 0;
    for (used = 1; used < room; used++) {
        size_t length = bsk_utf8_length(text + at, left - at);
        at += length ? length : 1;
    }
    escaped(&graph->out, text, at);
    bsk_stream_text(&graph->out, "…");
}

static void write_box(struct graph *graph, uint32_t index, double top)
{
    const struct box *box = &graph->boxes[index];
    const struct bsk_diff_function *function =
        box->number == NONE ? NULL : graph->by_number[box->number];
    double points = 100 * (box->after - box->before), width = pixels(box->after);
    bool significant = function && (function->self.significant || function->total.significant);
    char fill[8], shift[32];
    colour(graph, points, fill);
    snprintf(shift, sizeof(shift), "%+.2f", fabs(points) < 0.005 ? 0 : points);
    double x = MARGIN + pixels(box->x), y = top + box->level * ROW_HEIGHT;
    bsk_stream_text(&graph->out, significant ? "<g class=\"sure\"><title>" : "<g><title>");
    const char *name = plain(graph, function ? function->name : "all");
    escaped(&graph->out, name, strlen(name));
    bsk_stream_printf(&graph->out, "\nA %.2f %%, B %.2f %%: %s points on this way",
                      100 * box->before, 100 * box->after, shift);
    if (function) {
        bsk_stream_printf(&graph->out,
                          "\nthe function: itself %.2f to %.2f%s, with what it calls %.2f to "
                          "%.2f%s\n",
                          function->self.before, function->self.after,
                          function->self.significant ? " (significant)" : "",
                          function->total.before, function->total.after,
                          function->total.significant ? " (significant)" : "");
        name = plain(graph, function->path);
        escaped(&graph->out, name, strlen(name));
    }
    bsk_stream_printf(&graph->out,
                      "</title><rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%d\" "
                      "fill=\"%s\"/>",
                      x, y, width, ROW_HEIGHT - 1, fill);
    if (width > 4 * cell) {
        char label[600];
        snprintf(label, sizeof(label), "%.500s  %s",
                 plain(graph, function ? function->name : "all"), shift);
        bsk_stream_printf(&graph->out, "<text x=\"%.2f\" y=\"%.0f\">", x + 3, y + 13);
        write_label(graph, label, width);
        bsk_stream_text(&graph->out, "</text>");
    }
    bsk_stream_text(&graph->out, "</g>\n");
}

/* Every box that is wide enough, a parent before its children; without recursion, since stacks may
 * be deep. `top` negative: only counts. */
static void walk(struct graph *graph, double top)
{
    uint32_t at = 0;
    graph->drawn = graph->left_out = 0;
    for (;;) {
        struct box *box = &graph->boxes[at];
        bool drawn = is_drawn(graph, box);
        if (drawn) {
            graph->drawn++;
            graph->levels = box->level + 1 > graph->levels ? box->level + 1 : graph->levels;
            if (top < 0) {
                lay_out(graph, at);
                graph->strongest =
                    fmax(graph->strongest, at ? 100 * fabs(box->after - box->before) : 0);
            } else {
                write_box(graph, at, top);
            }
        } else if (box->after > 0) {
            graph->left_out++;
        }
        if (drawn && box->first_child != NONE) {
            at = box->first_child;
            continue;
        }
        while (at != 0 && graph->boxes[at].next_sibling == NONE)
            at = graph->boxes[at].parent;
        if (at == 0)
            return;
        at = graph->boxes[at].next_sibling;
    }
}

/* One line, or several where it is too long for the page. Returns where the last one stands. */
static double write_line(struct graph *graph, double y, const char *class, const char *text)
{
    size_t left = strlen(text);
    for (;;) {
        size_t taken = left;
        if (taken > LINE_CHARACTERS) {
            taken = LINE_CHARACTERS;
            while (taken > LINE_CHARACTERS / 2 && text[taken] != ' ')
                taken--;
        }
        while (taken < left && ((unsigned char)text[taken] & 0xc0) == 0x80)
            taken++; /* not within a character */
        if (!graph->dry) {
            bsk_stream_printf(&graph->out, "<text class=\"%s\" x=\"%d\" y=\"%.0f\">", class, MARGIN,
                              y);
            escaped(&graph->out, text, taken);
            bsk_stream_text(&graph->out, "</text>\n");
        }
        text += taken;
        left -= taken;
        if (left == 0)
            return y;
        y += LINE_HEIGHT;
    }
}

/* What A did and B does no more has no width here: it is said in words. */
static double write_gone(struct graph *graph, double y)
{
    const struct bsk_diff *diff = graph->shown->diff;
    size_t written = 0;
    for (size_t i = 0; i < diff->count && written < GONE_SHOWN; i++) {
        const struct bsk_diff_function *f = &diff->functions[i];
        if (f->total.after > 0 || f->total.before < 0.5)
            continue;
        char line[400];
        snprintf(line, sizeof(line),
                 "in A only: %.250s, %.2f percent itself, %.2f with what it calls",
                 plain(graph, f->name), f->self.before, f->total.before);
        y = write_line(graph, y + LINE_HEIGHT, "dim", line);
        written++;
    }
    return y;
}

static const char style[] =
    "<style>\n"
    "svg { background: #fdfcfa; }\n"
    "text { font: 12px ui-monospace, Menlo, Consolas, \"DejaVu Sans Mono\", monospace; fill: "
    "#1f2329; white-space: pre; }\n"
    ".name { font-size: 17px; font-weight: bold; }\n"
    ".dim { fill: #646b76; }\n"
    "g text { pointer-events: none; }\n"
    "rect { stroke: #fdfcfa; stroke-width: .5; }\n"
    ".sure text { font-weight: bold; }\n"
    ".sure rect, g:hover rect { stroke: #1f2329; stroke-width: 1; }\n"
    "</style>\n";

/* Returns where it ends. */
static double write_head(struct graph *graph, bool dry)
{
    const struct cli_diff *shown = graph->shown;
    char line[1800], about[1400];
    graph->dry = dry;
    double y = write_line(graph, 28, "name", "What changed from A to B") + 4;
    for (size_t i = 0; i < 2; i++) {
        cli_diff_describe(shown, i, about, sizeof(about));
        snprintf(line, sizeof(line), "%s  %.300s: %s", i ? "B" : "A", plain(graph, shown->paths[i]),
                 about);
        y = write_line(graph, y + LINE_HEIGHT, "dim", line);
    }
    for (size_t i = 0; i < shown->warning_count; i++) {
        snprintf(line, sizeof(line), "warning: %s", shown->warnings[i]);
        y = write_line(graph, y + LINE_HEIGHT, "", line);
    }
    snprintf(
        line, sizeof(line),
        "Widths are B's. Red: the share grew; blue: it shrank; full colour: by %.1f points. "
        "Bold, outlined: the function's shift is significant (%zu are). %u narrower boxes left "
        "out.",
        graph->strongest, shown->diff->significant, graph->left_out);
    y = write_line(graph, y + LINE_HEIGHT, "", line);
    return write_gone(graph, y);
}

static void write_page(struct graph *graph)
{
    walk(graph, -1);
    graph->strongest = fmax(graph->strongest, 1);
    double top = write_head(graph, true) + MARGIN;
    double height = top + graph->levels * ROW_HEIGHT + MARGIN;
    bsk_stream_printf(&graph->out,
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/"
                      "2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\">\n",
                      PAGE_WIDTH, height, PAGE_WIDTH, height);
    bsk_stream_text(&graph->out, style);
    write_head(graph, false);
    walk(graph, top);
    bsk_stream_text(&graph->out, "</svg>\n");
}

int cli_diff_svg(const struct cli_diff *shown, FILE *out, struct bsk_error *err)
{
    struct graph graph = { .shown = shown, .out = { .file = out } };
    const struct bsk_diff *diff = shown->diff;
    bool done = build(&graph) && bsk_names_init(&graph.names, shown->sides[1].profile);
    graph.order = done ? calloc((size_t)graph.pairs.count + 1, sizeof(*graph.order)) : NULL;
    graph.by_number =
        done ? calloc((size_t)graph.match.count + 1, sizeof(struct bsk_diff_function *)) : NULL;
    int rc;
    if (graph.order && graph.by_number) {
        for (size_t i = 0; i < diff->count; i++)
            graph.by_number[diff->functions[i].number] = &diff->functions[i];
        write_page(&graph);
        rc = graph.text.failed ? BSK_E_MEMORY : BSK_OK;
        int written = bsk_stream_finish(&graph.out, err);
        rc = rc < 0 ? bsk_fail(err, rc, NULL, "out of memory") : written;
    } else {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    bsk_match_free(&graph.match);
    bsk_pairs_free(&graph.pairs);
    bsk_names_free(&graph.names);
    bsk_buffer_free(&graph.text);
    free(graph.boxes);
    free(graph.order);
    free(graph.by_number);
    return rc;
}
