/*
 * Whatever a debuggee says: a tree or blocks that hold together, or an error with a sentence in it.
 * Sums of stacks are the sums of blocks, and every index points at what is there.
 */
#include "engine/memory/marshal.h"
#include "engine/memory/snapshot.h"
#include "engine/memory/traces.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_values(const struct bsk_value *value, int depth)
{
    size_t count = 1;
    if (depth > BSK_MARSHAL_MAX_DEPTH + 1)
        abort();
    if (depth < 4) { /* values may be shared: the whole tree could be huge */
        for (size_t i = 0; i < value->count; i++)
            count += count_values(value->items[i], depth + 1);
    }
    return count;
}

static void check_traces(const uint8_t *data, size_t size)
{
    struct bsk_traces traces = { 0 };
    struct bsk_error err = { 0 };
    uint64_t bytes = 0, blocks = 0;
    size_t used = 0;
    int rc = bsk_traces_read(&traces, data, size, &used, &err);
    if (used > size || (rc < 0 && !err.message[0]))
        abort();
    for (size_t i = 0; i < traces.stack_count; i++) {
        const struct bsk_trace_stack *stack = &traces.stacks[i];
        if ((size_t)stack->first + stack->depth > traces.frames_of_count)
            abort();
        for (uint32_t f = 0; f < stack->depth; f++) {
            uint32_t frame = traces.frames_of[stack->first + f];
            if (frame >= traces.frame_count || traces.frames[frame].path >= traces.path_count)
                abort();
        }
        bytes += stack->bytes;
        blocks += stack->blocks;
    }
    if (bytes != traces.bytes || blocks != traces.blocks)
        abort();
    bsk_traces_free(&traces);
}

/* The first byte says how much of the rest is the answer; the dump follows it. */
static void check_snapshot(const uint8_t *data, size_t size)
{
    struct bsk_value_tree tree = { 0 };
    struct bsk_memory_snapshot *snapshot = NULL;
    struct bsk_error err = { 0 };
    if (size == 0)
        return;
    size_t answer = (size_t)data[0] * 4 < size - 1 ? (size_t)data[0] * 4 : size - 1;
    if (bsk_marshal_read(data + 1, answer, 10000, &tree, NULL) < 0)
        return;
    struct bsk_memory_job_result result = { .value = tree.root,
                                            .dump = data + 1 + answer,
                                            .dump_bytes = size - 1 - answer };
    if (bsk_memory_snapshot_new(&result, &snapshot, &err) < 0) {
        if (!err.message[0])
            abort();
    } else if (snapshot->has_sites) {
        uint64_t sum = snapshot->rest_bytes + snapshot->debugger_bytes;
        for (size_t i = 0; i < snapshot->site_count; i++)
            sum += snapshot->sites[i].bytes;
        if (sum != snapshot->traced_bytes)
            abort();
    }
    bsk_memory_snapshot_free(snapshot);
    bsk_value_tree_free(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bsk_value_tree tree = { 0 };
    struct bsk_error err = { 0 };
    if (bsk_marshal_read(data, size, 10000, &tree, &err) == BSK_OK)
        count_values(tree.root, 0);
    else if (!err.message[0] || tree.root)
        abort();
    bsk_value_tree_free(&tree);
    check_traces(data, size);
    check_snapshot(data, size);
    return 0;
}
