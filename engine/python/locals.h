/*
 * The local variables of a frame, read from outside: names and what repr() would say of each value,
 * cut. Nothing is run in the target, and the target is not stopped: a value may change while it is
 * read, and then reads as neither the old one nor the new one.
 *
 * Ownership: bsk_locals_read() fills in what bsk_locals_free() takes back; it accepts zeroes.
 */
#ifndef BSK_PYTHON_LOCALS_H
#define BSK_PYTHON_LOCALS_H

#include "engine/python/python.h"

enum { BSK_LOCALS_MAX = 65536 }; /* of one frame; a frame with more keeps the first ones */

struct bsk_local {
    char *name;       /* UTF-8 */
    char *text;       /* repr() of the value, UTF-8, one line unless a name in it has more */
    uint64_t address; /* of the value; 0: it is no object (an int kept in the frame, 3.15) */
    bool argument;
};

struct bsk_locals {
    struct bsk_local *items; /* arguments first, then as the code has them; unbound ones left out */
    size_t count;
};

/* `frame` is one of the last bsk_python_read_stacks(). At most `limit` characters of each value are
 * kept, then "...". What a nested function uses is read out of its cell. docs/python.md lists the
 * types; others read as "<module.Name object at 0x...>".
 *
 * Fails with BSK_E_TORN when the frame runs other code by now, BSK_E_MEMORY, and where objects
 * cannot be read at all with BSK_E_FORMAT or BSK_E_UNSUPPORTED. */
int bsk_locals_read(struct bsk_python *python, const struct bsk_frame *frame, size_t limit,
                    struct bsk_locals *out_locals, struct bsk_error *err);
void bsk_locals_free(struct bsk_locals *locals);

#endif
