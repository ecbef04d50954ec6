#include "tests/bench/legal.h"

#include <stdlib.h>
#include <string.h>

enum { CODES_MAX = 4096, NODES_MAX = 1 << 22, NO_NODE = 0 };

struct code {
    char *name, *file;
    uint32_t first_line;
    unsigned char *has_line; /* by line */
    uint32_t line_count;
};

struct node {
    uint32_t parent, call_line; /* the parent's line that calls this one */
    uint32_t code;
    uint32_t next;   /* in its bucket */
    bool above_base; /* the work goes on further in: a stack that ends here was cut short */
    bool recent;
};

/* A line that makes a generator: its frame is there for a moment, on its first line. */
struct make {
    uint32_t maker, line, made;
};

struct bench_legal {
    struct code *codes;
    size_t code_count;
    struct node *nodes; /* [0] is where all paths begin */
    uint32_t node_count, node_capacity;
    uint32_t *buckets, bucket_count;
    size_t path_count;
    struct make *makes;
    size_t make_count;
    int *by_id; /* code + 2 by the sampler's id; 0: not looked up yet */
    size_t by_id_count;
};

static uint32_t bucket_of(const struct bench_legal *legal, uint32_t parent, uint32_t line,
                          uint32_t code)
{
    uint64_t hash = (uint64_t)parent * 0x9e3779b97f4a7c15U;
    hash = (hash ^ line) * 0xff51afd7ed558ccdU;
    hash = (hash ^ code) * 0xc4ceb9fe1a85ec53U;
    return (uint32_t)(hash >> 32) & (legal->bucket_count - 1);
}

static uint32_t find_node(const struct bench_legal *legal, uint32_t parent, uint32_t line,
                          uint32_t code)
{
    uint32_t at = legal->buckets[bucket_of(legal, parent, line, code)];
    while (at != NO_NODE && (legal->nodes[at].parent != parent ||
                             legal->nodes[at].call_line != line || legal->nodes[at].code != code))
        at = legal->nodes[at].next;
    return at;
}

static void fill_buckets(struct bench_legal *legal)
{
    memset(legal->buckets, 0, legal->bucket_count * sizeof(*legal->buckets));
    for (uint32_t i = 1; i < legal->node_count; i++) {
        struct node *node = &legal->nodes[i];
        uint32_t bucket = bucket_of(legal, node->parent, node->call_line, node->code);
        node->next = legal->buckets[bucket];
        legal->buckets[bucket] = i;
    }
}

static bool grow(struct bench_legal *legal)
{
    uint32_t capacity = legal->node_capacity ? legal->node_capacity * 2 : 1024;
    if (capacity > NODES_MAX)
        return false;
    struct node *nodes = realloc(legal->nodes, capacity * sizeof(*nodes));
    if (nodes)
        legal->nodes = nodes;
    uint32_t *buckets = realloc(legal->buckets, 2 * (size_t)capacity * sizeof(*buckets));
    if (buckets)
        legal->buckets = buckets;
    if (!nodes || !buckets)
        return false;
    if (legal->node_count == 0) {
        memset(legal->nodes, 0, sizeof(*legal->nodes));
        legal->node_count = 1;
    }
    legal->node_capacity = capacity;
    legal->bucket_count = 2 * capacity;
    fill_buckets(legal);
    return true;
}

static uint32_t add_node(struct bench_legal *legal, uint32_t parent, uint32_t line, uint32_t code)
{
    uint32_t found = legal->node_count ? find_node(legal, parent, line, code) : NO_NODE;
    if (found != NO_NODE)
        return found;
    if (legal->node_count == legal->node_capacity && !grow(legal))
        return NO_NODE;
    uint32_t added = legal->node_count++;
    uint32_t bucket = bucket_of(legal, parent, line, code);
    legal->nodes[added] = (struct node){
        .parent = parent, .call_line = line, .code = code, .next = legal->buckets[bucket]
    };
    legal->buckets[bucket] = added;
    return added;
}

/* "code NUMBER name file first lines", without its first word. */
static bool read_code(struct bench_legal *legal, char *text)
{
    char *fields[5], *rest = text;
    for (int i = 0; i < 5; i++)
        if (!(fields[i] = strsep(&rest, "\t")))
            return false;
    if (strtoul(fields[0], NULL, 10) != legal->code_count || legal->code_count == CODES_MAX)
        return false;
    struct code *code = &legal->codes[legal->code_count++];
    *code = (struct code){ .name = strdup(fields[1]),
                           .file = strdup(fields[2]),
                           .first_line = (uint32_t)strtoul(fields[3], NULL, 10) };
    for (char *line = fields[4], *end; *line; line = *end ? end + 1 : end) {
        unsigned long number = strtoul(line, &end, 10);
        if (end == line || number > 1000000)
            return false;
        if (number >= code->line_count) {
            unsigned char *grown = realloc(code->has_line, number + 1);
            if (!grown)
                return false;
            memset(grown + code->line_count, 0, number + 1 - code->line_count);
            code->has_line = grown;
            code->line_count = (uint32_t)number + 1;
        }
        code->has_line[number] = 1;
    }
    return code->name && code->file;
}

/* "path RECENT NUMBER:LINE ... NUMBER", without its first word. */
static bool read_path(struct bench_legal *legal, char *text)
{
    bool recent = text[0] == '1';
    uint32_t node = NO_NODE, line = 0;
    if (text[0] == '\0' || text[1] != '\t')
        return false;
    for (char *at = text + 2, *end; *at; at = *end ? end + 1 : end) {
        unsigned long code = strtoul(at, &end, 10);
        if (end == at || code >= legal->code_count)
            return false;
        node = add_node(legal, node, line, (uint32_t)code);
        if (node == NO_NODE)
            return false;
        legal->nodes[node].recent = legal->nodes[node].recent || recent;
        line = *end == ':' ? (uint32_t)strtoul(end + 1, &end, 10) : 0;
    }
    legal->path_count++;
    return true;
}

/* "make MAKER LINE MADE", without its first word. */
static bool read_make(struct bench_legal *legal, const char *text)
{
    struct make make;
    if (sscanf(text, "%u\t%u\t%u", &make.maker, &make.line, &make.made) != 3 ||
        make.made >= legal->code_count)
        return false;
    struct make *grown = realloc(legal->makes, (legal->make_count + 1) * sizeof(*grown));
    if (!grown)
        return false;
    grown[legal->make_count++] = make;
    legal->makes = grown;
    return true;
}

static bool is_being_made(const struct bench_legal *legal, uint32_t node, uint32_t call_line,
                          const struct bsk_frame *innermost, uint32_t code)
{
    if (innermost->line != legal->codes[code].first_line)
        return false;
    for (size_t i = 0; i < legal->make_count; i++) {
        const struct make *make = &legal->makes[i];
        if (make->maker == legal->nodes[node].code && make->line == call_line && make->made == code)
            return true;
    }
    return false;
}

/* From each first function inwards, while there is but one way on in the program's later life: that
 * is never left, so a stack that ends before the last of it was cut. */
static bool find_bases(struct bench_legal *legal)
{
    uint32_t *children = calloc(legal->node_count, sizeof(*children));
    uint32_t *only = calloc(legal->node_count, sizeof(*only));
    bool done = children && only;
    for (uint32_t i = 1; done && i < legal->node_count; i++) {
        if (legal->nodes[i].recent) {
            children[legal->nodes[i].parent]++;
            only[legal->nodes[i].parent] = i;
        }
    }
    for (uint32_t i = 1; done && i < legal->node_count; i++) {
        if (legal->nodes[i].parent != 0 || !legal->nodes[i].recent)
            continue;
        /* A thread's first function may do nothing but call: only <module> is never left. */
        if (strcmp(legal->codes[legal->nodes[i].code].name, "<module>") != 0)
            continue;
        for (uint32_t at = i; children[at] == 1 && children[only[at]] > 0; at = only[at])
            legal->nodes[at].above_base = true;
    }
    free(children);
    free(only);
    return done;
}

struct bench_legal *bench_legal_read(FILE *input)
{
    struct bench_legal *legal = calloc(1, sizeof(*legal));
    char *line = NULL;
    size_t capacity = 0;
    bool good = legal && (legal->codes = calloc(CODES_MAX, sizeof(*legal->codes))) && grow(legal);
    bool ended = false;
    while (good && !ended && getline(&line, &capacity, input) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "code\t", 5) == 0)
            good = read_code(legal, line + 5);
        else if (strncmp(line, "path\t", 5) == 0)
            good = read_path(legal, line + 5);
        else if (strncmp(line, "make\t", 5) == 0)
            good = read_make(legal, line + 5);
        else
            good = ended = strcmp(line, "end") == 0;
    }
    free(line);
    if (good && ended && legal->path_count > 0 && find_bases(legal))
        return legal;
    bench_legal_free(legal);
    return NULL;
}

void bench_legal_free(struct bench_legal *legal)
{
    if (!legal)
        return;
    for (size_t i = 0; i < legal->code_count; i++) {
        free(legal->codes[i].name);
        free(legal->codes[i].file);
        free(legal->codes[i].has_line);
    }
    free(legal->codes);
    free(legal->nodes);
    free(legal->buckets);
    free(legal->makes);
    free(legal->by_id);
    free(legal);
}

size_t bench_legal_path_count(const struct bench_legal *legal)
{
    return legal->path_count;
}

size_t bench_legal_code_count(const struct bench_legal *legal)
{
    return legal->code_count;
}

const char *bench_legal_code_name(const struct bench_legal *legal, size_t code)
{
    return legal->codes[code].name;
}

void bench_legal_forget(struct bench_legal *legal)
{
    free(legal->by_id);
    legal->by_id = NULL;
    legal->by_id_count = 0;
}

static int look_up(const struct bench_legal *legal, const struct bsk_code_object *object)
{
    const char *slash = strrchr(object->path, '/');
    const char *file = slash ? slash + 1 : object->path;
    for (size_t i = 0; i < legal->code_count; i++) {
        const struct code *code = &legal->codes[i];
        if (strcmp(code->name, object->name) == 0 && strcmp(code->file, file) == 0 &&
            code->first_line == object->first_line)
            return (int)i;
    }
    return -1;
}

int bench_legal_code(struct bench_legal *legal, const struct bsk_code_object *code)
{
    if (code->id >= legal->by_id_count) {
        size_t count = (code->id + 64) * 2;
        int *grown = realloc(legal->by_id, count * sizeof(*grown));
        if (!grown)
            return look_up(legal, code);
        memset(grown + legal->by_id_count, 0, (count - legal->by_id_count) * sizeof(*grown));
        legal->by_id = grown;
        legal->by_id_count = count;
    }
    if (legal->by_id[code->id] == 0)
        legal->by_id[code->id] = look_up(legal, code) + 2;
    return legal->by_id[code->id] - 2;
}

static bool is_below(const struct bench_legal *legal, uint32_t node, uint32_t ancestor)
{
    while (node != NO_NODE && node != ancestor)
        node = legal->nodes[node].parent;
    return node != NO_NODE;
}

/* The rest of a stack, from its frame `i` (counted from 1, innermost) on, above `gap`: some path
 * there goes on like this. */
static enum bench_judgement judge_above_gap(struct bench_legal *legal,
                                            const struct bsk_thread_sample *thread, size_t i,
                                            uint32_t gap)
{
    for (uint32_t n = 1; n < legal->node_count; n++) {
        uint32_t node = n;
        size_t at = i;
        int code = bench_legal_code(legal, thread->frames[at - 1].code);
        if (code < 0 || legal->nodes[n].code != (uint32_t)code || !is_below(legal, n, gap))
            continue;
        while (--at > 0 && node != NO_NODE) {
            if (strcmp(thread->frames[at - 1].code->name, "(unread)") == 0)
                return at > 1 ? judge_above_gap(legal, thread, at - 1, node) : BENCH_LEGAL;
            code = bench_legal_code(legal, thread->frames[at - 1].code);
            node = code < 0 ? NO_NODE
                            : find_node(legal, node, thread->frames[at].line, (uint32_t)code);
        }
        if (node != NO_NODE)
            return BENCH_LEGAL;
    }
    return BENCH_IMPOSSIBLE;
}

enum bench_judgement bench_legal_judge(struct bench_legal *legal,
                                       const struct bsk_thread_sample *thread)
{
    uint32_t node = NO_NODE, line = 0;
    for (size_t i = thread->depth; i > 0; i--) {
        const struct bsk_frame *frame = &thread->frames[i - 1];
        if (strcmp(frame->code->name, "(unread)") == 0)
            return i > 1 ? judge_above_gap(legal, thread, i - 1, node) : BENCH_BARE;
        if (strcmp(frame->code->name, "(reused code)") == 0)
            return BENCH_BARE; /* what it was is not known any more */
        int code = bench_legal_code(legal, frame->code);
        if (code < 0)
            return BENCH_IMPOSSIBLE;
        uint32_t caller = node;
        node = find_node(legal, caller, line, (uint32_t)code);
        if (node == NO_NODE)
            return i == 1 && is_being_made(legal, caller, line, frame, (uint32_t)code)
                       ? BENCH_LEGAL
                       : BENCH_IMPOSSIBLE;
        line = frame->line;
    }
    if (node == NO_NODE)
        return BENCH_BARE;
    const struct code *leaf = &legal->codes[legal->nodes[node].code];
    if (line >= leaf->line_count || !leaf->has_line[line])
        return BENCH_IMPOSSIBLE;
    return legal->nodes[node].above_base ? BENCH_BARE : BENCH_LEGAL;
}
