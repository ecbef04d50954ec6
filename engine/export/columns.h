/*
 * The one column that a line of a function is shown with, in formats that have a place for one: the
 * column where at least half of its samples stood, running or calling. A line without such a column
 * has none. Columns are from 1, in bytes of UTF-8.
 */
#ifndef BSK_EXPORT_COLUMNS_H
#define BSK_EXPORT_COLUMNS_H

#include "engine/export/pairs.h"
#include "engine/profile/profile.h"

#include <stdbool.h>

struct bsk_line_columns {
    struct bsk_pairs lines; /* (function, line) */
    uint32_t *column;       /* by line; 0: none */
};

/* False when out of memory. Of a profile without columns it is empty, and costs nothing. The caller
 * frees, in either case. */
bool bsk_line_columns_make(const struct bsk_profile *profile, struct bsk_line_columns *out);
uint32_t bsk_line_column(const struct bsk_line_columns *columns, uint32_t function, uint32_t line);
void bsk_line_columns_free(struct bsk_line_columns *columns);

#endif
