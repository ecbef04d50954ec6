/* Which node has which address. */
#include "engine/memory/graph_internal.h"

#include <inttypes.h>
#include <stdlib.h>

static struct bsk_graph_page *page_of(const struct bsk_graph *graph, uint64_t key)
{
    size_t mask = graph->page_slots - 1;
    size_t slot = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 24) & mask;
    while (graph->pages[slot].key != 0 && graph->pages[slot].key != key)
        slot = (slot + 1) & mask;
    return &graph->pages[slot];
}

int bsk_graph_pages_make(struct bsk_graph *graph, struct bsk_error *err)
{
    graph->page_slots = 1 << 12;
    graph->page_count = 0;
    graph->pages = calloc(graph->page_slots, sizeof(*graph->pages));
    if (!graph->pages)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    return BSK_OK;
}

static bool grow(struct bsk_graph *graph)
{
    struct bsk_graph_page *old = graph->pages;
    size_t old_slots = graph->page_slots;
    struct bsk_graph_page *bigger = calloc(old_slots * 2, sizeof(*bigger));
    if (!bigger)
        return false;
    graph->pages = bigger;
    graph->page_slots = old_slots * 2;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].key != 0)
            *page_of(graph, old[i].key) = old[i];
    free(old);
    return true;
}

int bsk_graph_pages_add(struct bsk_graph *graph, uint64_t id, struct bsk_error *err)
{
    if (id == 0 || (id & 7) != 0)
        return bsk_fail(err, BSK_E_FORMAT, NULL, "The dump has an object at 0x%" PRIx64, id);
    uint64_t key = (id >> 12) + 1;
    struct bsk_graph_page *page = page_of(graph, key);
    if (page->key == 0) {
        if (graph->page_count * 2 >= graph->page_slots) {
            if (!grow(graph))
                return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
            page = page_of(graph, key);
        }
        page->key = key;
        graph->page_count++;
    }
    uint32_t bit = (uint32_t)(id >> 3) & 511;
    page->bits[bit >> 6] |= UINT64_C(1) << (bit & 63);
    return BSK_OK;
}

struct page_place {
    uint64_t key;
    size_t slot;
};

static int by_key(const void *a, const void *b)
{
    uint64_t left = ((const struct page_place *)a)->key;
    uint64_t right = ((const struct page_place *)b)->key;
    return (left > right) - (left < right);
}

/* By address: objects that were made together are looked at together. */
int bsk_graph_pages_number(struct bsk_graph *graph, uint64_t *out_count, struct bsk_error *err)
{
    struct page_place *places = malloc((graph->page_count + 1) * sizeof(*places));
    if (!places)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    size_t used = 0;
    for (size_t i = 0; i < graph->page_slots; i++)
        if (graph->pages[i].key != 0)
            places[used++] = (struct page_place){ graph->pages[i].key, i };
    qsort(places, used, sizeof(*places), by_key);
    uint64_t count = 0;
    for (size_t i = 0; i < used; i++) {
        struct bsk_graph_page *page = &graph->pages[places[i].slot];
        page->base = (uint32_t)count;
        uint16_t rank = 0;
        for (int word = 0; word < 8; word++) {
            page->ranks[word] = rank;
            rank = (uint16_t)(rank + __builtin_popcountll(page->bits[word]));
        }
        count += rank;
    }
    free(places);
    *out_count = count;
    return BSK_OK;
}

uint32_t bsk_graph_find(const struct bsk_graph *graph, uint64_t id)
{
    if ((id & 7) != 0)
        return BSK_NO_NODE;
    const struct bsk_graph_page *page = page_of(graph, (id >> 12) + 1);
    uint32_t bit = (uint32_t)(id >> 3) & 511;
    uint64_t word = page->bits[bit >> 6], mask = UINT64_C(1) << (bit & 63);
    if ((word & mask) == 0)
        return BSK_NO_NODE;
    return page->base + page->ranks[bit >> 6] + (uint32_t)__builtin_popcountll(word & (mask - 1));
}
