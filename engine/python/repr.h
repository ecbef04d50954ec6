/*
 * What repr() of an object in the target would say, without running anything there: for this
 * folder, by way of locals.h.
 *
 * A type is known by its tp_repr: a subclass that has not overridden __repr__ reads as what it
 * inherits; one that has (in Python, or in a type that we do not know) reads as object's repr():
 * "<__main__.Foo object at 0x7f...>". Named tuples and struct sequences are the exceptions: theirs
 * are known. Containers within themselves show as repr() shows them ("[...]"). What cannot be read
 * shows as "<unreadable>", an int of more than 4,300 digits, which repr() itself refuses, as
 * "<int of N bits>".
 */
#ifndef BSK_PYTHON_REPR_H
#define BSK_PYTHON_REPR_H

#include "engine/python/objects.h"
#include "engine/python/printed.h"

enum { BSK_REPR_DEPTH_MAX = 200 }; /* of containers in containers; deeper ones show as "..." */

struct bsk_repr {
    struct bsk_objects *objects;
    struct bsk_printed out;
    uint64_t within[BSK_REPR_DEPTH_MAX]; /* the containers that we are in */
    size_t depth;
    size_t nested; /* objects that are being printed, containers or not */
};

/* repr() of the object at `address`, at most `limit` characters of it and then "...". The caller
 * frees it; NULL when out of memory. */
char *bsk_repr(struct bsk_objects *objects, uint64_t address, size_t limit);

/* --- for the repr_*.c files ------------------------------------------------------------------ */

/* Prints one object. False: it could not be read; the caller of these says so. */
typedef bool bsk_repr_fn(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type);

void bsk_repr_object(struct bsk_repr *repr, uint64_t address);
/* object's own repr(), whatever the type says. */
bsk_repr_fn bsk_repr_default;
/* True when the object is one that we are in; else it is one now, until bsk_repr_leave(). */
bool bsk_repr_enter(struct bsk_repr *repr, uint64_t address);
void bsk_repr_leave(struct bsk_repr *repr);

bsk_repr_fn bsk_repr_str, bsk_repr_bytes, bsk_repr_bytearray;
bsk_repr_fn bsk_repr_tuple, bsk_repr_list, bsk_repr_dict, bsk_repr_frozendict, bsk_repr_set,
    bsk_repr_deque, bsk_repr_ordered, bsk_repr_defaultdict, bsk_repr_mapping_proxy,
    bsk_repr_dict_view, bsk_repr_namespace, bsk_repr_named_tuple, bsk_repr_struct_sequence;
bsk_repr_fn bsk_repr_type, bsk_repr_function, bsk_repr_builtin, bsk_repr_method, bsk_repr_module,
    bsk_repr_code, bsk_repr_cell, bsk_repr_generator, bsk_repr_coroutine, bsk_repr_async_generator,
    bsk_repr_weakref, bsk_repr_static_method, bsk_repr_class_method, bsk_repr_memoryview,
    bsk_repr_exception, bsk_repr_exception_group, bsk_repr_import_error, bsk_repr_descriptor,
    bsk_repr_wrapper, bsk_repr_template, bsk_repr_interpolation, bsk_repr_sentinel;
bsk_repr_fn bsk_repr_lock, bsk_repr_rlock, bsk_repr_context_var, bsk_repr_token, bsk_repr_frame,
    bsk_repr_super, bsk_repr_weak_proxy, bsk_repr_capsule;
bsk_repr_fn bsk_repr_alias, bsk_repr_union, bsk_repr_type_alias, bsk_repr_type_variable,
    bsk_repr_param_spec_args, bsk_repr_param_spec_kwargs;

/* The first `count` words of an object behind its head. */
bool bsk_repr_members(struct bsk_repr *repr, uint64_t address, uint64_t *out_words, size_t count);
/* How many words the objects of a type have behind their heads: what tells forms of a structure
 * apart. 0 when there is no such type. */
size_t bsk_type_words(const struct bsk_objects *objects, const struct bsk_type *type);

/* A str of the target as it is, without quotes. */
bool bsk_repr_name(struct bsk_repr *repr, uint64_t address);
/* "[a, b]" or "(a, b)" of objects whose addresses lie one after the other. */
void bsk_repr_items(struct bsk_repr *repr, uint64_t items, uint64_t count, bool list);

/* The part of tp_name after its last dot. */
const char *bsk_type_short_name(const struct bsk_type *type);
/* __module__ and __qualname__ of a type; false when it has none that are str. */
enum { BSK_TYPE_NAME_BYTES = 1024 };
bool bsk_type_names(struct bsk_objects *objects, const struct bsk_type *type,
                    char module[BSK_TYPE_NAME_BYTES], char qualname[BSK_TYPE_NAME_BYTES]);
/* What the class or its bases have under a name in their __dict__; 0: nothing. */
uint64_t bsk_type_attribute(struct bsk_objects *objects, const struct bsk_type *type,
                            const char *name);
/* The built-in type of this name among the type and its bases. */
bool bsk_type_is(struct bsk_objects *objects, const struct bsk_type *type, const char *name);

/* A tuple's length and where its items are. */
bool bsk_objects_tuple(struct bsk_objects *objects, uint64_t address, uint64_t *out_count,
                       uint64_t *out_items);

#endif
