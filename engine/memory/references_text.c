/* The tree that people read in a console. */
#include "engine/base/amounts.h"
#include "engine/base/strings.h"
#include "engine/memory/references_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INDENT_MAX = 40 }; /* columns; deeper ways go straight down */

struct drawing {
    const struct bsk_references *refs;
    struct bsk_buffer *out;
    uint32_t width;
};

/* One line, cut between characters to the width, without what would move a terminal's cursor. */
static void put_line(struct drawing *drawing, const char *text)
{
    char clean[2048];
    size_t columns = 0, used = 0;
    bsk_utf8_copy(clean, sizeof(clean), text);
    while (clean[used] && columns + 1 < drawing->width) {
        size_t bytes = bsk_utf8_length(clean + used, strlen(clean + used));
        if ((unsigned char)clean[used] < ' ' || clean[used] == 0x7f)
            clean[used] = ' ';
        used += bytes ? bytes : 1;
        columns++;
    }
    bool cut = clean[used] != '\0';
    clean[used] = '\0';
    bsk_buffer_printf(drawing->out, "%s%s\n", clean, cut ? "…" : "");
}

static const struct bsk_shown_edge *edge_to(const struct bsk_references *refs, uint32_t from,
                                            uint32_t to)
{
    const struct bsk_shown_edge *found = NULL;
    for (uint32_t i = 0; i < refs->edge_count; i++) {
        const struct bsk_shown_edge *edge = &refs->edges[i];
        if (edge->from == from && edge->to == to && !edge->merged &&
            (!found || found->label == BSK_LABEL_NONE))
            found = edge;
    }
    return found;
}

static void describe(const struct bsk_shown *node, char *out, size_t size)
{
    char bytes[32], retained[32], length[32];
    int used = 0;
    switch (node->root) {
    case BSK_ROOT_MODULE:
        snprintf(out, size, "module %s", node->name);
        return;
    case BSK_ROOT_FRAME:
        snprintf(out, size, "running function %s (%s:%" PRIu32 ")", node->name,
                 node->path ? node->path : "?", node->line);
        return;
    case BSK_ROOT_C:
        used = snprintf(out, size, "held by C code, by no object: ");
        break;
    case BSK_ROOT_CYCLE:
        used = snprintf(out, size, "held by itself alone (garbage to be collected, or C code): ");
        break;
    default:
        break;
    }
    bool module = node->module[0] && strcmp(node->module, "builtins") != 0;
    used += snprintf(out + used, size - (size_t)used, "%.120s%s%.160s", module ? node->module : "",
                     module ? "." : "", node->type);
    if (node->repr)
        used += snprintf(out + used, size - (size_t)used, " %.300s", node->repr);
    if (node->has_length)
        used += snprintf(out + used, size - (size_t)used, ", %s %s",
                         bsk_count_text(node->length, length, sizeof(length)),
                         node->length == 1 ? "entry" : "entries");
    used += snprintf(out + used, size - (size_t)used, ", %s",
                     bsk_bytes_text(node->bytes, bytes, sizeof(bytes)));
    if (node->retained > node->bytes)
        used += snprintf(out + used, size - (size_t)used, ", retains %s",
                         bsk_bytes_text(node->retained, retained, sizeof(retained)));
    snprintf(out + used, size - (size_t)used, "%s%s%s",
             node->cycle && node->root != BSK_ROOT_CYCLE ? ", in a cycle" : "",
             node->gone ? ", gone by now" : "", node->target ? "  <== here" : "");
}

static void draw_node(struct drawing *drawing, uint32_t index, uint32_t depth)
{
    const struct bsk_references *refs = drawing->refs;
    const struct bsk_shown *node = &refs->nodes[index];
    char line[2048], label[512] = "", words[1400];
    uint32_t indent = depth * 2 < INDENT_MAX ? depth * 2 : INDENT_MAX;
    if (node->up != BSK_NO_NODE) {
        const struct bsk_shown_edge *edge = edge_to(refs, node->up, index);
        if (edge)
            bsk_label_text(edge, label, sizeof(label));
    }
    describe(node, words, sizeof(words));
    if (node->up == BSK_NO_NODE)
        snprintf(line, sizeof(line), "%s", words);
    else
        snprintf(line, sizeof(line), "%*s%.300s -> %s", (int)indent, "",
                 label[0] ? label : "(no name)", words);
    put_line(drawing, line);
}

/* Edges that are not in the tree: other holders of what is drawn already. */
static void draw_others(struct drawing *drawing, uint32_t index, uint32_t depth)
{
    const struct bsk_references *refs = drawing->refs;
    int drawn = 0;
    for (uint32_t i = 0; i < refs->edge_count && drawn < 3; i++) {
        const struct bsk_shown_edge *edge = &refs->edges[i];
        if (edge->merged || edge->from != index || edge->label == BSK_LABEL_PART ||
            refs->nodes[edge->to].up == index || refs->nodes[edge->to].root == BSK_ROOT_MODULE ||
            (!refs->nodes[edge->to].target && !refs->nodes[edge->to].cycle))
            continue;
        char line[1024], label[512];
        uint32_t indent = depth * 2 < INDENT_MAX ? depth * 2 : INDENT_MAX;
        bsk_label_text(edge, label, sizeof(label));
        bool itself = edge->to == index;
        snprintf(line, sizeof(line), "%*s%.300s -> %s%.160s%s", (int)indent + 2, "",
                 label[0] ? label : "(no name)", itself ? "itself" : "the same ",
                 itself ? "" : refs->nodes[edge->to].type, itself ? "" : " as above or below");
        put_line(drawing, line);
        drawn++;
    }
}

static void draw_below(struct drawing *drawing, uint32_t root)
{
    const struct bsk_references *refs = drawing->refs;
    struct {
        uint32_t node, next;
    } way[BSK_REFERENCES_MAX_NODES + 1];
    uint32_t depth = 0;
    draw_node(drawing, root, 0);
    way[depth].node = root;
    way[depth++].next = 0;
    while (depth > 0) {
        uint32_t node = way[depth - 1].node, next = way[depth - 1].next;
        while (next < refs->count && (refs->nodes[next].up != node || refs->nodes[next].merged))
            next++;
        way[depth - 1].next = next + 1;
        if (next < refs->count && depth <= BSK_REFERENCES_MAX_NODES) {
            draw_node(drawing, next, depth);
            way[depth].node = next;
            way[depth++].next = 0;
            continue;
        }
        depth--;
        draw_others(drawing, node, depth);
        if (refs->nodes[node].more > 0) {
            char line[256], number[32];
            uint32_t indent = (depth + 1) * 2 < INDENT_MAX ? (depth + 1) * 2 : INDENT_MAX;
            snprintf(line, sizeof(line), "%*sand %s more of them", (int)indent, "",
                     bsk_count_text(refs->nodes[node].more, number, sizeof(number)));
            put_line(drawing, line);
        }
    }
}

void bsk_references_text(const struct bsk_references *refs, uint32_t width, struct bsk_buffer *out)
{
    struct drawing drawing = { refs, out, width ? width : 120 };
    char line[1024], number[32], bytes[32], retained[32];
    bool one = refs->target_count == 1;
    snprintf(line, sizeof(line),
             "What holds %.200s: %s object%s, %s, and with what only %s hold%s %s", refs->title,
             bsk_count_text(refs->target_count, number, sizeof(number)), one ? "" : "s",
             bsk_bytes_text(refs->target_bytes, bytes, sizeof(bytes)), one ? "it" : "they",
             one ? "s" : "", bsk_bytes_text(refs->target_retained, retained, sizeof(retained)));
    put_line(&drawing, line);
    if (refs->facts.truncated > 0) {
        snprintf(line, sizeof(line), "The youngest %s objects were too many to look at.",
                 bsk_count_text(refs->facts.truncated, number, sizeof(number)));
        put_line(&drawing, line);
    }
    for (uint32_t i = 0; i < refs->count; i++) {
        if (refs->nodes[i].up != BSK_NO_NODE || refs->nodes[i].merged)
            continue;
        bsk_buffer_text_append(out, "\n");
        draw_below(&drawing, i);
    }
    if (refs->lone_targets > 0 && refs->lone_targets < refs->target_count) {
        snprintf(line, sizeof(line), "\n%s of them are held by no object that Python knows.",
                 bsk_count_text(refs->lone_targets, number, sizeof(number)));
        bsk_buffer_text_append(out, line);
        bsk_buffer_text_append(out, "\n");
    }
}
