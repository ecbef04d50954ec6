/*
 * Reads what Python's `marshal.dumps` wrote (versions 0 to 5 of the format): the answers of our
 * scripts, as a tree of values.
 *
 * A pure function over bytes that anybody may have made up: no value is larger than its input, a
 * tree has at most `max_values` values and is at most 32 deep; code objects, complex numbers and
 * sets are refused. The big dump of a heap's blocks has a reader of its own (traces.h) that builds
 * no tree.
 *
 * Ownership: bsk_marshal_read() gives the tree to the caller; text points into it or into `bytes`,
 * which must live as long. Values that Python shared are shared here: a tree, not a graph, since a
 * container that holds itself is refused.
 */
#ifndef BSK_MEMORY_MARSHAL_H
#define BSK_MEMORY_MARSHAL_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bsk_value_kind {
    BSK_VALUE_NONE,
    BSK_VALUE_BOOL,    /* integer: 0 or 1 */
    BSK_VALUE_INTEGER, /* what does not fit 64 bits is clamped */
    BSK_VALUE_REAL,
    BSK_VALUE_TEXT,  /* UTF-8; surrogates as U+FFFD's place: not checked, see bsk_utf8_copy() */
    BSK_VALUE_BYTES, /* as they are */
    BSK_VALUE_LIST,  /* a tuple too */
    BSK_VALUE_DICT,  /* items: key, value, key, value; count: of items, twice the pairs */
};

struct bsk_value {
    enum bsk_value_kind kind;
    int64_t integer; /* of BOOL and INTEGER */
    double real;     /* of REAL, BOOL and INTEGER */
    const char *text;
    size_t bytes; /* of text, which is not terminated */
    const struct bsk_value *const *items;
    size_t count;
};

struct bsk_value_tree {
    const struct bsk_value *root;
    void *memory; /* owned */
};

enum { BSK_MARSHAL_MAX_DEPTH = 32 };

/* Fails with BSK_E_FORMAT (not marshal, cut, or bytes left over), BSK_E_LIMIT, BSK_E_MEMORY.
 * `max_values` 0 means 1,000,000. */
int bsk_marshal_read(const void *bytes, size_t size, size_t max_values,
                     struct bsk_value_tree *out_tree, struct bsk_error *err);
void bsk_value_tree_free(struct bsk_value_tree *tree); /* accepts a zeroed one */

/* The value under a text key of a dict, or NULL; NULL too when `value` is NULL or no dict. */
const struct bsk_value *bsk_value_field(const struct bsk_value *value, const char *key);

/* What a field holds, or `otherwise` when it is not there or of another kind. */
int64_t bsk_value_integer(const struct bsk_value *value, const char *key, int64_t otherwise);
uint64_t bsk_value_bytes(const struct bsk_value *value, const char *key); /* negative is 0 */
double bsk_value_real(const struct bsk_value *value, const char *key, double otherwise);
bool bsk_value_is_true(const struct bsk_value *value, const char *key);

/* Copies a text field into `out` as valid UTF-8, cut to fit, "" when it is not there. */
void bsk_value_text(const struct bsk_value *value, const char *key, char *out, size_t size);

#endif
