/* What belongs to the interpreter itself: locks, context variables, frames, super, weak proxies,
 * capsules. Most of their structures are private to .c files of CPython, which are named below:
 * what is read must make sense, else it shows as object's repr() would show it. */
#include "engine/python/repr.h"

#include "engine/python/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_TABLE_MAX_BYTES = 1 << 20, /* a larger one is garbage */
    BYTECODE_MAX_BYTES = 1 << 26,
};

static void print_end(struct bsk_repr *repr, uint64_t address)
{
    bsk_print_format(&repr->out, " at 0x%" PRIx64 ">", address);
}

/* --- locks: Modules/_threadmodule.c ---------------------------------------------------------- */

/* A lock is either the C library's (its address, weak references and for a Lock a char that says
 * whether it is locked, for an RLock owner and count before them), or a byte of which the lowest
 * bit says it (owner and count less one behind it). Which one is a matter of micro versions too
 * (3.13.0 and 3.13.15 differ), so it is told by the size. */

enum { MUTEX_LAST = 3 }; /* locked, and somebody waits for it */

bool bsk_repr_lock(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[3];
    size_t count = bsk_type_words(repr->objects, type);
    if ((count != 1 && count != 3) || !bsk_repr_members(repr, address, parts, count))
        return bsk_repr_default(repr, address, type);
    uint8_t state = (uint8_t)parts[count - 1];
    if (state > (count == 1 ? MUTEX_LAST : 1))
        return bsk_repr_default(repr, address, type);
    bsk_print(&repr->out, state & 1 ? "<locked " : "<unlocked ");
    bsk_print(&repr->out, type->name);
    bsk_print(&repr->out, " object");
    print_end(repr, address);
    return true;
}

/* The type that CPython made: it may be the base of one of the program's. */
static const struct bsk_type *base_named(struct bsk_objects *objects, const struct bsk_type *type,
                                         const char *name)
{
    enum { BASES_MAX = 64 };
    for (int i = 0; type && i < BASES_MAX; i++) {
        if (strcmp(type->name, name) == 0)
            return type;
        type = type->base ? bsk_objects_type(objects, type->base) : NULL;
    }
    return NULL;
}

bool bsk_repr_rlock(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[3]; /* the lock, its owner, how many times */
    size_t words = bsk_type_words(repr->objects, base_named(repr->objects, type, "_thread.RLock"));
    if ((words != 3 && words != 4) || !bsk_repr_members(repr, address, parts, 3))
        return bsk_repr_default(repr, address, type);
    uint64_t owner = parts[1], count = parts[2];
    if (words == 3) {
        if ((parts[0] & 0xff) > MUTEX_LAST)
            return bsk_repr_default(repr, address, type);
        count = parts[0] & 1 ? count + 1 : 0;
    }
    if ((owner == 0) != (count == 0) || count > UINT32_MAX)
        return bsk_repr_default(repr, address, type);
    bsk_print(&repr->out, count > 0 ? "<locked " : "<unlocked ");
    bsk_print(&repr->out, type->name);
    bsk_print_format(&repr->out, " object owner=%" PRIu64 " count=%" PRIu64, owner, count);
    print_end(repr, address);
    return true;
}

/* --- context variables: pycore_context.h ----------------------------------------------------- */

bool bsk_repr_context_var(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[2]; /* name, default */
    struct bsk_str name;
    if (!bsk_repr_members(repr, address, parts, 2))
        return false;
    if (!bsk_objects_str(repr->objects, parts[0], &name))
        return bsk_repr_default(repr, address, type);
    bsk_print(&repr->out, "<ContextVar name=");
    bsk_repr_object(repr, parts[0]);
    if (parts[1] != 0) {
        bsk_print(&repr->out, " default=");
        bsk_repr_object(repr, parts[1]);
    }
    print_end(repr, address);
    return true;
}

bool bsk_repr_token(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[4]; /* context, variable, old value, used (an int) */
    if (!bsk_repr_members(repr, address, parts, 4))
        return false;
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, parts[1]);
    uint32_t used = (uint32_t)parts[3];
    if (!kind || strcmp(bsk_type_short_name(kind), "ContextVar") != 0 || used > 1)
        return bsk_repr_default(repr, address, type);
    bsk_print(&repr->out, used ? "<Token used var=" : "<Token var=");
    bsk_repr_object(repr, parts[1]);
    print_end(repr, address);
    return true;
}

/* --- frames ---------------------------------------------------------------------------------- */

struct place {
    uint64_t code;
    int64_t offset; /* in its bytecode, in bytes */
};

/* What a frame object says itself, up to 3.10. */
static bool read_old_place(struct bsk_repr *repr, uint64_t address, struct place *out_place)
{
    const struct bsk_layout *layout = bsk_objects_layout(repr->objects);
    int32_t lasti;
    if (!bsk_objects_word(repr->objects, address + layout->frame.code, &out_place->code) ||
        !bsk_objects_read(repr->objects, address + layout->frame.lasti, &lasti, 4))
        return false;
    out_place->offset = (int64_t)lasti * layout->lasti_unit;
    return out_place->offset < BYTECODE_MAX_BYTES;
}

/* What the frame that it stands for says, on a thread's stack or, when that is done, in the object.
 */
static bool read_place(struct bsk_repr *repr, uint64_t address, struct place *out_place)
{
    const struct bsk_layout *layout = bsk_objects_layout(repr->objects);
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t frame, lasti, units;
    if (!bsk_objects_word(repr->objects, address + at->frame_data, &frame) ||
        !bsk_objects_word(repr->objects, frame + layout->frame.code, &out_place->code) ||
        !bsk_objects_word(repr->objects, frame + layout->frame.lasti, &lasti))
        return false;
    out_place->code &= ~layout->tag_mask;
    if (!bsk_objects_word(repr->objects, out_place->code + at->size, &units) ||
        units > BYTECODE_MAX_BYTES / 2)
        return false;
    out_place->offset = (int64_t)(lasti - out_place->code - layout->code.bytecode);
    return out_place->offset >= -2 && out_place->offset < (int64_t)units * 2;
}

/* The line that a place of a code object is on; 0 where there is none. */
static uint32_t find_line(struct bsk_repr *repr, const struct place *place)
{
    const struct bsk_layout *layout = bsk_objects_layout(repr->objects);
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t table_at, size;
    uint32_t first, line = 0;
    if (!bsk_objects_word(repr->objects, place->code + layout->code.linetable, &table_at) ||
        !bsk_objects_read(repr->objects, place->code + layout->code.firstlineno, &first, 4) ||
        !bsk_objects_word(repr->objects, table_at + at->size, &size) ||
        size > LINE_TABLE_MAX_BYTES || first > INT32_MAX)
        return 0;
    uint8_t *table = malloc((size_t)size + 1);
    struct bsk_line_step *steps = malloc(((size_t)size + 1) * sizeof(*steps));
    if (table && steps &&
        (size == 0 ||
         bsk_objects_read(repr->objects, table_at + at->bytes_data, table, (size_t)size))) {
        size_t count = bsk_lines_decode(layout->line_form, table, (size_t)size, first, steps,
                                        (size_t)size + 1);
        line = bsk_lines_find(steps, count, place->offset, first);
    }
    free(table);
    free(steps);
    return line;
}

/* A tracer's own count goes before the place: up to 3.9 where there is one, then where it is not
 * zero. */
static bool read_traced_line(struct bsk_repr *repr, uint64_t address, uint32_t *out_line)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t trace;
    if (!bsk_objects_word(repr->objects, address + at->frame_trace, &trace) ||
        !bsk_objects_read(repr->objects, address + at->frame_lineno, out_line, 4))
        return false;
    if (at->minor <= 9 && trace == 0)
        *out_line = 0;
    return *out_line <= INT32_MAX;
}

bool bsk_repr_frame(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_layout *layout = bsk_objects_layout(repr->objects);
    struct place place;
    uint64_t name, file;
    uint32_t line = 0;
    bool ok = layout->frame_form == BSK_FRAME_OBJECTS ? read_old_place(repr, address, &place)
                                                      : read_place(repr, address, &place);
    const struct bsk_type *kind = ok ? bsk_objects_type_of(repr->objects, place.code) : NULL;
    if (!kind || strcmp(kind->name, "code") != 0 || !read_traced_line(repr, address, &line))
        return bsk_repr_default(repr, address, type);
    if (line == 0)
        line = find_line(repr, &place);
    if (line == 0 || !bsk_objects_word(repr->objects, place.code + layout->code.filename, &file) ||
        !bsk_objects_word(repr->objects, place.code + layout->code.name, &name))
        return bsk_repr_default(repr, address, type);
    bsk_print_format(&repr->out, "<frame at 0x%" PRIx64 ", file ", address);
    bsk_repr_object(repr, file);
    bsk_print_format(&repr->out, ", line %" PRIu32 ", code ", line);
    (void)bsk_repr_name(repr, name);
    bsk_print(&repr->out, ">");
    return true;
}

/* --- what stands for something else ---------------------------------------------------------- */

/* NULL where the address is 0 or no type's. */
static const struct bsk_type *type_at(struct bsk_repr *repr, uint64_t address)
{
    return address ? bsk_objects_type(repr->objects, address) : NULL;
}

bool bsk_repr_super(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[3]; /* Objects/typeobject.c: the class, the object, its class */
    if (!bsk_repr_members(repr, address, parts, 3))
        return false;
    const struct bsk_type *of = type_at(repr, parts[0]), *object = type_at(repr, parts[2]);
    if ((!of && parts[0] != 0) || (!object && parts[2] != 0))
        return bsk_repr_default(repr, address, type);
    bsk_print(&repr->out, "<super: <class '");
    bsk_print(&repr->out, of ? of->name : "NULL");
    if (object) {
        bsk_print(&repr->out, "'>, <");
        bsk_print(&repr->out, object->name);
        bsk_print(&repr->out, " object>>");
    } else {
        bsk_print(&repr->out, "'>, NULL>");
    }
    return true;
}

/* In the words of weak references from 3.13 on. */
bool bsk_repr_weak_proxy(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t object;
    if (!bsk_objects_word(repr->objects, address + at->weakref_object, &object))
        return false;
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, object);
    if (!kind)
        return bsk_repr_default(repr, address, type);
    bsk_print_format(&repr->out, "<weakproxy at 0x%" PRIx64, address);
    if (at->minor >= 13 && strcmp(kind->name, "NoneType") == 0) {
        bsk_print(&repr->out, "; dead>");
        return true;
    }
    bsk_print(&repr->out, at->minor >= 13 ? "; to '" : " to ");
    bsk_print(&repr->out, kind->name);
    bsk_print(&repr->out, at->minor >= 13 ? "'" : "");
    print_end(repr, object);
    return true;
}

bool bsk_repr_capsule(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[2]; /* Objects/capsule.c: the pointer, which is never NULL; its name */
    char name[BSK_TYPE_NAME_BYTES];
    if (!bsk_repr_members(repr, address, parts, 2))
        return false;
    if (parts[0] == 0)
        return bsk_repr_default(repr, address, type);
    bsk_print(&repr->out, "<capsule object ");
    if (parts[1] != 0) {
        bsk_objects_c_string(repr->objects, parts[1], name, sizeof(name));
        bsk_print(&repr->out, "\"");
        bsk_print(&repr->out, name);
        bsk_print(&repr->out, "\"");
    } else {
        bsk_print(&repr->out, "NULL");
    }
    print_end(repr, address);
    return true;
}
