/* The body of memory.references and of memory.inspect. */
#include "engine/memory/references_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As text, since a viewer's numbers may have 53 bits; the requests take it back so. */
static void write_id(struct bsk_json *json, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof(text), "0x%" PRIx64, id);
    bsk_json_text(json, text);
}

static const char *root_name(enum bsk_root root)
{
    switch (root) {
    case BSK_ROOT_MODULE:
        return "module";
    case BSK_ROOT_FRAME:
        return "frame";
    case BSK_ROOT_C:
        return "c";
    case BSK_ROOT_CYCLE:
        return "cycle";
    default:
        return "";
    }
}

static void write_node(const struct bsk_shown *node, struct bsk_json *json)
{
    bsk_json_begin(json, '{');
    bsk_json_key(json, "id");
    write_id(json, node->id);
    bsk_json_field_text(json, "type", node->type);
    bsk_json_field_text(json, "module", node->module);
    bsk_json_field_uint(json, "bytes", node->bytes);
    bsk_json_field_uint(json, "retainedBytes", node->retained);
    if (node->has_length)
        bsk_json_field_uint(json, "length", node->length);
    if (node->repr)
        bsk_json_field_text(json, "repr", node->repr);
    if (node->target)
        bsk_json_field_bool(json, "target", true);
    if (node->gone)
        bsk_json_field_bool(json, "gone", true);
    if (node->more > 0)
        bsk_json_field_uint(json, "moreTargets", node->more);
    if (node->root != BSK_ROOT_NONE)
        bsk_json_field_text(json, "root", root_name(node->root));
    if (node->name[0])
        bsk_json_field_text(json, "name", node->name);
    if (node->path) {
        bsk_json_field_text(json, "path", node->path);
        bsk_json_field_uint(json, "line", node->line);
    }
    bsk_json_end(json, '}');
}

static void write_cycles(const struct bsk_references *refs, struct bsk_json *json)
{
    bsk_json_key(json, "cycles");
    bsk_json_begin(json, '[');
    for (uint32_t i = 0; i < refs->count; i++) {
        uint32_t cycle = refs->nodes[i].cycle;
        bool first = cycle != 0 && !refs->nodes[i].merged;
        for (uint32_t j = 0; j < i; j++)
            first = first && (refs->nodes[j].cycle != cycle || refs->nodes[j].merged);
        if (!first)
            continue;
        bsk_json_begin(json, '[');
        for (uint32_t j = i; j < refs->count; j++)
            if (refs->nodes[j].cycle == cycle && !refs->nodes[j].merged)
                write_id(json, refs->nodes[j].id);
        bsk_json_end(json, ']');
    }
    bsk_json_end(json, ']');
}

void bsk_references_json(const struct bsk_references *refs, uint32_t number, struct bsk_json *json)
{
    char label[512];
    bsk_json_field_uint(json, "graph", number);
    bsk_json_field_text(json, "title", refs->title);
    bsk_json_key(json, "nodes");
    bsk_json_begin(json, '[');
    for (uint32_t i = 0; i < refs->count; i++)
        if (!refs->nodes[i].merged)
            write_node(&refs->nodes[i], json);
    bsk_json_end(json, ']');
    bsk_json_key(json, "edges");
    bsk_json_begin(json, '[');
    for (uint32_t i = 0; i < refs->edge_count; i++) {
        const struct bsk_shown_edge *edge = &refs->edges[i];
        if (edge->merged)
            continue;
        bsk_json_begin(json, '{');
        bsk_json_key(json, "from");
        write_id(json, refs->nodes[edge->from].id);
        bsk_json_key(json, "to");
        write_id(json, refs->nodes[edge->to].id);
        bsk_json_field_text(json, "label", bsk_label_text(edge, label, sizeof(label)));
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
    write_cycles(refs, json);
    bsk_json_key(json, "roots");
    bsk_json_begin(json, '[');
    for (uint32_t i = 0; i < refs->count; i++)
        if (refs->nodes[i].root != BSK_ROOT_NONE && !refs->nodes[i].merged)
            write_id(json, refs->nodes[i].id);
    bsk_json_end(json, ']');
    bsk_json_field_uint(json, "targets", refs->target_count);
    bsk_json_field_uint(json, "targetBytes", refs->target_bytes);
    bsk_json_field_uint(json, "targetRetainedBytes", refs->target_retained);
    bsk_json_field_uint(json, "objects", refs->facts.nodes);
    bsk_json_field_uint(json, "references", refs->facts.edges);
    if (refs->facts.truncated > 0)
        bsk_json_field_uint(json, "truncated", refs->facts.truncated);
    if (refs->facts.free_threaded)
        bsk_json_field_bool(json, "freeThreaded", true);
}

/* --- one node -------------------------------------------------------------------------------- */

static void write_referent(char *fields[], size_t count, struct bsk_json *json)
{
    char label[512];
    struct bsk_shown_edge edge = { .label = bsk_references_label_of(fields[1]),
                                   .text = fields[2][0] ? fields[2] : NULL };
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "label", bsk_label_text(&edge, label, sizeof(label)));
    bsk_json_field_text(json, "type", fields[3]);
    bsk_json_field_uint(json, "bytes", strtoull(fields[4], NULL, 10));
    bsk_json_key(json, "id");
    write_id(json, strtoull(fields[5], NULL, 10));
    if (count > 6 && fields[6][0])
        bsk_json_field_text(json, "repr", fields[6]);
    bsk_json_end(json, '}');
}

int bsk_references_inspect_json(const struct bsk_references *refs, uint64_t id,
                                const struct bsk_value *result, struct bsk_json *json,
                                struct bsk_error *err)
{
    struct bsk_references_lines lines;
    char *fields[BSK_LINE_FIELDS], *more = NULL;
    size_t count;
    (void)refs;
    int rc = bsk_references_lines_of(result, &lines, err);
    if (rc < 0)
        return rc;
    if (!bsk_references_next_line(&lines, fields, &count) || strcmp(fields[0], "gone") == 0)
        return bsk_fail(err, BSK_E_STATE, "ask for memory.references again", "It is gone");
    if (strcmp(fields[0], "node") != 0 || count < 4)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "The program's answer about an object is broken");
    bsk_json_key(json, "id");
    write_id(json, id);
    bsk_json_field_text(json, "module", fields[1]);
    bsk_json_field_text(json, "type", fields[2]);
    bsk_json_field_uint(json, "bytes", strtoull(fields[3], NULL, 10));
    bool in_list = false;
    uint64_t hidden = 0;
    while (bsk_references_next_line(&lines, fields, &count)) {
        if (strcmp(fields[0], "repr") == 0 && count >= 2 && !in_list) {
            bsk_json_field_text(json, "repr", fields[1]);
        } else if (strcmp(fields[0], "more") == 0 && count >= 2) {
            hidden = strtoull(fields[1], &more, 10);
        } else if (strcmp(fields[0], "part") == 0 && count >= 6) {
            if (!in_list) {
                bsk_json_key(json, "referents");
                bsk_json_begin(json, '[');
            }
            in_list = true;
            write_referent(fields, count, json);
        }
    }
    if (!in_list) {
        bsk_json_key(json, "referents");
        bsk_json_begin(json, '[');
    }
    bsk_json_end(json, ']');
    if (hidden > 0)
        bsk_json_field_uint(json, "moreReferents", hidden);
    return BSK_OK;
}
