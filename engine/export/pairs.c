#include "engine/export/pairs.h"

#include <stdlib.h>
#include <string.h>

#define EMPTY UINT32_MAX

static uint32_t slot_of(const struct bsk_pairs *pairs, uint64_t key)
{
    uint32_t mask = pairs->capacity * 2 - 1;
    uint64_t hash = (key ^ key >> 31) * 0x9e3779b97f4a7c15ULL;
    uint32_t at = (uint32_t)(hash >> 32) & mask;
    while (pairs->slots[at] != EMPTY && pairs->keys[pairs->slots[at]] != key)
        at = (at + 1) & mask;
    return at;
}

static int grow(struct bsk_pairs *pairs)
{
    uint32_t capacity = pairs->capacity ? pairs->capacity * 2 : 256;
    if (capacity > UINT32_MAX / 4)
        return -1;
    uint32_t *slots = malloc((size_t)capacity * 2 * sizeof(*slots));
    uint64_t *keys = realloc(pairs->keys, capacity * sizeof(*keys));
    if (keys)
        pairs->keys = keys;
    if (!keys || !slots) {
        free(slots);
        return -1;
    }
    free(pairs->slots);
    pairs->slots = slots;
    pairs->capacity = capacity;
    memset(slots, 0xff, (size_t)capacity * 2 * sizeof(*slots));
    for (uint32_t i = 0; i < pairs->count; i++)
        slots[slot_of(pairs, keys[i])] = i;
    return 0;
}

uint32_t bsk_pair(struct bsk_pairs *pairs, uint32_t a, uint32_t b)
{
    uint64_t key = (uint64_t)a << 32 | b;
    uint32_t at = pairs->capacity ? slot_of(pairs, key) : 0;
    if (pairs->capacity && pairs->slots[at] != EMPTY)
        return pairs->slots[at];
    if (pairs->count == pairs->capacity) {
        if (grow(pairs) < 0)
            return UINT32_MAX;
        at = slot_of(pairs, key);
    }
    pairs->keys[pairs->count] = key;
    pairs->slots[at] = pairs->count;
    return pairs->count++;
}

uint32_t bsk_pair_find(const struct bsk_pairs *pairs, uint32_t a, uint32_t b)
{
    if (!pairs->capacity)
        return UINT32_MAX;
    return pairs->slots[slot_of(pairs, (uint64_t)a << 32 | b)]; /* EMPTY is UINT32_MAX */
}

void bsk_pairs_free(struct bsk_pairs *pairs)
{
    free(pairs->keys);
    free(pairs->slots);
    memset(pairs, 0, sizeof(*pairs));
}
