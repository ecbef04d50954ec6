#include "engine/memory/marshal.h"

#include "engine/base/buffer.h"
#include "engine/base/strings.h"

#include <stdlib.h>
#include <string.h>

enum {
    FLAG_REF = 0x80, /* the value is noted, later ones may refer to it */
    MAX_VALUES = 1000000,
    CHUNK_VALUES = 256,
};

/* Values never move once made: others point at them. */
struct chunk {
    struct chunk *before;
    size_t used;
    struct bsk_value values[CHUNK_VALUES];
};

struct block { /* of a container's items */
    struct block *before;
    const struct bsk_value *items[];
};

struct memory {
    struct chunk *chunks;
    struct block *blocks;
};

struct reader {
    const unsigned char *at, *end;
    struct memory *memory;
    struct bsk_value **refs; /* NULL in it: a container that is not finished */
    size_t ref_count, ref_capacity;
    size_t values, max_values;
    struct bsk_error *err;
    int rc;
};

static const struct bsk_value none = { .kind = BSK_VALUE_NONE };

static void *fail(struct reader *r, int code, const char *what)
{
    if (r->rc == BSK_OK)
        r->rc = bsk_fail(r->err, code, NULL, "the script's answer is broken: %s", what);
    return NULL;
}

static bool take(struct reader *r, size_t size, const unsigned char **out)
{
    if ((size_t)(r->end - r->at) < size) {
        fail(r, BSK_E_FORMAT, "it ends too early");
        return false;
    }
    *out = r->at;
    r->at += size;
    return true;
}

static bool number(struct reader *r, size_t bytes, uint64_t *out)
{
    const unsigned char *from;
    if (!take(r, bytes, &from))
        return false;
    *out = 0;
    for (size_t i = bytes; i > 0; i--)
        *out = *out << 8 | from[i - 1];
    return true;
}

static struct bsk_value *new_value(struct reader *r, enum bsk_value_kind kind)
{
    if (++r->values > r->max_values)
        return fail(r, BSK_E_LIMIT, "it has too many values");
    struct chunk *chunk = r->memory->chunks;
    if (!chunk || chunk->used == CHUNK_VALUES) {
        struct chunk *next = malloc(sizeof(*next));
        if (!next)
            return fail(r, BSK_E_MEMORY, "out of memory");
        next->before = chunk;
        next->used = 0;
        r->memory->chunks = chunk = next;
    }
    struct bsk_value *value = &chunk->values[chunk->used++];
    *value = (struct bsk_value){ .kind = kind };
    return value;
}

/* The place of a value in the list of those that can be referred to, or SIZE_MAX. A place is taken
 * before what the value holds is read, as Python does. */
static size_t reserve_ref(struct reader *r, bool wanted)
{
    if (!wanted)
        return SIZE_MAX;
    if (r->ref_count == r->ref_capacity) {
        size_t capacity = r->ref_capacity ? r->ref_capacity * 2 : 64;
        struct bsk_value **grown = realloc(r->refs, capacity * sizeof(struct bsk_value *));
        if (!grown) {
            fail(r, BSK_E_MEMORY, "out of memory");
            return SIZE_MAX;
        }
        r->refs = grown;
        r->ref_capacity = capacity;
    }
    r->refs[r->ref_count] = NULL;
    return r->ref_count++;
}

static void note_ref(struct reader *r, size_t place, struct bsk_value *value)
{
    if (place < r->ref_count)
        r->refs[place] = value;
}

static struct bsk_value *integer(struct reader *r, int64_t number_)
{
    struct bsk_value *value = new_value(r, BSK_VALUE_INTEGER);
    if (value) {
        value->integer = number_;
        value->real = (double)number_;
    }
    return value;
}

/* A sign and a count of 15-bit digits, lowest first. */
static struct bsk_value *long_integer(struct reader *r)
{
    uint64_t raw = 0, sum = 0;
    if (!number(r, 4, &raw))
        return NULL;
    int32_t signed_count = (int32_t)(uint32_t)raw;
    if (signed_count == INT32_MIN)
        return fail(r, BSK_E_FORMAT, "a number's length");
    size_t count = (size_t)(signed_count < 0 ? -signed_count : signed_count);
    bool large = false;
    for (size_t i = 0; i < count; i++) {
        uint64_t digit = 0;
        if (!number(r, 2, &digit))
            return NULL;
        if (digit > 0x7fff)
            return fail(r, BSK_E_FORMAT, "a number's digit");
        if (i * 15 < 60)
            sum |= digit << (i * 15);
        else if (i * 15 == 60 && digit < 8)
            sum |= digit << 60;
        else if (digit > 0)
            large = true;
    }
    if (large || sum > INT64_MAX)
        return integer(r, signed_count < 0 ? INT64_MIN : INT64_MAX);
    return integer(r, signed_count < 0 ? -(int64_t)sum : (int64_t)sum);
}

static struct bsk_value *real(struct reader *r)
{
    const unsigned char *from;
    struct bsk_value *value = new_value(r, BSK_VALUE_REAL);
    if (!value || !take(r, 8, &from))
        return NULL;
    memcpy(&value->real, from, 8); /* little endian, as everything we run on */
    return value;
}

static struct bsk_value *text(struct reader *r, enum bsk_value_kind kind, size_t length_bytes)
{
    uint64_t size = 0;
    const unsigned char *from;
    struct bsk_value *value = new_value(r, kind);
    if (!value || !number(r, length_bytes, &size) || !take(r, (size_t)size, &from))
        return NULL;
    value->text = (const char *)from;
    value->bytes = (size_t)size;
    return value;
}

static struct bsk_value *any(struct reader *r, int depth, bool *out_end);

static const struct bsk_value **new_items(struct reader *r, size_t count)
{
    struct block *block = malloc(sizeof(*block) + (count ? count : 1) * sizeof(block->items[0]));
    if (!block)
        return fail(r, BSK_E_MEMORY, "out of memory");
    block->before = r->memory->blocks;
    r->memory->blocks = block;
    return block->items;
}

static struct bsk_value *list(struct reader *r, size_t length_bytes, int depth)
{
    uint64_t count = 0;
    struct bsk_value *value = new_value(r, BSK_VALUE_LIST);
    if (!value || !number(r, length_bytes, &count))
        return NULL;
    if (count > (size_t)(r->end - r->at)) /* an item has one byte at least */
        return fail(r, BSK_E_FORMAT, "a list is longer than the answer");
    const struct bsk_value **items = new_items(r, (size_t)count);
    if (!items)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        items[i] = any(r, depth + 1, NULL);
        if (!items[i])
            return NULL;
    }
    value->items = items;
    value->count = (size_t)count;
    return value;
}

static struct bsk_value *dict(struct reader *r, int depth)
{
    struct bsk_value *value = new_value(r, BSK_VALUE_DICT);
    if (!value)
        return NULL;
    struct bsk_buffer held = { 0 };
    for (;;) {
        bool end = false;
        const struct bsk_value *key = any(r, depth + 1, &end);
        if (end || !key)
            break;
        const struct bsk_value *item = any(r, depth + 1, NULL);
        if (!item)
            break;
        bsk_buffer_append(&held, &key, sizeof(const struct bsk_value *));
        bsk_buffer_append(&held, &item, sizeof(const struct bsk_value *));
        value->count += 2;
    }
    if (held.failed)
        fail(r, BSK_E_MEMORY, "out of memory");
    const struct bsk_value **items = r->rc == BSK_OK ? new_items(r, value->count) : NULL;
    if (items && held.size > 0)
        memcpy(items, held.data, held.size);
    value->items = items;
    bsk_buffer_free(&held);
    return items ? value : NULL;
}

static struct bsk_value *simple(struct reader *r, int type)
{
    uint64_t raw = 0;
    struct bsk_value *value;
    switch (type) {
    case 'N':
    case '.': /* Ellipsis */
        return new_value(r, BSK_VALUE_NONE);
    case 'T':
    case 'F':
        value = new_value(r, BSK_VALUE_BOOL);
        if (value) {
            value->integer = type == 'T';
            value->real = type == 'T';
        }
        return value;
    case 'i':
        return number(r, 4, &raw) ? integer(r, (int32_t)(uint32_t)raw) : NULL;
    case 'l':
        return long_integer(r);
    case 'g':
        return real(r);
    case 's':
        return text(r, BSK_VALUE_BYTES, 4);
    case 'u':
    case 't':
    case 'a':
    case 'A':
        return text(r, BSK_VALUE_TEXT, 4);
    case 'z':
    case 'Z':
        return text(r, BSK_VALUE_TEXT, 1);
    default:
        return fail(r, BSK_E_FORMAT, "a value of a kind that is not expected");
    }
}

/* NULL: it failed, or, where `out_end` is given, a dict has ended. */
static struct bsk_value *any(struct reader *r, int depth, bool *out_end)
{
    const unsigned char *from;
    uint64_t index = 0;
    if (depth > BSK_MARSHAL_MAX_DEPTH)
        return fail(r, BSK_E_LIMIT, "it is nested too deep");
    if (!take(r, 1, &from))
        return NULL;
    int type = *from & ~FLAG_REF;
    if (type == '0' && out_end) {
        *out_end = true;
        return NULL;
    }
    if (type == 'r') {
        if (!number(r, 4, &index))
            return NULL;
        if (index >= r->ref_count || !r->refs[index])
            return fail(r, BSK_E_FORMAT, "it refers to what is not there");
        return r->refs[index];
    }
    size_t place = reserve_ref(r, (*from & FLAG_REF) != 0);
    if (r->rc != BSK_OK)
        return NULL;
    struct bsk_value *value = type == '(' || type == '[' ? list(r, 4, depth)
                              : type == ')'              ? list(r, 1, depth)
                              : type == '{'              ? dict(r, depth)
                                                         : simple(r, type);
    if (value)
        note_ref(r, place, value);
    return value;
}

int bsk_marshal_read(const void *bytes, size_t size, size_t max_values,
                     struct bsk_value_tree *out_tree, struct bsk_error *err)
{
    struct bsk_value_tree tree = { .memory = calloc(1, sizeof(struct memory)) };
    struct reader r = {
        .at = bytes,
        .end = (const unsigned char *)bytes + size,
        .memory = tree.memory,
        .max_values = max_values ? max_values : MAX_VALUES,
        .err = err,
    };
    if (!tree.memory)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    tree.root = any(&r, 0, NULL);
    if (tree.root && r.at != r.end)
        fail(&r, BSK_E_FORMAT, "there is more behind it");
    free((void *)r.refs);
    if (r.rc < 0)
        bsk_value_tree_free(&tree);
    else
        *out_tree = tree;
    return r.rc;
}

void bsk_value_tree_free(struct bsk_value_tree *tree)
{
    struct memory *memory = tree->memory;
    if (!memory)
        return;
    for (struct chunk *chunk = memory->chunks; chunk;) {
        struct chunk *before = chunk->before;
        free(chunk);
        chunk = before;
    }
    for (struct block *block = memory->blocks; block;) {
        struct block *before = block->before;
        free(block);
        block = before;
    }
    free(memory);
    *tree = (struct bsk_value_tree){ 0 };
}

/* ---- asking a tree -----------------------------------------------------------------------------
 */

const struct bsk_value *bsk_value_field(const struct bsk_value *value, const char *key)
{
    size_t size = strlen(key);
    if (!value || value->kind != BSK_VALUE_DICT)
        return NULL;
    for (size_t i = 0; i + 1 < value->count; i += 2) {
        const struct bsk_value *name = value->items[i];
        if (name->kind == BSK_VALUE_TEXT && name->bytes == size &&
            memcmp(name->text, key, size) == 0)
            return value->items[i + 1];
    }
    return NULL;
}

static const struct bsk_value *numeric(const struct bsk_value *value, const char *key)
{
    const struct bsk_value *field = bsk_value_field(value, key);
    bool is = field && (field->kind == BSK_VALUE_INTEGER || field->kind == BSK_VALUE_BOOL ||
                        field->kind == BSK_VALUE_REAL);
    return is ? field : &none;
}

int64_t bsk_value_integer(const struct bsk_value *value, const char *key, int64_t otherwise)
{
    const struct bsk_value *field = numeric(value, key);
    bool is = field->kind == BSK_VALUE_INTEGER || field->kind == BSK_VALUE_BOOL;
    return is ? field->integer : otherwise;
}

uint64_t bsk_value_bytes(const struct bsk_value *value, const char *key)
{
    int64_t found = bsk_value_integer(value, key, 0);
    return found > 0 ? (uint64_t)found : 0;
}

double bsk_value_real(const struct bsk_value *value, const char *key, double otherwise)
{
    const struct bsk_value *field = numeric(value, key);
    return field->kind == BSK_VALUE_NONE || field->real != field->real ? otherwise : field->real;
}

bool bsk_value_is_true(const struct bsk_value *value, const char *key)
{
    return bsk_value_integer(value, key, 0) != 0;
}

void bsk_value_text(const struct bsk_value *value, const char *key, char *out, size_t size)
{
    const struct bsk_value *field = bsk_value_field(value, key);
    char held[2048];
    size_t kept = 0;
    if (field && field->kind == BSK_VALUE_TEXT) {
        kept = field->bytes < sizeof(held) - 1 ? field->bytes : sizeof(held) - 1;
        memcpy(held, field->text, kept);
    }
    held[kept] = '\0';
    bsk_utf8_copy(out, size, held);
}
