#include "engine/python/locals.h"

#include "engine/python/internal.h"
#include "engine/python/repr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLAG_VARARGS = 4, /* of co_flags */
    FLAG_VARKEYWORDS = 8,
    KIND_CELL = 0x40, /* of co_localspluskinds */
    KIND_FREE = 0x80,
    NAME_BYTES = 1024,
    TAGGED_INT = 3, /* the lowest two bits of a stack reference that is a number: 3.14 and later */
};

/* Where the names and the values of a frame are. */
struct slots {
    uint64_t names[3], counts[3]; /* tuples, in the order of the values */
    size_t tuples;
    uint64_t arguments; /* so many names of the first tuple */
    uint8_t *kinds;     /* 3.11 and later; NULL: the second and third tuple are cells */
    uint64_t *values;
    uint64_t total;
};

static bool add_names(struct bsk_objects *objects, uint64_t code, uint32_t place,
                      struct slots *slots)
{
    uint64_t tuple, items, count;
    if (!bsk_objects_word(objects, code + place, &tuple) ||
        !bsk_objects_tuple(objects, tuple, &count, &items))
        return false;
    if (count > BSK_LOCALS_MAX - slots->total)
        count = BSK_LOCALS_MAX - slots->total;
    slots->names[slots->tuples] = items;
    slots->counts[slots->tuples++] = count;
    slots->total += count;
    return true;
}

static bool find_names(struct bsk_objects *objects, uint64_t code, struct slots *slots)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    int32_t flags, positional, keyword;
    if (!bsk_objects_read(objects, code + at->code_flags, &flags, 4) ||
        !bsk_objects_read(objects, code + at->code_argcount, &positional, 4) ||
        !bsk_objects_read(objects, code + at->code_kwonlyargcount, &keyword, 4) || positional < 0 ||
        keyword < 0)
        return false;
    slots->arguments = (uint64_t)positional + (uint64_t)keyword + !!(flags & FLAG_VARARGS) +
                       !!(flags & FLAG_VARKEYWORDS);
    if (at->minor >= 11) {
        uint64_t kinds;
        if (!add_names(objects, code, at->code_localsplusnames, slots) ||
            !bsk_objects_word(objects, code + at->code_localspluskinds, &kinds))
            return false;
        slots->kinds = calloc(slots->total + 1, 1);
        return slots->kinds &&
               (slots->total == 0 ||
                bsk_objects_read(objects, kinds + at->bytes_data, slots->kinds, slots->total));
    }
    return add_names(objects, code, at->code_varnames, slots) &&
           add_names(objects, code, at->code_cellvars, slots) &&
           add_names(objects, code, at->code_freevars, slots);
}

static bool is_cell(const struct slots *slots, uint64_t index)
{
    return slots->kinds ? slots->kinds[index] & (KIND_CELL | KIND_FREE) : index >= slots->counts[0];
}

/* The value behind a word of the frame; 0 where the variable is unbound. */
static uint64_t value_at(struct bsk_objects *objects, const struct slots *slots, uint64_t index,
                         uint64_t tag_mask)
{
    uint64_t value = slots->values[index];
    if (tag_mask == TAGGED_INT && (value & TAGGED_INT) == TAGGED_INT)
        return value;
    value &= ~tag_mask;
    if (value != 0 && is_cell(slots, index)) {
        const struct bsk_type *type = bsk_objects_type_of(objects, value);
        /* The argument itself, before the code has made its cells. */
        if (type && strcmp(type->name, "cell") == 0 &&
            !bsk_objects_word(objects, value + bsk_objects_places(objects)->cell_content, &value))
            return 0;
    }
    return value & ~tag_mask;
}

static bool add_local(struct bsk_objects *objects, struct bsk_locals *locals, uint64_t name,
                      uint64_t value, size_t limit)
{
    char text[NAME_BYTES];
    struct bsk_local local = { 0 };
    if (!bsk_objects_utf8(objects, name, text, sizeof(text)))
        return true; /* a name that cannot be read costs that variable */
    local.name = strdup(text);
    if ((value & TAGGED_INT) == TAGGED_INT) {
        snprintf(text, sizeof(text), "%lld", (long long)((int64_t)value >> 2));
        local.text = strdup(text);
    } else {
        local.address = value;
        local.text = bsk_repr(objects, value, limit);
    }
    locals->items[locals->count] = local;
    if (!local.name || !local.text) {
        free(local.name);
        free(local.text);
        return false;
    }
    locals->count++;
    return true;
}

/* An argument that nested functions use has a place among the arguments and, up to 3.10, one among
 * the cells: the former is empty then. */
static void mark_arguments(struct bsk_locals *locals, char **arguments, size_t count)
{
    for (size_t i = 0; i < locals->count; i++)
        for (size_t k = 0; k < count && !locals->items[i].argument; k++)
            locals->items[i].argument = strcmp(locals->items[i].name, arguments[k]) == 0;
    struct bsk_local *sorted = calloc(locals->count + 1, sizeof(*sorted));
    size_t used = 0;
    if (!sorted)
        return; /* in the order of the code, then */
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < locals->count; i++)
            if (locals->items[i].argument && strcmp(locals->items[i].name, arguments[k]) == 0)
                sorted[used++] = locals->items[i];
    for (size_t i = 0; i < locals->count; i++)
        if (!locals->items[i].argument)
            sorted[used++] = locals->items[i];
    if (used == locals->count)
        memcpy(locals->items, sorted, used * sizeof(*sorted));
    free(sorted);
}

static void read_arguments(struct bsk_objects *objects, const struct slots *slots,
                           struct bsk_locals *locals)
{
    enum { ARGUMENTS_MAX = 256 };
    char *arguments[ARGUMENTS_MAX], text[NAME_BYTES];
    size_t count = 0;
    for (uint64_t i = 0; i < slots->arguments && i < slots->counts[0] && count < ARGUMENTS_MAX;
         i++) {
        uint64_t name;
        if (bsk_objects_word(objects, slots->names[0] + i * 8, &name) &&
            bsk_objects_utf8(objects, name, text, sizeof(text)) &&
            (arguments[count] = strdup(text)) != NULL)
            count++;
    }
    mark_arguments(locals, arguments, count);
    for (size_t i = 0; i < count; i++)
        free(arguments[i]);
}

static int read_all(struct bsk_objects *objects, const struct bsk_layout *layout, uint64_t frame,
                    struct slots *slots, size_t limit, struct bsk_locals *locals,
                    struct bsk_error *err)
{
    uint64_t index = 0, name;
    slots->values = calloc(slots->total + 1, sizeof(slots->values[0]));
    locals->items = calloc(slots->total + 1, sizeof(locals->items[0]));
    if (!slots->values || !locals->items)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    if (slots->total > 0 &&
        !bsk_objects_read(objects, frame + layout->frame.size, slots->values, slots->total * 8))
        return bsk_fail(err, BSK_E_TORN, NULL, "the frame is not readable any more");
    for (size_t t = 0; t < slots->tuples; t++) {
        for (uint64_t i = 0; i < slots->counts[t]; i++, index++) {
            uint64_t value = value_at(objects, slots, index, layout->tag_mask);
            if (value != 0 && bsk_objects_word(objects, slots->names[t] + i * 8, &name) &&
                !add_local(objects, locals, name, value, limit))
                return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        }
    }
    read_arguments(objects, slots, locals);
    return BSK_OK;
}

/* The code object that the frame runs; 0: not the one that was seen there. */
static uint64_t code_of(struct bsk_python *python, struct bsk_objects *objects,
                        const struct bsk_frame *frame)
{
    uint64_t code;
    if (!bsk_objects_word(objects, frame->address + python->layout.frame.code, &code))
        return 0;
    code &= ~python->layout.tag_mask;
    const struct bsk_known *known = bsk_codes_peek(python->codes, code);
    return known && known->code.id == frame->code->id ? code : 0;
}

int bsk_locals_read(struct bsk_python *python, const struct bsk_frame *frame, size_t limit,
                    struct bsk_locals *out_locals, struct bsk_error *err)
{
    struct bsk_objects *objects;
    struct bsk_locals locals = { 0 };
    struct slots slots = { 0 };
    int rc = bsk_objects_of(python, &objects, err);
    if (rc < 0)
        return rc;
    bsk_objects_forget(objects);
    uint64_t code = code_of(python, objects, frame);
    if (code == 0 || !find_names(objects, code, &slots))
        rc = bsk_fail(err, BSK_E_TORN, NULL, "the frame has gone on");
    else
        rc = read_all(objects, &python->layout, frame->address, &slots, limit, &locals, err);
    if (rc == BSK_OK && code_of(python, objects, frame) != code)
        rc = bsk_fail(err, BSK_E_TORN, NULL, "the frame has gone on");
    free(slots.kinds);
    free(slots.values);
    if (rc == BSK_OK)
        *out_locals = locals;
    else
        bsk_locals_free(&locals);
    return rc;
}

void bsk_locals_free(struct bsk_locals *locals)
{
    for (size_t i = 0; i < locals->count; i++) {
        free(locals->items[i].name);
        free(locals->items[i].text);
    }
    free(locals->items);
    *locals = (struct bsk_locals){ 0 };
}
