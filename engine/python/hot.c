/*
 * Frames outside of the data stack are read ahead, with the rest of a sample, where they were met
 * lately: each lies somewhere else, but what is made and thrown away all the time mostly comes to
 * lie where the one before it lay.
 */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

static size_t hot_place(const struct bsk_stack_memory *memory, uint64_t address)
{
    size_t low = 0, high = memory->hot_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memory->hot[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void bsk_hot_note(struct bsk_stack_memory *memory, uint64_t address)
{
    size_t at = hot_place(memory, address);
    if (at < memory->hot_count && memory->hot[at].address == address) {
        memory->hot[at].history |= 1;
        return;
    }
    if (memory->hot_count == HOT_MAX)
        return;
    memmove(memory->hot + at + 1, memory->hot + at,
            (memory->hot_count - at) * sizeof(memory->hot[0]));
    memory->hot[at] = (struct hot){ .address = address, .history = 1 };
    memory->hot_count++;
}

void bsk_hot_plan(struct bsk_python *python, struct bsk_stack_memory *memory)
{
    uint32_t frame_bytes = STATE_BYTES + bsk_frame_bytes(&python->layout), used = 0;
    size_t kept = 0;
    struct hot_range *range = NULL;
    memory->hot_range_count = 0;
    memory->piece_hot = python->piece_count;
    for (size_t i = 0; i < memory->hot_count; i++) {
        struct hot hot = memory->hot[i];
        bool twice = (hot.history & (hot.history - 1)) != 0;
        hot.history = (uint16_t)(hot.history << 1);
        if (hot.history == 0)
            continue;
        memory->hot[kept++] = hot;
        if (!twice) /* it may never be met again */
            continue;
        uint64_t begin = hot.address - STATE_BYTES, end = begin + frame_bytes;
        if (range && end <= range->begin + range->bytes)
            continue;
        if (range && begin < range->begin + range->bytes + HOT_GAP_BYTES &&
            used + (end - range->begin - range->bytes) <= HOT_BYTES) {
            used += (uint32_t)(end - range->begin) - range->bytes;
            range->bytes = (uint32_t)(end - range->begin);
            continue;
        }
        if (memory->hot_range_count == HOT_RANGES_MAX || used + frame_bytes > HOT_BYTES)
            continue;
        range = &memory->hot_ranges[memory->hot_range_count++];
        *range = (struct hot_range){ .begin = begin, .bytes = frame_bytes, .offset = used };
        used += frame_bytes;
    }
    if (!memory->hot_bytes)
        memory->hot_bytes = malloc(HOT_BYTES);
    memory->hot_count = kept;
    if (!memory->hot_bytes)
        memory->hot_range_count = 0;
    for (size_t i = 0; i < memory->hot_range_count; i++)
        bsk_add_piece(python, memory->hot_ranges[i].begin,
                      memory->hot_bytes + memory->hot_ranges[i].offset,
                      memory->hot_ranges[i].bytes);
}

const uint8_t *bsk_hot_find(const struct bsk_python *python, const struct bsk_stack_memory *memory,
                            uint64_t address)
{
    uint64_t begin = address - STATE_BYTES;
    uint32_t bytes = STATE_BYTES + bsk_frame_bytes(&python->layout);
    for (size_t i = 0; i < memory->hot_range_count; i++) {
        const struct hot_range *range = &memory->hot_ranges[i];
        if (begin >= range->begin && begin - range->begin + bytes <= range->bytes)
            return bsk_piece_ok(python, memory->piece_hot + i)
                       ? memory->hot_bytes + range->offset + (begin - range->begin)
                       : NULL;
    }
    return NULL;
}
