#include "engine/python/bridges.h"

#include "engine/python/proof.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 1 << 15,       /* 1.3 MB, touched as it fills */
    STEPS_MAX = 1 << 15,   /* 512 KiB */
    ALTERNATIVES_MAX = 16, /* of one key that are remembered */
    TIMES_MAX = 1 << 16,   /* then their proportions stay */
    TIMES_LEAST = 3,       /* two readings may agree by accident; */
    ONLY_LEAST = 16,       /* before there is held to be no other */
    PART = 16,             /* so one that is rarer than one in so many counts for nothing, */
    PART_OF_ALL = 1024,    /* and neither do ends that are rarer than that among all */
};

static uint64_t key_of(const struct bsk_bridge_key *key)
{
    uint64_t mixed = bsk_proof_mix(bsk_proof_mix(key->from + key->innermost) + key->callee);
    return mixed ? mixed : 1;
}

static void forget(struct bsk_bridges *bridges)
{
    if (bridges->slots)
        memset(bridges->slots, 0, SLOTS * sizeof(bridges->slots[0]));
    bridges->used = bridges->step_count = 0;
}

static bool room(struct bsk_bridges *bridges, size_t steps)
{
    if (!bridges->slots) {
        bridges->slots = calloc(SLOTS, sizeof(bridges->slots[0]));
        bridges->slot_count = bridges->slots ? SLOTS : 0;
    }
    if (bridges->used >= SLOTS / 2 || bridges->step_count + steps > STEPS_MAX)
        forget(bridges);
    if (bridges->step_count + steps > bridges->step_capacity) {
        size_t capacity = 2 * (bridges->step_count + steps);
        struct bsk_bridge_step *grown = realloc(bridges->steps, capacity * sizeof(*grown));
        if (!grown)
            return false;
        bridges->steps = grown;
        bridges->step_capacity = capacity;
    }
    return bridges->slots != NULL;
}

/* Where the bridge of this path is, or would be; SIZE_MAX: its key has too many. */
static size_t slot_of(const struct bsk_bridges *bridges, uint64_t key, uint64_t path)
{
    size_t at = (size_t)key & (SLOTS - 1);
    for (int others = 0; bridges->slots[at].key != 0; at = (at + 1) & (SLOTS - 1)) {
        if (bridges->slots[at].key != key)
            continue;
        if (bridges->slots[at].path == path)
            return at;
        if (++others == ALTERNATIVES_MAX)
            return SIZE_MAX;
    }
    return at;
}

static void count_one(struct bsk_bridges *bridges, uint64_t key, const struct bsk_bridge *bridge)
{
    size_t at = slot_of(bridges, key, bridge->path);
    if (at == SIZE_MAX)
        return;
    struct bsk_bridge *slot = &bridges->slots[at];
    if (slot->key == 0) {
        *slot = *bridge;
        slot->key = key;
        bridges->used++;
    }
    if (++slot->times < TIMES_MAX)
        return;
    for (size_t i = (size_t)key & (SLOTS - 1); bridges->slots[i].key; i = (i + 1) & (SLOTS - 1))
        if (bridges->slots[i].key == key)
            bridges->slots[i].times = (bridges->slots[i].times + 1) / 2;
}

/* How many chains were seen from there, under a key that no chain has. */
static uint64_t all_of(uint64_t from)
{
    return bsk_proof_mix(from ^ UINT64_C(0x616c6c0a6f660203)) | 1;
}

void bsk_bridges_learn(struct bsk_bridges *bridges, uint64_t from, uint64_t path,
                       const struct bsk_bridge_step *steps, size_t count, uint32_t callee)
{
    if (count == 0 || count > BSK_BRIDGE_MAX_STEPS || !room(bridges, 0))
        return;
    uint64_t key = key_of(&(struct bsk_bridge_key){ from, steps[count - 1].code_id, callee });
    size_t at = slot_of(bridges, key, path);
    if (at == SIZE_MAX)
        return;
    struct bsk_bridge bridge = { .path = path, .count = (uint32_t)count };
    if (bridges->slots[at].key == 0) {
        if (!room(bridges, count))
            return;
        bridge.first = (uint32_t)bridges->step_count;
        memcpy(bridges->steps + bridges->step_count, steps, count * sizeof(*steps));
        bridges->step_count += count;
    }
    count_one(bridges, key, &bridge);
    if (count == 1 && callee == BSK_BRIDGE_END) /* each chain begins with one */
        count_one(bridges, all_of(from), &(struct bsk_bridge){ 0 });
}

/* How many of its innermost frames are these. */
static size_t alike(const struct bsk_bridges *bridges, const struct bsk_bridge *bridge,
                    const uint32_t *inner, size_t inner_count)
{
    size_t same = 0;
    while (same < inner_count && same < bridge->count &&
           bridges->steps[bridge->first + bridge->count - 1 - same].code_id == inner[same])
        same++;
    return same;
}

static uint64_t count_all(const struct bsk_bridges *bridges, uint64_t key)
{
    uint64_t sum = 0;
    for (size_t i = (size_t)key & (SLOTS - 1); bridges->slots && bridges->slots[i].key;
         i = (i + 1) & (SLOTS - 1))
        sum += bridges->slots[i].key == key ? bridges->slots[i].times : 0;
    return sum;
}

/* One of the alternatives of `key`, by lot. `all`: what the key is one of. */
static const struct bsk_bridge *choose(const struct bsk_bridges *bridges, uint64_t key,
                                       uint64_t all, const uint32_t *inner, size_t inner_count,
                                       uint64_t lot, bool *out_only)
{
    const struct bsk_bridge *fit[ALTERNATIVES_MAX];
    size_t count = 0, most = 0, kept = 0;
    uint64_t sum = count_all(bridges, key), part = 0;
    if (sum * PART_OF_ALL < all)
        return NULL;
    for (size_t i = (size_t)key & (SLOTS - 1);
         bridges->slots && bridges->slots[i].key && count < ALTERNATIVES_MAX;
         i = (i + 1) & (SLOTS - 1)) {
        if (bridges->slots[i].key != key)
            continue;
        fit[count++] = &bridges->slots[i];
    }
    for (size_t i = 0; i < count; i++) {
        size_t same = alike(bridges, fit[i], inner, inner_count);
        if (fit[i]->times < TIMES_LEAST || fit[i]->times * PART < sum || same < most ||
            fit[i]->count < inner_count)
            continue;
        if (same > most)
            kept = 0;
        most = same;
        fit[kept++] = fit[i];
    }
    for (size_t i = 0; i < kept; i++)
        part += fit[i]->times;
    lot = part > 0 ? lot % part : 0;
    *out_only = kept == 1 && part >= ONLY_LEAST && most == inner_count;
    for (size_t i = 0; i < kept; i++) {
        if (lot < fit[i]->times)
            return fit[i];
        lot -= fit[i]->times;
    }
    return NULL;
}

const struct bsk_bridge *bsk_bridges_find(const struct bsk_bridges *bridges,
                                          const struct bsk_bridge_key *key, const uint32_t *inner,
                                          size_t inner_count, uint64_t lot, bool *out_only)
{
    uint64_t all = count_all(bridges, all_of(key->from));
    return choose(bridges, key_of(key), all, inner, inner_count, lot, out_only);
}

/* What ran at the ends, under a key that no chain has. */
static uint64_t ends_of(uint64_t from)
{
    return bsk_proof_mix(from ^ UINT64_C(0x656e64730a020301)) | 1;
}

void bsk_bridges_note_end(struct bsk_bridges *bridges, uint64_t from, uint32_t code_id)
{
    if (room(bridges, 0))
        count_one(bridges, ends_of(from), &(struct bsk_bridge){ .path = code_id });
}

bool bsk_bridges_guess_end(const struct bsk_bridges *bridges, uint64_t from, uint64_t lot,
                           uint32_t *out_code_id)
{
    bool only;
    const struct bsk_bridge *end = choose(bridges, ends_of(from), 0, NULL, 0, lot, &only);
    if (end)
        *out_code_id = (uint32_t)end->path;
    return end != NULL;
}

void bsk_bridges_free(struct bsk_bridges *bridges)
{
    free(bridges->slots);
    free(bridges->steps);
    *bridges = (struct bsk_bridges){ 0 };
}
