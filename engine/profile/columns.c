#include "engine/profile/columns.h"

#include <stdlib.h>
#include <string.h>

static bool node_room(struct bsk_columns *columns, uint32_t node)
{
    if (node < columns->node_capacity)
        return true;
    if (node > UINT32_MAX / 2)
        return false;
    uint32_t capacity = node + node / 2 + 64;
    struct bsk_column_node *nodes = realloc(columns->nodes, capacity * sizeof(*nodes));
    if (!nodes)
        return false;
    memset(nodes + columns->node_capacity, 0, (capacity - columns->node_capacity) * sizeof(*nodes));
    columns->nodes = nodes;
    columns->node_capacity = capacity;
    return true;
}

static bool seen_room(struct bsk_columns *columns)
{
    if (columns->seen_count < columns->seen_capacity)
        return true;
    if (columns->seen_capacity > UINT32_MAX / 4)
        return false;
    uint32_t capacity = columns->seen_capacity + columns->seen_capacity / 2 + 64;
    struct bsk_column_seen *seen = realloc(columns->seen, capacity * sizeof(*seen));
    if (!seen)
        return false;
    columns->seen = seen;
    columns->seen_capacity = capacity;
    return true;
}

/* To the list that begins at `*first`. */
static void add(struct bsk_columns *columns, uint32_t *first, uint32_t column, uint32_t count)
{
    uint32_t last = 0, met = 0; /* numbers + 1 */
    for (uint32_t at = *first; at; at = columns->seen[at - 1].next) {
        struct bsk_column_seen *seen = &columns->seen[at - 1];
        if (seen->column == column) {
            seen->count = count < UINT32_MAX - seen->count ? seen->count + count : UINT32_MAX;
            return;
        }
        last = at;
        met++;
    }
    if (met == BSK_COLUMNS_MAX || !seen_room(columns))
        return;
    columns->seen[columns->seen_count++] =
        (struct bsk_column_seen){ .column = column, .count = count };
    if (last)
        columns->seen[last - 1].next = columns->seen_count;
    else
        *first = columns->seen_count;
}

void bsk_columns_seen(struct bsk_columns *columns, uint32_t node, uint32_t column, uint32_t count)
{
    if (column > 0 && node_room(columns, node))
        add(columns, &columns->nodes[node].first, column, count);
}

void bsk_columns_called(struct bsk_columns *columns, uint32_t node, uint32_t column)
{
    if (column > 0 && node_room(columns, node))
        add(columns, &columns->nodes[node].first_call, column, 1);
}

uint32_t bsk_columns_call(const struct bsk_columns *columns, uint32_t node)
{
    uint64_t all = 0;
    uint32_t most = 0, column = 0;
    if (node >= columns->node_capacity)
        return 0;
    for (uint32_t at = columns->nodes[node].first_call; at; at = columns->seen[at - 1].next) {
        const struct bsk_column_seen *seen = &columns->seen[at - 1];
        all += seen->count;
        if (seen->count > most) {
            most = seen->count;
            column = seen->column;
        }
    }
    return most >= all - most ? column : 0;
}

bool bsk_columns_clone(struct bsk_columns *columns)
{
    struct bsk_columns from = *columns;
    *columns = (struct bsk_columns){ 0 };
    if (from.node_capacity == 0)
        return true;
    struct bsk_column_node *nodes = malloc(from.node_capacity * sizeof(*nodes));
    struct bsk_column_seen *seen = malloc(((size_t)from.seen_count + 1) * sizeof(*seen));
    if (!nodes || !seen) {
        free(nodes);
        free(seen);
        return false;
    }
    memcpy(nodes, from.nodes, from.node_capacity * sizeof(*nodes));
    if (from.seen_count)
        memcpy(seen, from.seen, from.seen_count * sizeof(*seen));
    *columns = (struct bsk_columns){ .seen = seen,
                                     .nodes = nodes,
                                     .seen_count = from.seen_count,
                                     .seen_capacity = from.seen_count + 1,
                                     .node_capacity = from.node_capacity };
    return true;
}

void bsk_columns_free(struct bsk_columns *columns)
{
    free(columns->seen);
    free(columns->nodes);
    *columns = (struct bsk_columns){ 0 };
}

size_t bsk_columns_bytes(const struct bsk_columns *columns)
{
    return columns->seen_capacity * sizeof(*columns->seen) +
           columns->node_capacity * sizeof(*columns->nodes);
}
