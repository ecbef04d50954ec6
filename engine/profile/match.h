/*
 * Which function of one profile is which of another.
 *
 * Functions are the same when name and path are: then, of those that are left, when the names are
 * and the paths end alike (other checkouts, other prefixes, py-spy's shortened names) and no other
 * candidate's ends as much alike; then the same with "run" for "Worker.run", since only Python 3.11
 * and newer know qualified names. First lines do not count: lines move. Standard library, packages
 * and the user's code are never mixed up where paths tell them apart.
 */
#ifndef BSK_PROFILE_MATCH_H
#define BSK_PROFILE_MATCH_H

#include "engine/profile/profile.h"

struct bsk_match {
    uint32_t count;      /* of different functions */
    uint32_t *of_before; /* by function of the first profile: which one it is */
    uint32_t *of_after;  /* the same of the second */
    uint32_t *in_before; /* by different function: one in the first profile that is it, or */
    uint32_t *in_after;  /* UINT32_MAX when it has none */
};

/* False when out of memory. The caller frees. */
bool bsk_match_make(const struct bsk_profile *before, const struct bsk_profile *after,
                    struct bsk_match *out_match);
void bsk_match_free(struct bsk_match *match);

#endif
