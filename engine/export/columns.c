#include "engine/export/columns.h"

#include <stdlib.h>

struct sums {
    struct bsk_line_columns *out;
    struct bsk_pairs pairs; /* (line, column) */
    uint64_t *weights;      /* by pair */
    uint32_t capacity;
};

static bool add(struct sums *sums, uint32_t function, uint32_t line, uint32_t column,
                uint64_t weight)
{
    uint32_t number = bsk_pair(&sums->out->lines, function, line);
    uint32_t pair = number == UINT32_MAX ? number : bsk_pair(&sums->pairs, number, column);
    if (pair == UINT32_MAX)
        return false;
    if (pair >= sums->capacity) {
        uint32_t capacity = pair + pair / 2 + 256;
        uint64_t *weights = realloc(sums->weights, capacity * sizeof(*weights));
        if (!weights)
            return false;
        for (uint32_t i = sums->capacity; i < capacity; i++)
            weights[i] = 0;
        sums->weights = weights;
        sums->capacity = capacity;
    }
    sums->weights[pair] += weight;
    return true;
}

static bool add_nodes(const struct bsk_profile *profile, struct sums *sums, uint64_t *total)
{
    for (uint32_t i = (uint32_t)bsk_profile_node_count(profile); i-- > 0;) {
        const struct bsk_node *node = bsk_profile_node_at(profile, i);
        uint32_t at = 0, column, count;
        if (node->depth == 0)
            continue;
        while (bsk_profile_next_column(profile, i, &at, &column, &count))
            if (!add(sums, node->function, node->line, column, count))
                return false;
        total[i] += node->samples;
        total[node->parent] += total[i];
        const struct bsk_node *caller = bsk_profile_node_at(profile, node->parent);
        if (caller->depth > 0 && total[i] > 0 &&
            !add(sums, caller->function, caller->line, bsk_profile_call_column(profile, i),
                 total[i]))
            return false;
    }
    return true;
}

bool bsk_line_columns_make(const struct bsk_profile *profile, struct bsk_line_columns *out)
{
    struct sums sums = { .out = out };
    *out = (struct bsk_line_columns){ 0 };
    if (!bsk_profile_has_columns(profile))
        return true;
    uint64_t *total = calloc(bsk_profile_node_count(profile) + 1, sizeof(*total)), *all = NULL;
    bool done = total && add_nodes(profile, &sums, total);
    out->column = calloc((size_t)out->lines.count + 1, sizeof(*out->column));
    all = calloc((size_t)out->lines.count + 1, sizeof(*all));
    done = done && out->column && all;
    for (uint32_t i = 0; done && i < sums.pairs.count; i++)
        all[sums.pairs.keys[i] >> 32] += sums.weights[i];
    for (uint32_t i = 0; done && i < sums.pairs.count; i++) {
        uint32_t line = (uint32_t)(sums.pairs.keys[i] >> 32);
        if (sums.weights[i] >= all[line] - sums.weights[i])
            out->column[line] = (uint32_t)sums.pairs.keys[i];
    }
    free(total);
    free(all);
    free(sums.weights);
    bsk_pairs_free(&sums.pairs);
    return done;
}

uint32_t bsk_line_column(const struct bsk_line_columns *columns, uint32_t function, uint32_t line)
{
    uint32_t number = columns->column ? bsk_pair_find(&columns->lines, function, line) : UINT32_MAX;
    return number == UINT32_MAX ? 0 : columns->column[number];
}

void bsk_line_columns_free(struct bsk_line_columns *columns)
{
    free(columns->column);
    bsk_pairs_free(&columns->lines);
    columns->column = NULL;
}
