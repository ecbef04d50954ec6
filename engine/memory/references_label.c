/* Words for what is shown: what is asked of the program, and what its answer says. */
#include "engine/memory/references_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char bsk_embedded_references[];

const struct bsk_script bsk_script_references = { "references", bsk_embedded_references, NULL };

/* --- options --------------------------------------------------------------------------------- */

static int finished(const struct bsk_script_options *out, bool failed, struct bsk_error *err)
{
    return failed || out->text.failed ? bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory") : BSK_OK;
}

static void raw_option(struct bsk_script_options *out, const char *key, struct bsk_buffer *python)
{
    bsk_script_option_raw(out, key, bsk_buffer_text(python));
    out->text.failed = out->text.failed || python->failed;
    bsk_buffer_free(python);
}

int bsk_references_options(const struct bsk_references_wish *wish, struct bsk_script_options *out,
                           struct bsk_error *err)
{
    if (wish->site_count > BSK_GRAPH_MAX_GROUPS)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "%zu sites are more than %d", wish->site_count,
                        BSK_GRAPH_MAX_GROUPS);
    bsk_script_option_text(out, "do", "dump");
    bsk_script_option_int(out, "expression", wish->expression);
    bsk_script_option_int(out, "max_objects", (int64_t)(wish->max_objects & INT64_MAX));
    bsk_script_option_int(out, "budget_bytes", (int64_t)(wish->budget_bytes & INT64_MAX));
    struct bsk_buffer lines = { 0 };
    bsk_buffer_text_append(&lines, "[");
    for (size_t i = 0; i < wish->site_count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "path%zu",
                 i); /* text alone is escaped: paths go by themselves */
        bsk_script_option_text(out, key, wish->sites[i].path);
        bsk_buffer_printf(&lines, "%" PRIu32 ",", wish->sites[i].line);
    }
    bsk_buffer_text_append(&lines, "]");
    raw_option(out, "lines", &lines);
    return finished(out, false, err);
}

int bsk_references_label_options(const struct bsk_references *refs, bool repr,
                                 struct bsk_script_options *out, struct bsk_error *err)
{
    struct bsk_buffer nodes = { 0 }, edges = { 0 };
    bsk_script_option_text(out, "do", "label");
    bsk_script_option_int(out, "repr", repr);
    bsk_buffer_text_append(&nodes, "[");
    for (uint32_t i = 0; i < refs->count; i++)
        bsk_buffer_printf(&nodes, "(%" PRIu64 ",%" PRIu64 "),", refs->nodes[i].id,
                          refs->nodes[i].type_id);
    bsk_buffer_text_append(&nodes, "]");
    raw_option(out, "nodes", &nodes);
    bsk_buffer_text_append(&edges, "[");
    for (uint32_t i = 0; i < refs->edge_count; i++)
        bsk_buffer_printf(&edges, "(%" PRIu32 ",%" PRIu32 "),", refs->edges[i].from,
                          refs->edges[i].to);
    bsk_buffer_text_append(&edges, "]");
    raw_option(out, "edges", &edges);
    return finished(out, false, err);
}

static uint32_t shown_with(const struct bsk_references *refs, uint64_t id)
{
    for (uint32_t i = 0; i < refs->count; i++)
        if (refs->nodes[i].id == id)
            return i;
    return BSK_NO_NODE;
}

int bsk_references_inspect_options(const struct bsk_references *refs, uint64_t id, bool repr,
                                   struct bsk_script_options *out, struct bsk_error *err)
{
    uint32_t node = shown_with(refs, id);
    if (node == BSK_NO_NODE)
        return bsk_fail(err, BSK_E_STATE, "ask for memory.references again",
                        "That graph has no object 0x%" PRIx64, id);
    struct bsk_buffer one = { 0 }, around = { 0 };
    bsk_script_option_text(out, "do", "inspect");
    bsk_script_option_int(out, "repr", repr);
    bsk_buffer_printf(&one, "(%" PRIu64 ",%" PRIu64 ")", id, refs->nodes[node].type_id);
    raw_option(out, "node", &one);
    /* what is not tracked by the collector is found by who refers to it */
    bsk_buffer_text_append(&around, "[");
    for (uint32_t i = 0; i < refs->edge_count; i++)
        if (refs->edges[i].to == node)
            bsk_buffer_printf(&around, "%" PRIu64 ",", refs->nodes[refs->edges[i].from].id);
    bsk_buffer_text_append(&around, "]");
    raw_option(out, "around", &around);
    return finished(out, false, err);
}

/* --- the answer's lines ---------------------------------------------------------------------- */

/* One line split at tabs, "\t", "\n" and "\\" put back; the fields live in `line`. */
static size_t fields_of(char *line, char *fields[], size_t max)
{
    size_t count = 0;
    char *to = line;
    fields[count++] = to;
    for (const char *at = line; *at; at++) {
        if (*at == '\t') {
            *to++ = '\0';
            if (count == max)
                return count;
            fields[count++] = to;
        } else if (*at == '\\' && at[1] != '\0') {
            at++;
            *to++ = *at == 't' ? '\t' : *at == 'n' ? '\n' : *at == 'r' ? '\r' : *at;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return count;
}

bool bsk_references_next_line(struct bsk_references_lines *lines, char *fields[], size_t *out_count)
{
    if (lines->left == 0)
        return false;
    const char *end = memchr(lines->at, '\n', lines->left);
    size_t size = end ? (size_t)(end - lines->at) : lines->left;
    size_t kept = size < sizeof(lines->line) - 1 ? size : sizeof(lines->line) - 1;
    memcpy(lines->line, lines->at, kept);
    lines->line[kept] = '\0';
    size_t used = size + (end ? 1 : 0);
    lines->at += used;
    lines->left -= used;
    *out_count = fields_of(lines->line, fields, BSK_LINE_FIELDS);
    return true;
}

int bsk_references_lines_of(const struct bsk_value *result, struct bsk_references_lines *lines,
                            struct bsk_error *err)
{
    const struct bsk_value *text = bsk_value_field(result, "text");
    if (!text || (text->kind != BSK_VALUE_TEXT && text->kind != BSK_VALUE_BYTES)) {
        bsk_fail(err, BSK_E_FORMAT, NULL, "The program's answer about references is broken");
        return BSK_E_FORMAT;
    }
    lines->at = text->text;
    lines->left = text->bytes;
    return BSK_OK;
}

static bool number_below(const char *text, uint32_t most, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *out = (uint32_t)value;
    return end != text && *end == '\0' && value < most;
}

enum bsk_label bsk_references_label_of(const char *kind)
{
    static const struct {
        const char *kind;
        enum bsk_label label;
    } kinds[] = { { "attr", BSK_LABEL_ATTRIBUTE }, { "slot", BSK_LABEL_SLOT },
                  { "key", BSK_LABEL_KEY },        { "index", BSK_LABEL_INDEX },
                  { "local", BSK_LABEL_LOCAL },    { "closure", BSK_LABEL_CLOSURE },
                  { "cell", BSK_LABEL_CELL },      { "dict", BSK_LABEL_DICT },
                  { "item", BSK_LABEL_ITEM },      { "keyof", BSK_LABEL_KEYOF },
                  { "part", BSK_LABEL_PART } };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            return kinds[i].label;
    return BSK_LABEL_NONE;
}

static void take_edge(struct bsk_references *refs, char *fields[], size_t count)
{
    uint32_t number;
    if (count < 5 || !number_below(fields[1], refs->edge_count, &number) ||
        refs->edges[number].label != BSK_LABEL_NONE)
        return;
    struct bsk_shown_edge *edge = &refs->edges[number];
    edge->label = bsk_references_label_of(fields[2]);
    free(edge->text);
    edge->text = fields[3][0] ? strdup(fields[3]) : NULL;
    edge->identifier = strcmp(fields[4], "name") == 0;
}

int bsk_references_label(struct bsk_references *refs, const struct bsk_value *result,
                         struct bsk_error *err)
{
    struct bsk_references_lines lines;
    int rc = bsk_references_lines_of(result, &lines, err);
    if (rc < 0)
        return rc;
    char *fields[BSK_LINE_FIELDS] = { NULL };
    size_t count = 0;
    while (bsk_references_next_line(&lines, fields, &count)) {
        uint32_t node;
        if (strcmp(fields[0], "edge") == 0) {
            take_edge(refs, fields, count);
            continue;
        }
        if (count < 2 || !number_below(fields[1], refs->count, &node))
            continue;
        struct bsk_shown *shown = &refs->nodes[node];
        if (strcmp(fields[0], "gone") == 0) {
            shown->gone = true;
        } else if (strcmp(fields[0], "repr") == 0 && count >= 3) {
            free(shown->repr);
            shown->repr = strdup(fields[2]);
        } else if (strcmp(fields[0], "len") == 0 && count >= 3) {
            shown->has_length = true;
            shown->length = strtoull(fields[2], NULL, 10);
        }
    }
    refs->labelled = true;
    return bsk_references_draw_together(refs, err);
}

const char *bsk_label_text(const struct bsk_shown_edge *edge, char *out, size_t size)
{
    const char *text = edge->text ? edge->text : "";
    switch (edge->label) {
    case BSK_LABEL_ATTRIBUTE:
    case BSK_LABEL_SLOT:
    case BSK_LABEL_PART:
        snprintf(out, size, ".%s", text);
        break;
    case BSK_LABEL_KEY:
        snprintf(out, size, edge->identifier ? "['%s']" : "[%s]", text);
        break;
    case BSK_LABEL_INDEX:
        snprintf(out, size, "[%s]", text);
        break;
    case BSK_LABEL_LOCAL:
        snprintf(out, size, "local %s", text);
        break;
    case BSK_LABEL_GLOBAL:
        snprintf(out, size, "global %s", text);
        break;
    case BSK_LABEL_CLOSURE:
        snprintf(out, size, "closure %s", text);
        break;
    case BSK_LABEL_CELL:
        snprintf(out, size, ".cell_contents");
        break;
    case BSK_LABEL_DICT:
        snprintf(out, size, ".%s", text[0] ? text : "__dict__");
        break;
    case BSK_LABEL_ITEM:
        snprintf(out, size, "in the set");
        break;
    case BSK_LABEL_KEYOF:
        snprintf(out, size, "key %s", text);
        break;
    case BSK_LABEL_GAP:
        snprintf(out, size, "%" PRIu32 " more steps", edge->steps);
        break;
    case BSK_LABEL_NONE:
        snprintf(out, size, "%s", "");
        break;
    }
    return out;
}
