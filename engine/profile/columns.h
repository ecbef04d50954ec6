/*
 * The columns of a profile: beside its tree, so that two places on one line stay one node.
 *
 * Of the frame that runs, each node knows how often it was seen at which column; of a frame that
 * has called another, the callee's node knows the column of the call. Columns are Python's plus
 * one: from 1, in bytes of UTF-8; 0 where there is none. Part of struct bsk_profile; others ask
 * that (profile.h).
 *
 * Memory: nothing where no column was told (CPython before 3.11); else 8 bytes a node and 12 for
 * each column of a node, of which there are at most BSK_COLUMNS_MAX.
 */
#ifndef BSK_PROFILE_COLUMNS_H
#define BSK_PROFILE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BSK_COLUMNS_MAX = 64 }; /* of one node; what is seen of others has no column */

struct bsk_columns { /* zeroed: empty */
    struct bsk_column_seen {
        uint32_t column, count;
        uint32_t next; /* its number + 1; 0: the last */
    } * seen;
    struct bsk_column_node {
        uint32_t first, first_call; /* the number of the first in `seen`, + 1 */
    } * nodes;
    uint32_t seen_count, seen_capacity, node_capacity;
};

/* Out of memory costs the columns that are told now, nothing else. */
void bsk_columns_seen(struct bsk_columns *columns, uint32_t node, uint32_t column, uint32_t count);
void bsk_columns_called(struct bsk_columns *columns, uint32_t node, uint32_t column);

/* The column of at least half of the calls that were seen; 0: there is none. */
uint32_t bsk_columns_call(const struct bsk_columns *columns, uint32_t node);

/* Makes `columns`, a copy byte by byte of what another owns, its own. False when out of memory:
 * then it is empty. */
bool bsk_columns_clone(struct bsk_columns *columns);
void bsk_columns_free(struct bsk_columns *columns);
size_t bsk_columns_bytes(const struct bsk_columns *columns);

#endif
