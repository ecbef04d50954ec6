/* str, bytes and bytearray as repr() shows them. */
#include "engine/python/repr.h"

#include "engine/python/internal.h"

#include <string.h>

#include "engine/python/layouts/printable.h"

enum {
    PART_MAX = 4096,            /* characters read at a time */
    QUOTES_LOOK_MAX = 64 << 20, /* bytes looked through for quotes, which decide the outer ones */
};

static bool is_printable(uint32_t character, int minor)
{
    size_t low = 0, high = sizeof(printable) / sizeof(printable[0]);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (printable[middle].first <= character)
            low = middle;
        else
            high = middle;
    }
    return character <= 0x10ffff && printable[low].minors >> (minor - BSK_OLDEST_MINOR) & 1;
}

/* The characters of a text in the target, a part at a time. */
struct reader {
    struct bsk_objects *objects;
    uint64_t data, length, at;
    unsigned kind;
    uint64_t part_at, part_count;
    uint8_t part[PART_MAX * 4];
};

static bool next_character(struct reader *reader, uint32_t *out_character)
{
    if (reader->at >= reader->part_at + reader->part_count) {
        uint64_t left = reader->length - reader->at;
        reader->part_at = reader->at;
        reader->part_count = left < PART_MAX ? left : PART_MAX;
        if (!bsk_objects_read(reader->objects, reader->data + reader->at * reader->kind,
                              reader->part, reader->part_count * reader->kind))
            return false;
    }
    *out_character = 0;
    memcpy(out_character, reader->part + (reader->at - reader->part_at) * reader->kind,
           reader->kind); /* little end first, as everything here */
    reader->at++;
    return true;
}

/* repr() takes the double quote where the text holds single ones and no double ones. */
static bool choose_quote(const struct reader *text, char *out_quote)
{
    struct reader reader = *text;
    bool single = false, twofold = false;
    uint32_t c;
    while (reader.at < reader.length && reader.at * reader.kind < QUOTES_LOOK_MAX) {
        if (!next_character(&reader, &c))
            return false;
        single |= c == '\'';
        twofold |= c == '"';
        if (twofold)
            break;
    }
    *out_quote = single && !twofold ? '"' : '\'';
    return true;
}

static void print_escaped(struct bsk_printed *out, uint32_t c, char quote, bool shown)
{
    if (c == (uint32_t)quote || c == '\\')
        bsk_print_format(out, "\\%c", (char)c);
    else if (c == '\t' || c == '\n' || c == '\r')
        bsk_print(out, c == '\t' ? "\\t" : c == '\n' ? "\\n" : "\\r");
    else if (shown)
        bsk_print_character(out, c);
    else
        bsk_print_format(out, c <= 0xff ? "\\x%02x" : c <= 0xffff ? "\\u%04x" : "\\U%08x", c);
}

/* An escape that meets the limit is cut in its middle, as the text of repr() would be. */
static bool print_quoted(struct bsk_repr *repr, struct reader *reader, const char *before,
                         int minor)
{
    char quote = '\'';
    uint32_t c;
    if (!choose_quote(reader, &quote))
        return false;
    bsk_print_format(&repr->out, "%s%c", before, quote);
    while (reader->at < reader->length && !repr->out.cut) {
        if (!next_character(reader, &c))
            return false;
        print_escaped(&repr->out, c, quote,
                      minor == 0 ? c >= ' ' && c < 0x7f : is_printable(c, minor));
    }
    bsk_print_format(&repr->out, "%c", quote);
    return true;
}

static struct reader reader_of(const struct bsk_repr *repr, const struct bsk_str *text)
{
    return (struct reader){
        .objects = repr->objects,
        .data = text->data,
        .length = text->length,
        .kind = text->kind,
    };
}

bool bsk_repr_str(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    struct bsk_str text;
    (void)type;
    if (!bsk_objects_str(repr->objects, address, &text))
        return false;
    struct reader reader = reader_of(repr, &text);
    return print_quoted(repr, &reader, "", bsk_objects_places(repr->objects)->minor);
}

static bool print_bytes(struct bsk_repr *repr, uint64_t data, uint64_t length)
{
    struct reader reader = {
        .objects = repr->objects,
        .data = data,
        .length = length,
        .kind = 1,
    };
    return length < UINT64_C(1) << 48 && print_quoted(repr, &reader, "b", 0);
}

bool bsk_repr_bytes(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t length;
    (void)type;
    return bsk_objects_word(repr->objects, address + at->size, &length) &&
           print_bytes(repr, address + at->bytes_data, length);
}

bool bsk_repr_bytearray(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t length, start;
    if (!bsk_objects_word(repr->objects, address + at->size, &length) ||
        !bsk_objects_word(repr->objects, address + at->bytearray_start, &start))
        return false;
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    if (!print_bytes(repr, start, length))
        return false;
    bsk_print(&repr->out, ")");
    return true;
}

bool bsk_repr_name(struct bsk_repr *repr, uint64_t address)
{
    struct bsk_str text;
    uint32_t c;
    if (!bsk_objects_str(repr->objects, address, &text))
        return false;
    struct reader reader = reader_of(repr, &text);
    while (reader.at < reader.length && !repr->out.cut) {
        if (!next_character(&reader, &c))
            return false;
        bsk_print_character(&repr->out, c);
    }
    return true;
}
