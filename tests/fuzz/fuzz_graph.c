/*
 * Whatever a dump of references holds: a graph whose ways, dominators and sums hold together, or an
 * error with a sentence in it; and whatever is answered about its labels, JSON and text come of it.
 *
 * The input is a plan of a small graph, bytes to be changed in its dump, and an answer: a raw dump
 * would hardly ever be found by chance. An input that begins with 0 is a raw dump all the same.
 */
#include "engine/memory/evidence.h"
#include "engine/memory/references.h"
#include "tests/engine/memory/dump.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_NODES = 60, MOST_EDGES = 240 };

static uint8_t take(const uint8_t **data, size_t *size)
{
    if (*size == 0)
        return 0;
    --*size;
    return *(*data)++;
}

static void make_dump(const uint8_t **data, size_t *size, struct bsk_buffer *dump)
{
    int kinds[MOST_NODES];
    uint32_t sizes[MOST_NODES], group[4];
    struct dump_edge edges[MOST_EDGES];
    struct dump_plan plan = { .count = 1 + take(data, size) % MOST_NODES,
                              .kinds = kinds,
                              .sizes = sizes,
                              .edges = edges,
                              .group = group,
                              .group_count = 4 };
    for (uint32_t i = 0; i < plan.count; i++) {
        uint8_t dice = take(data, size);
        kinds[i] = dice < 160 ? DUMP_OBJECT : dice % 6;
        sizes[i] = 16u + dice;
    }
    size_t wanted = take(data, size) % MOST_EDGES;
    while (plan.edge_count < wanted) {
        uint32_t from = take(data, size) % plan.count, to = take(data, size) % plan.count;
        if (kinds[from] == DUMP_TEXT)
            from = 0;
        edges[plan.edge_count++] = (struct dump_edge){ from, to };
    }
    for (size_t i = 0; i < 4; i++)
        group[i] = take(data, size) % plan.count;
    plan.limited = group[0];
    plan.limit = take(data, size);
    dump_write(&plan, dump);
    uint8_t changes = take(data, size) % 4;
    for (uint8_t i = 0; i < changes; i++) {
        size_t at = (size_t)take(data, size) << 8 | take(data, size);
        dump->data[at % dump->size] = (char)take(data, size);
    }
}

static void check(const struct bsk_graph *graph)
{
    struct bsk_graph_facts facts;
    bsk_graph_facts(graph, &facts);
    uint64_t whole = 0;
    for (uint32_t node = 0; node < facts.nodes; node++) {
        uint32_t parent = bsk_graph_parent(graph, node), above = bsk_graph_dominator(graph, node);
        if (bsk_graph_left_out(graph, node))
            continue;
        bool root = bsk_graph_root(graph, node) != BSK_ROOT_NONE;
        if (root != (parent == BSK_NO_NODE) || (root && bsk_graph_distance(graph, node) != 0))
            abort();
        if (!root && bsk_graph_distance(graph, node) != bsk_graph_distance(graph, parent) + 1)
            abort();
        if (above == BSK_NO_NODE)
            whole += bsk_graph_retained(graph, node);
        else if (bsk_graph_retained(graph, above) <
                 bsk_graph_retained(graph, node) + bsk_graph_bytes(graph, above))
            abort();
        if (bsk_graph_find(graph, bsk_graph_id(graph, node)) != node)
            abort();
    }
    if (whole != facts.bytes)
        abort();
}

static void show(const struct bsk_graph *graph, const struct bsk_nodes *nodes, const uint8_t *data,
                 size_t size)
{
    struct bsk_references *refs = NULL;
    struct bsk_buffer text = { 0 };
    struct bsk_json json = { .out = &text };
    if (bsk_references_make(graph, nodes, "it", 0, &refs, NULL) < 0)
        return;
    const struct bsk_value answer = { .kind = BSK_VALUE_TEXT,
                                      .text = (const char *)data,
                                      .bytes = size };
    const struct bsk_value key = { .kind = BSK_VALUE_TEXT, .text = "text", .bytes = 4 };
    const struct bsk_value *items[] = { &key, &answer };
    const struct bsk_value dict = { .kind = BSK_VALUE_DICT, .items = items, .count = 2 };
    bsk_references_label(refs, &dict, NULL);
    bsk_references_text(refs, 80, &text);
    bsk_json_begin(&json, '{');
    bsk_references_json(refs, 1, &json);
    bsk_references_inspect_json(refs, 16, &dict, &json, NULL);
    bsk_buffer_free(&text);
    bsk_references_free(refs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bsk_buffer dump = { 0 };
    struct bsk_graph *graph = NULL;
    struct bsk_error err = { 0 };
    if (size > 0 && data[0] == 0)
        bsk_buffer_append(&dump, data + 1, size - 1);
    else
        make_dump(&data, &size, &dump);
    int rc = bsk_graph_read((const unsigned char *)dump.data, dump.size, &graph, &err);
    if (rc < 0 && (graph || !err.message[0] || err.code != (enum bsk_code)rc))
        abort();
    if (rc == BSK_OK) {
        struct bsk_nodes nodes = { NULL, 0 };
        struct bsk_hold hold = { 0 };
        struct bsk_evidence evidence;
        check(graph);
        if (bsk_graph_of_group(graph, 0, &nodes, NULL) == BSK_OK) {
            bsk_hold_look(graph, &nodes, &hold, &evidence, NULL);
            bsk_hold_look(graph, &nodes, &hold, &evidence, NULL);
            if (evidence.kind == BSK_EVIDENCE_LEAKED) /* nothing has grown */
                abort();
            show(graph, &nodes, data, size);
            bsk_nodes_free(&nodes);
        }
        bsk_graph_free(graph);
    }
    bsk_buffer_free(&dump);
    return 0;
}
