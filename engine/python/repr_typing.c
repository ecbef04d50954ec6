/* What annotations are made of: list[int], int | None, type variables, aliases of types. Their
 * structures are CPython's own (Objects/genericaliasobject.c, unionobject.c, typevarobject.c); what
 * does not fit them shows as object's repr() would show it. */
#include "engine/python/repr.h"

#include "engine/python/internal.h"

#include <string.h>

static bool is_str(struct bsk_repr *repr, uint64_t address)
{
    struct bsk_str text;
    return bsk_objects_str(repr->objects, address, &text);
}

/* --- type X = ... (3.12 and later) ----------------------------------------------------------- */

struct type_alias {
    uint64_t name; /* as repr() shows it */
    uint64_t compute, module;
};

/* name; from 3.15 on qualname; type_params, compute_value, value, module. */
static bool read_type_alias(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type,
                            struct type_alias *out_alias)
{
    uint64_t parts[6];
    size_t count = bsk_type_words(repr->objects, type);
    if ((count != 5 && count != 6) || !bsk_repr_members(repr, address, parts, count))
        return false;
    *out_alias = (struct type_alias){ .name = parts[count - 5],
                                      .compute = parts[count - 3],
                                      .module = parts[count - 1] };
    return is_str(repr, out_alias->name);
}

bool bsk_repr_type_alias(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    struct type_alias alias;
    if (!read_type_alias(repr, address, type, &alias))
        return bsk_repr_default(repr, address, type);
    return bsk_repr_name(repr, alias.name);
}

/* --- type variables (3.12 and later) --------------------------------------------------------- */

/* The name comes first; the last word is three bools: covariant, contravariant, infer_variance. A
 * TypeVarTuple has them from 3.15 on; until then it has one word, or three. */
bool bsk_repr_type_variable(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    enum { WORDS_MAX = 8, BOOLS = 0x010101 };
    uint64_t parts[WORDS_MAX];
    size_t count = bsk_type_words(repr->objects, type);
    bool tuple = strcmp(type->name, "typing.TypeVarTuple") == 0;
    bool plain = tuple && (count == 1 || count == 3);
    if (count == 0 || count > WORDS_MAX || (!plain && count < 3) ||
        !bsk_repr_members(repr, address, parts, count) || !is_str(repr, parts[0]))
        return bsk_repr_default(repr, address, type);
    uint32_t bools = plain ? 0x010000 : (uint32_t)parts[count - 1] & 0xffffff;
    if ((bools & ~(uint32_t)BOOLS) != 0)
        return bsk_repr_default(repr, address, type);
    if (!(bools & 0x010000))
        bsk_print(&repr->out, bools & 1 ? "+" : bools & 0x100 ? "-" : "~");
    return bsk_repr_name(repr, parts[0]);
}

/* P.args and P.kwargs: what they are of is their one member. */
static bool print_part_of(struct bsk_repr *repr, uint64_t address, const char *part)
{
    uint64_t origin, name;
    if (!bsk_repr_members(repr, address, &origin, 1))
        return false;
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, origin);
    if (!kind)
        return false;
    if (strcmp(kind->name, "typing.ParamSpec") == 0 && bsk_repr_members(repr, origin, &name, 1) &&
        is_str(repr, name))
        (void)bsk_repr_name(repr, name);
    else
        bsk_repr_object(repr, origin);
    bsk_print(&repr->out, part);
    return true;
}

bool bsk_repr_param_spec_args(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    (void)type;
    return print_part_of(repr, address, ".args");
}

bool bsk_repr_param_spec_kwargs(struct bsk_repr *repr, uint64_t address,
                                const struct bsk_type *type)
{
    (void)type;
    return print_part_of(repr, address, ".kwargs");
}

/* --- list[int], int | None ------------------------------------------------------------------- */

/* "module.qualname"; false, and nothing printed, where these are no str. */
static bool print_path(struct bsk_repr *repr, uint64_t module_at, uint64_t qualname_at)
{
    char module[BSK_TYPE_NAME_BYTES], qualname[BSK_TYPE_NAME_BYTES];
    if (!bsk_objects_utf8(repr->objects, module_at, module, sizeof(module)) ||
        !bsk_objects_utf8(repr->objects, qualname_at, qualname, sizeof(qualname)))
        return false;
    if (strcmp(module, "builtins") != 0) {
        bsk_print(&repr->out, module);
        bsk_print(&repr->out, ".");
    }
    bsk_print(&repr->out, qualname);
    return true;
}

static bool print_function(struct bsk_repr *repr, uint64_t address)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t module, qualname;
    return bsk_objects_word(repr->objects, address + at->function_module, &module) &&
           bsk_objects_word(repr->objects, address + at->function_qualname, &qualname) &&
           print_path(repr, module, qualname);
}

/* From 3.15 on it has a module; one written as a statement, that of the function that makes its
 * value. */
static bool print_type_alias(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    struct type_alias alias;
    if (at->minor < 15 || !read_type_alias(repr, address, type, &alias))
        return false;
    if (alias.module == 0 &&
        !bsk_objects_word(repr->objects, alias.compute + at->function_module, &alias.module))
        return false;
    return print_path(repr, alias.module, alias.name);
}

static bool print_type(struct bsk_repr *repr, uint64_t address, bool in_union)
{
    char module[BSK_TYPE_NAME_BYTES], qualname[BSK_TYPE_NAME_BYTES];
    const struct bsk_type *type = bsk_objects_type(repr->objects, address);
    if (!type || !bsk_type_names(repr->objects, type, module, qualname))
        return false;
    bool none = strcmp(type->name, "NoneType") == 0 &&
                (in_union || bsk_objects_places(repr->objects)->minor >= 14);
    if (strcmp(module, "builtins") != 0) {
        bsk_print(&repr->out, module);
        bsk_print(&repr->out, ".");
    }
    bsk_print(&repr->out, none ? "None" : qualname);
    return true;
}

/* A type as it is written in an annotation. */
static void print_annotation(struct bsk_repr *repr, uint64_t address, bool in_union)
{
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, address);
    bool done = false;
    if (kind && strcmp(kind->name, "ellipsis") == 0) {
        bsk_print(&repr->out, "...");
        return;
    }
    if (kind && kind->flags & BSK_TYPE_TYPE)
        done = print_type(repr, address, in_union);
    else if (kind && strcmp(kind->name, "function") == 0)
        done = print_function(repr, address);
    else if (kind && strcmp(kind->name, "typing.TypeAliasType") == 0)
        done = print_type_alias(repr, address, kind);
    if (!done)
        bsk_repr_object(repr, address);
}

/* The arguments for a ParamSpec come as a list. From 3.12 on what is in it shows as they do. */
static bool is_argument_list(struct bsk_repr *repr, uint64_t address)
{
    const struct bsk_type *type = bsk_objects_type_of(repr->objects, address);
    return type && bsk_objects_places(repr->objects)->minor >= 12 &&
           strcmp(type->name, "list") == 0 && !(type->flags & BSK_TYPE_HEAP);
}

static bool print_argument_list(struct bsk_repr *repr, uint64_t address)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t count, items, item;
    if (!bsk_objects_word(repr->objects, address + at->size, &count) ||
        !bsk_objects_word(repr->objects, address + at->list_items, &items))
        return false;
    bsk_print(&repr->out, "[");
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        if (!bsk_objects_word(repr->objects, items + i * 8, &item))
            return false;
        if (i > 0)
            bsk_print(&repr->out, ", ");
        print_annotation(repr, item, false);
    }
    bsk_print(&repr->out, "]");
    return true;
}

/* The arguments of a `list[int]`, with nothing around them. */
static bool print_arguments(struct bsk_repr *repr, uint64_t tuple)
{
    uint64_t count, items, item;
    if (!bsk_objects_tuple(repr->objects, tuple, &count, &items))
        return false;
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        if (!bsk_objects_word(repr->objects, items + i * 8, &item))
            return false;
        if (i > 0)
            bsk_print(&repr->out, ", ");
        if (!is_argument_list(repr, item))
            print_annotation(repr, item, false);
        else if (!print_argument_list(repr, item))
            return false;
    }
    if (count == 0)
        bsk_print(&repr->out, "()");
    return true;
}

bool bsk_repr_alias(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[5]; /* origin, args, parameters, weak references, starred (a bool of 3.11) */
    size_t count = bsk_objects_places(repr->objects)->minor >= 11 ? 5 : 2;
    (void)type;
    if (!bsk_repr_members(repr, address, parts, count) || bsk_repr_enter(repr, address))
        return false;
    if (count == 5 && (parts[4] & 0xff) == 1)
        bsk_print(&repr->out, "*");
    print_annotation(repr, parts[0], false);
    bsk_print(&repr->out, "[");
    bool ok = print_arguments(repr, parts[1]);
    bsk_print(&repr->out, "]");
    bsk_repr_leave(repr);
    return ok;
}

bool bsk_repr_union(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t args, count, items, item;
    (void)type;
    if (!bsk_repr_members(repr, address, &args, 1) ||
        !bsk_objects_tuple(repr->objects, args, &count, &items) || bsk_repr_enter(repr, address))
        return false;
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        if (!bsk_objects_word(repr->objects, items + i * 8, &item))
            return false;
        if (i > 0)
            bsk_print(&repr->out, " | ");
        print_annotation(repr, item, true);
    }
    bsk_repr_leave(repr);
    return true;
}
