#include "engine/python/repr.h"

#include "engine/python/internal.h"
#include "engine/python/numbers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BASES_MAX = 64,
    READS_LEAST =
        20000, /* for one value: some milliseconds; 600,000 places of a dict in any case */
    READS_A_CHARACTER = 64,
    NESTED_MAX = 500, /* objects in objects, for the room on our stack */
};

/* --- types by name --------------------------------------------------------------------------- */

const char *bsk_type_short_name(const struct bsk_type *type)
{
    const char *dot = strrchr(type->name, '.');
    return dot ? dot + 1 : type->name;
}

uint64_t bsk_type_attribute(struct bsk_objects *objects, const struct bsk_type *type,
                            const char *name)
{
    for (int i = 0; type && i < BASES_MAX; i++) {
        struct bsk_dict dict;
        uint64_t value = 0;
        if (type->dict != 0 && bsk_dict_open(objects, type->dict, &dict))
            value = bsk_dict_get(objects, &dict, name, NULL);
        if (value != 0)
            return value;
        type = type->base ? bsk_objects_type(objects, type->base) : NULL;
    }
    return 0;
}

bool bsk_type_names(struct bsk_objects *objects, const struct bsk_type *type,
                    char module[BSK_TYPE_NAME_BYTES], char qualname[BSK_TYPE_NAME_BYTES])
{
    if (type->flags & BSK_TYPE_HEAP) {
        struct bsk_dict dict;
        uint64_t text = 0;
        if (type->dict != 0 && bsk_dict_open(objects, type->dict, &dict))
            text = bsk_dict_get(objects, &dict, "__module__", NULL);
        return text != 0 && bsk_objects_utf8(objects, text, module, BSK_TYPE_NAME_BYTES) &&
               bsk_objects_utf8(objects, type->qualname, qualname, BSK_TYPE_NAME_BYTES);
    }
    const char *short_name = bsk_type_short_name(type);
    snprintf(qualname, BSK_TYPE_NAME_BYTES, "%s", short_name);
    if (short_name == type->name)
        strcpy(module, "builtins");
    else
        snprintf(module, BSK_TYPE_NAME_BYTES, "%.*s", (int)(short_name - type->name - 1),
                 type->name);
    return true;
}

bool bsk_type_is(struct bsk_objects *objects, const struct bsk_type *type, const char *name)
{
    for (int i = 0; type && i < BASES_MAX; i++) {
        if (!(type->flags & BSK_TYPE_HEAP) && strcmp(type->name, name) == 0)
            return true;
        type = type->base ? bsk_objects_type(objects, type->base) : NULL;
    }
    return false;
}

/* --- small ones ------------------------------------------------------------------------------ */

static bool print_int(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    enum { WORDS_MAX = 512 }; /* a few more than 4,300 digits fill */
    uint32_t digits[WORDS_MAX];
    char text[BSK_INT_BYTES];
    uint64_t tag, top = 0;
    (void)type;
    if (!bsk_objects_word(repr->objects, address + at->int_tag, &tag))
        return false;
    bool negative = at->minor >= 12 ? (tag & 3) == 2 : (int64_t)tag < 0;
    uint64_t count = at->minor >= 12 ? tag >> 3 : negative ? -tag : tag;
    if (at->minor >= 12 && (tag & 3) == 1)
        count = 0;
    if (count > UINT64_C(1) << 40)
        return false;
    uint64_t digits_at = address + at->int_digits;
    if (count <= WORDS_MAX) {
        if (count > 0 && !bsk_objects_read(repr->objects, digits_at, digits, count * 4))
            return false;
        if (bsk_number_int(digits, count, negative, text)) {
            bsk_print(&repr->out, text);
            return true;
        }
    }
    if (!bsk_objects_read(repr->objects, digits_at + (count - 1) * 4, &top, 4))
        return false;
    uint64_t bits = (count - 1) * 30;
    for (; top > 0; top >>= 1)
        bits++;
    bsk_print_format(&repr->out, "<int of %" PRIu64 " bits>", bits);
    return true;
}

static bool print_bool(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t value;
    (void)type;
    if (!bsk_objects_unsigned(repr->objects, address, &value))
        return false;
    bsk_print(&repr->out, value ? "True" : "False");
    return true;
}

static bool print_float(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    double value;
    char text[BSK_FLOAT_BYTES];
    (void)type;
    if (!bsk_objects_read(repr->objects, address + bsk_objects_places(repr->objects)->float_value,
                          &value, 8))
        return false;
    bsk_number_float(value, true, text);
    bsk_print(&repr->out, text);
    return true;
}

static bool print_complex(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    double parts[2];
    char text[2 * BSK_FLOAT_BYTES + 4];
    (void)type;
    if (!bsk_objects_read(repr->objects, address + bsk_objects_places(repr->objects)->complex_value,
                          parts, 16))
        return false;
    bsk_number_complex(parts[0], parts[1], text);
    bsk_print(&repr->out, text);
    return true;
}

static bool print_constant(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    static const char *const constants[][2] = {
        { "NoneType", "None" },
        { "ellipsis", "Ellipsis" },
        { "NotImplementedType", "NotImplemented" },
        { "NoDefaultType", "typing.NoDefault" },
        { "Token.MISSING", "<Token.MISSING>" },
    };
    (void)address;
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
        if (strcmp(type->name, constants[i][0]) == 0)
            bsk_print(&repr->out, constants[i][1]);
    return true;
}

static bool print_three(struct bsk_repr *repr, uint64_t at, size_t count, const char *name)
{
    uint64_t parts[3];
    if (!bsk_objects_read(repr->objects, at, parts, sizeof(parts)))
        return false;
    bsk_print_format(&repr->out, "%s(", name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            bsk_print(&repr->out, ", ");
        bsk_repr_object(repr, parts[i]);
    }
    bsk_print(&repr->out, ")");
    return true;
}

static bool print_slice(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    (void)type;
    return print_three(repr, address + bsk_objects_places(repr->objects)->slice_start, 3, "slice");
}

static bool print_range(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t at = address + bsk_objects_places(repr->objects)->range_start, step, value = 0;
    (void)type;
    if (!bsk_objects_word(repr->objects, at + 16, &step))
        return false;
    bool plain = bsk_objects_unsigned(repr->objects, step, &value) && value == 1;
    return print_three(repr, at, plain ? 2 : 3, "range");
}

/* --- which is which -------------------------------------------------------------------------- */

static const struct {
    const char *name; /* tp_name */
    bsk_repr_fn *print;
} known[] = {
    { "object", bsk_repr_default },
    { "int", print_int },
    { "bool", print_bool },
    { "float", print_float },
    { "complex", print_complex },
    { "NoneType", print_constant },
    { "ellipsis", print_constant },
    { "NotImplementedType", print_constant },
    { "NoDefaultType", print_constant },
    { "Token.MISSING", print_constant },
    { "slice", print_slice },
    { "range", print_range },
    { "str", bsk_repr_str },
    { "bytes", bsk_repr_bytes },
    { "bytearray", bsk_repr_bytearray },
    { "tuple", bsk_repr_tuple },
    { "list", bsk_repr_list },
    { "dict", bsk_repr_dict },
    { "frozendict", bsk_repr_frozendict },
    { "set", bsk_repr_set },
    { "frozenset", bsk_repr_set },
    { "collections.deque", bsk_repr_deque },
    { "collections.OrderedDict", bsk_repr_ordered },
    { "collections.defaultdict", bsk_repr_defaultdict },
    { "mappingproxy", bsk_repr_mapping_proxy },
    { "dict_keys", bsk_repr_dict_view },
    { "dict_values", bsk_repr_dict_view },
    { "dict_items", bsk_repr_dict_view },
    { "types.SimpleNamespace", bsk_repr_namespace },
    { "type", bsk_repr_type },
    { "function", bsk_repr_function },
    { "builtin_function_or_method", bsk_repr_builtin },
    { "method", bsk_repr_method },
    { "module", bsk_repr_module },
    { "code", bsk_repr_code },
    { "cell", bsk_repr_cell },
    { "generator", bsk_repr_generator },
    { "coroutine", bsk_repr_coroutine },
    { "async_generator", bsk_repr_async_generator },
    { "weakref", bsk_repr_weakref },
    { "weakref.ReferenceType", bsk_repr_weakref },
    { "staticmethod", bsk_repr_static_method },
    { "classmethod", bsk_repr_class_method },
    { "memoryview", bsk_repr_memoryview },
    { "BaseException", bsk_repr_exception },
    { "BaseExceptionGroup", bsk_repr_exception_group },
    { "ImportError", bsk_repr_import_error },
    { "method_descriptor", bsk_repr_descriptor },
    { "classmethod_descriptor", bsk_repr_descriptor },
    { "getset_descriptor", bsk_repr_descriptor },
    { "member_descriptor", bsk_repr_descriptor },
    { "wrapper_descriptor", bsk_repr_descriptor },
    { "method-wrapper", bsk_repr_wrapper },
    { "_thread.lock", bsk_repr_lock },
    { "_thread.RLock", bsk_repr_rlock },
    { "ContextVar", bsk_repr_context_var }, /* up to 3.9 */
    { "_contextvars.ContextVar", bsk_repr_context_var },
    { "Token", bsk_repr_token },
    { "_contextvars.Token", bsk_repr_token },
    { "frame", bsk_repr_frame },
    { "super", bsk_repr_super },
    { "weakproxy", bsk_repr_weak_proxy }, /* up to 3.9 */
    { "weakcallableproxy", bsk_repr_weak_proxy },
    { "weakref.ProxyType", bsk_repr_weak_proxy },
    { "weakref.CallableProxyType", bsk_repr_weak_proxy },
    { "PyCapsule", bsk_repr_capsule },
    { "types.GenericAlias", bsk_repr_alias },
    { "types.UnionType", bsk_repr_union },
    { "typing.Union", bsk_repr_union },
    { "typing.TypeVar", bsk_repr_type_variable },
    { "typing.ParamSpec", bsk_repr_type_variable },
    { "typing.TypeVarTuple", bsk_repr_type_variable },
    { "typing.ParamSpecArgs", bsk_repr_param_spec_args },
    { "typing.ParamSpecKwargs", bsk_repr_param_spec_kwargs },
    { "typing.TypeAliasType", bsk_repr_type_alias },
    { "string.templatelib.Template", bsk_repr_template },
    { "string.templatelib.Interpolation", bsk_repr_interpolation },
    { "sentinel", bsk_repr_sentinel },
};

/* Types that CPython itself makes on the heap have their module in tp_name, as __module__ says; a
 * class of the program has its name alone there. */
static bool is_ours(struct bsk_objects *objects, const struct bsk_type *type)
{
    char module[BSK_TYPE_NAME_BYTES], qualname[BSK_TYPE_NAME_BYTES];
    if (!(type->flags & BSK_TYPE_HEAP))
        return true;
    const char *short_name = bsk_type_short_name(type);
    size_t module_bytes = short_name == type->name ? 0 : (size_t)(short_name - type->name) - 1;
    return module_bytes > 0 && bsk_type_names(objects, type, module, qualname) &&
           strlen(module) == module_bytes && memcmp(module, type->name, module_bytes) == 0 &&
           strcmp(qualname, short_name) == 0;
}

/* How the objects of this type print: as the nearest known base whose tp_repr they inherited. */
static bsk_repr_fn *find_known(struct bsk_objects *objects, const struct bsk_type *type)
{
    const struct bsk_type *base = type;
    for (int i = 0; base && i < BASES_MAX; i++) {
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (strcmp(known[k].name, base->name) == 0 && base->repr == type->repr &&
                is_ours(objects, base))
                return known[k].print;
        base = base->base ? bsk_objects_type(objects, base->base) : NULL;
    }
    return NULL;
}

bool bsk_repr_default(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    char module[BSK_TYPE_NAME_BYTES], qualname[BSK_TYPE_NAME_BYTES];
    bool named = bsk_type_names(repr->objects, type, module, qualname);
    bsk_print(&repr->out, "<");
    if (named && strcmp(module, "builtins") != 0) {
        bsk_print(&repr->out, module);
        bsk_print(&repr->out, ".");
        bsk_print(&repr->out, qualname);
    } else {
        bsk_print(&repr->out, type->name);
    }
    bsk_print_format(&repr->out, " object at 0x%" PRIx64 ">", address);
    return true;
}

bool bsk_repr_members(struct bsk_repr *repr, uint64_t address, uint64_t *out_words, size_t count)
{
    return bsk_objects_read(repr->objects,
                            address + bsk_objects_places(repr->objects)->first_member, out_words,
                            count * sizeof(out_words[0]));
}

size_t bsk_type_words(const struct bsk_objects *objects, const struct bsk_type *type)
{
    int64_t head = bsk_objects_places(objects)->first_member;
    return type && type->basicsize > head ? (size_t)(type->basicsize - head) / 8 : 0;
}

bool bsk_repr_enter(struct bsk_repr *repr, uint64_t address)
{
    for (size_t i = 0; i < repr->depth; i++)
        if (repr->within[i] == address)
            return true;
    repr->within[repr->depth++] = address; /* bsk_repr_object() has seen to the room */
    return false;
}

void bsk_repr_leave(struct bsk_repr *repr)
{
    repr->depth--;
}

static bool print_object(struct bsk_repr *repr, uint64_t address)
{
    const struct bsk_type *type = bsk_objects_type_of(repr->objects, address);
    if (!type)
        return false;
    bsk_repr_fn *print = find_known(repr->objects, type);
    if (print)
        return print(repr, address, type);
    if (type->flags & BSK_TYPE_TUPLE && bsk_repr_struct_sequence(repr, address, type))
        return true;
    if (type->flags & BSK_TYPE_TUPLE && bsk_repr_named_tuple(repr, address, type))
        return true;
    if (type->flags & BSK_TYPE_TYPE) /* a class whose metaclass has a repr() of its own */
        return bsk_repr_type(repr, address, type);
    return bsk_repr_default(repr, address, type);
}

void bsk_repr_object(struct bsk_repr *repr, uint64_t address)
{
    if (repr->out.cut)
        return;
    if (repr->depth + 2 >= BSK_REPR_DEPTH_MAX || repr->nested >= NESTED_MAX) {
        repr->out.cut = true;
        return;
    }
    size_t depth = repr->depth;
    repr->nested++;
    if (!print_object(repr, address))
        bsk_print(&repr->out, "<unreadable>");
    repr->nested--;
    repr->depth = depth;
}

char *bsk_repr(struct bsk_objects *objects, uint64_t address, size_t limit)
{
    struct bsk_repr repr = { .objects = objects, .out = { .limit = limit } };
    bsk_objects_allow(objects, READS_LEAST + READS_A_CHARACTER * limit);
    bsk_repr_object(&repr, address);
    if (!bsk_objects_may_read(objects))
        repr.out.cut = true; /* there may be more than was found */
    bsk_objects_allow(objects, SIZE_MAX);
    return bsk_printed_take(&repr.out);
}
