/*
 * pprof's profile.proto, read field by field: samples name locations, those name functions by line,
 * names lie in a table of strings. Fields come in any order, so the file is passed over twice:
 * first for strings, functions and locations, then for samples.
 */
#include "engine/import/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 8000000 };

/* A message, or part of one. Numbers of fields that we do not know are passed over. */
struct wire {
    const unsigned char *start, *at, *end; /* `start` of the file, for messages */
    bool failed;
};

struct field {
    uint32_t number;
    uint64_t value;      /* of a number */
    struct wire message; /* of bytes */
    bool is_bytes;
};

static uint64_t varint(struct wire *wire)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (wire->at == wire->end)
            break;
        unsigned char c = *wire->at++;
        value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80)
            return value;
    }
    wire->failed = true;
    return 0;
}

static bool next_field(struct wire *wire, struct field *out)
{
    if (wire->failed || wire->at == wire->end)
        return false;
    uint64_t tag = varint(wire);
    *out = (struct field){ .number = (uint32_t)(tag >> 3) };
    uint64_t size = 0;
    switch (tag & 7) {
    case 0:
        out->value = varint(wire);
        return !wire->failed;
    case 1:
        size = 8;
        break;
    case 2:
        size = varint(wire);
        out->is_bytes = true;
        break;
    case 5:
        size = 4;
        break;
    default:
        wire->failed = true;
        return false;
    }
    if (wire->failed || size > (size_t)(wire->end - wire->at) || tag >> 3 == 0) {
        wire->failed = true;
        return false;
    }
    out->message = (struct wire){ wire->start, wire->at, wire->at + size, false };
    wire->at += size;
    return true;
}

struct item { /* a function or a location, by id */
    uint64_t id;
    struct wire body;
    uint32_t function, line; /* of a function: in the profile */
};

struct list {
    struct item *items;
    size_t count, capacity;
};

struct pprof {
    struct bsk_build *build;
    struct list strings, functions, locations;
    struct bsk_buffer name, path;
    uint64_t comments[4]; /* the first ones: which strings */
    size_t comment_count;
    size_t value_types;
    struct wire types[8]; /* what the values of a sample are */
    uint64_t period, duration_ns, period_type_unit;
    size_t count_at, time_at; /* which of the values; SIZE_MAX: none */
    double time_ns;           /* of one unit of that value */
};

static int broken(struct pprof *file, const unsigned char *at, const struct wire *all)
{
    return bsk_fail(file->build->err, BSK_E_FORMAT, NULL,
                    "%.200s: byte %zu: broken or cut: no pprof profile goes on like this",
                    file->build->name, (size_t)(at - all->start));
}

static int keep(struct pprof *file, struct list *list, struct item item)
{
    if (list->count == MAX_ITEMS)
        return bsk_fail(file->build->err, BSK_E_LIMIT, NULL,
                        "%.200s: more than %d strings, functions or locations", file->build->name,
                        MAX_ITEMS);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 256;
        struct item *items = realloc(list->items, capacity * sizeof(*items));
        if (!items)
            return bsk_fail(file->build->err, BSK_E_MEMORY, NULL, "out of memory");
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return BSK_OK;
}

static uint64_t id_of(struct wire body)
{
    struct field field;
    uint64_t id = 0;
    while (next_field(&body, &field)) {
        if (field.number == 1)
            id = field.value;
    }
    return id;
}

static int by_id(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static void sort(struct list *list)
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), by_id);
}

static const struct item *find(const struct list *list, uint64_t id)
{
    const struct item wanted = { .id = id };
    return list->count ? bsearch(&wanted, list->items, list->count, sizeof(*list->items), by_id)
                       : NULL;
}

static struct wire string(const struct pprof *file, uint64_t index)
{
    return index < file->strings.count ? file->strings.items[index].body
                                       : (struct wire){ NULL, NULL, NULL, false };
}

/* A string as C wants it; a zero byte ends it. */
static const char *text(const struct pprof *file, uint64_t index, struct bsk_buffer *room)
{
    struct wire body = string(file, index);
    size_t size = (size_t)(body.end - body.at);
    bsk_buffer_clear(room);
    bsk_buffer_append(room, body.at, size < 65536 ? size : 65536);
    return bsk_buffer_text(room);
}

static bool is_text(struct wire body, const char *word)
{
    return (size_t)(body.end - body.at) == strlen(word) && body.at &&
           memcmp(body.at, word, strlen(word)) == 0;
}

static int collect(struct pprof *file, struct wire all)
{
    struct field field;
    while (next_field(&all, &field)) {
        int rc = BSK_OK;
        if (field.number == 6 && field.is_bytes)
            rc = keep(file, &file->strings, (struct item){ .body = field.message });
        else if (field.number == 5 && field.is_bytes)
            rc = keep(file, &file->functions,
                      (struct item){ .id = id_of(field.message), .body = field.message });
        else if (field.number == 4 && field.is_bytes)
            rc = keep(file, &file->locations,
                      (struct item){ .id = id_of(field.message), .body = field.message });
        else if (field.number == 1 && field.is_bytes && file->value_types < 8)
            file->types[file->value_types++] = field.message;
        else if (field.number == 10)
            file->duration_ns = field.value;
        else if (field.number == 12)
            file->period = field.value;
        else if (field.number == 13 && !field.is_bytes && file->comment_count < 4)
            file->comments[file->comment_count++] = field.value;
        if (rc < 0)
            return rc;
    }
    return all.failed ? broken(file, all.at, &all) : BSK_OK;
}

static void choose_values(struct pprof *file)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {
        { "nanoseconds", 1 }, { "microseconds", 1e3 }, { "milliseconds", 1e6 }, { "seconds", 1e9 }
    };
    file->count_at = file->time_at = SIZE_MAX;
    for (size_t i = 0; i < file->value_types; i++) {
        struct wire type = file->types[i];
        struct field field;
        uint64_t name = 0, unit = 0;
        while (next_field(&type, &field)) {
            name = field.number == 1 ? field.value : name;
            unit = field.number == 2 ? field.value : unit;
        }
        struct wire unit_text = string(file, unit);
        if (file->count_at == SIZE_MAX &&
            (is_text(string(file, name), "samples") || is_text(unit_text, "count")))
            file->count_at = i;
        for (size_t u = 0; u < sizeof(units) / sizeof(units[0]) && file->time_at == SIZE_MAX; u++) {
            if (!is_text(unit_text, units[u].unit))
                continue;
            file->time_at = i;
            file->time_ns = units[u].ns;
        }
    }
}

/* What follows `key` up to two blanks, in `out`; "" where the key is not there. */
static void said(const char *line, const char *key, char *out, size_t size)
{
    const char *at = strstr(line, key);
    out[0] = '\0';
    if (!at)
        return;
    at += strlen(key);
    const char *end = strstr(at, "  ");
    size_t length = end ? (size_t)(end - at) : strlen(at);
    snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), at);
}

/* Ours say in comments what made them: "basilisk 0.1.0: python app.py", "python: 3.13.0  rate: 100
 * Hz  clock: cpu  …", "samples: 200  …  missed: 0  …". Others' are no matter. */
static void read_comment(struct pprof *file, uint64_t index)
{
    struct bsk_imported *out = file->build->out;
    struct bsk_profile_meta *meta = bsk_profile_meta(out->profile);
    const char *line = text(file, index, &file->name);
    char value[64];
    if (strncmp(line, "basilisk ", 9) == 0) {
        const char *colon = strstr(line, ": ");
        size_t maker = colon ? (size_t)(colon - line) : strlen(line);
        snprintf(out->maker, sizeof(out->maker), "%.*s", (int)(maker < 60 ? maker : 60), line);
        snprintf(meta->command, sizeof(meta->command), "%.1000s", colon ? colon + 2 : "");
    } else if (!out->maker[0]) {
        return;
    } else if (strncmp(line, "python: ", 8) == 0) {
        said(line, "python: ", meta->python, sizeof(meta->python));
        said(line, "rate: ", value, sizeof(value));
        meta->rate_hz = strtod(value, NULL);
        if (!(meta->rate_hz > 0 && meta->rate_hz < 1e9))
            meta->rate_hz = 0;
        said(line, "clock: ", value, sizeof(value));
        meta->clock = strcmp(value, "wall") == 0  ? BSK_CLOCK_WALL
                      : strcmp(value, "gil") == 0 ? BSK_CLOCK_GIL
                                                  : BSK_CLOCK_CPU;
        out->clock_known = value[0] != '\0';
    } else if (strncmp(line, "samples: ", 9) == 0) {
        said(line, "missed: ", value, sizeof(value));
        meta->missed = strtoull(value, NULL, 10);
    }
}

static int name_functions(struct pprof *file)
{
    for (size_t i = 0; i < file->functions.count; i++) {
        struct item *function = &file->functions.items[i];
        struct wire body = function->body;
        struct field field;
        uint64_t name = 0, path = 0, line = 0;
        while (next_field(&body, &field)) {
            name = field.number == 2 ? field.value : name;
            path = field.number == 4 ? field.value : path;
            line = field.number == 5 ? field.value : line;
        }
        if (body.failed)
            return broken(file, body.at, &body);
        function->function = bsk_build_function(file->build, text(file, name, &file->name),
                                                text(file, path, &file->path),
                                                line < 1000000000 ? (uint32_t)line : 0);
        if (function->function == UINT32_MAX)
            return bsk_fail(file->build->err, BSK_E_MEMORY, NULL, "out of memory");
    }
    return BSK_OK;
}

/* The frames of a location, the innermost (inlined) first. */
static int add_location(struct pprof *file, uint64_t id, const struct wire *at)
{
    const struct item *location = find(&file->locations, id);
    if (!location)
        return broken(file, at->at, at);
    struct wire body = location->body;
    struct field field, part;
    int rc = BSK_OK;
    while (rc == BSK_OK && next_field(&body, &field)) {
        if (field.number != 4 || !field.is_bytes)
            continue;
        uint64_t function_id = 0, line = 0;
        while (next_field(&field.message, &part)) {
            function_id = part.number == 1 ? part.value : function_id;
            line = part.number == 2 ? part.value : line;
        }
        const struct item *function = find(&file->functions, function_id);
        if (field.message.failed || !function)
            return broken(file, field.message.at, &field.message);
        const char *name =
            bsk_profile_function_at(file->build->out->profile, function->function).name;
        if (bsk_build_is_track(file->build, name))
            continue;
        rc = bsk_build_frame(file->build, function->function,
                             line < 1000000000 ? (uint32_t)line : 0);
    }
    return rc < 0 ? rc : body.failed ? broken(file, body.at, &body) : BSK_OK;
}

static int read_sample(struct pprof *file, struct wire body)
{
    struct field field;
    uint64_t values[8] = { 0 };
    size_t count = 0;
    int rc = BSK_OK;
    bsk_build_begin_stack(file->build);
    while (rc == BSK_OK && next_field(&body, &field)) {
        if (field.number != 1 && field.number != 2)
            continue;
        struct wire *list = &field.message;
        bool more = true;
        while (rc == BSK_OK && more) { /* packed into one field, or a field each */
            if (field.is_bytes && list->at == list->end)
                break;
            uint64_t value = field.is_bytes ? varint(list) : field.value;
            more = field.is_bytes;
            if (list->failed)
                return broken(file, list->at, list);
            if (field.number == 1)
                rc = add_location(file, value, field.is_bytes ? list : &body);
            else if (count < 8)
                values[count++] = value;
        }
    }
    if (rc < 0)
        return rc;
    if (body.failed)
        return broken(file, body.at, &body);
    uint64_t samples = file->count_at < count ? values[file->count_at] : 1;
    double ns = file->time_at < count ? (double)values[file->time_at] * file->time_ns
                                      : (double)samples * 1e6;
    if (ns > 9e17 || samples > 1000000000000)
        return bsk_fail(file->build->err, BSK_E_FORMAT, NULL,
                        "%.200s: a sample weighs more than a program can run", file->build->name);
    uint32_t node;
    bsk_build_turn(file->build);
    rc = bsk_build_stack(file->build, UINT32_MAX, &node);
    if (rc == BSK_OK && ns >= 1)
        bsk_profile_add(file->build->out->profile, node, 0, 0, (uint64_t)ns,
                        samples < UINT32_MAX ? (uint32_t)samples : UINT32_MAX);
    return rc;
}

int bsk_read_pprof(struct bsk_build *build, const char *bytes, size_t size)
{
    struct pprof file = { .build = build };
    const unsigned char *start = (const unsigned char *)bytes;
    struct wire all = { start, start, start + size, false };
    struct bsk_profile_meta *meta = bsk_profile_meta(build->out->profile);
    int rc = collect(&file, all);
    if (rc == BSK_OK && (file.strings.count == 0 || file.locations.count == 0))
        rc = bsk_fail(build->err, BSK_E_FORMAT, NULL,
                      "%.200s: this is no profile, or a pprof profile without names", build->name);
    if (rc == BSK_OK) {
        sort(&file.functions);
        sort(&file.locations);
        choose_values(&file);
        for (size_t i = 0; i < file.comment_count; i++)
            read_comment(&file, file.comments[i]);
        rc = name_functions(&file);
    }
    struct field field;
    while (rc == BSK_OK && next_field(&all, &field)) {
        if (field.number == 2 && field.is_bytes)
            rc = read_sample(&file, field.message);
    }
    if (rc == BSK_OK) {
        build->out->has_time = file.time_at != SIZE_MAX;
        if (file.duration_ns > 0 && file.duration_ns < INT64_MAX)
            meta->duration_ns = file.duration_ns;
        if (meta->rate_hz <= 0 && file.period > 0 && file.period < 100000000000 &&
            build->out->has_time)
            meta->rate_hz = 1e9 / (double)file.period;
    }
    free(file.strings.items);
    free(file.functions.items);
    free(file.locations.items);
    bsk_buffer_free(&file.name);
    bsk_buffer_free(&file.path);
    return rc;
}
