/*
 * Python objects read from outside: their types, the items of a dict, the attributes of an
 * instance, the characters of a str. For this folder; what others may ask for is in python.h
 * (names of threads) and locals.h.
 *
 * The target runs while we read. Everything here may come out as garbage, is bounded, and is
 * checked where it can be: a pointer that does not lead to an object of the type that it should be
 * answers false or 0, never more than that.
 *
 * Ownership: bsk_objects_of() hands out what the bsk_python owns. Types are remembered until
 * bsk_objects_forget(), since a type may be freed and its address used again.
 */
#ifndef BSK_PYTHON_OBJECTS_H
#define BSK_PYTHON_OBJECTS_H

#include "engine/python/layout.h"
#include "engine/python/places.h"
#include "engine/python/python.h"

struct bsk_type {
    uint64_t address;
    uint64_t flags, repr, text, base, dict; /* tp_flags, tp_repr, tp_str, tp_base, tp_dict */
    uint64_t name_address;                  /* tp_name */
    int64_t basicsize, itemsize, dictoffset;
    uint64_t qualname, cached_keys; /* 0 in a type that is no heap type */
    char name[256];                 /* tp_name, cut */
};

enum {                                  /* of tp_flags, alike in all versions that have them */
       BSK_TYPE_INLINE_VALUES = 1 << 2, /* 3.13 and later */
       BSK_TYPE_MANAGED_DICT = 1 << 4,  /* 3.11 and later */
       BSK_TYPE_HEAP = 1 << 9,
       BSK_TYPE_INT = 1 << 24,
       BSK_TYPE_LIST = 1 << 25,
       BSK_TYPE_TUPLE = 1 << 26,
       BSK_TYPE_BYTES = 1 << 27,
       BSK_TYPE_STR = 1 << 28,
       BSK_TYPE_DICT = 1 << 29,
       BSK_TYPE_EXCEPTION = 1 << 30,
};
#define BSK_TYPE_TYPE (UINT64_C(1) << 31)

struct bsk_objects;

/* Made when first asked for. Fails as bsk_places_find() does, and with BSK_E_MEMORY. */
int bsk_objects_of(struct bsk_python *python, struct bsk_objects **out_objects,
                   struct bsk_error *err);
void bsk_objects_free(struct bsk_objects *objects); /* accepts NULL */
void bsk_objects_forget(struct bsk_objects *objects);
void bsk_objects_forget_old(struct bsk_objects *objects); /* when that was 50 ms ago or more */
const struct bsk_object_places *bsk_objects_places(const struct bsk_objects *objects);
const struct bsk_layout *bsk_objects_layout(const struct bsk_objects *objects);
struct bsk_process *bsk_objects_process(const struct bsk_objects *objects);

/* How many reads may follow before all of them fail: what bounds the time that garbage can cost. */
void bsk_objects_allow(struct bsk_objects *objects, size_t reads);
bool bsk_objects_may_read(const struct bsk_objects *objects); /* some are left */

/* All of it or false. */
bool bsk_objects_read(struct bsk_objects *objects, uint64_t address, void *dst, size_t size);
bool bsk_objects_word(struct bsk_objects *objects, uint64_t address, uint64_t *out_word);

/* A C string, as much of it as is readable and fits; bytes that are no UTF-8 as U+FFFD. */
void bsk_objects_c_string(struct bsk_objects *objects, uint64_t address, char *out, size_t size);

/* The type at `address`; NULL when there is none. Good until bsk_objects_forget(). */
const struct bsk_type *bsk_objects_type(struct bsk_objects *objects, uint64_t address);
/* The type of the object at `address`; NULL when that is no object. */
const struct bsk_type *bsk_objects_type_of(struct bsk_objects *objects, uint64_t address);

/* --- numbers and text ------------------------------------------------------------------------ */

/* An int from 0 to 2^64 - 1. */
bool bsk_objects_unsigned(struct bsk_objects *objects, uint64_t address, uint64_t *out_value);

/* Where the characters of a str are. */
struct bsk_str {
    uint64_t length; /* in characters */
    uint64_t data;
    unsigned kind; /* bytes a character: 1, 2, 4 */
    bool ascii;
};
bool bsk_objects_str(struct bsk_objects *objects, uint64_t address, struct bsk_str *out_str);

/* A str as UTF-8, cut with "..." to fit (see bsk_text_utf8()). False and "" when it is none. */
bool bsk_objects_utf8(struct bsk_objects *objects, uint64_t address, char *out, size_t size);

/* --- dict ------------------------------------------------------------------------------------ */

enum { BSK_SHARED_KEYS_MAX = 256 };

/* The table of a dict, or the attributes of an instance that has no dict of its own. */
struct bsk_dict {
    uint64_t used;    /* items, as the dict says; 0 where unknown */
    uint64_t count;   /* places to look at, those of deleted items included */
    uint64_t keys;    /* of the PyDictKeysObject */
    uint64_t entries; /* of the first entry */
    uint64_t values;  /* of the array of a split table; 0: values are in the entries */
    bool has_hash;    /* entries are {hash, key, value}, else {key, value} */
    bool ordered;     /* `order` tells in which order the items came */
    uint8_t order[BSK_SHARED_KEYS_MAX];
};

struct bsk_item {
    uint64_t key, value;
};

enum { BSK_ITEMS_MAX = 512 }; /* of one bsk_dict_items() */

/* The object at `address`, which is a dict or of a subclass. */
bool bsk_dict_open(struct bsk_objects *objects, uint64_t address, struct bsk_dict *out_dict);
/* What `vars()` of the object says; false when it has no attributes of that kind. */
bool bsk_dict_of_instance(struct bsk_objects *objects, uint64_t address, struct bsk_dict *out_dict);

/* Items at places [*at, *at + capacity), moves *at on; deleted ones are left out, so the answer may
 * be 0 before the end: the end is where *at >= dict->count. */
size_t bsk_dict_items(struct bsk_objects *objects, const struct bsk_dict *dict, uint64_t *at,
                      struct bsk_item *out_items, size_t capacity);

/* The value of a key that is an ASCII str; 0 when there is none. `hint`, which may be NULL, holds
 * the place where it was last time. */
uint64_t bsk_dict_get(struct bsk_objects *objects, const struct bsk_dict *dict, const char *key,
                      uint64_t *hint);

#endif
