/* Profiles to export: each shows one thing that a file must get right. */
#ifndef BSK_TEST_SAMPLES_H
#define BSK_TEST_SAMPLES_H

#include "engine/profile/profile.h"

struct sample_profile {
    const char *name;
    struct bsk_profile *(*make)(void);
    bool golden; /* small enough to be kept and read */
};

extern const struct sample_profile sample_profiles[];
extern const size_t sample_profile_count;

/* Another profile for each seed, with what a target's memory and a program's author may come up
 * with: hostile names, one to a hundred threads, stacks without weight and weight without time. */
struct bsk_profile *random_profile(uint32_t seed);

#endif
