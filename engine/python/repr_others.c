/* Types, functions, modules, exceptions and what else has a repr() of its own and no file. */
#include "engine/python/repr.h"

#include "engine/python/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool word(struct bsk_repr *repr, uint64_t address, uint64_t *out_word)
{
    return bsk_objects_word(repr->objects, address, out_word);
}

static const struct bsk_object_places *places(const struct bsk_repr *repr)
{
    return bsk_objects_places(repr->objects);
}

static void print_address(struct bsk_repr *repr, uint64_t address)
{
    bsk_print_format(&repr->out, "0x%" PRIx64, address);
}

/* "Foo object at 0x..." with the name as the type has it. */
static bool print_brief(struct bsk_repr *repr, uint64_t address)
{
    const struct bsk_type *type = bsk_objects_type_of(repr->objects, address);
    if (!type)
        return false;
    bsk_print(&repr->out, type->name);
    bsk_print(&repr->out, " object at ");
    print_address(repr, address);
    return true;
}

bool bsk_repr_type(struct bsk_repr *repr, uint64_t address, const struct bsk_type *meta)
{
    char module[BSK_TYPE_NAME_BYTES], qualname[BSK_TYPE_NAME_BYTES];
    const struct bsk_type *type = bsk_objects_type(repr->objects, address);
    (void)meta;
    if (!type)
        return false;
    bsk_print(&repr->out, "<class '");
    if (bsk_type_names(repr->objects, type, module, qualname) && strcmp(module, "builtins") != 0) {
        bsk_print(&repr->out, module);
        bsk_print(&repr->out, ".");
        bsk_print(&repr->out, qualname);
    } else {
        bsk_print(&repr->out, type->name);
    }
    bsk_print(&repr->out, "'>");
    return true;
}

/* --- what can be called ---------------------------------------------------------------------- */

static bool print_named(struct bsk_repr *repr, const char *before, uint64_t name, uint64_t address)
{
    char text[BSK_TYPE_NAME_BYTES];
    if (!bsk_objects_utf8(repr->objects, name, text, sizeof(text)))
        return false;
    bsk_print(&repr->out, before);
    bsk_print(&repr->out, text);
    bsk_print(&repr->out, " at ");
    print_address(repr, address);
    bsk_print(&repr->out, ">");
    return true;
}

bool bsk_repr_function(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t name;
    (void)type;
    return word(repr, address + places(repr)->function_qualname, &name) &&
           print_named(repr, "<function ", name, address);
}

static bool print_generator(struct bsk_repr *repr, uint64_t address, const char *before)
{
    uint64_t name;
    return word(repr, address + places(repr)->generator_qualname, &name) &&
           print_named(repr, before, name, address);
}

bool bsk_repr_generator(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    (void)type;
    return print_generator(repr, address, "<generator object ");
}

bool bsk_repr_coroutine(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    (void)type;
    return print_generator(repr, address, "<coroutine object ");
}

bool bsk_repr_async_generator(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    (void)type;
    return print_generator(repr, address, "<async_generator object ");
}

bool bsk_repr_builtin(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t definition, name_at, self;
    char name[256];
    (void)type;
    if (!word(repr, address + places(repr)->builtin_definition, &definition) ||
        !word(repr, definition, &name_at) ||
        !word(repr, address + places(repr)->builtin_self, &self))
        return false;
    bsk_objects_c_string(repr->objects, name_at, name, sizeof(name));
    const struct bsk_type *owner = self ? bsk_objects_type_of(repr->objects, self) : NULL;
    if (self != 0 && !owner)
        return false;
    bool function = !owner || bsk_type_is(repr->objects, owner, "module");
    bsk_print(&repr->out, function ? "<built-in function " : "<built-in method ");
    bsk_print(&repr->out, name);
    if (!function) {
        bsk_print(&repr->out, " of ");
        (void)print_brief(repr, self);
    }
    bsk_print(&repr->out, ">");
    return true;
}

bool bsk_repr_method(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t function, self, name;
    char text[BSK_TYPE_NAME_BYTES];
    (void)type;
    if (!word(repr, address + places(repr)->method_function, &function) ||
        !word(repr, address + places(repr)->method_self, &self))
        return false;
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, function);
    bool named = kind && strcmp(kind->name, "function") == 0 &&
                 word(repr, function + places(repr)->function_qualname, &name) &&
                 bsk_objects_utf8(repr->objects, name, text, sizeof(text));
    bsk_print(&repr->out, "<bound method ");
    bsk_print(&repr->out, named ? text : "?");
    bsk_print(&repr->out, " of ");
    if (bsk_repr_enter(repr, address)) /* repr() itself would go round for ever */
        bsk_print(&repr->out, "...");
    else
        bsk_repr_object(repr, self);
    bsk_print(&repr->out, ">");
    return true;
}

static bool print_wrapping(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type,
                           const char *before)
{
    uint64_t callable;
    if (places(repr)->minor < 10)
        return bsk_repr_default(repr, address, type);
    if (!word(repr, address + places(repr)->first_member, &callable))
        return false;
    bsk_print(&repr->out, before);
    bsk_repr_object(repr, callable);
    bsk_print(&repr->out, ")>");
    return true;
}

bool bsk_repr_static_method(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    return print_wrapping(repr, address, type, "<staticmethod(");
}

bool bsk_repr_class_method(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    return print_wrapping(repr, address, type, "<classmethod(");
}

bool bsk_repr_descriptor(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t name, owner_at;
    char text[BSK_TYPE_NAME_BYTES];
    const char *what = strcmp(type->name, "getset_descriptor") == 0    ? "attribute"
                       : strcmp(type->name, "member_descriptor") == 0  ? "member"
                       : strcmp(type->name, "wrapper_descriptor") == 0 ? "slot wrapper"
                                                                       : "method";
    if (!word(repr, address + places(repr)->descriptor_name, &name) ||
        !word(repr, address + places(repr)->descriptor_type, &owner_at) ||
        !bsk_objects_utf8(repr->objects, name, text, sizeof(text)))
        return false;
    const struct bsk_type *owner = bsk_objects_type(repr->objects, owner_at);
    if (!owner)
        return false;
    bsk_print_format(&repr->out, "<%s '", what);
    bsk_print(&repr->out, text);
    if (owner->base == 0 && places(repr)->minor >= 15) { /* object itself */
        bsk_print(&repr->out, "'>");
        return true;
    }
    bsk_print(&repr->out, "' of '");
    bsk_print(&repr->out, owner->name);
    bsk_print(&repr->out, "' objects>");
    return true;
}

bool bsk_repr_wrapper(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[2], name; /* the descriptor and whose it is */
    char text[BSK_TYPE_NAME_BYTES];
    (void)type;
    if (!bsk_objects_read(repr->objects, address + places(repr)->wrapper_descriptor, parts,
                          sizeof(parts)) ||
        !word(repr, parts[0] + places(repr)->descriptor_name, &name) ||
        !bsk_objects_utf8(repr->objects, name, text, sizeof(text)))
        return false;
    bsk_print(&repr->out, "<method-wrapper '");
    bsk_print(&repr->out, text);
    bsk_print(&repr->out, "' of ");
    bool ok = print_brief(repr, parts[1]);
    bsk_print(&repr->out, ">");
    return ok;
}

bool bsk_repr_code(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_layout *layout = bsk_objects_layout(repr->objects);
    uint64_t name, file;
    int32_t line;
    (void)type;
    if (!word(repr, address + layout->code.name, &name) ||
        !word(repr, address + layout->code.filename, &file) ||
        !bsk_objects_read(repr->objects, address + layout->code.firstlineno, &line, 4))
        return false;
    bsk_print(&repr->out, "<code object ");
    (void)bsk_repr_name(repr, name);
    bsk_print(&repr->out, " at ");
    print_address(repr, address);
    bsk_print(&repr->out, ", file \"");
    (void)bsk_repr_name(repr, file);
    bsk_print_format(&repr->out, "\", line %d>", line);
    return true;
}

/* --- what holds one other object ------------------------------------------------------------- */

bool bsk_repr_cell(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t content;
    (void)type;
    if (!word(repr, address + places(repr)->cell_content, &content))
        return false;
    bsk_print(&repr->out, "<cell at ");
    print_address(repr, address);
    bsk_print(&repr->out, ": ");
    if (content == 0)
        bsk_print(&repr->out, "empty");
    else if (!print_brief(repr, content))
        return false;
    bsk_print(&repr->out, ">");
    return true;
}

/* __name__ of what has one without running anything: a type, a function, a module. */
static bool find_name(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type,
                      char name[BSK_TYPE_NAME_BYTES])
{
    struct bsk_dict dict;
    uint64_t text = 0;
    if (type->flags & BSK_TYPE_TYPE) {
        const struct bsk_type *itself = bsk_objects_type(repr->objects, address);
        if (itself)
            snprintf(name, BSK_TYPE_NAME_BYTES, "%s", bsk_type_short_name(itself));
        return itself != NULL;
    }
    if (strcmp(type->name, "function") == 0)
        (void)word(repr, address + places(repr)->function_name, &text);
    else if (bsk_dict_of_instance(repr->objects, address, &dict))
        text = bsk_dict_get(repr->objects, &dict, "__name__", NULL);
    return text != 0 && bsk_objects_utf8(repr->objects, text, name, BSK_TYPE_NAME_BYTES);
}

bool bsk_repr_weakref(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t object;
    char name[BSK_TYPE_NAME_BYTES];
    (void)type;
    if (!word(repr, address + places(repr)->weakref_object, &object))
        return false;
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, object);
    if (!kind)
        return false;
    bsk_print(&repr->out, "<weakref at ");
    print_address(repr, address);
    if (strcmp(kind->name, "NoneType") == 0) {
        bsk_print(&repr->out, "; dead>");
        return true;
    }
    bsk_print(&repr->out, "; to '");
    bsk_print(&repr->out, kind->name);
    bsk_print(&repr->out, "' at ");
    print_address(repr, object);
    if (find_name(repr, object, kind, name)) {
        bsk_print(&repr->out, " (");
        bsk_print(&repr->out, name);
        bsk_print(&repr->out, ")");
    }
    bsk_print(&repr->out, ">");
    return true;
}

bool bsk_repr_memoryview(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint32_t flags;
    (void)type;
    if (!bsk_objects_read(repr->objects, address + places(repr)->memoryview_flags, &flags, 4))
        return false;
    bsk_print(&repr->out, flags & 1 ? "<released memory at " : "<memory at ");
    print_address(repr, address);
    bsk_print(&repr->out, ">");
    return true;
}

/* --- exceptions ------------------------------------------------------------------------------ */

/* The parts between the brackets, which stay open. */
static bool begin_exception(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t args, count, items, item;
    if (!word(repr, address + places(repr)->exception_args, &args) ||
        !bsk_objects_tuple(repr->objects, args, &count, &items))
        return false;
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    if (bsk_repr_enter(repr, args)) {
        bsk_print(&repr->out, "...");
        return true;
    }
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        if (!word(repr, items + i * 8, &item))
            return false;
        if (i > 0)
            bsk_print(&repr->out, ", ");
        bsk_repr_object(repr, item);
    }
    bsk_repr_leave(repr);
    return true;
}

bool bsk_repr_exception(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    if (!begin_exception(repr, address, type))
        return false;
    bsk_print(&repr->out, ")");
    return true;
}

/* 3.14 and later: the exceptions as they were given, not what has become of the list in `args`. */
bool bsk_repr_exception_group(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[3], args, count, items, given; /* message, exceptions, their text where kept */
    if (places(repr)->minor < 14)
        return bsk_repr_exception(repr, address, type);
    if (!bsk_objects_read(repr->objects, address + places(repr)->group_message, parts,
                          sizeof(parts)) ||
        !word(repr, address + places(repr)->exception_args, &args) ||
        !bsk_objects_tuple(repr->objects, args, &count, &items) || count < 2 ||
        !word(repr, items + 8, &given))
        return false;
    const struct bsk_type *kind = bsk_objects_type_of(repr->objects, given);
    bool list = kind && kind->flags & BSK_TYPE_LIST;
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    bsk_repr_object(repr, parts[0]);
    bsk_print(&repr->out, ", ");
    if (parts[2] != 0)
        (void)bsk_repr_name(repr, parts[2]);
    else if (!bsk_objects_tuple(repr->objects, parts[1], &count, &items) ||
             bsk_repr_enter(repr, address))
        bsk_print(&repr->out, "...");
    else
        bsk_repr_items(repr, items, count, list);
    bsk_print(&repr->out, ")");
    return true;
}

/* From 3.15 on: name and path too, where there are any. */
bool bsk_repr_import_error(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    static const char *const names[] = { "name=", "path=" };
    uint64_t parts[2], args, count = 0, items;
    if (places(repr)->minor < 15)
        return bsk_repr_exception(repr, address, type);
    if (!bsk_objects_read(repr->objects, address + places(repr)->import_error_name, parts,
                          sizeof(parts)) ||
        !word(repr, address + places(repr)->exception_args, &args) ||
        !bsk_objects_tuple(repr->objects, args, &count, &items) ||
        !begin_exception(repr, address, type))
        return false;
    for (size_t i = 0; i < 2; i++) {
        const struct bsk_type *kind =
            parts[i] ? bsk_objects_type_of(repr->objects, parts[i]) : NULL;
        if (!kind || strcmp(kind->name, "NoneType") == 0)
            continue;
        if (count > 0)
            bsk_print(&repr->out, ", ");
        bsk_print(&repr->out, names[i]);
        bsk_repr_object(repr, parts[i]);
        count++;
    }
    bsk_print(&repr->out, ")");
    return true;
}

/* --- modules --------------------------------------------------------------------------------- */

static uint64_t attribute(struct bsk_repr *repr, const struct bsk_dict *dict, const char *name)
{
    uint64_t value = bsk_dict_get(repr->objects, dict, name, NULL);
    const struct bsk_type *type = value ? bsk_objects_type_of(repr->objects, value) : NULL;
    return type && strcmp(type->name, "NoneType") != 0 ? value : 0;
}

static void print_where(struct bsk_repr *repr, const char *before, uint64_t what, const char *after)
{
    bsk_print(&repr->out, before);
    bsk_repr_object(repr, what);
    bsk_print(&repr->out, after);
}

/* As importlib words it: by __spec__ where there is one, else by __file__ and __loader__. */
bool bsk_repr_module(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    struct bsk_dict dict, spec;
    uint64_t dict_at, spec_at, name, origin, loader, located = 0;
    (void)type;
    if (!word(repr, address + places(repr)->module_dict, &dict_at) ||
        !bsk_dict_open(repr->objects, dict_at, &dict))
        return false;
    spec_at = attribute(repr, &dict, "__spec__");
    bool has_spec = spec_at != 0 && bsk_dict_of_instance(repr->objects, spec_at, &spec);
    name = has_spec ? attribute(repr, &spec, "name") : attribute(repr, &dict, "__name__");
    origin = has_spec ? attribute(repr, &spec, "origin") : attribute(repr, &dict, "__file__");
    loader = has_spec ? attribute(repr, &spec, "loader") : attribute(repr, &dict, "__loader__");
    if (has_spec && origin != 0 &&
        !bsk_objects_unsigned(repr->objects, attribute(repr, &spec, "_set_fileattr"), &located))
        located = 0;
    /* Before 3.12 these two loaders were asked for their words first. */
    bool built_in = origin == 0 && loader != 0 && places(repr)->minor < 12;
    const struct bsk_type *of = built_in ? bsk_objects_type(repr->objects, loader) : NULL;
    bsk_print(&repr->out, "<module ");
    if (name != 0)
        bsk_repr_object(repr, name);
    else
        bsk_print(&repr->out, "'?'");
    if (of &&
        (strcmp(of->name, "BuiltinImporter") == 0 || strcmp(of->name, "FrozenImporter") == 0)) {
        bsk_print(&repr->out, of->name[0] == 'B' ? " (built-in)" : " (frozen)");
    } else if (origin != 0 && has_spec && located == 0) {
        bsk_print(&repr->out, " (");
        (void)bsk_repr_name(repr, origin);
        bsk_print(&repr->out, ")");
    } else if (origin != 0) {
        print_where(repr, " from ", origin, "");
    } else if (loader != 0) {
        print_where(repr, " (", loader, ")");
    }
    bsk_print(&repr->out, ">");
    return true;
}

/* --- t-strings (3.14 and later), sentinels (3.15 and later) ---------------------------------- */

bool bsk_repr_template(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[2]; /* Objects/templateobject.c: strings, interpolations */
    (void)type;
    if (!bsk_repr_members(repr, address, parts, 2))
        return false;
    bsk_print(&repr->out, "Template(strings=");
    bsk_repr_object(repr, parts[0]);
    bsk_print(&repr->out, ", interpolations=");
    bsk_repr_object(repr, parts[1]);
    bsk_print(&repr->out, ")");
    return true;
}

bool bsk_repr_interpolation(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[4]; /* Objects/interpolationobject.c: value, expression, conversion, format */
    (void)type;
    if (!bsk_repr_members(repr, address, parts, 4))
        return false;
    bsk_print(&repr->out, "Interpolation(");
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            bsk_print(&repr->out, ", ");
        bsk_repr_object(repr, parts[i]);
    }
    bsk_print(&repr->out, ")");
    return true;
}

bool bsk_repr_sentinel(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t parts[3]; /* Objects/sentinelobject.c: name, module, what was given as repr */
    struct bsk_str text;
    if (!bsk_repr_members(repr, address, parts, 3))
        return false;
    uint64_t shown = parts[2] != 0 ? parts[2] : parts[0];
    if (!bsk_objects_str(repr->objects, shown, &text))
        return bsk_repr_default(repr, address, type);
    return bsk_repr_name(repr, shown);
}
