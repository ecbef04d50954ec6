#include "engine/memory/graph.h"
#include "tests/engine/memory/dump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 48 };

static struct bsk_graph *graph_of(const struct dump_plan *plan)
{
    struct bsk_buffer dump = { 0 };
    struct bsk_error err = { 0 };
    struct bsk_graph *graph = NULL;
    dump_write(plan, &dump);
    bsk_graph_read((const unsigned char *)dump.data, dump.size, &graph, &err);
    assert_string_equal(err.message, "");
    assert_non_null(graph);
    bsk_buffer_free(&dump);
    return graph;
}

static uint32_t at(const struct bsk_graph *graph, uint32_t node)
{
    uint32_t found = bsk_graph_find(graph, dump_id(node));
    assert_int_not_equal(found, BSK_NO_NODE);
    return found;
}

/* --- the oracle: slow and plain ----------------------------------------------------------------
 */

struct oracle {
    uint32_t count;
    bool edge[MOST][MOST];
    bool root[MOST], hidden[MOST];
};

static void reach(const struct oracle *oracle, const bool *from, uint32_t without, bool *out)
{
    bool changed = true;
    for (uint32_t i = 0; i < oracle->count; i++)
        out[i] = from[i] && i != without && !oracle->hidden[i];
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < oracle->count; i++)
            for (uint32_t j = 0; out[i] && j < oracle->count; j++)
                if (oracle->edge[i][j] && !out[j] && j != without && !oracle->hidden[j])
                    changed = out[j] = true;
    }
}

static uint32_t naive_dominator(const struct oracle *oracle, uint32_t node)
{
    bool dominates[MOST] = { false }, out[MOST];
    uint32_t best = BSK_NO_NODE;
    for (uint32_t d = 0; d < oracle->count; d++) {
        if (d == node || oracle->hidden[d])
            continue;
        reach(oracle, oracle->root, d, out);
        dominates[d] = !out[node];
    }
    for (uint32_t d = 0; d < oracle->count; d++) { /* the one that all the others dominate */
        if (!dominates[d])
            continue;
        bool nearest = true;
        for (uint32_t e = 0; e < oracle->count && nearest; e++) {
            if (e == d || !dominates[e])
                continue;
            reach(oracle, oracle->root, e, out);
            nearest = !out[d];
        }
        if (nearest)
            best = d;
    }
    return best;
}

static void compare(const struct bsk_graph *graph, struct oracle *oracle)
{
    bool alive[MOST], named[MOST], hidden[MOST], debugger[MOST];
    uint64_t retained[MOST] = { 0 };
    /* left out is what only the debugger reaches */
    for (uint32_t i = 0; i < oracle->count; i++) {
        enum bsk_root root = bsk_graph_root(graph, at(graph, i));
        oracle->root[i] = root != BSK_ROOT_NONE && root != BSK_ROOT_CYCLE;
    }
    reach(oracle, oracle->root, BSK_NO_NODE, named);
    memcpy(hidden, oracle->hidden, sizeof(hidden));
    memset(oracle->hidden, 0, sizeof(oracle->hidden));
    reach(oracle, hidden, BSK_NO_NODE, debugger);
    for (uint32_t i = 0; i < oracle->count; i++)
        oracle->hidden[i] = hidden[i] || (debugger[i] && !named[i]);
    for (uint32_t i = 0; i < oracle->count; i++)
        oracle->root[i] = bsk_graph_root(graph, at(graph, i)) != BSK_ROOT_NONE;
    reach(oracle, oracle->root, BSK_NO_NODE, alive);
    for (uint32_t i = 0; i < oracle->count; i++) {
        uint32_t node = at(graph, i);
        assert_int_equal(alive[i], !bsk_graph_left_out(graph, node));
        if (!alive[i])
            continue;
        uint32_t dominator = naive_dominator(oracle, i);
        uint32_t expected = dominator == BSK_NO_NODE ? BSK_NO_NODE : at(graph, dominator);
        assert_int_equal(bsk_graph_dominator(graph, node), expected);
        /* what dies when it does */
        bool out[MOST];
        reach(oracle, oracle->root, i, out);
        for (uint32_t j = 0; j < oracle->count; j++)
            retained[i] += alive[j] && !out[j] ? bsk_graph_bytes(graph, at(graph, j)) : 0;
        assert_int_equal(bsk_graph_retained(graph, node), retained[i]);
        /* a parent is one step nearer */
        uint32_t parent = bsk_graph_parent(graph, node);
        assert_int_equal(parent == BSK_NO_NODE, oracle->root[i]);
        if (parent != BSK_NO_NODE)
            assert_int_equal(bsk_graph_distance(graph, node),
                             bsk_graph_distance(graph, parent) + 1);
        for (uint32_t j = 0; j < oracle->count; j++) {
            if (!alive[j] || !oracle->edge[j][i] || oracle->root[i])
                continue;
            /* the ways from C and from cycles begin behind those from modules */
            enum bsk_root mine = BSK_ROOT_NONE, other = BSK_ROOT_NONE;
            for (uint32_t up = node; up != BSK_NO_NODE; up = bsk_graph_parent(graph, up))
                mine = bsk_graph_root(graph, up);
            for (uint32_t up = at(graph, j); up != BSK_NO_NODE; up = bsk_graph_parent(graph, up))
                other = bsk_graph_root(graph, up);
            bool first = other <= BSK_ROOT_FRAME;
            assert_true(first ? mine <= BSK_ROOT_FRAME : mine <= other);
            if (first)
                assert_true(bsk_graph_distance(graph, node) <=
                            bsk_graph_distance(graph, at(graph, j)) + 1);
        }
    }
}

static uint32_t random_state;

static uint32_t chance(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static void agrees_with_a_slow_oracle_on_random_graphs(void **state)
{
    (void)state;
    random_state = 7;
    for (int round = 0; round < 400; round++) {
        struct oracle oracle = { .count = 2 + chance(MOST - 2) };
        struct dump_edge edges[MOST * 4];
        int kinds[MOST];
        uint32_t sizes[MOST];
        size_t edge_count = 0;
        for (uint32_t i = 0; i < oracle.count; i++) {
            uint32_t dice = chance(20);
            kinds[i] = dice == 0                ? DUMP_MODULE
                       : dice == 1              ? DUMP_FRAME
                       : dice == 2              ? DUMP_TEXT
                       : dice == 3 && round % 2 ? DUMP_DEBUGGER
                                                : DUMP_OBJECT;
            oracle.hidden[i] = kinds[i] == DUMP_DEBUGGER;
            sizes[i] = 16 + chance(1000);
        }
        size_t wanted = chance(oracle.count * 3 + 1);
        for (size_t i = 0; i < wanted; i++) {
            uint32_t from = chance(oracle.count), to = chance(oracle.count);
            if (kinds[from] == DUMP_TEXT)
                continue;
            edges[edge_count++] = (struct dump_edge){ from, to };
            oracle.edge[from][to] = true;
        }
        bool referred[MOST] = { false };
        for (size_t i = 0; i < edge_count; i++)
            referred[edges[i].to] = true;
        for (uint32_t i = 0; i < oracle.count;
             i++) /* what nothing tracked refers to is not dumped */
            if (kinds[i] == DUMP_TEXT && !referred[i])
                kinds[i] = DUMP_OBJECT;
        struct dump_plan plan = { .count = oracle.count,
                                  .kinds = kinds,
                                  .sizes = sizes,
                                  .edges = edges,
                                  .edge_count = edge_count };
        struct bsk_graph *graph = graph_of(&plan);
        for (uint32_t i = 0; i < oracle.count; i++)
            assert_int_equal(bsk_graph_bytes(graph, at(graph, i)),
                             kinds[i] == DUMP_FRAME ? 64 : sizes[i]);
        /* what only the debugger holds is left out as well: the oracle takes that from the roots */
        compare(graph, &oracle);
        bsk_graph_free(graph);
    }
}

static void cycles_are_components_and_not_through_modules(void **state)
{
    (void)state;
    /* module 0 -> 1 -> 2 -> 1; 2 -> 0; 3 <-> 4 held by nothing; 5 refers to itself */
    static const int kinds[] = { DUMP_MODULE, DUMP_OBJECT, DUMP_OBJECT,
                                 DUMP_OBJECT, DUMP_OBJECT, DUMP_OBJECT };
    static const struct dump_edge edges[] = { { 0, 1 }, { 1, 2 }, { 2, 1 }, { 2, 0 },
                                              { 3, 4 }, { 4, 3 }, { 5, 5 } };
    struct dump_plan plan = { .count = 6, .kinds = kinds, .edges = edges, .edge_count = 7 };
    struct bsk_graph *graph = graph_of(&plan);
    uint32_t first = bsk_graph_cycle(graph, at(graph, 1));
    assert_int_not_equal(first, 0);
    assert_int_equal(bsk_graph_cycle(graph, at(graph, 2)), first);
    assert_int_equal(bsk_graph_cycle(graph, at(graph, 0)), 0);
    uint32_t second = bsk_graph_cycle(graph, at(graph, 3));
    assert_int_not_equal(second, 0);
    assert_int_not_equal(second, first);
    assert_int_equal(bsk_graph_cycle(graph, at(graph, 4)), second);
    assert_int_not_equal(bsk_graph_cycle(graph, at(graph, 5)), 0);
    assert_int_equal(bsk_graph_root(graph, at(graph, 0)), BSK_ROOT_MODULE);
    int roots = (bsk_graph_root(graph, at(graph, 3)) == BSK_ROOT_CYCLE) +
                (bsk_graph_root(graph, at(graph, 4)) == BSK_ROOT_CYCLE);
    assert_int_equal(roots, 1);
    struct bsk_graph_facts facts;
    bsk_graph_facts(graph, &facts);
    assert_int_equal(facts.cycles, 3);
    bsk_graph_free(graph);
}

static void the_debugger_and_what_only_it_holds_is_left_out(void **state)
{
    (void)state;
    /* module app 0 -> 1; pydevd 2 -> 3 -> 4, and -> 1; app 0 -> PyDB 5 -> 6; 7 held from C */
    static const int kinds[] = { DUMP_MODULE, DUMP_OBJECT,   DUMP_DEBUGGER_MODULE, DUMP_OBJECT,
                                 DUMP_OBJECT, DUMP_DEBUGGER, DUMP_OBJECT,          DUMP_OBJECT };
    static const struct dump_edge edges[] = { { 0, 1 }, { 2, 3 }, { 3, 4 }, { 2, 1 },
                                              { 0, 5 }, { 5, 6 }, { 6, 1 } };
    struct dump_plan plan = { .count = 8, .kinds = kinds, .edges = edges, .edge_count = 7 };
    struct bsk_graph *graph = graph_of(&plan);
    static const bool out[] = { false, false, true, true, true, true, true, false };
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(bsk_graph_left_out(graph, at(graph, i)), out[i]);
    assert_int_equal(bsk_graph_dominator(graph, at(graph, 1)), at(graph, 0));
    assert_int_equal(bsk_graph_root(graph, at(graph, 7)), BSK_ROOT_C);
    bsk_graph_free(graph);
}

static void a_frame_holds_its_locals_by_name(void **state)
{
    (void)state;
    static const int kinds[] = { DUMP_FRAME, DUMP_OBJECT };
    static const struct dump_edge edges[] = { { 0, 1 } };
    struct dump_plan plan = { .count = 2, .kinds = kinds, .edges = edges, .edge_count = 1 };
    struct bsk_graph *graph = graph_of(&plan);
    uint32_t line = 0;
    assert_int_equal(bsk_graph_root(graph, at(graph, 0)), BSK_ROOT_FRAME);
    assert_string_equal(bsk_graph_name(graph, at(graph, 0)), "main");
    assert_string_equal(bsk_graph_frame_place(graph, at(graph, 0), &line), "/app.py");
    assert_int_equal(line, 12);
    assert_string_equal(bsk_graph_local(graph, at(graph, 0), at(graph, 1)), "batch");
    assert_int_equal(bsk_graph_parent(graph, at(graph, 1)), at(graph, 0));
    bsk_graph_free(graph);
}

static void a_chain_of_a_million_needs_no_stack(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    struct dump_edge *edges = malloc(2 * LONG * sizeof(*edges));
    assert_non_null(edges);
    /* dump_write() is quadratic: this one is written by hand below it, both ways linked */
    struct bsk_buffer dump = { 0 };
    int kinds[2] = { DUMP_MODULE, DUMP_OBJECT };
    struct dump_edge first = { 0, 1 };
    struct dump_plan plan = { .count = 2, .kinds = kinds, .edges = &first, .edge_count = 1 };
    dump_write(&plan, &dump);
    free(edges);
    /* sections in a row: facts, types up to "objs" stay */
    char *objects = memmem(dump.data, dump.size, "objs", 4);
    assert_non_null(objects);
    dump.size = (size_t)(objects - dump.data);
    struct {
        const char *tag;
        int what;
    } sections[] = { { "objs", 0 }, { "otyp", 1 }, { "osiz", 2 }, { "edge", 3 } };
    for (size_t s = 0; s < 4; s++) {
        uint64_t bytes = s < 3 ? LONG * 8 : (uint64_t)(3 * LONG - 2) * 8;
        bsk_buffer_append(&dump, sections[s].tag, 4);
        bsk_buffer_append(&dump, "\0\0\0\0", 4);
        bsk_buffer_append(&dump, &bytes, 8);
        for (uint32_t i = 0; i < LONG; i++) {
            uint64_t words[3];
            size_t count = 0;
            if (s == 0)
                words[count++] = dump_id(i);
            else if (s == 1)
                words[count++] = 0x1000;
            else if (s == 2)
                words[count++] = 10;
            else {
                if (i + 1 < LONG)
                    words[count++] = dump_id(i + 1);
                if (i > 0)
                    words[count++] = dump_id(i - 1);
                words[count++] = 0x2000;
            }
            bsk_buffer_append(&dump, words, count * 8);
        }
    }
    uint64_t module[] = { dump_id(0), 0, 0 };
    uint64_t bytes = sizeof(module) + 7, nothing = 0;
    bsk_buffer_append(&dump, "modu\0\0\0\0", 8);
    bsk_buffer_append(&dump, &bytes, 8);
    bsk_buffer_append(&dump, module, sizeof(module));
    bsk_buffer_append(&dump, "\3\0\0\0app", 7);
    bsk_buffer_append(&dump, "end!\0\0\0\0", 8);
    bsk_buffer_append(&dump, &nothing, 8);
    struct bsk_graph *graph = NULL;
    struct bsk_error err = { 0 };
    bsk_graph_read((const unsigned char *)dump.data, dump.size, &graph, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(bsk_graph_distance(graph, at(graph, LONG - 1)), LONG - 1);
    assert_int_equal(bsk_graph_retained(graph, at(graph, 0)), (uint64_t)LONG * 10);
    assert_int_equal(bsk_graph_dominator(graph, at(graph, LONG / 2)), at(graph, LONG / 2 - 1));
    bsk_graph_free(graph);
    bsk_buffer_free(&dump);
}

static void types_are_found_by_either_name(void **state)
{
    (void)state;
    static const int kinds[] = { DUMP_MODULE, DUMP_OBJECT, DUMP_OBJECT, DUMP_TEXT };
    static const struct dump_edge edges[] = { { 0, 1 }, { 0, 2 }, { 1, 3 } };
    struct dump_plan plan = { .count = 4, .kinds = kinds, .edges = edges, .edge_count = 3 };
    struct bsk_graph *graph = graph_of(&plan);
    const struct {
        const char *name;
        size_t count;
    } cases[] = { { "Node", 2 },       { "app.Node", 2 }, { "str", 1 }, { "builtins.str", 1 },
                  { "other.Node", 0 }, { "ode", 0 },      { "", 0 },    { "app.", 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bsk_nodes nodes = { NULL, 0 };
        struct bsk_error err = { 0 };
        int rc = bsk_graph_of_type(graph, cases[i].name, &nodes, &err);
        print_message("  %s\n", cases[i].name);
        assert_int_equal(nodes.count, cases[i].count);
        assert_int_equal(rc, cases[i].count ? BSK_OK : BSK_E_STATE);
        bsk_nodes_free(&nodes);
    }
    struct bsk_error err = { 0 };
    struct bsk_nodes nodes;
    bsk_graph_of_type(graph, "ode", &nodes, &err);
    assert_string_equal(err.hint, "there is Node");
    bsk_graph_free(graph);
}

static void what_is_broken_is_refused(void **state)
{
    (void)state;
    static const int kinds[] = { DUMP_MODULE, DUMP_OBJECT, DUMP_TEXT, DUMP_FRAME };
    static const struct dump_edge edges[] = { { 0, 1 }, { 1, 2 }, { 3, 1 } };
    static const uint32_t group[] = { 1, 1, 2 };
    struct dump_plan plan = { .count = 4,
                              .kinds = kinds,
                              .edges = edges,
                              .edge_count = 3,
                              .group = group,
                              .group_count = 3,
                              .limited = 1,
                              .limit = 7 };
    struct bsk_buffer dump = { 0 };
    dump_write(&plan, &dump);
    unsigned char *copy = malloc(dump.size);
    assert_non_null(copy);
    for (size_t size = 0; size < dump.size; size++) { /* cut anywhere */
        struct bsk_graph *graph = NULL;
        memcpy(copy, dump.data, size);
        int rc = bsk_graph_read(copy, size, &graph, NULL);
        assert_int_equal(rc, BSK_E_FORMAT);
    }
    for (size_t at_byte = 0; at_byte < dump.size; at_byte++) { /* any byte wrong: no crash */
        struct bsk_graph *graph = NULL;
        memcpy(copy, dump.data, dump.size);
        copy[at_byte] ^= 0x55;
        bsk_graph_read(copy, dump.size, &graph, NULL);
        bsk_graph_free(graph);
    }
    struct bsk_graph *graph = graph_of(&plan);
    struct bsk_nodes nodes;
    assert_int_equal(bsk_graph_of_group(graph, 0, &nodes, NULL), BSK_OK);
    assert_int_equal(nodes.count, 2); /* each once */
    bsk_nodes_free(&nodes);
    bsk_graph_free(graph);
    free(copy);
    bsk_buffer_free(&dump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_slow_oracle_on_random_graphs),
        cmocka_unit_test(cycles_are_components_and_not_through_modules),
        cmocka_unit_test(the_debugger_and_what_only_it_holds_is_left_out),
        cmocka_unit_test(a_frame_holds_its_locals_by_name),
        cmocka_unit_test(a_chain_of_a_million_needs_no_stack),
        cmocka_unit_test(types_are_found_by_either_name),
        cmocka_unit_test(what_is_broken_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
