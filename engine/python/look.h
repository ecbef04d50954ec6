/*
 * Reading a target for calibrate.c: words, types and texts, out of pages that are copied once a
 * look. A page costs one system call and what lies on it is of one moment.
 */
#ifndef BSK_PYTHON_LOOK_H
#define BSK_PYTHON_LOOK_H

#include "engine/process/process.h"
#include "engine/python/layout.h"

enum { LOOK_PAGE_BYTES = 4096, LOOK_PAGES = 64 };

struct bsk_look {
    struct bsk_process *process;
    const struct bsk_layout *layout;
    struct bsk_look_page {
        uint64_t number; /* address / LOOK_PAGE_BYTES; 0: empty */
        bool readable;
    } pages[LOOK_PAGES];
    uint8_t *bytes; /* of all pages */
};

/* False when out of memory. bsk_look_end() accepts one that was not begun. */
bool bsk_look_begin(struct bsk_look *look, struct bsk_process *process,
                    const struct bsk_layout *layout);
void bsk_look_end(struct bsk_look *look);
/* What was copied counts no longer. */
void bsk_look_again(struct bsk_look *look);

bool bsk_look_bytes(struct bsk_look *look, uint64_t address, void *dst, size_t size);
/* 0 where nothing can be read: no word that we ask for may be 0 and right at once, save where the
 * caller says so. */
uint64_t bsk_look_word(struct bsk_look *look, uint64_t address);
int32_t bsk_look_int(struct bsk_look *look, uint64_t address);

/* The type of an object, 0 when it is none: a type's own type has itself for a type. (That one, the
 * object `type`, counts as none here.) */
uint64_t bsk_look_type(struct bsk_look *look, uint64_t object);
bool bsk_look_is(struct bsk_look *look, uint64_t object, const char *type_name);
/* tp_basicsize, the word after the name; 0 when there is none */
uint64_t bsk_look_basic_size(struct bsk_look *look, uint64_t object);

#endif
