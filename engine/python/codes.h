/*
 * The code objects met so far, by address.
 *
 * A code object is read in full when it is first met, since a dead target cannot be asked. An
 * address may be freed and used again, so what identifies the object (its version from 3.12 on;
 * before, its names, their hashes, its file, its line table, its first line and length) is read
 * again and compared: what was there before a stack was read and is there afterwards was there in
 * between. When that is needed: see bsk_codes_check().
 */
#ifndef BSK_PYTHON_CODES_H
#define BSK_PYTHON_CODES_H

#include "engine/python/layout.h"
#include "engine/python/lines.h"
#include "engine/python/python.h"

struct bsk_codes;

/* A code object as the stack walk needs it. */
struct bsk_known {
    struct bsk_code_object code; /* lives until bsk_codes_free() */
    uint64_t address;
    uint32_t bytecode_bytes; /* 0 when unknown (3.10 and older) */
    uint32_t frame_words;    /* a frame of it on the data stack, in 8 bytes; 0 when unknown */
    uint32_t local_words;    /* of these: locals, cells and free variables (3.11 and later) */
    bool is_shim;            /* the interpreter's own, of 3.12 and later: no code of the program */
    bool fresh;              /* read after the stack that named it, and not seen on one since */
    bool jitted;             /* see bsk_codes_look_for_jit() */
    bool gone;               /* something else was found at its address */
    uint64_t checked_ns;     /* CLOCK_MONOTONIC of the last look at its identity */
    uint64_t epoch;          /* of the last look; 0: none */
    uint64_t met_ran_ns;     /* how long the program had run when it was met */
    bool settled;            /* a second of running later it was still there */
    uint64_t identity[12];
    uint64_t name_hash; /* of the str: code names are interned, so it is set. For ticks.c */
    struct bsk_line_step *steps;
    size_t step_count;
    struct bsk_line_step last_step; /* what was answered last, of this place */
    uint64_t last_lasti;
    int32_t last_index;
    bool has_last;
    uint8_t *instructions; /* enum bsk_instruction of each code unit; NULL: not read */
    bool no_instructions;  /* they cannot be */
    struct {
        int32_t index; /* 0: empty */
        uint64_t bytecode;
    } copies[8]; /* free-threaded: where some threads' own bytecode lies */
};

/* `layout` and `process` are borrowed. NULL when out of memory. */
struct bsk_codes *bsk_codes_new(struct bsk_process *process, const struct bsk_layout *layout);
void bsk_codes_free(struct bsk_codes *codes);

/* What is known of the code object at `address`, read now where it is new. BSK_E_TORN when there is
 * no code object at that address. */
int bsk_codes_get(struct bsk_codes *codes, uint64_t address, struct bsk_known **out_known);

/* The same without reading: NULL where it is new. */
struct bsk_known *bsk_codes_peek(struct bsk_codes *codes, uint64_t address);

/* NULL when there is none of this id. */
struct bsk_known *bsk_codes_by_id(struct bsk_codes *codes, uint32_t id);

/* How many were met so far: while it stays the same none is fresh that was not. */
size_t bsk_codes_count(const struct bsk_codes *codes);

/* Reads `name_hash` anew: that of a name that is not interned is set when it is first asked for. */
void bsk_codes_hash_name(struct bsk_codes *codes, struct bsk_known *known);

/* What stands for code that was freed before it could be told: "(reused code)". NULL when out of
 * memory. */
struct bsk_known *bsk_codes_reused(struct bsk_codes *codes);

/* What stands for frames that are there and could not be read: "(unread)". NULL when out of
 * memory. */
struct bsk_known *bsk_codes_unread(struct bsk_codes *codes);

enum { BSK_CODES_BELIEVED_NS = 100000000 }; /* the allowed age where there is no epoch */

/*
 * Where the interpreter counts the code objects that it frees (3.14 and later), an epoch is that
 * count, read after the stacks: while it stays the same no address has been used again. 0 where it
 * is unknown: then an identity is believed for BSK_CODES_BELIEVED_NS, but not for a second after
 * any code object was met or lost, and never before this one is a second old: what a program throws
 * away is young. Seconds by bsk_codes_ran().
 *
 * Looks at the identities of those of `known` that need it, in one call. False when some are gone.
 */
bool bsk_codes_check(struct bsk_codes *codes, struct bsk_known *const *known, size_t count,
                     uint64_t now_ns, uint64_t epoch);

/* The same for all of them, whatever is believed; the fresh ones too. */
bool bsk_codes_look(struct bsk_codes *codes, struct bsk_known *const *known, size_t count);

/* The program was seen to go on for so long. Time in which it stands, as when it waits for a CPU,
 * shows nothing of what comes and goes when it runs: the seconds after which code is believed are
 * counted here. */
void bsk_codes_ran(struct bsk_codes *codes, uint64_t ns);

/* True when one was met in the last second, running or not. */
bool bsk_codes_met_lately(const struct bsk_codes *codes, uint64_t now_ns);

/* True when code objects have come and gone in the last second that it ran. */
bool bsk_codes_churn(const struct bsk_codes *codes);

/* Where a frame of this code stands; of one that stands on no line of its own, the line before it
 * and no columns. The last answer is kept: to ask again for the same frame costs nothing. `lasti`
 * is as below. False when it does not lie in this code. */
bool bsk_codes_place(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                     int32_t tlbc_index, struct bsk_line_step *out_step);

/* How many of the codes met so far are found to have been compiled by CPython's JIT, and were not
 * before: they have an executor. While compiled code runs a frame's place is stored only where it
 * may be needed, so a line told of it can be one that ran before. Looks at some hundred codes at
 * each call, in turn, with one system call. 0 up to 3.12, which have none. */
size_t bsk_codes_look_for_jit(struct bsk_codes *codes);

/* The line where a frame of this code stands. `lasti` is the frame's own word: f_lasti (3.8 to
 * 3.10) or the address of an instruction. False when it does not lie in this code. */
bool bsk_codes_line(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                    int32_t tlbc_index, uint32_t *out_line);

#endif
