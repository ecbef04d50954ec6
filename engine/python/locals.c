#include "engine/python/locals.h"

#include "engine/python/internal.h"
#include "engine/python/repr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CODES_MAX = 512,  /* whose names are remembered; then all are forgotten */
    FLAG_VARARGS = 4, /* of co_flags */
    FLAG_VARKEYWORDS = 8,
    KIND_CELL = 0x40, /* of co_localspluskinds */
    KIND_FREE = 0x80,
    NAME_BYTES = 1024,
    TAGGED_INT = 3, /* the lowest two bits of a stack reference that is a number: 3.14 and later */
};

/* The variables of a code object: as many as its frames have places. Known by the id of the code,
 * which no other code ever gets. */
struct bsk_variables {
    uint32_t code_id;
    size_t count;
    char **names; /* NULL where one could not be read: costs that variable */
    bool *argument;
    uint32_t *cell_of; /* the argument that this is the cell of, from 1; 0: none */
    uint32_t *order;   /* of showing: arguments first */
    uint8_t *kinds;    /* co_localspluskinds; before 3.11: KIND_CELL where the place holds a cell */
};

static void free_variables(struct bsk_variables *variables)
{
    for (size_t i = 0; variables->names && i < variables->count; i++)
        free(variables->names[i]);
    free(variables->names);
    free(variables->argument);
    free(variables->order);
    free(variables->cell_of);
    free(variables->kinds);
    *variables = (struct bsk_variables){ 0 };
}

void bsk_variables_free(struct bsk_python *python)
{
    for (size_t i = 0; i < python->variables_count; i++)
        free_variables(&python->variables[i]);
    free(python->variables);
    python->variables = NULL;
    python->variables_count = 0;
}

/* Appends the names of one of the code's tuples. */
static bool add_names(struct bsk_objects *objects, uint64_t code, uint32_t place, uint8_t kind,
                      struct bsk_variables *variables)
{
    char text[NAME_BYTES];
    uint64_t tuple, items, count, name;
    if (!bsk_objects_word(objects, code + place, &tuple) ||
        !bsk_objects_tuple(objects, tuple, &count, &items))
        return false;
    if (count > BSK_LOCALS_MAX - variables->count)
        count = BSK_LOCALS_MAX - variables->count;
    size_t total = variables->count + (size_t)count;
    char **names = realloc(variables->names, (total + 1) * sizeof(names[0]));
    if (names)
        variables->names = names;
    uint8_t *kinds = realloc(variables->kinds, total + 1);
    if (kinds)
        variables->kinds = kinds;
    if (!names || !kinds)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        bool ok = bsk_objects_word(objects, items + i * 8, &name) &&
                  bsk_objects_utf8(objects, name, text, sizeof(text));
        variables->kinds[variables->count] = kind;
        variables->names[variables->count++] = ok ? strdup(text) : NULL;
    }
    return true;
}

/* Up to 3.10 an argument that nested functions use has a place among the arguments, which is empty
 * then, and one among the cells: which argument this one is, from 1; 0: none. */
static uint32_t argument_of(const struct bsk_variables *variables, size_t arguments, size_t index)
{
    for (size_t i = 0; i < arguments && variables->kinds[index] == KIND_CELL; i++)
        if (variables->names[i] && variables->names[index] &&
            strcmp(variables->names[i], variables->names[index]) == 0)
            return (uint32_t)i + 1;
    return 0;
}

/* Arguments first, in the order of the code; the cell of one stands in its place. */
static bool order_variables(struct bsk_variables *variables, uint64_t arguments)
{
    size_t used = 0, first = arguments < variables->count ? (size_t)arguments : variables->count;
    variables->argument = calloc(variables->count + 1, sizeof(variables->argument[0]));
    variables->order = calloc(variables->count + 1, sizeof(variables->order[0]));
    variables->cell_of = calloc(variables->count + 1, sizeof(variables->cell_of[0]));
    if (!variables->argument || !variables->order || !variables->cell_of)
        return false;
    for (size_t i = 0; i < variables->count; i++) {
        variables->cell_of[i] = i < first ? 0 : argument_of(variables, first, i);
        variables->argument[i] = i < first || variables->cell_of[i] != 0;
    }
    for (size_t i = 0; i < first; i++) {
        variables->order[used++] = (uint32_t)i;
        for (size_t k = first; k < variables->count; k++)
            if (variables->cell_of[k] == i + 1)
                variables->order[used++] = (uint32_t)k;
    }
    for (size_t i = first; i < variables->count; i++)
        if (!variables->argument[i])
            variables->order[used++] = (uint32_t)i;
    return true;
}

static bool read_variables(struct bsk_objects *objects, uint64_t code,
                           struct bsk_variables *variables)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    int32_t flags, positional, keyword;
    uint64_t kinds;
    if (!bsk_objects_read(objects, code + at->code_flags, &flags, 4) ||
        !bsk_objects_read(objects, code + at->code_argcount, &positional, 4) ||
        !bsk_objects_read(objects, code + at->code_kwonlyargcount, &keyword, 4) || positional < 0 ||
        keyword < 0)
        return false;
    if (at->minor >= 11) {
        if (!add_names(objects, code, at->code_localsplusnames, 0, variables) ||
            !bsk_objects_word(objects, code + at->code_localspluskinds, &kinds) ||
            (variables->count > 0 && !bsk_objects_read(objects, kinds + at->bytes_data,
                                                       variables->kinds, variables->count)))
            return false;
    } else if (!add_names(objects, code, at->code_varnames, 0, variables) ||
               !add_names(objects, code, at->code_cellvars, KIND_CELL, variables) ||
               !add_names(objects, code, at->code_freevars, KIND_FREE, variables)) {
        return false;
    }
    return order_variables(variables, (uint64_t)positional + (uint64_t)keyword +
                                          !!(flags & FLAG_VARARGS) + !!(flags & FLAG_VARKEYWORDS));
}

static const struct bsk_variables *variables_of(struct bsk_python *python,
                                                struct bsk_objects *objects, uint64_t code,
                                                uint32_t code_id)
{
    for (size_t i = 0; i < python->variables_count; i++)
        if (python->variables[i].code_id == code_id)
            return &python->variables[i];
    if (python->variables_count == CODES_MAX)
        bsk_variables_free(python);
    if (!python->variables)
        python->variables = calloc(CODES_MAX, sizeof(python->variables[0]));
    if (!python->variables)
        return NULL;
    struct bsk_variables *variables = &python->variables[python->variables_count];
    if (!read_variables(objects, code, variables)) {
        free_variables(variables);
        return NULL;
    }
    variables->code_id = code_id;
    python->variables_count++;
    return variables;
}

/* The value behind a word of the frame; 0 where the variable is unbound. */
static uint64_t value_at(struct bsk_objects *objects, uint64_t value, uint8_t kind,
                         uint64_t tag_mask)
{
    if (tag_mask == TAGGED_INT && (value & TAGGED_INT) == TAGGED_INT)
        return value;
    value &= ~tag_mask;
    if (value != 0 && kind & (KIND_CELL | KIND_FREE)) {
        const struct bsk_type *type = bsk_objects_type_of(objects, value);
        /* Else the argument itself, before the code has made its cells. */
        if (type && strcmp(type->name, "cell") == 0 &&
            !bsk_objects_word(objects, value + bsk_objects_places(objects)->cell_content, &value))
            return 0;
    }
    return value;
}

static bool add_local(struct bsk_objects *objects, struct bsk_locals *locals, const char *name,
                      bool argument, uint64_t value, size_t limit)
{
    char number[32];
    struct bsk_local local = { .name = strdup(name), .argument = argument };
    if ((value & TAGGED_INT) == TAGGED_INT) {
        snprintf(number, sizeof(number), "%lld", (long long)((int64_t)value >> 2));
        local.text = strdup(number);
    } else {
        local.address = value;
        local.text = bsk_repr(objects, value, limit);
    }
    locals->items[locals->count++] = local;
    return local.name && local.text;
}

static int read_all(struct bsk_objects *objects, const struct bsk_layout *layout, uint64_t frame,
                    const struct bsk_variables *variables, size_t limit, struct bsk_locals *locals,
                    struct bsk_error *err)
{
    int rc = BSK_OK;
    uint64_t *values = calloc(variables->count + 1, sizeof(values[0]));
    locals->items = calloc(variables->count + 1, sizeof(locals->items[0]));
    if (!values || !locals->items) {
        free(values);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    if (variables->count > 0 &&
        !bsk_objects_read(objects, frame + layout->frame.size, values, variables->count * 8))
        rc = bsk_fail(err, BSK_E_TORN, NULL, "the frame is not readable any more");
    for (size_t i = 0; rc == BSK_OK && i < variables->count; i++) {
        size_t at = variables->order[i];
        uint64_t value = value_at(objects, values[at], variables->kinds[at], layout->tag_mask);
        if (value != 0 && variables->names[at] &&
            !add_local(objects, locals, variables->names[at], variables->argument[at], value,
                       limit))
            rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    free(values);
    return rc;
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
    int rc = bsk_objects_of(python, &objects, err);
    if (rc < 0)
        return rc;
    bsk_objects_forget_old(objects);
    uint64_t code = code_of(python, objects, frame);
    const struct bsk_variables *variables =
        code ? variables_of(python, objects, code, frame->code->id) : NULL;
    if (!variables)
        return bsk_fail(err, BSK_E_TORN, NULL, "the frame has gone on");
    rc = read_all(objects, &python->layout, frame->address, variables, limit, &locals, err);
    if (rc == BSK_OK && code_of(python, objects, frame) != code)
        rc = bsk_fail(err, BSK_E_TORN, NULL, "the frame has gone on");
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
