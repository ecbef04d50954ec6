#include "engine/python/proof.h"

#include <stdlib.h>

enum { CALLS_MAX = 1 << 20, TIMES_MASK = 3, TIMES_PROVEN = 3 };

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0x9e3779b97f4a7c15);
    value ^= value >> 29;
    return value;
}

uint64_t bsk_proof_call(uint32_t caller_id, uint64_t lasti, uint32_t callee_id)
{
    uint64_t call = mix(mix((uint64_t)caller_id << 32 | callee_id) + lasti) & ~(uint64_t)TIMES_MASK;
    return call ? call : TIMES_MASK + 1;
}

static size_t slot_of(const struct bsk_proof *proof, uint64_t call)
{
    size_t at = (size_t)(call >> 2) & (proof->slot_count - 1);
    while (proof->slots[at] != 0 && (proof->slots[at] & ~(uint64_t)TIMES_MASK) != call)
        at = (at + 1) & (proof->slot_count - 1);
    return at;
}

bool bsk_proof_holds(const struct bsk_proof *proof, uint64_t call)
{
    return proof->slot_count > 0 &&
           (proof->slots[slot_of(proof, call)] & TIMES_MASK) >= TIMES_PROVEN;
}

bool bsk_proof_seen(const struct bsk_proof *proof, uint64_t call)
{
    return proof->slot_count > 0 && proof->slots[slot_of(proof, call)] != 0;
}

void bsk_proof_learn(struct bsk_proof *proof, uint64_t call)
{
    if (2 * (proof->used + 1) > proof->slot_count) {
        struct bsk_proof grown = { .slot_count = proof->slot_count ? proof->slot_count * 2 : 256 };
        if (proof->used >= CALLS_MAX)
            return;
        grown.slots = calloc(grown.slot_count, sizeof(grown.slots[0]));
        if (!grown.slots)
            return;
        for (size_t i = 0; i < proof->slot_count; i++)
            if (proof->slots[i])
                grown.slots[slot_of(&grown, proof->slots[i] & ~(uint64_t)TIMES_MASK)] =
                    proof->slots[i];
        grown.used = proof->used;
        free(proof->slots);
        *proof = grown;
    }
    size_t at = slot_of(proof, call);
    proof->used += proof->slots[at] == 0;
    uint64_t times = proof->slots[at] & TIMES_MASK;
    proof->slots[at] = call | (times < TIMES_PROVEN ? times + 1 : times);
}

void bsk_proof_free(struct bsk_proof *proof)
{
    free(proof->slots);
    *proof = (struct bsk_proof){ 0 };
}
