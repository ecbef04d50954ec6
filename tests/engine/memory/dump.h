/* Makes dumps of references, as scripts/references.py writes them, out of small graphs. */
#ifndef TEST_ENGINE_MEMORY_DUMP_H
#define TEST_ENGINE_MEMORY_DUMP_H

#include "engine/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

enum { DUMP_OBJECT, DUMP_TEXT, DUMP_MODULE, DUMP_DEBUGGER_MODULE, DUMP_DEBUGGER, DUMP_FRAME };

struct dump_edge {
    uint32_t from, to;
};

struct dump_plan {
    uint32_t count;
    const int *kinds;      /* of each node; NULL: DUMP_OBJECT all */
    const uint32_t *sizes; /* NULL: 64 each */
    const struct dump_edge *edges;
    size_t edge_count;
    const uint32_t *group; /* group 0; NULL: none */
    size_t group_count;
    uint32_t limited; /* the node that has a limit, and which; limit 0: none */
    uint64_t limit;
};

uint64_t dump_id(uint32_t node);
void dump_write(const struct dump_plan *plan, struct bsk_buffer *out);

#endif
