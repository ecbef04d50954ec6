/* What a bsk_python is made of, for the files of this folder alone. */
#ifndef BSK_PYTHON_INTERNAL_H
#define BSK_PYTHON_INTERNAL_H

#include "engine/base/clock.h"
#include "engine/python/bridges.h"
#include "engine/python/codes.h"
#include "engine/python/layout.h"
#include "engine/python/proof.h"
#include "engine/python/python.h"

#include <string.h>

struct bsk_python {
    struct bsk_process *process; /* borrowed */
    struct bsk_python_info info;
    struct bsk_layout layout;
    uint64_t runtime; /* address of _PyRuntime */
    bool calibrated;  /* every place of the layout has been checked; else the next refresh tries */

    uint64_t interpreters_head;
    struct bsk_interpreter {
        uint64_t address;
        int64_t id;
        uint64_t threads_head, threads_head_now;
        uint64_t next;
        uint64_t gil[2]; /* last holder; locked, an int */
        int32_t collecting;
        uint8_t window[1024]; /* all of these words at once, and the head of its threads */
        uint32_t window_at;   /* where in the interpreter it begins */
        size_t window_piece;
        size_t gil_piece, collecting_piece;
        uint64_t holder; /* the thread state that holds its GIL, or 0: of the last reading */
        bool collects;
    } * interpreters;
    size_t interpreter_count;
    uint64_t interpreters_head_now;
    uint64_t now_ns; /* of the reading that is going on, CLOCK_MONOTONIC */
    uint64_t states_due_ns, heads_due_ns;
    bool states_read;
    size_t heads_piece;
    bool heads_read;
    uint64_t strange_holder; /* of a GIL, on no list */

    struct bsk_python_thread **threads; /* each allocated by itself, so that pointers stay good */
    size_t thread_count;
    uint32_t pthread_tid_offset; /* of `tid` in the C library's thread descriptor; 0: not found */

    struct bsk_objects *objects; /* objects.c; NULL until first asked for */
    struct {
        uint64_t threading, active, name; /* places in their dicts, see thread_names.c */
    } names;
    struct bsk_variables *variables; /* locals.c: names of the variables of codes */
    size_t variables_count;
    struct bsk_codes *codes;
    bool moved;          /* a stack differs from what it was at the sample before */
    uint64_t sampled_ns; /* when the sample before was begun; 0: none was */
    uint64_t epoch;      /* of code objects, after the stacks were read; 0: unknown; see codes.h */
    uint64_t epoch_words[8];
    size_t epoch_piece;
    struct bsk_proof proof;
    struct bsk_bridges bridges;
    uint64_t lot; /* for what is told by chance, see path.c */

    struct bsk_piece *pieces; /* of one read, grown at need */
    size_t piece_count, piece_capacity;
    struct bsk_piece *kept_pieces; /* see swap_pieces() in stack.c */
    size_t kept_count, kept_capacity;
    bool single;
};

/* What find.c learns about a process. */
struct bsk_found {
    uint64_t runtime;
    int major, minor, micro; /* 0, 0, -1 as far as unknown */
    char version[32];
    struct bsk_error missing; /* of a core: why a file that it needs is not there; code 0: it is */
    uint64_t searched_bytes;  /* of memory, so far */
};

/* Finds the CPython of a process; failures as bsk_python_open() has them. */
int bsk_find_python(struct bsk_process *process, struct bsk_found *out_found,
                    struct bsk_error *err);

/* The layout of the CPython that was found, not checked yet. */
int bsk_layout_choose(struct bsk_process *process, const struct bsk_found *found,
                      struct bsk_layout *out_layout, struct bsk_error *err);

static inline uint64_t bsk_u64(const uint8_t *bytes, size_t offset)
{
    uint64_t value;
    memcpy(&value, bytes + offset, sizeof(value));
    return value;
}

static inline int32_t bsk_i32(const uint8_t *bytes, size_t offset)
{
    int32_t value;
    memcpy(&value, bytes + offset, sizeof(value));
    return value;
}

void bsk_variables_free(struct bsk_python *python);
void bsk_stack_memory_free(struct bsk_stack_memory *memory);

#endif
