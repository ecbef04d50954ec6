/*
 * What was seen beyond doubt: which paths of calls there are, and what each place that calls has
 * called.
 *
 * A stack read from a running thread may be a mixture of two. So what is believed of one that
 * moved is first of all what was seen, at least three times, in stacks that did not move while they
 * were read: whole paths from the outermost frame on, since a mixture of two real stacks can have
 * nothing but real calls in it. Beyond them, calls are believed that their place makes all the time
 * (bsk_path_often()). This is what keeps short calls from being thrown away, which would falsify
 * the shares.
 *
 * Bounded: what no longer fits makes all of it be learnt anew.
 */
#ifndef BSK_PYTHON_PROOF_H
#define BSK_PYTHON_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BSK_NO_CALLEE UINT32_MAX /* "nothing was called" */

enum {
    BSK_PROOF_TIMES = 3,         /* that something is learnt before it is proven */
    BSK_TRIALS = 1 << 13,        /* at once: one that falls on another's place ends that */
    BSK_SITE_CALLEES = 6,        /* that are remembered of one place */
    BSK_SITE_REENTERS = 1 << 0,  /* C code called from here calls Python again, on the data stack */
    BSK_SITE_HEAP = 1 << 1,      /* its callee is a generator, or lies elsewhere */
    BSK_SITE_CALLS = 1 << 2,     /* it calls Python directly */
    BSK_SITE_HEAP_BY_C = 1 << 3, /* C code called from here goes on with a generator */
};

/* A place in a code object that calls. */
struct bsk_site {
    uint64_t key; /* 0: free */
    uint32_t callees[BSK_SITE_CALLEES];
    uint16_t times[BSK_SITE_CALLEES];
    uint8_t flags; /* BSK_SITE_* */
    /* Where the tops were while it had nothing above it on the data stack. */
    uint16_t tops_here, tops_outside;
};

/* Evidence for what is not believed yet, or a count. */
struct bsk_trial {
    uint64_t name;
    int32_t sum;
};

struct bsk_proof {
    uint64_t *slots; /* paths; 0 is empty; the lowest 16 bits count, up to the most */
    size_t slot_count, used;
    struct bsk_site *sites;
    size_t site_slots, site_count;
    struct bsk_trial *trials; /* BSK_TRIALS; NULL: none yet */
};

uint64_t bsk_proof_mix(uint64_t value);

/* `path` is a hash; its lowest 16 bits do not count. */
void bsk_proof_learn(struct bsk_proof *proof, uint64_t path);
bool bsk_proof_holds(const struct bsk_proof *proof, uint64_t path); /* BSK_PROOF_TIMES */
/* Of all that was learnt through `below`, which is `path` without its innermost frame, `path` is
 * one in `part` at least. */
bool bsk_proof_is_part(const struct bsk_proof *proof, uint64_t path, uint64_t below, unsigned part);

/* The sum of all evidence for `name` (a hash, not 0) with this, never less than 0. */
int bsk_proof_weigh(struct bsk_proof *proof, uint64_t name, int evidence);

/* `place` is relative to the code object: an address may be used again. */
const struct bsk_site *bsk_proof_site(const struct bsk_proof *proof, uint32_t caller_id,
                                      uint64_t place);
void bsk_proof_learn_site(struct bsk_proof *proof, uint32_t caller_id, uint64_t place,
                          uint32_t callee_id, uint8_t flags);
/* Both tops of a sample were `outside` of the data stack, or one was this frame itself, while it
 * had nothing above it there. True where the former is usual: a top outside is of this instant,
 * mostly, or short calls elsewhere go on too fast to be told from it. */
bool bsk_proof_note_top(struct bsk_proof *proof, uint32_t caller_id, uint64_t place, bool outside);
void bsk_proof_mark_site(struct bsk_proof *proof, uint32_t caller_id, uint64_t place,
                         uint8_t flags);
void bsk_proof_free(struct bsk_proof *proof);

#endif
