/*
 * From a place in a code object's bytecode to its line and columns. Pure functions over a copy of
 * the line table, which is garbage until it has proven otherwise: a broken table gives fewer steps,
 * never a read past its end.
 */
#ifndef BSK_PYTHON_LINES_H
#define BSK_PYTHON_LINES_H

#include "engine/python/layout.h"

#include <stddef.h>
#include <stdint.h>

/* A stretch of bytecode that stands at one place of the source. Columns are those of Python's
 * co_positions() plus one: from 1, in bytes of the line's UTF-8; the end column is the last byte's.
 * 0 where there are none: before 3.11, with -X no_debug_ranges, past 65,535. */
struct bsk_line_step {
    uint32_t start; /* offset in the bytecode, in bytes; holds until the next step */
    uint32_t line;  /* from 1; 0 where the bytecode belongs to no line */
    uint32_t end_line;
    uint16_t column, end_column; /* both or none */
};

/* Decodes the whole table into steps of rising `start`, at most `capacity` of them, and returns how
 * many there are; with `capacity` 0 `steps` may be NULL. Two bytes of table never make more than
 * one step, but a table of one-byte entries may: `size` + 1 steps are always enough. */
size_t bsk_lines_decode(enum bsk_line_form form, const uint8_t *table, size_t size,
                        uint32_t first_line, struct bsk_line_step *steps, size_t capacity);

/* The step at `offset` in bytes; NULL before the first. */
const struct bsk_line_step *bsk_lines_step(const struct bsk_line_step *steps, size_t count,
                                           int64_t offset);

/* The line at `offset` in bytes. One before the first instruction (a frame that has just been
 * made) counts as the first line of the code. */
uint32_t bsk_lines_find(const struct bsk_line_step *steps, size_t count, int64_t offset,
                        uint32_t first_line);

#endif
