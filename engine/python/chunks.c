/* The chunks of a thread's data stack: which there are, and their copies. */
#include "engine/python/memory.h"

#include <stdlib.h>
#include <string.h>

void bsk_chunk_free(struct chunk *chunk)
{
    free(chunk->copy);
    free(chunk->last);
    free(chunk->again);
}

static bool make_room(struct chunk *chunk, uint32_t bytes, bool twice)
{
    if (chunk->room < bytes) {
        uint8_t **copies[] = { &chunk->copy, &chunk->last, &chunk->again };
        for (size_t i = 0; i < (chunk->again ? 3 : 2); i++) {
            uint8_t *grown = realloc(*copies[i], bytes);
            if (!grown)
                return false;
            *copies[i] = grown;
        }
        chunk->room = bytes;
    }
    if (twice && !chunk->again)
        chunk->again = malloc(chunk->room);
    return !twice || chunk->again;
}

bool bsk_chunk_extend(struct bsk_python *python, struct chunk *chunk, uint32_t until)
{
    if (until > chunk->bytes)
        until = chunk->bytes;
    if (until <= chunk->have)
        return true;
    if (!make_room(chunk, until, false) ||
        bsk_process_read(python->process, chunk->base + chunk->have, chunk->copy + chunk->have,
                         until - chunk->have, NULL) < 0)
        return false;
    chunk->have = until;
    return true;
}

static void drop_chunks(struct bsk_stack_memory *memory, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        bsk_chunk_free(&memory->chunks[i]);
    if (count == 0)
        return;
    memmove(memory->chunks + from, memory->chunks + from + count,
            (memory->chunk_count - from - count) * sizeof(memory->chunks[0]));
    memory->chunk_count -= count;
}

bool bsk_chunks_follow(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t newest,
                       uint64_t top)
{
    size_t keep = 0;
    while (keep < memory->chunk_count && memory->chunks[keep].base != newest)
        keep++;
    if (keep < memory->chunk_count) {
        drop_chunks(memory, 0, keep);
        if (keep > 0)
            memory->again_have = 0; /* that was the one that is gone */
    } else if (newest != 0) {
        struct chunk *fresh = NULL;
        size_t count = 0, capacity = 0, known = 0;
        bool ok = true;
        for (uint64_t base = newest; base != 0 && ok;) {
            uint64_t header[3]; /* previous, size in bytes, top in words */
            for (known = 0; known < memory->chunk_count; known++)
                if (memory->chunks[known].base == base)
                    break;
            if (known < memory->chunk_count)
                break;
            ok = count < CHUNKS_MAX && bsk_room_for_one(&fresh, count, &capacity, sizeof(*fresh)) &&
                 bsk_process_read(python->process, base, header, sizeof(header), NULL) == BSK_OK &&
                 header[1] >= sizeof(header) && header[1] <= CHUNK_MAX_BYTES;
            if (!ok)
                break;
            uint64_t used = base == newest && top > base ? top - base + AHEAD_SLACK_BYTES
                                                         : CHUNK_HEADER_BYTES + 8 * header[2];
            if (used > header[1])
                used = header[1];
            fresh[count++] = (struct chunk){ .base = base,
                                             .bytes = (uint32_t)header[1],
                                             .want = (uint32_t)used };
            base = header[0];
        }
        if (ok && known >= memory->chunk_count)
            drop_chunks(memory, 0, memory->chunk_count);
        else if (ok)
            drop_chunks(memory, 0, known);
        while (ok && memory->chunk_capacity < memory->chunk_count + count)
            ok = bsk_room_for_one(&memory->chunks, memory->chunk_capacity, &memory->chunk_capacity,
                                  sizeof(memory->chunks[0]));
        if (!ok) {
            free(fresh);
            return false;
        }
        if (count > 0) {
            memmove(memory->chunks + count, memory->chunks,
                    memory->chunk_count * sizeof(memory->chunks[0]));
            memcpy(memory->chunks, fresh, count * sizeof(*fresh));
        }
        memory->chunk_count += count;
        free(fresh);
        memory->unproven = true;
        memory->again_have = 0;
        for (size_t i = 0; i < count; i++)
            if (!bsk_chunk_extend(python, &memory->chunks[i], memory->chunks[i].want))
                return false;
    }
    for (size_t i = 0; i < memory->chunk_count; i++) {
        struct chunk *chunk = &memory->chunks[i];
        uint64_t used;
        if (i == 0)
            used = top > chunk->base ? top - chunk->base + AHEAD_SLACK_BYTES : AHEAD_SLACK_BYTES;
        else if (chunk->have >= CHUNK_HEADER_BYTES)
            used = CHUNK_HEADER_BYTES +
                   8 * bsk_u64(chunk->copy, 16); /* its own `top`, set when the next began */
        else
            used = chunk->want;
        if (i == 0 && used < chunk->want) /* it has just been deeper, and may be again */
            used = chunk->want - (chunk->want - used) / 64;
        chunk->want = used < chunk->bytes ? (uint32_t)used : chunk->bytes;
        if (!make_room(chunk, chunk->want, i == 0))
            chunk->want = 0;
    }
    return true;
}

/* It lies one word into the oldest chunk. While the data stack holds anything, a chain that does
 * not go through it is no whole stack (a coroutine that has ended has no `previous`). */
uint64_t bsk_chunks_first_frame(const struct bsk_stack_memory *memory, uint64_t top)
{
    if (memory->chunk_count == 0)
        return 0;
    uint64_t first = memory->chunks[memory->chunk_count - 1].base + CHUNK_HEADER_BYTES + 8;
    return memory->chunk_count == 1 && top <= first ? 0 : first;
}

/* Before a reading: what was read before becomes what is compared with. */
void bsk_chunks_turn(struct bsk_stack_memory *memory)
{
    for (size_t i = 0; i < memory->chunk_count; i++) {
        struct chunk *chunk = &memory->chunks[i];
        uint8_t *copy = chunk->copy;
        chunk->copy = chunk->last;
        chunk->last = copy;
        chunk->last_have = chunk->have;
        chunk->have = 0;
    }
}

/* How many bytes at the start of the chunk are as they were in the reading before. */
static uint32_t same_bytes(const struct chunk *chunk)
{
    enum { BLOCK = 256 };
    uint32_t most = chunk->have < chunk->last_have ? chunk->have : chunk->last_have, same = 0;
    while (same + BLOCK <= most && memcmp(chunk->copy + same, chunk->last + same, BLOCK) == 0)
        same += BLOCK;
    while (same + 8 <= most && bsk_u64(chunk->copy, same) == bsk_u64(chunk->last, same))
        same += 8;
    return same;
}

size_t bsk_chunks_same_steps(const struct bsk_stack_memory *memory, uint32_t frame_bytes)
{
    const struct chunk *chunk = NULL;
    uint64_t end = 0; /* of the part of the chunk that is the same */
    for (size_t same = 0; same < memory->path_valid; same++) {
        uint64_t address = memory->path[same].raw.address;
        if (!chunk || !bsk_chunk_holds(chunk, address)) {
            chunk = bsk_chunks_find(memory, address);
            end = chunk ? chunk->base + same_bytes(chunk) : 0;
        }
        if (address + frame_bytes > end)
            return same;
    }
    return memory->path_valid;
}

const struct chunk *bsk_chunks_find(const struct bsk_stack_memory *memory, uint64_t address)
{
    for (size_t i = 0; i < memory->chunk_count; i++)
        if (bsk_chunk_holds(&memory->chunks[i], address))
            return &memory->chunks[i];
    return NULL;
}
