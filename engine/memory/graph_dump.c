/* From the dump's bytes to nodes and edges. Every number in it is a claim. */
#include "engine/base/buffer.h"
#include "engine/memory/graph_internal.h"

#include <stdlib.h>
#include <string.h>

struct words { /* u64s at any alignment */
    const unsigned char *at;
    size_t count;
};

enum { PART_MAX = 4 }; /* sections of a tag that may come more than once */

struct dump {
    struct words facts, objects, object_types, object_sizes, edges;
    struct words texts, text_sizes, plains, plain_types;
    struct words rests[PART_MAX], rest_types[PART_MAX], rest_sizes[PART_MAX];
    size_t rest_count, rest_type_count, rest_size_count;
    struct words limits, ours, groups[BSK_GRAPH_MAX_GROUPS];
    size_t group_count;
    const unsigned char *types, *modules, *frames;
    size_t types_size, modules_size, frames_size;
};

static uint64_t word(const struct words *words, size_t index)
{
    uint64_t value;
    memcpy(&value, words->at + index * 8, 8);
    return value;
}

static int broken(struct bsk_error *err, const char *what)
{
    bsk_fail(err, BSK_E_FORMAT, NULL, "The dump of references is broken: %s", what);
    return BSK_E_FORMAT; /* said once more, for who reads one file at a time */
}

static int out_of_memory(struct bsk_error *err)
{
    bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory for a graph");
    return BSK_E_MEMORY;
}

/* --- sections -------------------------------------------------------------------------------- */

static int take_section(struct dump *dump, const unsigned char *tag, const unsigned char *at,
                        size_t size, struct bsk_error *err)
{
    const struct {
        const char *tag;
        struct words *words;
        size_t *count, max; /* of those that may come more than once */
    } word_sections[] = {
        { "fact", &dump->facts, NULL, 0 },
        { "objs", &dump->objects, NULL, 0 },
        { "otyp", &dump->object_types, NULL, 0 },
        { "osiz", &dump->object_sizes, NULL, 0 },
        { "edge", &dump->edges, NULL, 0 },
        { "text", &dump->texts, NULL, 0 },
        { "tsiz", &dump->text_sizes, NULL, 0 },
        { "plai", &dump->plains, NULL, 0 },
        { "ptyp", &dump->plain_types, NULL, 0 },
        { "rest", dump->rests, &dump->rest_count, PART_MAX },
        { "rtyp", dump->rest_types, &dump->rest_type_count, PART_MAX },
        { "rsiz", dump->rest_sizes, &dump->rest_size_count, PART_MAX },
        { "limi", &dump->limits, NULL, 0 },
        { "ours", &dump->ours, NULL, 0 },
        { "grou", dump->groups, &dump->group_count, BSK_GRAPH_MAX_GROUPS },
    };
    for (size_t i = 0; i < sizeof(word_sections) / sizeof(word_sections[0]); i++) {
        if (memcmp(tag, word_sections[i].tag, 4) != 0)
            continue;
        struct words *words = word_sections[i].words;
        if (word_sections[i].count) {
            if (*word_sections[i].count >= word_sections[i].max)
                return broken(err, "too many sections of one kind");
            words += (*word_sections[i].count)++;
        }
        if (size % 8 != 0)
            return broken(err, "a section of words has a broken length");
        words->at = at;
        words->count = size / 8;
        return BSK_OK;
    }
    if (memcmp(tag, "type", 4) == 0) {
        dump->types = at;
        dump->types_size = size;
    } else if (memcmp(tag, "modu", 4) == 0) {
        dump->modules = at;
        dump->modules_size = size;
    } else if (memcmp(tag, "fram", 4) == 0) {
        dump->frames = at;
        dump->frames_size = size;
    } /* a newer script may say more */
    return BSK_OK;
}

static int split(const unsigned char *bytes, size_t size, struct dump *dump, struct bsk_error *err)
{
    if (size < 8 || memcmp(bytes, "bskrefs1", 8) != 0)
        return broken(err, "it does not begin as one");
    size_t at = 8;
    for (;;) {
        if (size - at < 16)
            return broken(err, "it is cut off");
        uint64_t length;
        memcpy(&length, bytes + at + 8, 8);
        const unsigned char *tag = bytes + at;
        at += 16;
        if (length > size - at)
            return broken(err, "it is cut off");
        if (memcmp(tag, "end!", 4) == 0)
            break;
        int rc = take_section(dump, tag, bytes + at, (size_t)length, err);
        if (rc < 0)
            return rc;
        at += (size_t)length;
    }
    bool fits = dump->facts.count >= 6 && dump->objects.count == dump->object_types.count &&
                dump->objects.count == dump->object_sizes.count &&
                dump->texts.count == dump->text_sizes.count &&
                dump->plains.count == dump->plain_types.count &&
                dump->rest_count == dump->rest_type_count &&
                dump->rest_count == dump->rest_size_count && dump->limits.count % 2 == 0;
    for (size_t i = 0; fits && i < dump->rest_count; i++)
        fits = dump->rests[i].count == dump->rest_types[i].count &&
               dump->rests[i].count == dump->rest_sizes[i].count;
    for (size_t i = 0; fits && i < dump->group_count; i++)
        fits = dump->groups[i].count >= 1;
    if (!fits)
        return broken(err, "its parts do not fit together");
    if (dump->objects.count > BSK_GRAPH_MAX_NODES ||
        dump->edges.count > (size_t)BSK_GRAPH_MAX_NODES * 8)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "A graph of %zu objects is larger than %d",
                        dump->objects.count, BSK_GRAPH_MAX_NODES);
    return BSK_OK;
}

/* --- records --------------------------------------------------------------------------------- */

struct records { /* a cursor that never leaves its section */
    const unsigned char *at, *end;
    bool bad;
};

static uint64_t record_word(struct records *records)
{
    uint64_t value = 0;
    if (records->end - records->at < 8) {
        records->bad = true;
        records->at = records->end;
        return 0;
    }
    memcpy(&value, records->at, 8);
    records->at += 8;
    return value;
}

/* Terminated, or NULL when it is broken or memory ran out. The caller frees. */
static char *record_text(struct records *records)
{
    uint32_t size = 0;
    if (records->end - records->at >= 4)
        memcpy(&size, records->at, 4);
    if (records->end - records->at < 4 || size > (size_t)(records->end - records->at) - 4) {
        records->bad = true;
        records->at = records->end;
        return NULL;
    }
    char *text = malloc((size_t)size + 1);
    if (text) {
        memcpy(text, records->at + 4, size);
        text[size] = '\0';
    }
    records->bad = records->bad || !text;
    records->at += 4 + (size_t)size;
    return text;
}

static int by_id(const void *a, const void *b)
{
    uint64_t left = ((const struct bsk_graph_type *)a)->id;
    uint64_t right = ((const struct bsk_graph_type *)b)->id;
    return (left > right) - (left < right);
}

/* The last type is for ids that have none: "?". */
static int read_types(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    size_t most = dump->types_size / 32 + 1;
    graph->type_table = calloc(most, sizeof(*graph->type_table));
    if (!graph->type_table)
        return out_of_memory(err);
    struct records records = { dump->types, dump->types ? dump->types + dump->types_size : NULL,
                               false };
    while (records.at < records.end) {
        struct bsk_graph_type *type = &graph->type_table[graph->type_count];
        type->id = record_word(&records);
        type->nominal_bytes = record_word(&records);
        uint64_t flags = record_word(&records);
        type->hidden = flags & 1;
        type->of_classes = flags & 2;
        type->module = record_text(&records);
        type->name = record_text(&records);
        graph->type_count++;
        if (records.bad)
            return broken(err, "its types");
    }
    qsort(graph->type_table, graph->type_count, sizeof(*graph->type_table), by_id);
    struct bsk_graph_type *unknown = &graph->type_table[graph->type_count++];
    unknown->module = calloc(1, 1);
    unknown->name = strdup("?");
    return unknown->module && unknown->name ? BSK_OK : out_of_memory(err);
}

static uint32_t type_of(const struct bsk_graph *graph, uint64_t id, uint32_t *last)
{
    if (graph->type_table[*last].id == id && *last + 1 < graph->type_count)
        return *last;
    uint32_t low = 0, high = graph->type_count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (graph->type_table[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < graph->type_count - 1 && graph->type_table[low].id == id)
        *last = low;
    else
        low = graph->type_count - 1;
    return low;
}

/* A direct-mapped memory before the search: types come in any order. */
enum { RECENT = 1024 };
struct recent {
    uint64_t ids[RECENT];
    uint32_t types[RECENT];
};

static uint32_t quick_type(const struct bsk_graph *graph, struct recent *recent, uint64_t id)
{
    size_t slot = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % RECENT;
    if (recent->ids[slot] != id) {
        uint32_t last = 0;
        recent->types[slot] = type_of(graph, id, &last);
        recent->ids[slot] = id;
    }
    return recent->types[slot];
}

/* --- nodes ----------------------------------------------------------------------------------- */

static int add_all(struct bsk_graph *graph, const struct words *words, struct bsk_error *err)
{
    for (size_t i = 0; i < words->count; i++) {
        int rc = bsk_graph_pages_add(graph, word(words, i), err);
        if (rc < 0)
            return rc;
    }
    return BSK_OK;
}

struct frame_record {
    uint64_t id, type, line, bytes, outside, locals;
};

static void record_frame(struct records *records, struct frame_record *frame)
{
    frame->id = record_word(records);
    frame->type = record_word(records);
    record_word(records); /* its thread */
    frame->line = record_word(records);
    frame->bytes = record_word(records);
    frame->outside = record_word(records);
    frame->locals = record_word(records);
}

static struct records frame_records(const struct dump *dump)
{
    return (struct records){ dump->frames, dump->frames ? dump->frames + dump->frames_size : NULL,
                             false };
}

static int number_nodes(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    int rc = bsk_graph_pages_make(graph, err);
    if (rc == BSK_OK)
        rc = add_all(graph, &dump->objects, err);
    if (rc == BSK_OK)
        rc = add_all(graph, &dump->texts, err);
    if (rc == BSK_OK)
        rc = add_all(graph, &dump->plains, err);
    for (size_t i = 0; rc == BSK_OK && i < dump->rest_count; i++)
        rc = add_all(graph, &dump->rests[i], err);
    struct records records = frame_records(dump);
    while (rc == BSK_OK && records.at < records.end) {
        struct frame_record frame;
        record_frame(&records, &frame);
        free(record_text(&records));
        free(record_text(&records));
        for (uint64_t i = 0; i < frame.locals && !records.bad; i++) {
            free(record_text(&records));
            record_word(&records);
        }
        if (records.bad)
            return broken(err, "its frames");
        rc = bsk_graph_pages_add(graph, frame.id, err);
        graph->place_count++;
    }
    if (rc < 0)
        return rc;
    uint64_t count = 0;
    rc = bsk_graph_pages_number(graph, &count, err);
    if (rc < 0)
        return rc;
    if (count > BSK_GRAPH_MAX_NODES)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "A graph of %llu objects is larger than %d",
                        (unsigned long long)count, BSK_GRAPH_MAX_NODES);
    graph->count = (uint32_t)count;
    size_t room = (size_t)count + 1;
    graph->ids = calloc(room, sizeof(*graph->ids));
    graph->bytes = calloc(room, sizeof(*graph->bytes));
    graph->types = calloc(room, sizeof(*graph->types));
    graph->flags = calloc(room, 1);
    graph->roots = calloc(room, 1);
    if (!graph->ids || !graph->bytes || !graph->types || !graph->flags || !graph->roots)
        return out_of_memory(err);
    return BSK_OK;
}

static void fill(struct bsk_graph *graph, uint64_t id, uint32_t type, uint64_t bytes, int flags)
{
    uint32_t node = bsk_graph_find(graph, id);
    if (node == BSK_NO_NODE || graph->flags[node] & BSK_NODE_FILLED)
        return;
    graph->ids[node] = id;
    graph->types[node] = type;
    graph->bytes[node] = bytes >> 48 ? 0 : bytes; /* no object is of 256 TiB */
    graph->flags[node] = (uint8_t)(flags | BSK_NODE_FILLED);
    if (graph->type_table[type].hidden)
        graph->flags[node] |= BSK_NODE_HIDDEN;
    if (graph->type_table[type].of_classes)
        graph->flags[node] |= BSK_NODE_CLASS;
}

static void fill_nodes(struct bsk_graph *graph, const struct dump *dump)
{
    struct recent recent;
    memset(&recent, 0, sizeof(recent));
    for (size_t i = 0; i < RECENT; i++)
        recent.types[i] = graph->type_count - 1;
    for (size_t i = 0; i < dump->objects.count; i++)
        fill(graph, word(&dump->objects, i),
             quick_type(graph, &recent, word(&dump->object_types, i)), word(&dump->object_sizes, i),
             BSK_NODE_TRACKED);
    uint32_t text = quick_type(graph, &recent, word(&dump->facts, 3));
    for (size_t i = 0; i < dump->texts.count; i++)
        fill(graph, word(&dump->texts, i), text, word(&dump->text_sizes, i), 0);
    for (size_t i = 0; i < dump->plains.count; i++) {
        uint32_t type = quick_type(graph, &recent, word(&dump->plain_types, i));
        fill(graph, word(&dump->plains, i), type, graph->type_table[type].nominal_bytes, 0);
    }
    for (size_t part = 0; part < dump->rest_count; part++)
        for (size_t i = 0; i < dump->rests[part].count; i++)
            fill(graph, word(&dump->rests[part], i),
                 quick_type(graph, &recent, word(&dump->rest_types[part], i)),
                 word(&dump->rest_sizes[part], i), 0);
}

/* --- modules and frames ---------------------------------------------------------------------- */

static int read_modules(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    size_t most = graph->place_count + dump->modules_size / 28 + 1;
    graph->place_count = 0;
    graph->places = calloc(most, sizeof(*graph->places));
    if (!graph->places)
        return out_of_memory(err);
    struct records records = { dump->modules,
                               dump->modules ? dump->modules + dump->modules_size : NULL, false };
    while (records.at < records.end) {
        struct bsk_graph_place *place = &graph->places[graph->place_count++];
        place->node = bsk_graph_find(graph, record_word(&records));
        place->inside = bsk_graph_find(graph, record_word(&records));
        place->hidden = record_word(&records) & 1;
        place->name = record_text(&records);
        if (records.bad)
            return broken(err, "its modules");
        const uint32_t both[2] = { place->node, place->inside };
        for (int i = 0; i < 2; i++)
            if (both[i] != BSK_NO_NODE)
                graph->flags[both[i]] |=
                    (uint8_t)(BSK_NODE_NAMESPACE | (place->hidden ? BSK_NODE_HIDDEN : 0));
    }
    return BSK_OK;
}

static int read_frames(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    struct records records = frame_records(dump);
    uint32_t last = 0;
    while (records.at < records.end) {
        struct bsk_graph_place *place = &graph->places[graph->place_count++];
        struct frame_record frame;
        record_frame(&records, &frame);
        fill(graph, frame.id, type_of(graph, frame.type, &last), frame.bytes, 0);
        place->is_frame = true;
        place->node = bsk_graph_find(graph, frame.id);
        place->inside = bsk_graph_find(graph, frame.outside);
        place->line = frame.line > UINT32_MAX ? 0 : (uint32_t)frame.line;
        place->name = record_text(&records);
        place->path = record_text(&records);
        if (records.bad || frame.locals > (size_t)(records.end - records.at) / 12)
            return broken(err, "its frames");
        graph->flags[place->node] |= BSK_NODE_NAMESPACE;
        place->locals = calloc((size_t)frame.locals + 1, sizeof(*place->locals));
        if (!place->locals)
            return out_of_memory(err);
        for (uint64_t i = 0; i < frame.locals; i++) {
            struct bsk_graph_local *local = &place->locals[place->local_count++];
            local->name = record_text(&records);
            local->to = bsk_graph_find(graph, record_word(&records));
            if (records.bad)
                return broken(err, "its frames");
        }
    }
    return BSK_OK;
}

/* --- edges ----------------------------------------------------------------------------------- */

enum { LOST = -1, MARK = -2 }; /* as uint32_t: no node has these numbers */

/* Edges of frames that the collector does not see. */
static size_t frame_edges(const struct bsk_graph *graph, uint32_t *counts, uint32_t *out)
{
    size_t edges = 0;
    for (uint32_t i = 0; i < graph->place_count; i++) {
        const struct bsk_graph_place *place = &graph->places[i];
        if (!place->is_frame)
            continue;
        for (uint32_t j = 0; j <= place->local_count; j++) {
            uint32_t to = j < place->local_count ? place->locals[j].to : place->inside;
            if (to == BSK_NO_NODE)
                continue;
            if (out)
                out[counts[place->node]] = to;
            counts[place->node]++;
            edges++;
        }
    }
    return edges;
}

static int read_edges(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    size_t n = graph->count, flat_count = dump->edges.count;
    uint64_t mark = word(&dump->facts, 2);
    uint32_t *flat = malloc((flat_count + 1) * sizeof(*flat));
    uint32_t *next = NULL;
    graph->out_start = calloc(n + 2, sizeof(*graph->out_start));
    graph->in_start = calloc(n + 2, sizeof(*graph->in_start));
    int rc = BSK_OK;
    if (!flat || !graph->out_start || !graph->in_start) {
        rc = out_of_memory(err);
        goto out;
    }

    size_t at = 0, edges = 0;
    uint32_t from = at < dump->objects.count ? bsk_graph_find(graph, word(&dump->objects, 0)) : 0;
    for (size_t i = 0; i < flat_count; i++) {
        uint64_t id = word(&dump->edges, i);
        if (id == mark) {
            flat[i] = (uint32_t)MARK;
            if (++at < dump->objects.count)
                from = bsk_graph_find(graph, word(&dump->objects, at));
            continue;
        }
        flat[i] = bsk_graph_find(graph, id);
        if (flat[i] == BSK_NO_NODE || at >= dump->objects.count) {
            graph->facts.lost++;
            flat[i] = (uint32_t)LOST;
            continue;
        }
        graph->out_start[from + 1]++;
        edges++;
    }
    if (at != dump->objects.count) {
        rc = broken(err, "its references do not fit its objects");
        goto out;
    }
    edges += frame_edges(graph, graph->out_start + 1, NULL);
    if (edges > UINT32_MAX - 1) {
        rc = bsk_fail(err, BSK_E_LIMIT, NULL, "A graph of %zu references is too large", edges);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        graph->out_start[i + 1] += graph->out_start[i];
    next = malloc((n + 1) * sizeof(*next));
    graph->out = malloc((edges + 1) * sizeof(*graph->out));
    graph->in = malloc((edges + 1) * sizeof(*graph->in));
    if (!next || !graph->out || !graph->in) {
        rc = out_of_memory(err);
        goto out;
    }
    memcpy(next, graph->out_start, (n + 1) * sizeof(*next));
    at = 0;
    from = dump->objects.count > 0 ? bsk_graph_find(graph, word(&dump->objects, 0)) : 0;
    for (size_t i = 0; i < flat_count; i++) {
        if (flat[i] == (uint32_t)MARK) {
            if (++at < dump->objects.count)
                from = bsk_graph_find(graph, word(&dump->objects, at));
        } else if (flat[i] != (uint32_t)LOST) {
            graph->out[next[from]++] = flat[i];
        }
    }
    frame_edges(graph, next, graph->out);

    for (size_t i = 0; i < edges; i++)
        graph->in_start[graph->out[i] + 1]++;
    for (size_t i = 0; i < n; i++)
        graph->in_start[i + 1] += graph->in_start[i];
    memcpy(next, graph->in_start, (n + 1) * sizeof(*next));
    for (uint32_t node = 0; node < n; node++)
        for (uint32_t i = graph->out_start[node]; i < graph->out_start[node + 1]; i++)
            graph->in[next[graph->out[i]]++] = node;
    graph->facts.edges = edges;
out:
    free(flat);
    free(next);
    return rc;
}

/* --- the rest -------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static int read_groups(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    graph->groups = calloc(BSK_GRAPH_MAX_GROUPS, sizeof(*graph->groups));
    if (!graph->groups)
        return out_of_memory(err);
    graph->group_count = BSK_GRAPH_MAX_GROUPS;
    for (size_t i = 0; i < dump->group_count; i++) {
        uint64_t number = word(&dump->groups[i], 0);
        if (number >= BSK_GRAPH_MAX_GROUPS || graph->groups[number].nodes)
            return broken(err, "its groups");
        struct bsk_nodes *group = &graph->groups[number];
        group->nodes = malloc(dump->groups[i].count * sizeof(*group->nodes));
        if (!group->nodes)
            return out_of_memory(err);
        for (size_t j = 1; j < dump->groups[i].count; j++) {
            uint32_t node = bsk_graph_find(graph, word(&dump->groups[i], j));
            if (node != BSK_NO_NODE)
                group->nodes[group->count++] = node;
        }
        qsort(group->nodes, group->count, sizeof(*group->nodes), by_number);
        size_t kept = 0;
        for (size_t j = 0; j < group->count; j++)
            if (j == 0 || group->nodes[j] != group->nodes[kept - 1])
                group->nodes[kept++] = group->nodes[j];
        group->count = kept;
    }

    graph->limits = calloc(dump->limits.count / 2 + 1, sizeof(*graph->limits));
    if (!graph->limits)
        return out_of_memory(err);
    for (size_t i = 0; i + 1 < dump->limits.count; i += 2) {
        uint32_t node = bsk_graph_find(graph, word(&dump->limits, i));
        if (node == BSK_NO_NODE)
            continue;
        graph->limits[graph->limit_count].node = node;
        graph->limits[graph->limit_count++].limit = word(&dump->limits, i + 1);
    }
    for (size_t i = 0; i < dump->ours.count; i++) {
        uint32_t node = bsk_graph_find(graph, word(&dump->ours, i));
        if (node != BSK_NO_NODE)
            graph->flags[node] |= BSK_NODE_HIDDEN;
    }
    return BSK_OK;
}

static int read_dump(struct bsk_graph *graph, const struct dump *dump, struct bsk_error *err)
{
    int rc = read_types(graph, dump, err);
    if (rc == BSK_OK)
        rc = number_nodes(graph, dump, err);
    if (rc < 0)
        return rc;
    fill_nodes(graph, dump);
    rc = read_modules(graph, dump, err);
    if (rc == BSK_OK)
        rc = read_frames(graph, dump, err);
    if (rc == BSK_OK)
        rc = read_edges(graph, dump, err);
    if (rc == BSK_OK)
        rc = read_groups(graph, dump, err);
    graph->facts.nodes = graph->count;
    uint64_t tracked = word(&dump->facts, 4);
    graph->facts.tracked = tracked < graph->count ? (uint32_t)tracked : graph->count;
    graph->facts.truncated = word(&dump->facts, 0);
    graph->facts.free_threaded = word(&dump->facts, 5) & 1;
    return rc;
}

int bsk_graph_read(const unsigned char *bytes, size_t size, struct bsk_graph **out_graph,
                   struct bsk_error *err)
{
    struct dump dump;
    memset(&dump, 0, sizeof(dump));
    int rc = split(bytes, size, &dump, err);
    if (rc < 0)
        return rc;
    struct bsk_graph *graph = calloc(1, sizeof(*graph));
    if (!graph)
        return out_of_memory(err);
    rc = read_dump(graph, &dump, err);
    if (rc == BSK_OK)
        rc = bsk_graph_walk(graph, err);
    if (rc == BSK_OK)
        rc = bsk_graph_dominate(graph, err);
    if (rc < 0) {
        bsk_graph_free(graph);
        return rc;
    }
    *out_graph = graph;
    return BSK_OK;
}
