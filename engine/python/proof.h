/*
 * Which calls were seen beyond doubt: a set of (caller, place in the caller, callee).
 *
 * A stack read from a running thread may be a mixture of two. Stacks whose every call was seen in
 * a stack that did not move while it was read are believed although they moved; the others are
 * torn. This is what keeps short calls from being thrown away, which would falsify the shares.
 */
#ifndef BSK_PYTHON_PROOF_H
#define BSK_PYTHON_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bsk_proof {
    uint64_t *slots; /* open addressing; 0 is empty; the lowest two bits count, up to 3 */
    size_t slot_count, used;
};

enum { BSK_ANY_CALLEE = 0x7fffffff }; /* "something is called from here" */

/* Names the call; never 0. */
uint64_t bsk_proof_call(uint32_t caller_id, uint64_t lasti, uint32_t callee_id);

/* Out of memory, or with a million calls known, it learns nothing more. */
void bsk_proof_learn(struct bsk_proof *proof, uint64_t call);
/* Seen at least three times: once may have been two readings that were wrong alike. */
bool bsk_proof_holds(const struct bsk_proof *proof, uint64_t call);
bool bsk_proof_seen(const struct bsk_proof *proof, uint64_t call); /* at least once */
void bsk_proof_free(struct bsk_proof *proof);

#endif
