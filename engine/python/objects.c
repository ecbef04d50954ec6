#include "engine/python/objects.h"

#include "engine/base/clock.h"
#include "engine/base/strings.h"
#include "engine/python/internal.h"
#include "engine/python/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TYPES_MAX = 1024, /* remembered at a time */
    TYPE_MAX_BYTES = 2048,
    NAME_MAX_CHARACTERS = 512,
    C_STRING_MAX_BYTES = 512,
};

struct bsk_objects {
    struct bsk_process *process; /* borrowed */
    const struct bsk_layout *layout;
    struct bsk_object_places places;
    struct bsk_type **types; /* each allocated by itself: pointers to them are handed out */
    size_t type_count;
    uint64_t forgot_ns; /* CLOCK_MONOTONIC */
    size_t reads_left;
};

static const uint64_t types_good_ns = 50000000;

int bsk_objects_of(struct bsk_python *python, struct bsk_objects **out_objects,
                   struct bsk_error *err)
{
    char offsets[BSK_OFFSETS_MAX_BYTES];
    int rc = BSK_OK;
    if (python->objects) {
        *out_objects = python->objects;
        return BSK_OK;
    }
    struct bsk_objects *objects = calloc(1, sizeof(*objects));
    if (!objects)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    objects->process = python->process;
    objects->layout = &python->layout;
    objects->reads_left = SIZE_MAX;
    size_t size = python->layout.minor >= 13 ? sizeof(offsets) : 0;
    if (size > 0)
        rc = bsk_process_read(python->process, python->runtime, offsets, size, err);
    if (rc == BSK_OK)
        rc = bsk_places_find(python->layout.minor, python->layout.free_threaded, offsets, size,
                             &objects->places, err);
    if (rc < 0) {
        bsk_objects_free(objects);
        return rc;
    }
    python->objects = objects;
    *out_objects = objects;
    return BSK_OK;
}

void bsk_objects_free(struct bsk_objects *objects)
{
    if (!objects)
        return;
    bsk_objects_forget(objects);
    free(objects->types);
    free(objects);
}

void bsk_objects_forget(struct bsk_objects *objects)
{
    for (size_t i = 0; i < objects->type_count; i++)
        free(objects->types[i]);
    objects->type_count = 0;
    objects->forgot_ns = bsk_now_ns();
}

void bsk_objects_forget_old(struct bsk_objects *objects)
{
    if (bsk_now_ns() - objects->forgot_ns >= types_good_ns)
        bsk_objects_forget(objects);
}

const struct bsk_object_places *bsk_objects_places(const struct bsk_objects *objects)
{
    return &objects->places;
}

struct bsk_process *bsk_objects_process(const struct bsk_objects *objects)
{
    return objects->process;
}

const struct bsk_layout *bsk_objects_layout(const struct bsk_objects *objects)
{
    return objects->layout;
}

void bsk_objects_allow(struct bsk_objects *objects, size_t reads)
{
    objects->reads_left = reads;
}

bool bsk_objects_may_read(const struct bsk_objects *objects)
{
    return objects->reads_left > 0;
}

bool bsk_objects_read(struct bsk_objects *objects, uint64_t address, void *dst, size_t size)
{
    if (objects->reads_left == 0)
        return false;
    objects->reads_left -= objects->reads_left != SIZE_MAX;
    return address != 0 && bsk_process_read(objects->process, address, dst, size, NULL) == BSK_OK;
}

bool bsk_objects_word(struct bsk_objects *objects, uint64_t address, uint64_t *out_word)
{
    return bsk_objects_read(objects, address, out_word, sizeof(*out_word));
}

/* --- types ----------------------------------------------------------------------------------- */

void bsk_objects_c_string(struct bsk_objects *objects, uint64_t address, char *out, size_t size)
{
    char bytes[C_STRING_MAX_BYTES + 1];
    size_t used = 0;
    bool ended = false;
    while (address != 0 && used < C_STRING_MAX_BYTES && !ended) {
        size_t part = 64 - (address + used) % 64; /* never past the page that it ends in */
        if (part > C_STRING_MAX_BYTES - used)
            part = C_STRING_MAX_BYTES - used;
        if (!bsk_objects_read(objects, address + used, bytes + used, part))
            break;
        char *end = memchr(bytes + used, '\0', part);
        ended = end != NULL;
        used = end ? (size_t)(end - bytes) : used + part;
    }
    bytes[used] = '\0';
    bsk_utf8_copy(out, size, bytes); /* it may be garbage */
}

static bool read_type(struct bsk_objects *objects, uint64_t address, struct bsk_type *type)
{
    const struct bsk_object_places *at = &objects->places;
    uint8_t bytes[TYPE_MAX_BYTES], meta[TYPE_MAX_BYTES];
    if (address % 8 != 0 || !bsk_objects_read(objects, address, bytes, at->type_bytes) ||
        !bsk_objects_read(objects, bsk_u64(bytes, at->type), meta, at->type_bytes) ||
        !(bsk_u64(meta, at->type_flags) & BSK_TYPE_TYPE))
        return false; /* what its type is, is no type: this is no object */
    *type = (struct bsk_type){
        .address = address,
        .flags = bsk_u64(bytes, at->type_flags),
        .repr = bsk_u64(bytes, at->type_repr),
        .text = bsk_u64(bytes, at->type_str),
        .base = bsk_u64(bytes, at->type_base),
        .dict = bsk_u64(bytes, at->type_dict),
        .name_address = bsk_u64(bytes, at->type_name),
        .basicsize = (int64_t)bsk_u64(bytes, at->type_basicsize),
        .itemsize = (int64_t)bsk_u64(bytes, at->type_itemsize),
        .dictoffset = (int64_t)bsk_u64(bytes, at->type_dictoffset),
    };
    if (type->flags & BSK_TYPE_HEAP &&
        (!bsk_objects_word(objects, address + at->heap_qualname, &type->qualname) ||
         !bsk_objects_word(objects, address + at->heap_cached_keys, &type->cached_keys)))
        return false;
    bsk_objects_c_string(objects, type->name_address, type->name, sizeof(type->name));
    return true;
}

const struct bsk_type *bsk_objects_type(struct bsk_objects *objects, uint64_t address)
{
    for (size_t i = 0; i < objects->type_count; i++)
        if (objects->types[i]->address == address)
            return objects->types[i];
    if (!objects->types)
        objects->types = calloc(TYPES_MAX, sizeof(objects->types[0]));
    struct bsk_type *type = malloc(sizeof(*type));
    if (!objects->types || !type || objects->type_count == TYPES_MAX ||
        !read_type(objects, address, type)) {
        free(type);
        return NULL;
    }
    objects->types[objects->type_count++] = type;
    return type;
}

const struct bsk_type *bsk_objects_type_of(struct bsk_objects *objects, uint64_t address)
{
    uint64_t type;
    if (address % 8 != 0 || !bsk_objects_word(objects, address + objects->places.type, &type))
        return NULL;
    return bsk_objects_type(objects, type);
}

/* --- numbers and text ------------------------------------------------------------------------ */

bool bsk_objects_unsigned(struct bsk_objects *objects, uint64_t address, uint64_t *out_value)
{
    const struct bsk_object_places *at = &objects->places;
    const struct bsk_type *type = bsk_objects_type_of(objects, address);
    uint32_t digits[3]; /* of 30 bits each */
    uint64_t tag;
    if (!type || !(type->flags & BSK_TYPE_INT) ||
        !bsk_objects_word(objects, address + at->int_tag, &tag))
        return false;
    /* 3.12 and later: the lowest three bits are the sign (0 positive, 1 zero, 2 negative). */
    uint64_t count = at->minor >= 12 ? tag >> 3 : tag;
    if (at->minor >= 12 ? (tag & 3) == 2 : (int64_t)tag < 0)
        return false;
    *out_value = 0;
    if (count == 0 || (at->minor >= 12 && (tag & 3) == 1))
        return true;
    if (count > 3 || !bsk_objects_read(objects, address + at->int_digits, digits, count * 4))
        return false;
    for (uint64_t i = count; i-- > 0;)
        *out_value = *out_value << 30 | (digits[i] & 0x3fffffff);
    return count < 3 || digits[2] < 16;
}

bool bsk_objects_str(struct bsk_objects *objects, uint64_t address, struct bsk_str *out_str)
{
    const struct bsk_object_places *at = &objects->places;
    const struct bsk_type *type = bsk_objects_type_of(objects, address);
    uint8_t head[128];
    if (!type || !(type->flags & BSK_TYPE_STR) ||
        !bsk_objects_read(objects, address, head, at->text_ascii_bytes))
        return false;
    uint32_t state = (uint32_t)bsk_i32(head, at->text_state) >> objects->layout->kind_shift;
    bool compact = state >> 3 & 1;
    *out_str = (struct bsk_str){
        .length = bsk_u64(head, at->text_length),
        .kind = state & 7,
        .ascii = state >> 4 & 1,
    };
    if (compact)
        out_str->data = address + (out_str->ascii ? at->text_ascii_bytes : at->text_compact_bytes);
    else if (!bsk_objects_word(objects, address + at->text_data, &out_str->data))
        return false;
    return out_str->kind == 1 || out_str->kind == 2 || out_str->kind == 4;
}

bool bsk_objects_utf8(struct bsk_objects *objects, uint64_t address, char *out, size_t size)
{
    uint8_t characters[NAME_MAX_CHARACTERS * 4];
    struct bsk_str text;
    out[0] = '\0';
    if (!bsk_objects_str(objects, address, &text))
        return false;
    bool cut = text.length > NAME_MAX_CHARACTERS;
    size_t length = cut ? NAME_MAX_CHARACTERS : (size_t)text.length;
    if (length > 0 && !bsk_objects_read(objects, text.data, characters, length * text.kind))
        return false;
    bsk_text_utf8(characters, length, text.kind, cut, out, size);
    return true;
}
