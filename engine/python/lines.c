#include "engine/python/lines.h"

#include <stdbool.h>

struct writer {
    struct bsk_line_step *steps;
    size_t count, capacity;
};

static bool is_same_place(const struct bsk_line_step *a, const struct bsk_line_step *b)
{
    return a->line == b->line && a->column == b->column && a->end_line == b->end_line &&
           a->end_column == b->end_column;
}

/* A range of no length is replaced by the next; equal places that touch become one step. */
static void add_step(struct writer *out, uint64_t start, struct bsk_line_step step)
{
    if (start > UINT32_MAX)
        return;
    step.start = (uint32_t)start;
    if (out->count > 0 && out->count <= out->capacity && out->steps[out->count - 1].start == start)
        out->count--;
    if (out->count > 0 && out->count <= out->capacity &&
        is_same_place(&out->steps[out->count - 1], &step))
        return;
    if (out->count < out->capacity)
        out->steps[out->count] = step;
    out->count++;
}

static void add_line(struct writer *out, uint64_t start, int64_t line)
{
    uint32_t kept = line > 0 && line <= INT32_MAX ? (uint32_t)line : 0;
    add_step(out, start, (struct bsk_line_step){ .line = kept, .end_line = kept });
}

/* 3.8, 3.9: pairs of (bytes to go on, lines to add); a line holds until the next pair's place. */
static void decode_lnotab(const uint8_t *table, size_t size, uint32_t first_line,
                          struct writer *out)
{
    uint64_t start = 0;
    int64_t line = first_line;
    add_line(out, start, line);
    for (size_t i = 0; i + 1 < size; i += 2) {
        start += table[i];
        line += (int8_t)table[i + 1];
        add_line(out, start, line);
    }
}

/* 3.10: pairs of (length in bytes, lines to add first); -128 means that the range has no line. */
static void decode_pep626(const uint8_t *table, size_t size, uint32_t first_line,
                          struct writer *out)
{
    uint64_t start = 0;
    int64_t line = first_line;
    for (size_t i = 0; i + 1 < size; i += 2) {
        int8_t delta = (int8_t)table[i + 1];
        if (delta != -128)
            line += delta;
        if (table[i] != 0)
            add_line(out, start, delta == -128 ? 0 : line);
        start += table[i];
    }
}

/* Six bits a byte, lowest first, 0x40 says that more follow. */
static uint64_t read_varint(const uint8_t *table, size_t size, size_t *at)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < size && shift < 36; shift += 6) {
        uint8_t byte = table[(*at)++];
        value |= (uint64_t)(byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value;
}

/* The same, with the sign in the lowest bit. */
static int64_t read_signed_varint(const uint8_t *table, size_t size, size_t *at)
{
    uint64_t value = read_varint(table, size, at);
    return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* `column` and `end` as the table has them: from 0, the end being the byte behind the last. */
static void set_columns(struct bsk_line_step *step, uint64_t column, uint64_t end)
{
    if (step->line == 0 || column >= UINT16_MAX || end > UINT16_MAX)
        return;
    step->column = (uint16_t)(column + 1);
    step->end_column = (uint16_t)end;
}

/* 3.11 and later: each entry begins with a byte whose top bit is set, which holds a kind and a
 * length in code units of two bytes; what follows has the top bit clear. */
static void decode_location(const uint8_t *table, size_t size, uint32_t first_line,
                            struct writer *out)
{
    enum { ONE_LINE_0 = 10, ONE_LINE_2 = 12, NO_COLUMNS = 13, LONG = 14, NO_LOCATION = 15 };
    uint64_t start = 0;
    int64_t line = first_line;
    for (size_t at = 0; at < size;) {
        uint8_t head = table[at++];
        unsigned kind = head >> 3 & 15;
        if (!(head & 128))
            return; /* not where an entry begins: garbage from here on */
        uint8_t first = at < size ? table[at] : 0, second = at + 1 < size ? table[at + 1] : 0;
        if (kind >= ONE_LINE_0 && kind <= ONE_LINE_2)
            line += kind - ONE_LINE_0;
        else if (kind == NO_COLUMNS || kind == LONG)
            line += read_signed_varint(table, size, &at);
        struct bsk_line_step step = { .line = line > 0 && line <= INT32_MAX && kind != NO_LOCATION
                                                  ? (uint32_t)line
                                                  : 0 };
        step.end_line = step.line;
        if (kind < ONE_LINE_0) {
            uint64_t column = (uint64_t)kind << 3 | (first >> 4 & 7);
            set_columns(&step, column, column + (first & 15));
        } else if (kind <= ONE_LINE_2) {
            set_columns(&step, first, second);
        } else if (kind == LONG) {
            uint64_t lines = read_varint(table, size, &at);
            uint64_t column = read_varint(table, size, &at), end = read_varint(table, size, &at);
            if (lines < INT32_MAX && step.line)
                step.end_line += (uint32_t)lines;
            if (column > 0 && end > 0) /* written plus one, so that 0 means none */
                set_columns(&step, column - 1, end - 1);
        }
        add_step(out, start, step);
        start += 2 * ((uint64_t)(head & 7) + 1);
        while (at < size && !(table[at] & 128))
            at++;
    }
}

size_t bsk_lines_decode(enum bsk_line_form form, const uint8_t *table, size_t size,
                        uint32_t first_line, struct bsk_line_step *steps, size_t capacity)
{
    struct writer out = { .steps = steps, .capacity = capacity };
    if (form == BSK_LINES_LNOTAB)
        decode_lnotab(table, size, first_line, &out);
    else if (form == BSK_LINES_PEP626)
        decode_pep626(table, size, first_line, &out);
    else
        decode_location(table, size, first_line, &out);
    return out.count;
}

const struct bsk_line_step *bsk_lines_step(const struct bsk_line_step *steps, size_t count,
                                           int64_t offset)
{
    size_t low = 0, high = offset < 0 ? 0 : count; /* the last with start <= offset is low - 1 */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (steps[middle].start <= (uint64_t)offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &steps[low - 1] : NULL;
}

uint32_t bsk_lines_find(const struct bsk_line_step *steps, size_t count, int64_t offset,
                        uint32_t first_line)
{
    const struct bsk_line_step *step = bsk_lines_step(steps, count, offset);
    return step ? step->line : first_line;
}
