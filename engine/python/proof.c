#include "engine/python/proof.h"

#include <stdlib.h>

enum {
    PATHS_MAX = 1 << 18, /* 4 MiB */
    SITES_MAX = 1 << 14,
    TIMES_BITS = 16,
    TIMES_MAX = (1 << TIMES_BITS) - 1,
    TOPS_LEAST = 8,
};

uint64_t bsk_proof_mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0x9e3779b97f4a7c15);
    value ^= value >> 29;
    return value;
}

/* --- paths ------------------------------------------------------------------------------------ */

static uint64_t named(uint64_t path)
{
    path &= ~(uint64_t)TIMES_MAX;
    return path ? path : TIMES_MAX + 1;
}

static size_t slot_of(const struct bsk_proof *proof, uint64_t path)
{
    size_t at = (size_t)(path >> TIMES_BITS) & (proof->slot_count - 1);
    while (proof->slots[at] != 0 && (proof->slots[at] & ~(uint64_t)TIMES_MAX) != path)
        at = (at + 1) & (proof->slot_count - 1);
    return at;
}

static uint64_t times_of(const struct bsk_proof *proof, uint64_t path)
{
    return proof->slot_count > 0 ? proof->slots[slot_of(proof, named(path))] & TIMES_MAX : 0;
}

bool bsk_proof_holds(const struct bsk_proof *proof, uint64_t path)
{
    return times_of(proof, path) >= BSK_PROOF_TIMES;
}

bool bsk_proof_is_part(const struct bsk_proof *proof, uint64_t path, uint64_t below, unsigned part)
{
    return times_of(proof, path) * part >= times_of(proof, below);
}

static bool room_for_path(struct bsk_proof *proof)
{
    if (2 * (proof->used + 1) <= proof->slot_count)
        return true;
    struct bsk_proof grown = { .slot_count = proof->slot_count ? proof->slot_count * 2 : 256 };
    bool full = proof->used >= PATHS_MAX;
    if (full)
        grown.slot_count = 256;
    grown.slots = calloc(grown.slot_count, sizeof(grown.slots[0]));
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < proof->slot_count && !full; i++)
        if (proof->slots[i])
            grown.slots[slot_of(&grown, proof->slots[i] & ~(uint64_t)TIMES_MAX)] = proof->slots[i];
    free(proof->slots);
    proof->slots = grown.slots;
    proof->slot_count = grown.slot_count;
    proof->used = full ? 0 : proof->used;
    return true;
}

void bsk_proof_learn(struct bsk_proof *proof, uint64_t path)
{
    path = named(path);
    if (!room_for_path(proof))
        return;
    size_t at = slot_of(proof, path);
    proof->used += proof->slots[at] == 0;
    uint64_t times = proof->slots[at] & TIMES_MAX;
    proof->slots[at] = path | (times < TIMES_MAX ? times + 1 : times);
}

/* --- trials ----------------------------------------------------------------------------------- */

int bsk_proof_weigh(struct bsk_proof *proof, uint64_t name, int evidence)
{
    if (!proof->trials)
        proof->trials = calloc(BSK_TRIALS, sizeof(proof->trials[0]));
    if (!proof->trials)
        return 0;
    struct bsk_trial *trial = &proof->trials[name % BSK_TRIALS];
    if (trial->name != name)
        *trial = (struct bsk_trial){ .name = name };
    trial->sum += evidence;
    trial->sum = trial->sum > 0 ? trial->sum : 0;
    return trial->sum;
}

/* --- places that call ------------------------------------------------------------------------- */

static uint64_t site_key(uint32_t caller_id, uint64_t place)
{
    uint64_t key = bsk_proof_mix((uint64_t)caller_id << 32 ^ place);
    return key ? key : 1;
}

static size_t site_slot(const struct bsk_proof *proof, uint64_t key)
{
    size_t at = (size_t)key & (proof->site_slots - 1);
    while (proof->sites[at].key != 0 && proof->sites[at].key != key)
        at = (at + 1) & (proof->site_slots - 1);
    return at;
}

const struct bsk_site *bsk_proof_site(const struct bsk_proof *proof, uint32_t caller_id,
                                      uint64_t place)
{
    if (proof->site_slots == 0)
        return NULL;
    const struct bsk_site *site = &proof->sites[site_slot(proof, site_key(caller_id, place))];
    return site->key ? site : NULL;
}

static bool room_for_site(struct bsk_proof *proof)
{
    if (2 * (proof->site_count + 1) <= proof->site_slots)
        return true;
    struct bsk_proof grown = { .site_slots = proof->site_slots ? proof->site_slots * 2 : 64 };
    bool full = proof->site_count >= SITES_MAX;
    if (full)
        grown.site_slots = 64;
    grown.sites = calloc(grown.site_slots, sizeof(grown.sites[0]));
    if (!grown.sites)
        return false;
    for (size_t i = 0; i < proof->site_slots && !full; i++)
        if (proof->sites[i].key)
            grown.sites[site_slot(&grown, proof->sites[i].key)] = proof->sites[i];
    free(proof->sites);
    proof->sites = grown.sites;
    proof->site_slots = grown.site_slots;
    proof->site_count = full ? 0 : proof->site_count;
    return true;
}

/* One that is learnt of; NULL: out of memory. */
static struct bsk_site *site_to_learn(struct bsk_proof *proof, uint32_t caller_id, uint64_t place)
{
    if (!room_for_site(proof))
        return NULL;
    uint64_t key = site_key(caller_id, place);
    struct bsk_site *site = &proof->sites[site_slot(proof, key)];
    proof->site_count += site->key == 0;
    site->key = key;
    return site;
}

void bsk_proof_learn_site(struct bsk_proof *proof, uint32_t caller_id, uint64_t place,
                          uint32_t callee_id, uint8_t flags)
{
    struct bsk_site *site = site_to_learn(proof, caller_id, place);
    if (!site)
        return;
    site->flags |= flags;
    size_t at = 0;
    while (at < BSK_SITE_CALLEES && site->times[at] && site->callees[at] != callee_id)
        at++;
    if (at == BSK_SITE_CALLEES)
        return;
    site->callees[at] = callee_id;
    if (++site->times[at] == UINT16_MAX) /* their proportions stay */
        for (size_t i = 0; i < BSK_SITE_CALLEES; i++)
            site->times[i] = (uint16_t)((site->times[i] + 1u) / 2);
}

bool bsk_proof_note_top(struct bsk_proof *proof, uint32_t caller_id, uint64_t place, bool outside)
{
    struct bsk_site *site = site_to_learn(proof, caller_id, place);
    if (!site)
        return false;
    uint16_t *times = outside ? &site->tops_outside : &site->tops_here;
    if (++*times == UINT16_MAX) {
        site->tops_here /= 2;
        site->tops_outside /= 2;
    }
    return site->tops_outside >= TOPS_LEAST && 2 * site->tops_outside >= site->tops_here;
}

void bsk_proof_mark_site(struct bsk_proof *proof, uint32_t caller_id, uint64_t place, uint8_t flags)
{
    struct bsk_site *site = site_to_learn(proof, caller_id, place);
    if (site)
        site->flags |= flags;
}

void bsk_proof_free(struct bsk_proof *proof)
{
    free(proof->slots);
    free(proof->sites);
    free(proof->trials);
    *proof = (struct bsk_proof){ 0 };
}
