/* Containers as repr() shows them. Each one is bounded by the limit of the text, since each item
 * prints something; places without an item are bounded by what may be looked at. */
#include "engine/python/repr.h"

#include "engine/python/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    PART = 32,                    /* items read at a time */
    PLACES_MAX = 1 << 22,         /* places of one table that are looked at */
    DEQUE_BLOCK = 64,             /* items of a block of a deque: BLOCKLEN of its source */
    SEARCH_MAX = 1 << 16,         /* places looked at for a key of an OrderedDict */
    SET_MASK_MAX = (1 << 28) - 1, /* more is garbage */
};

bool bsk_objects_tuple(struct bsk_objects *objects, uint64_t address, uint64_t *out_count,
                       uint64_t *out_items)
{
    const struct bsk_object_places *at = bsk_objects_places(objects);
    const struct bsk_type *type = bsk_objects_type_of(objects, address);
    *out_items = address + at->tuple_items;
    return type && type->flags & BSK_TYPE_TUPLE &&
           bsk_objects_word(objects, address + at->size, out_count) &&
           *out_count < UINT64_C(1) << 40;
}

/* Objects whose addresses lie one after the other. */
static bool print_items(struct bsk_repr *repr, uint64_t items, uint64_t count)
{
    uint64_t part[PART];
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        size_t left = count - i < PART ? (size_t)(count - i) : PART;
        if (i % PART == 0 && !bsk_objects_read(repr->objects, items + i * 8, part, left * 8))
            return false;
        if (i > 0)
            bsk_print(&repr->out, ", ");
        bsk_repr_object(repr, part[i % PART]);
    }
    return true;
}

void bsk_repr_items(struct bsk_repr *repr, uint64_t items, uint64_t count, bool list)
{
    bsk_print(&repr->out, list ? "[" : "(");
    if (!print_items(repr, items, count))
        bsk_print(&repr->out, "<unreadable>");
    bsk_print(&repr->out, list ? "]" : count == 1 ? ",)" : ")");
}

bool bsk_repr_tuple(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t count, items;
    (void)type;
    if (!bsk_objects_tuple(repr->objects, address, &count, &items))
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "(...)");
        return true;
    }
    bsk_print(&repr->out, "(");
    bool ok = print_items(repr, items, count);
    bsk_print(&repr->out, count == 1 ? ",)" : ")");
    bsk_repr_leave(repr);
    return ok;
}

bool bsk_repr_list(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t count, items;
    (void)type;
    if (!bsk_objects_word(repr->objects, address + at->size, &count) || count >> 40 != 0 ||
        !bsk_objects_word(repr->objects, address + at->list_items, &items))
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "[...]");
        return true;
    }
    bsk_print(&repr->out, "[");
    bool ok = print_items(repr, items, count);
    bsk_print(&repr->out, "]");
    bsk_repr_leave(repr);
    return ok;
}

/* --- dicts ----------------------------------------------------------------------------------- */

enum form { PAIRS, KEYS, VALUES, TUPLES, ARGUMENTS };

static void print_item(struct bsk_repr *repr, const struct bsk_item *item, enum form form)
{
    if (form == TUPLES)
        bsk_print(&repr->out, "(");
    if (form == ARGUMENTS)
        (void)bsk_repr_name(repr, item->key);
    else if (form != VALUES)
        bsk_repr_object(repr, item->key);
    if (form != KEYS && form != VALUES)
        bsk_print(&repr->out, form == PAIRS ? ": " : form == TUPLES ? ", " : "=");
    if (form != KEYS)
        bsk_repr_object(repr, item->value);
    if (form == TUPLES)
        bsk_print(&repr->out, ")");
}

static void print_dict(struct bsk_repr *repr, const struct bsk_dict *dict, enum form form)
{
    struct bsk_item items[PART];
    bool first = true;
    for (uint64_t at = 0; at < dict->count && at < PLACES_MAX && !repr->out.cut;) {
        size_t count = bsk_dict_items(repr->objects, dict, &at, items, PART);
        for (size_t i = 0; i < count && !repr->out.cut; i++) {
            if (!first)
                bsk_print(&repr->out, ", ");
            first = false;
            print_item(repr, &items[i], form);
        }
    }
    repr->out.cut |= dict->count > PLACES_MAX;
}

bool bsk_repr_dict(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    struct bsk_dict dict;
    (void)type;
    if (!bsk_dict_open(repr->objects, address, &dict))
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "{...}");
        return true;
    }
    bsk_print(&repr->out, "{");
    print_dict(repr, &dict, PAIRS);
    bsk_print(&repr->out, "}");
    bsk_repr_leave(repr);
    return true;
}

bool bsk_repr_frozendict(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    struct bsk_dict dict;
    if (!bsk_dict_open(repr->objects, address, &dict))
        return false;
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    bool ok = dict.used == 0 || bsk_repr_dict(repr, address, type);
    bsk_print(&repr->out, ")");
    return ok;
}

bool bsk_repr_defaultdict(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t factory;
    if (!bsk_objects_word(repr->objects,
                          address + bsk_objects_places(repr->objects)->defaultdict_factory,
                          &factory))
        return false;
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    if (factory == 0)
        bsk_print(&repr->out, "None");
    else
        bsk_repr_object(repr, factory);
    bsk_print(&repr->out, ", ");
    bool ok = bsk_repr_dict(repr, address, type);
    bsk_print(&repr->out, ")");
    return ok;
}

/* The value of a key by identity: mostly the next one in the dict's own order. */
static uint64_t value_of(struct bsk_objects *objects, const struct bsk_dict *dict, uint64_t key,
                         uint64_t *hint)
{
    struct bsk_item items[PART];
    if (*hint < dict->count && bsk_dict_items(objects, dict, hint, items, 1) == 1 &&
        items[0].key == key)
        return items[0].value;
    for (uint64_t at = 0; at < dict->count && at < SEARCH_MAX;) {
        size_t count = bsk_dict_items(objects, dict, &at, items, PART);
        for (size_t i = 0; i < count; i++)
            if (items[i].key == key)
                return items[i].value;
    }
    return 0;
}

bool bsk_repr_ordered(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    struct bsk_dict dict;
    uint64_t node, hint = 0;
    if (!bsk_dict_open(repr->objects, address, &dict) ||
        !bsk_objects_word(repr->objects, address + at->ordered_first, &node))
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "...");
        return true;
    }
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, dict.used == 0 ? "(" : at->minor >= 12 ? "({" : "([");
    /* As many as the dict says: a chain that goes round in a circle ends there. */
    for (uint64_t i = 0; node != 0 && i < dict.used && !repr->out.cut; i++) {
        uint64_t parts[3]; /* key, hash, next */
        if (!bsk_objects_read(repr->objects, node, parts, sizeof(parts)))
            return false;
        struct bsk_item item = { parts[0], value_of(repr->objects, &dict, parts[0], &hint) };
        if (i > 0)
            bsk_print(&repr->out, ", ");
        print_item(repr, &item, at->minor >= 12 ? PAIRS : TUPLES);
        node = parts[2];
    }
    bsk_print(&repr->out, dict.used == 0 ? ")" : at->minor >= 12 ? "})" : "])");
    bsk_repr_leave(repr);
    return true;
}

bool bsk_repr_mapping_proxy(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    uint64_t mapping;
    if (!bsk_objects_word(repr->objects, address + bsk_objects_places(repr->objects)->first_member,
                          &mapping))
        return false;
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    bsk_repr_object(repr, mapping);
    bsk_print(&repr->out, ")");
    return true;
}

bool bsk_repr_dict_view(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    struct bsk_dict dict;
    uint64_t mapping;
    const char *name = bsk_type_short_name(type), *kind = strrchr(name, '_');
    if (!bsk_objects_word(repr->objects, address + bsk_objects_places(repr->objects)->view_dict,
                          &mapping) ||
        !bsk_dict_open(repr->objects, mapping, &dict))
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "...");
        return true;
    }
    bsk_print(&repr->out, name);
    bsk_print(&repr->out, "([");
    print_dict(repr, &dict,
               kind && strcmp(kind, "_values") == 0  ? VALUES
               : kind && strcmp(kind, "_items") == 0 ? TUPLES
                                                     : KEYS);
    bsk_print(&repr->out, "])");
    bsk_repr_leave(repr);
    return true;
}

/* 3.8 sorts the names. */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const char *const *)a)[0], ((const char *const *)b)[0]);
}

static void print_sorted(struct bsk_repr *repr, const struct bsk_dict *dict)
{
    enum { NAMES_MAX = 512 };
    struct {
        char *name;
        struct bsk_item item;
    } names[NAMES_MAX];
    struct bsk_item items[PART];
    size_t used = 0;
    for (uint64_t at = 0; at < dict->count && used + PART <= NAMES_MAX;) {
        size_t count = bsk_dict_items(repr->objects, dict, &at, items, PART);
        for (size_t i = 0; i < count; i++) {
            char name[BSK_TYPE_NAME_BYTES];
            if (bsk_objects_utf8(repr->objects, items[i].key, name, sizeof(name)) &&
                (names[used].name = strdup(name)) != NULL)
                names[used++].item = items[i];
        }
    }
    qsort(names, used, sizeof(names[0]), by_name);
    for (size_t i = 0; i < used; i++) {
        if (i > 0)
            bsk_print(&repr->out, ", ");
        print_item(repr, &names[i].item, ARGUMENTS);
        free(names[i].name);
    }
}

bool bsk_repr_namespace(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    struct bsk_dict dict;
    uint64_t mapping;
    bool exact = strcmp(type->name, "types.SimpleNamespace") == 0;
    if (!bsk_objects_word(repr->objects, address + at->first_member, &mapping) ||
        !bsk_dict_open(repr->objects, mapping, &dict))
        return false;
    bsk_print(&repr->out, exact ? "namespace" : bsk_type_short_name(type));
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "(...)");
        return true;
    }
    bsk_print(&repr->out, "(");
    if (at->minor == 8)
        print_sorted(repr, &dict);
    else
        print_dict(repr, &dict, ARGUMENTS);
    bsk_print(&repr->out, ")");
    bsk_repr_leave(repr);
    return true;
}

/* --- sets and deques ------------------------------------------------------------------------- */

static bool print_set_items(struct bsk_repr *repr, uint64_t table, uint64_t mask, uint64_t used)
{
    uint64_t part[2 * PART]; /* key, hash */
    uint64_t shown = 0;
    for (uint64_t i = 0; i <= mask && i < PLACES_MAX && shown < used && !repr->out.cut; i++) {
        size_t left = mask + 1 - i < PART ? (size_t)(mask + 1 - i) : PART;
        if (i % PART == 0 && !bsk_objects_read(repr->objects, table + i * 16, part, left * 16))
            return false;
        const uint64_t *entry = &part[i % PART * 2];
        if (entry[0] == 0 || entry[1] == UINT64_MAX) /* never used; one that was taken out */
            continue;
        if (shown++ > 0)
            bsk_print(&repr->out, ", ");
        bsk_repr_object(repr, entry[0]);
    }
    repr->out.cut |= mask >= PLACES_MAX;
    return true;
}

bool bsk_repr_set(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t used, mask, table;
    bool plain = strcmp(type->name, "set") == 0 && !(type->flags & BSK_TYPE_HEAP);
    if (!bsk_objects_word(repr->objects, address + at->set_used, &used) ||
        !bsk_objects_word(repr->objects, address + at->set_mask, &mask) ||
        !bsk_objects_word(repr->objects, address + at->set_table, &table) || mask > SET_MASK_MAX)
        return false;
    if (used == 0 || bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, bsk_type_short_name(type));
        bsk_print(&repr->out, used == 0 ? "()" : "(...)");
        return true;
    }
    if (!plain) {
        bsk_print(&repr->out, bsk_type_short_name(type));
        bsk_print(&repr->out, "(");
    }
    bsk_print(&repr->out, "{");
    bool ok = print_set_items(repr, table, mask, used);
    bsk_print(&repr->out, plain ? "}" : "})");
    bsk_repr_leave(repr);
    return ok;
}

bool bsk_repr_deque(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t count, block, index, limit, part[DEQUE_BLOCK];
    if (!bsk_objects_word(repr->objects, address + at->size, &count) ||
        !bsk_objects_word(repr->objects, address + at->deque_left_block, &block) ||
        !bsk_objects_word(repr->objects, address + at->deque_left_index, &index) ||
        !bsk_objects_word(repr->objects, address + at->deque_max_length, &limit) ||
        index > DEQUE_BLOCK)
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "[...]");
        return true;
    }
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "([");
    bool loaded = false;
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        if (index == DEQUE_BLOCK) { /* a block is: left link, items, right link */
            if (!bsk_objects_word(repr->objects, block + 8 + sizeof(part), &block))
                return false;
            index = 0;
            loaded = false;
        }
        if (!loaded && !bsk_objects_read(repr->objects, block + 8, part, sizeof(part)))
            return false;
        loaded = true;
        if (i > 0)
            bsk_print(&repr->out, ", ");
        bsk_repr_object(repr, part[index++]);
    }
    bsk_print(&repr->out, "]");
    if ((int64_t)limit >= 0)
        bsk_print_format(&repr->out, ", maxlen=%lld", (long long)limit);
    bsk_print(&repr->out, ")");
    bsk_repr_leave(repr);
    return true;
}

/* --- tuples with names ----------------------------------------------------------------------- */

/* Made by collections.namedtuple() or typing.NamedTuple, with the repr() that it gave them: a
 * function of the module `collections` (its file is asked), not one of the program's. */
bool bsk_repr_named_tuple(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    uint64_t names = bsk_type_attribute(repr->objects, type, "_fields"), name_count, name_items;
    uint64_t function = bsk_type_attribute(repr->objects, type, "__repr__"), code, file, name;
    uint64_t count, items, item;
    char path[BSK_TYPE_NAME_BYTES];
    if (names == 0 || function == 0 ||
        !bsk_objects_tuple(repr->objects, names, &name_count, &name_items) ||
        !bsk_objects_tuple(repr->objects, address, &count, &items) || name_count != count ||
        !bsk_objects_word(repr->objects, function + at->function_code, &code) ||
        !bsk_objects_word(repr->objects, code + bsk_objects_layout(repr->objects)->code.filename,
                          &file) ||
        !bsk_objects_utf8(repr->objects, file, path, sizeof(path)) ||
        !strstr(path, "collections/__init__.py"))
        return false;
    if (bsk_repr_enter(repr, address)) {
        bsk_print(&repr->out, "(...)");
        return true;
    }
    bsk_print(&repr->out, bsk_type_short_name(type));
    bsk_print(&repr->out, "(");
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        if (!bsk_objects_word(repr->objects, name_items + i * 8, &name) ||
            !bsk_objects_word(repr->objects, items + i * 8, &item))
            return false;
        if (i > 0)
            bsk_print(&repr->out, ", ");
        (void)bsk_repr_name(repr, name);
        bsk_print(&repr->out, "=");
        bsk_repr_object(repr, item);
    }
    bsk_print(&repr->out, ")");
    bsk_repr_leave(repr);
    return true;
}

/* sys.version_info, os.stat_result and their like: the names are in the type's tp_members, after
 * them come members that a repr() does not show. */
bool bsk_repr_struct_sequence(struct bsk_repr *repr, uint64_t address, const struct bsk_type *type)
{
    const struct bsk_object_places *at = bsk_objects_places(repr->objects);
    const struct bsk_type *base = type->base ? bsk_objects_type(repr->objects, type->base) : NULL;
    uint64_t count, items, item, members, name_at;
    if (!base || base->flags & BSK_TYPE_HEAP || strcmp(base->name, "tuple") != 0 ||
        (type->flags & BSK_TYPE_HEAP &&
         bsk_type_attribute(repr->objects, type, "n_sequence_fields") == 0) ||
        !bsk_objects_tuple(repr->objects, address, &count, &items) ||
        !bsk_objects_word(repr->objects, type->address + at->type_members, &members) ||
        members == 0)
        return false;
    bsk_print(&repr->out, type->name);
    bsk_print(&repr->out, "(");
    for (uint64_t i = 0; i < count && !repr->out.cut; i++) {
        char name[64] = "";
        if (!bsk_objects_word(repr->objects, items + i * 8, &item) ||
            !bsk_objects_word(repr->objects, members + i * at->member_bytes, &name_at))
            return false;
        bsk_objects_c_string(repr->objects, name_at, name, sizeof(name));
        bsk_print_format(&repr->out, "%s%s=", i > 0 ? ", " : "", name);
        bsk_repr_object(repr, item);
    }
    bsk_print(&repr->out, ")");
    return true;
}
