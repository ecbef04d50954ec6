/*
 * Numbers pairs of numbers: 0, 1, 2, … in the order of first asking.
 *
 * A zeroed struct is empty; bsk_pairs_free() gives its memory back.
 */
#ifndef BSK_EXPORT_PAIRS_H
#define BSK_EXPORT_PAIRS_H

#include <stddef.h>
#include <stdint.h>

struct bsk_pairs {
    uint64_t *keys; /* by number: a in the upper half, b in the lower */
    uint32_t *slots;
    uint32_t count, capacity; /* twice as many slots */
};

/* The number of (a, b); UINT32_MAX when out of memory. */
uint32_t bsk_pair(struct bsk_pairs *pairs, uint32_t a, uint32_t b);
/* The same without numbering it: UINT32_MAX when it was never asked for. */
uint32_t bsk_pair_find(const struct bsk_pairs *pairs, uint32_t a, uint32_t b);
void bsk_pairs_free(struct bsk_pairs *pairs);

#endif
