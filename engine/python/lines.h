/*
 * From a place in a code object's bytecode to its line. Pure functions over a copy of the line
 * table, which is garbage until it has proven otherwise: a broken table gives fewer steps, never a
 * read past its end.
 */
#ifndef BSK_PYTHON_LINES_H
#define BSK_PYTHON_LINES_H

#include "engine/python/layout.h"

#include <stddef.h>
#include <stdint.h>

struct bsk_line_step {
    uint32_t start; /* offset in the bytecode, in bytes; holds until the next step */
    uint32_t line;  /* from 1; 0 where the bytecode belongs to no line */
};

/* Decodes the whole table into steps of rising `start`, at most `capacity` of them, and returns how
 * many there are; with `capacity` 0 `steps` may be NULL. Two bytes of table never make more than
 * one step, but a table of one-byte entries may: `size` + 1 steps are always enough. */
size_t bsk_lines_decode(enum bsk_line_form form, const uint8_t *table, size_t size,
                        uint32_t first_line, struct bsk_line_step *steps, size_t capacity);

/* The line at `offset` in bytes. One before the first instruction (a frame that has just been
 * made) counts as the first line of the code. */
uint32_t bsk_lines_find(const struct bsk_line_step *steps, size_t count, int64_t offset,
                        uint32_t first_line);

#endif
