#include "engine/memory/traces.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FLAG_REF = 0x80, MOST = 0x7fffffff };

/* What a marshalled list can refer back to. Its places are counted anew in each list. */
enum ref_kind { REF_OPEN, REF_NUMBER, REF_TEXT, REF_FRAME, REF_STACK };

struct ref {
    enum ref_kind kind;
    int64_t value; /* the number, or an index into the traces */
};

/* Open addressing: place of an index + 1, or 0. */
struct index {
    uint32_t *slots;
    size_t size, used; /* size: a power of two */
};

struct bsk_trace_interning {
    struct index paths, frames, stacks;
    size_t path_capacity, frame_capacity, stack_capacity, frames_of_capacity;
    struct ref *refs;
    size_t ref_count, ref_capacity;
};

struct reader {
    const unsigned char *at, *end;
    struct bsk_traces *traces;
    struct bsk_trace_interning *in;
    struct bsk_error *err;
    int rc;
};

static bool fail(struct reader *r, int code, const char *what)
{
    if (r->rc == BSK_OK)
        r->rc = bsk_fail(r->err, code, NULL, "the dump is broken: %s", what);
    return false;
}

static bool no_memory(struct reader *r)
{
    return fail(r, BSK_E_MEMORY, "out of memory");
}

/* Room for one more of `size` bytes each. */
static bool room(struct reader *r, void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return true;
    size_t more = *capacity ? *capacity * 2 : 256;
    if (more > MOST)
        return fail(r, BSK_E_LIMIT, "too much in it");
    void *grown = realloc(*items, more * size);
    if (!grown)
        return no_memory(r);
    *items = grown;
    *capacity = more;
    return true;
}

#define ROOM(r, array, capacity, count)                                                            \
    room(r, (void **)&(array), &(capacity), count, sizeof(*(array)))

/* ---- bytes -------------------------------------------------------------------------------------
 */

static bool little(struct reader *r, size_t bytes, uint64_t *out)
{
    if ((size_t)(r->end - r->at) < bytes)
        return fail(r, BSK_E_FORMAT, "it ends too early");
    *out = 0;
    for (size_t i = bytes; i > 0; i--)
        *out = *out << 8 | r->at[i - 1];
    r->at += bytes;
    return true;
}

/* A kind of value, and the place where it is to be noted, or SIZE_MAX. */
static bool type(struct reader *r, int *out_type, size_t *out_place)
{
    if (r->at == r->end)
        return fail(r, BSK_E_FORMAT, "it ends too early");
    unsigned char byte = *r->at++;
    *out_type = byte & ~FLAG_REF;
    *out_place = SIZE_MAX;
    if (!(byte & FLAG_REF))
        return true;
    struct bsk_trace_interning *in = r->in;
    if (!ROOM(r, in->refs, in->ref_capacity, in->ref_count))
        return false;
    in->refs[in->ref_count] = (struct ref){ REF_OPEN, 0 };
    *out_place = in->ref_count++;
    return true;
}

static void note(struct reader *r, size_t place, enum ref_kind kind, int64_t value)
{
    if (place != SIZE_MAX)
        r->in->refs[place] = (struct ref){ kind, value };
}

static bool refer(struct reader *r, enum ref_kind kind, int64_t *out)
{
    uint64_t place = 0;
    if (!little(r, 4, &place))
        return false;
    if (place >= r->in->ref_count || r->in->refs[place].kind != kind)
        return fail(r, BSK_E_FORMAT, "it refers to what is not there");
    *out = r->in->refs[place].value;
    return true;
}

static bool long_number(struct reader *r, int64_t *out)
{
    uint64_t raw = 0, sum = 0;
    if (!little(r, 4, &raw))
        return false;
    int32_t count = (int32_t)(uint32_t)raw;
    if (count < 0 || count > 5)
        return fail(r, BSK_E_FORMAT, "a number that is too large");
    for (int32_t i = 0; i < count; i++) {
        uint64_t digit = 0;
        if (!little(r, 2, &digit))
            return false;
        if (digit > 0x7fff || (i == 4 && digit > 7))
            return fail(r, BSK_E_FORMAT, "a number that is too large");
        sum |= digit << (i * 15);
    }
    *out = (int64_t)sum;
    return true;
}

/* An integer; None is -1. */
static bool number(struct reader *r, int64_t *out)
{
    int is = 0;
    size_t place = SIZE_MAX;
    uint64_t raw = 0;
    if (!type(r, &is, &place))
        return false;
    switch (is) {
    case 'i':
        if (!little(r, 4, &raw))
            return false;
        *out = (int32_t)(uint32_t)raw;
        break;
    case 'l':
        if (!long_number(r, out))
            return false;
        break;
    case 'N':
        *out = -1;
        break;
    case 'r':
        return refer(r, REF_NUMBER, out);
    default:
        return fail(r, BSK_E_FORMAT, "no number where one belongs");
    }
    note(r, place, REF_NUMBER, *out);
    return true;
}

/* A tuple's or a list's length, whose kind was read already. */
static bool length(struct reader *r, int is, size_t *out)
{
    uint64_t raw = 0;
    if (is != '(' && is != '[' && is != ')')
        return fail(r, BSK_E_FORMAT, "no list where one belongs");
    if (!little(r, is == ')' ? 1 : 4, &raw))
        return false;
    if (raw > (size_t)(r->end - r->at)) /* an item has one byte at least */
        return fail(r, BSK_E_FORMAT, "a list that is longer than the dump");
    *out = (size_t)raw;
    return true;
}

/* ---- each path, line and stack once ------------------------------------------------------------
 */

static uint64_t mixed(uint64_t a, uint64_t b)
{
    uint64_t hash = (a ^ (b + 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 32;
}

static uint64_t hash_bytes(const void *bytes, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return mixed(hash, size);
}

static uint64_t hash_path(const struct bsk_traces *t, uint32_t i)
{
    return hash_bytes(t->paths[i].text, t->paths[i].bytes);
}

static uint64_t hash_frame(const struct bsk_traces *t, uint32_t i)
{
    return mixed(t->frames[i].path, t->frames[i].line);
}

static uint64_t hash_stack(const struct bsk_traces *t, uint32_t i)
{
    return hash_bytes(&t->frames_of[t->stacks[i].first], t->stacks[i].depth * sizeof(uint32_t));
}

static bool same_path(const struct bsk_traces *t, uint32_t a, uint32_t b)
{
    return t->paths[a].bytes == t->paths[b].bytes &&
           memcmp(t->paths[a].text, t->paths[b].text, t->paths[a].bytes) == 0;
}

static bool same_frame(const struct bsk_traces *t, uint32_t a, uint32_t b)
{
    return t->frames[a].path == t->frames[b].path && t->frames[a].line == t->frames[b].line;
}

static bool same_stack(const struct bsk_traces *t, uint32_t a, uint32_t b)
{
    return t->stacks[a].depth == t->stacks[b].depth &&
           memcmp(&t->frames_of[t->stacks[a].first], &t->frames_of[t->stacks[b].first],
                  t->stacks[a].depth * sizeof(uint32_t)) == 0;
}

typedef uint64_t hash_fn(const struct bsk_traces *traces, uint32_t index);
typedef bool same_fn(const struct bsk_traces *traces, uint32_t a, uint32_t b);

static bool grow_index(struct reader *r, struct index *index, hash_fn *hash)
{
    size_t size = index->size ? index->size * 2 : 512;
    uint32_t *slots = calloc(size, sizeof(*slots));
    if (!slots)
        return no_memory(r);
    for (size_t i = 0; i < index->size; i++) {
        if (index->slots[i] == 0)
            continue;
        size_t at = hash(r->traces, index->slots[i] - 1) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = index->slots[i];
    }
    free(index->slots);
    index->slots = slots;
    index->size = size;
    return true;
}

/* `candidate` stands at the end of its array already: the place of its equal, or its own; then it
 * is noted. */
static bool intern(struct reader *r, struct index *index, hash_fn *hash, same_fn *same,
                   uint32_t candidate, uint32_t *out)
{
    if (index->used * 2 >= index->size && !grow_index(r, index, hash))
        return false;
    size_t at = hash(r->traces, candidate) & (index->size - 1);
    for (; index->slots[at]; at = (at + 1) & (index->size - 1)) {
        if (same(r->traces, index->slots[at] - 1, candidate)) {
            *out = index->slots[at] - 1;
            return true;
        }
    }
    index->slots[at] = candidate + 1;
    index->used++;
    *out = candidate;
    return true;
}

/* ---- what the blocks say -----------------------------------------------------------------------
 */

static bool path(struct reader *r, int64_t *out)
{
    int is = 0;
    size_t place = SIZE_MAX;
    uint64_t size = 0;
    uint32_t found = 0;
    struct bsk_traces *t = r->traces;
    if (!type(r, &is, &place))
        return false;
    if (is == 'r')
        return refer(r, REF_TEXT, out);
    bool is_short = is == 'z' || is == 'Z';
    if (!is_short && is != 'u' && is != 't' && is != 'a' && is != 'A')
        return fail(r, BSK_E_FORMAT, "no file name where one belongs");
    if (!little(r, is_short ? 1 : 4, &size))
        return false;
    if (size > (size_t)(r->end - r->at))
        return fail(r, BSK_E_FORMAT, "it ends too early");
    if (!ROOM(r, t->paths, r->in->path_capacity, t->path_count))
        return false;
    t->paths[t->path_count] = (struct bsk_trace_path){ (const char *)r->at, (uint32_t)size };
    r->at += size;
    if (!intern(r, &r->in->paths, hash_path, same_path, (uint32_t)t->path_count, &found))
        return false;
    t->path_count += found == t->path_count;
    *out = found;
    note(r, place, REF_TEXT, found);
    return true;
}

static bool frame(struct reader *r, int64_t *out)
{
    int is = 0;
    size_t place = SIZE_MAX, count = 0;
    int64_t file = 0, line = 0;
    uint32_t found = 0;
    struct bsk_traces *t = r->traces;
    if (!type(r, &is, &place))
        return false;
    if (is == 'r')
        return refer(r, REF_FRAME, out);
    if (!length(r, is, &count) || !path(r, &file) || !number(r, &line))
        return false;
    if (count != 2)
        return fail(r, BSK_E_FORMAT, "a frame that is no pair");
    if (!ROOM(r, t->frames, r->in->frame_capacity, t->frame_count))
        return false;
    t->frames[t->frame_count] = (struct bsk_trace_frame){
        .path = (uint32_t)file,
        .line = line > 0 && line <= MOST ? (uint32_t)line : 0,
    };
    if (!intern(r, &r->in->frames, hash_frame, same_frame, (uint32_t)t->frame_count, &found))
        return false;
    t->frame_count += found == t->frame_count;
    *out = found;
    note(r, place, REF_FRAME, found);
    return true;
}

static bool stack(struct reader *r, int64_t *out)
{
    int is = 0;
    size_t place = SIZE_MAX, depth = 0;
    uint32_t found = 0;
    struct bsk_traces *t = r->traces;
    if (!type(r, &is, &place))
        return false;
    if (is == 'r')
        return refer(r, REF_STACK, out);
    if (!length(r, is, &depth))
        return false;
    if (depth > BSK_TRACES_MAX_DEPTH)
        return fail(r, BSK_E_LIMIT, "a stack that is too deep");
    size_t first = t->frames_of_count;
    for (size_t i = 0; i < depth; i++) {
        int64_t one = 0;
        if (!frame(r, &one) ||
            !ROOM(r, t->frames_of, r->in->frames_of_capacity, t->frames_of_count))
            return false;
        t->frames_of[t->frames_of_count++] = (uint32_t)one;
    }
    if (!ROOM(r, t->stacks, r->in->stack_capacity, t->stack_count))
        return false;
    t->stacks[t->stack_count] =
        (struct bsk_trace_stack){ .first = (uint32_t)first, .depth = (uint32_t)depth };
    if (depth == 0 && !t->frames_of &&
        !ROOM(r, t->frames_of, r->in->frames_of_capacity, t->frames_of_count))
        return false;
    if (!intern(r, &r->in->stacks, hash_stack, same_stack, (uint32_t)t->stack_count, &found))
        return false;
    if (found == t->stack_count)
        t->stack_count++;
    else
        t->frames_of_count = first;
    *out = found;
    note(r, place, REF_STACK, found);
    return true;
}

/* (domain, bytes, frames) to 3.8; (domain, bytes, frames, how many there were) from 3.9 on. */
static bool block(struct reader *r)
{
    int is = 0;
    size_t place = SIZE_MAX, count = 0;
    int64_t domain = 0, bytes = 0, at = 0, all = 0;
    if (!type(r, &is, &place) || !length(r, is, &count))
        return false;
    if (count != 3 && count != 4)
        return fail(r, BSK_E_FORMAT, "a block with too few or too many fields");
    if (!number(r, &domain) || !number(r, &bytes) || !stack(r, &at) ||
        (count == 4 && !number(r, &all)))
        return false;
    struct bsk_trace_stack *of = &r->traces->stacks[at];
    if (bytes < 0 || (uint64_t)bytes > (uint64_t)1 << 56)
        return fail(r, BSK_E_FORMAT, "a block's size");
    uint64_t size = (uint64_t)bytes, blocks = 1;
    if (r->traces->weight > 0) {
        double each = r->traces->weight / (all > 1 ? (double)all : 1);
        size = (uint64_t)((double)bytes * each + 0.5);
        blocks = (uint64_t)(each * 1000 + 0.5);
    }
    of->bytes += size;
    of->blocks += blocks;
    r->traces->bytes += size;
    r->traces->blocks += blocks;
    return true;
}

int bsk_traces_read(struct bsk_traces *traces, const unsigned char *bytes, size_t size,
                    size_t *out_used, struct bsk_error *err)
{
    if (!traces->interning) {
        traces->interning = calloc(1, sizeof(*traces->interning));
        if (!traces->interning)
            return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    struct reader r = {
        .at = bytes, .end = bytes + size, .traces = traces, .in = traces->interning, .err = err
    };
    int is = 0;
    size_t place = SIZE_MAX, count = 0;
    r.in->ref_count = 0;
    if (type(&r, &is, &place) && length(&r, is, &count)) {
        for (size_t i = 0; i < count && block(&r); i++)
            continue;
    }
    *out_used = (size_t)(r.at - bytes);
    return r.rc;
}

void bsk_traces_free(struct bsk_traces *traces)
{
    struct bsk_trace_interning *in = traces->interning;
    if (in) {
        free(in->paths.slots);
        free(in->frames.slots);
        free(in->stacks.slots);
        free(in->refs);
        free(in);
    }
    free(traces->paths);
    free(traces->frames);
    free(traces->stacks);
    free(traces->frames_of);
    *traces = (struct bsk_traces){ 0 };
}

int bsk_numbers_read(const unsigned char *bytes, size_t size, bsk_number_fn *fn, void *user,
                     size_t *out_used, struct bsk_error *err)
{
    struct bsk_trace_interning in = { 0 };
    struct reader r = { .at = bytes, .end = bytes + size, .in = &in, .err = err };
    int is = 0;
    size_t place = SIZE_MAX, count = 0;
    if (type(&r, &is, &place) && length(&r, is, &count)) {
        int64_t value = 0;
        for (size_t i = 0; i < count && number(&r, &value); i++)
            fn(user, i, value);
    }
    *out_used = (size_t)(r.at - bytes);
    free(in.refs);
    return r.rc;
}
