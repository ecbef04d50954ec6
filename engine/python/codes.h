/*
 * The code objects met so far, by address.
 *
 * A code object is read in full when it is first met, since a dead target cannot be asked. An
 * address may be freed and used again: what identifies the object (its names, its file, its line
 * table, its first line and length, 3.12's version) is read again now and then and compared.
 */
#ifndef BSK_PYTHON_CODES_H
#define BSK_PYTHON_CODES_H

#include "engine/python/layout.h"
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
    uint64_t checked_ns;     /* CLOCK_MONOTONIC of the last look at its identity */
    uint64_t identity[8];
    struct bsk_line_step *steps;
    size_t step_count;
    struct {
        int32_t index;
        uint64_t bytecode;
    } copies[4]; /* free-threaded: where some threads' own bytecode lies */
    uint32_t copy_count;
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

enum { BSK_CODES_BELIEVED_NS = 100000000 }; /* the allowed age */

/* True when the identities of these were looked at after `now_ns` minus the allowed age, or have
 * been now and are unchanged. False: some were replaced, so look all of them up again. */
bool bsk_codes_check(struct bsk_codes *codes, struct bsk_known *const *known, size_t count,
                     uint64_t now_ns);

/* The line where a frame of this code stands. `lasti` is the frame's own word: f_lasti (3.8 to
 * 3.10) or the address of an instruction. False when it does not lie in this code. */
bool bsk_codes_line(struct bsk_codes *codes, struct bsk_known *known, uint64_t lasti,
                    int32_t tlbc_index, uint32_t *out_line);

#endif
