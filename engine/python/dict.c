/* Dicts and the attributes of instances, in all the forms that they have had. */
#include "engine/python/objects.h"

#include "engine/python/internal.h"
#include "engine/python/repr.h"

#include <string.h>

enum {
    COUNT_MAX = 1 << 28,  /* places of a table; more is garbage */
    SEARCH_MAX = 1 << 17, /* places that one bsk_dict_get() looks at */
    KEY_MAX_BYTES = 32,
    KEYS_GENERAL = 0, /* dk_kind of 3.11 and later: the keys may be anything */
};

/* Fills in what the PyDictKeysObject says. */
static bool open_keys(struct bsk_objects *objects, struct bsk_dict *dict)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    uint8_t head[64];
    uint64_t index_bytes;
    if (dict->keys % 8 != 0 || !bsk_objects_read(objects, dict->keys, head, at->keys_indices))
        return false;
    dict->count = bsk_u64(head, at->keys_nentries);
    if (at->minor <= 10) {
        uint64_t size = bsk_u64(head, at->keys_size);
        dict->has_hash = true;
        index_bytes = size <= 0xff ? size : size <= 0xffff ? 2 * size : 4 * size;
        if (size > COUNT_MAX)
            return false;
    } else {
        dict->has_hash = head[at->keys_kind] == KEYS_GENERAL;
        if (head[at->keys_log2_index_bytes] > 34)
            return false;
        index_bytes = UINT64_C(1) << head[at->keys_log2_index_bytes];
    }
    dict->entries = dict->keys + at->keys_indices + index_bytes;
    return dict->count <= COUNT_MAX;
}

/* The order in which the attributes of a split table came: bytes beside the values from 3.11 on. */
static bool read_order(struct bsk_objects *objects, uint64_t values, struct bsk_dict *dict)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    uint8_t bytes[BSK_SHARED_KEYS_MAX + 2];
    dict->values = values + at->values_items;
    if (at->minor <= 10)
        return dict->count <= BSK_SHARED_KEYS_MAX || dict->keys != 0;
    dict->ordered = true;
    if (at->minor <= 12) { /* downwards from the values: size of all this, how many, their places */
        if (!bsk_objects_read(objects, values - 2, bytes, 2))
            return false;
        size_t count = bytes[0];
        if (!bsk_objects_read(objects, values - 2 - count, bytes, count))
            return false;
        for (size_t i = 0; i < count; i++)
            dict->order[i] = bytes[count - 1 - i];
        dict->count = count;
        return true;
    }
    if (!bsk_objects_read(objects, values, bytes, 4))
        return false;
    size_t capacity = bytes[at->values_capacity], count = bytes[at->values_capacity + 1];
    dict->count = count;
    return count <= capacity &&
           (count == 0 ||
            bsk_objects_read(objects, dict->values + capacity * 8, dict->order, count));
}

bool bsk_dict_open(struct bsk_objects *objects, uint64_t address, struct bsk_dict *out_dict)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    const struct bsk_type *type = bsk_objects_type_of(objects, address);
    uint8_t bytes[128];
    if (!type || !(type->flags & BSK_TYPE_DICT || bsk_type_is(objects, type, "frozendict")) ||
        !bsk_objects_read(objects, address, bytes, at->dict_bytes))
        return false;
    *out_dict = (struct bsk_dict){ .used = bsk_u64(bytes, at->dict_used),
                                   .keys = bsk_u64(bytes, at->dict_keys) };
    uint64_t values = bsk_u64(bytes, at->dict_values);
    return open_keys(objects, out_dict) && (values == 0 || read_order(objects, values, out_dict));
}

bool bsk_dict_of_instance(struct bsk_objects *objects, uint64_t address, struct bsk_dict *out_dict)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    const struct bsk_type *type = bsk_objects_type_of(objects, address);
    uint64_t dict = 0, values = 0;
    if (!type)
        return false;
    if (at->minor >= 11 && type->flags & BSK_TYPE_MANAGED_DICT) {
        if (!bsk_objects_word(objects, address - at->managed_dict, &dict))
            return false;
        if (at->minor == 11 && !bsk_objects_word(objects, address - at->managed_values, &values))
            return false;
        if (at->minor == 12 && dict & 1) {
            values = dict + 1;
            dict = 0;
        }
        if (at->minor >= 13 && dict == 0 && type->flags & BSK_TYPE_INLINE_VALUES) {
            uint8_t valid;
            values = address + (uint64_t)type->basicsize;
            if (!bsk_objects_read(objects, values + at->values_valid, &valid, 1) || valid != 1)
                return false;
        }
    } else if (type->dictoffset > 0 && type->dictoffset < 1 << 20) {
        if (!bsk_objects_word(objects, address + (uint64_t)type->dictoffset, &dict))
            return false;
    }
    if (values == 0)
        return dict != 0 && bsk_dict_open(objects, dict, out_dict);
    *out_dict = (struct bsk_dict){ .keys = type->cached_keys };
    return open_keys(objects, out_dict) && read_order(objects, values, out_dict);
}

static size_t entry_bytes(const struct bsk_dict *dict)
{
    return dict->has_hash ? 24 : 16;
}

/* Keys and values of a split table lie apart, at most BSK_SHARED_KEYS_MAX of them. */
static size_t split_items(struct bsk_objects *objects, const struct bsk_dict *dict, uint64_t *at,
                          struct bsk_item *out_items, size_t capacity)
{
    size_t found = 0, bytes = entry_bytes(dict);
    while (*at < dict->count && found < capacity) {
        uint64_t place = dict->ordered ? dict->order[*at % BSK_SHARED_KEYS_MAX] : *at;
        uint64_t key_address = dict->entries + place * bytes + (dict->has_hash ? 8 : 0);
        struct bsk_item *item = &out_items[found];
        (*at)++;
        found += bsk_objects_word(objects, key_address, &item->key) && item->key != 0 &&
                 bsk_objects_word(objects, dict->values + place * 8, &item->value) &&
                 item->value != 0;
    }
    return found;
}

size_t bsk_dict_items(struct bsk_objects *objects, const struct bsk_dict *dict, uint64_t *at,
                      struct bsk_item *out_items, size_t capacity)
{
    uint8_t bytes[BSK_ITEMS_MAX * 24];
    size_t found = 0, step = entry_bytes(dict), value_at = dict->has_hash ? 16 : 8;
    if (*at >= dict->count)
        return 0;
    if (dict->values != 0)
        return split_items(objects, dict, at, out_items, capacity);
    if (capacity > BSK_ITEMS_MAX)
        capacity = BSK_ITEMS_MAX;
    if (capacity > dict->count - *at)
        capacity = (size_t)(dict->count - *at);
    bool ok = bsk_objects_read(objects, dict->entries + *at * step, bytes, capacity * step);
    *at += capacity;
    for (size_t i = 0; ok && i < capacity; i++) {
        out_items[found].key = bsk_u64(bytes, i * step + value_at - 8);
        out_items[found].value = bsk_u64(bytes, i * step + value_at);
        found += out_items[found].key != 0 && out_items[found].value != 0;
    }
    return found;
}

/* Which of the keys of `items` is this text: one call for all of them. SIZE_MAX: none. */
static size_t find_key(struct bsk_objects *objects, const struct bsk_item *items, size_t count,
                       const char *key, size_t key_bytes)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    static const size_t none = SIZE_MAX;
    struct bsk_piece pieces[BSK_ITEMS_MAX];
    uint8_t bytes[BSK_ITEMS_MAX][64 + KEY_MAX_BYTES];
    uint32_t size = at->text_ascii_bytes + (uint32_t)key_bytes;
    for (size_t i = 0; i < count; i++)
        pieces[i] = (struct bsk_piece){ items[i].key, bytes[i], size, false };
    if (bsk_process_read_pieces(bsk_objects_process(objects), pieces, count, NULL) < 0)
        return none;
    for (size_t i = 0; i < count; i++) {
        struct bsk_str text;
        if (pieces[i].ok && bsk_u64(bytes[i], at->text_length) == key_bytes &&
            memcmp(bytes[i] + at->text_ascii_bytes, key, key_bytes) == 0 &&
            bsk_objects_str(objects, items[i].key, &text) && text.ascii &&
            text.data == items[i].key + at->text_ascii_bytes)
            return i;
    }
    return none;
}

uint64_t bsk_dict_get(struct bsk_objects *objects, const struct bsk_dict *dict, const char *key,
                      uint64_t *hint)
{
    struct bsk_item items[BSK_ITEMS_MAX];
    size_t key_bytes = strlen(key);
    if (key_bytes > KEY_MAX_BYTES)
        return 0;
    for (uint64_t at = hint ? *hint : 0; hint && at < dict->count;) {
        if (bsk_dict_items(objects, dict, &at, items, 1) == 1 &&
            find_key(objects, items, 1, key, key_bytes) == 0)
            return items[0].value;
        break;
    }
    for (uint64_t at = 0; at < dict->count && at < SEARCH_MAX;) {
        uint64_t begin = at;
        size_t count = bsk_dict_items(objects, dict, &at, items, BSK_ITEMS_MAX);
        size_t found = find_key(objects, items, count, key, key_bytes);
        if (found == SIZE_MAX)
            continue;
        /* Deleted items before it make the place a later one: then the hint is of no use, and the
         * next look searches again. */
        if (hint)
            *hint = begin + found;
        return items[found].value;
    }
    return 0;
}
