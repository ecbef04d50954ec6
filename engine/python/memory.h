/*
 * What reading one thread's stack remembers, from sample to sample and within one: for stack.c and
 * upward.c alone.
 */
#ifndef BSK_PYTHON_MEMORY_H
#define BSK_PYTHON_MEMORY_H

#include "engine/python/internal.h"

enum {
    THREAD_MAX_BYTES = 1024,    /* of a thread state: what we need lies in its first half */
    FRAME_MAX_BYTES = 512,      /* of a frame without its locals */
    CHUNK_MAX_BYTES = 16 << 20, /* one chunk; CPython makes them of 16 KiB, bigger for big frames */
    CHUNKS_MAX = 65536,
    AHEAD_SLACK_BYTES = 1024, /* read past the last known top: a call or six deeper */
    PROVE_AHEAD_MAX = 256,    /* frames elsewhere that are read twice */
    SHIMS_MAX = 65536,
    TRIES = 8, /* readings of one stack, where they come out as garbage */
    CFRAME_BYTES = 24,
};

struct chunk {
    uint64_t base;
    uint32_t bytes; /* its whole size in the target */
    uint32_t want;  /* how much to read next time */
    uint32_t have;  /* how much of `copy` is of this sample */
    uint32_t room;  /* of `copy` and `again` */
    uint8_t *copy;
    uint8_t *again; /* the newest chunk's second reading; NULL in the others */
};

struct raw {
    uint64_t address;
    uint64_t code;
    uint64_t lasti;
    int32_t tlbc_index;
    struct bsk_known *known;
    uint64_t previous; /* upward.c */
};

struct bsk_stack_memory {
    uint8_t thread[THREAD_MAX_BYTES];
    uint64_t cframe; /* 3.11, 3.12: where the sample before found it */
    uint8_t cframe_bytes[CFRAME_BYTES], cframe_again[CFRAME_BYTES];
    uint64_t top_again[2];
    struct chunk *chunks; /* newest first */
    size_t chunk_count, chunk_capacity;

    uint64_t *ahead; /* addresses of frames outside the chunks, innermost first */
    uint8_t *ahead_bytes, *ahead_again;
    size_t ahead_count, ahead_capacity;
    uint32_t *ahead_slots; /* index + 1 by address */
    size_t ahead_slot_count;
    uint64_t *met; /* those of the walk that is going on */
    size_t met_count, met_capacity;

    struct raw *raw;
    size_t raw_count, raw_capacity;
    struct raw *first; /* while it is proven: the walk of the first reading */
    size_t first_count, first_capacity;
    struct bsk_frame *frames;
    size_t frame_capacity;

    /* places in python->pieces of the reading that is going on; SIZE_MAX: not asked for */
    size_t piece_thread, piece_cframe, piece_chunks, piece_ahead, piece_chunk_again;
    size_t piece_ahead_again, piece_cframe_again, piece_top_again;
    uint64_t base_code; /* 3.10 and older: see reaches_base() */
    size_t base_depth;
    uint32_t base_misses, base_looks;
    bool moved;    /* the two readings differ */
    bool unproven; /* something was read only once */
};

/* Makes room for one more item; false when out of memory (nothing has changed then). */
bool bsk_room_for_one(void *array, size_t count, size_t *capacity, size_t item_bytes);

/* The part of a frame that is read: without its locals. */
uint32_t bsk_frame_bytes(const struct bsk_layout *layout);
uint64_t bsk_frame_lasti(const struct bsk_layout *layout, const uint8_t *frame);

/* Fills memory->raw from `top` to the outermost frame; false: garbage. */
bool bsk_stack_walk(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t top,
                    uint64_t datastack_top, bool *out_truncated);

/* Finds the stack from below instead, see upward.c; false: it cannot be told. */
bool bsk_stack_upward(struct bsk_python *python, struct bsk_stack_memory *memory);

#endif
