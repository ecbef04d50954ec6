#include "engine/profile/match.h"

#include "engine/profile/origin.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_PAIRS = 4000000, /* candidates of one round; past that names are too common to guess */
};
#define NONE UINT32_MAX

struct entry { /* one (name, path); several functions may be it */
    const char *name, *path;
    uint32_t key;
    uint32_t function[2]; /* one of each profile, or NONE */
};

struct ref {
    const char *name, *path;
    uint32_t side, function;
};

struct pair {
    uint32_t before, after; /* entries */
    uint32_t alike;         /* how many components the paths share at their end */
};

static int by_name_and_path(const void *left, const void *right)
{
    const struct ref *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->path, b->path);
}

/* Entries in the order of name and path, with the functions of either profile. */
static struct entry *collect(const struct bsk_profile *const sides[2], uint32_t *const of[2],
                             uint32_t *out_count)
{
    size_t total = bsk_profile_function_count(sides[0]) + bsk_profile_function_count(sides[1]);
    struct ref *refs = calloc(total + 1, sizeof(*refs));
    struct entry *entries = calloc(total + 1, sizeof(*entries));
    size_t count = 0, at = 0;
    if (!refs || !entries) {
        free(refs);
        free(entries);
        return NULL;
    }
    for (uint32_t side = 0; side < 2; side++) {
        for (uint32_t i = 0; i < bsk_profile_function_count(sides[side]); i++) {
            struct bsk_function function = bsk_profile_function_at(sides[side], i);
            refs[count++] = (struct ref){ function.name, function.path, side, i };
        }
    }
    qsort(refs, count, sizeof(*refs), by_name_and_path);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || by_name_and_path(&refs[i - 1], &refs[i]) != 0) {
            entries[at] = (struct entry){ .name = refs[i].name,
                                          .path = refs[i].path,
                                          .key = (uint32_t)at,
                                          .function = { NONE, NONE } };
            at++;
        }
        entries[at - 1].function[refs[i].side] = refs[i].function;
        of[refs[i].side][refs[i].function] = (uint32_t)at - 1;
    }
    free(refs);
    *out_count = (uint32_t)at;
    return entries;
}

/* How many components `a` and `b` share at their end; 0 unless the file's own name is one. */
static uint32_t alike(const char *a, const char *b)
{
    size_t i = strlen(a), j = strlen(b);
    uint32_t count = 0;
    while (i > 0 && j > 0 && a[i - 1] == b[j - 1]) {
        i--;
        j--;
        count += a[i] == '/' && i > 0;
    }
    bool a_begins = i == 0 || a[i] == '/' || a[i - 1] == '/';
    bool b_begins = j == 0 || b[j] == '/' || b[j - 1] == '/';
    bool on_slash = (i > 0 && a[i] == '/') || (j > 0 && b[j] == '/');
    return count + (a_begins && b_begins && !on_slash);
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot[1] ? dot + 1 : name;
}

static const char *whole(const char *name)
{
    return name;
}

typedef const char *name_of(const char *name);

static bool is_left(const struct entry *entry, uint32_t side)
{
    return entry->function[side] != NONE && entry->function[1 - side] == NONE && entry->path[0];
}

static bool may_pair(const struct entry *a, const struct entry *b, name_of *name)
{
    enum bsk_code_origin left = bsk_code_origin(a->path), right = bsk_code_origin(b->path);
    if (left != right && a->path[0] == '/' && b->path[0] == '/')
        return false;
    /* "A.run" and "B.run" are two functions; "run" may be either */
    return name == whole || (strchr(a->name, '.') == NULL) != (strchr(b->name, '.') == NULL);
}

static int by_likeness(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    if (a->alike != b->alike)
        return a->alike > b->alike ? -1 : 1;
    if (a->before != b->before)
        return a->before < b->before ? -1 : 1;
    return (a->after > b->after) - (a->after < b->after);
}

struct named {
    const char *name;
    uint32_t entry;
};

static int by_name(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->entry > b->entry) - (a->entry < b->entry);
}

/* All pairs of entries of one name that may be one function. */
static bool find_pairs(const struct entry *entries, uint32_t count, name_of *name,
                       struct pair **out_pairs, size_t *out_count)
{
    struct named *left = malloc(((size_t)count + 1) * sizeof(*left));
    size_t lefts = 0, pairs = 0, capacity = 0;
    *out_pairs = NULL;
    if (!left)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (is_left(&entries[i], 0) || is_left(&entries[i], 1))
            left[lefts++] = (struct named){ name(entries[i].name), i };
    }
    qsort(left, lefts, sizeof(*left), by_name);
    for (size_t begin = 0, end; begin < lefts; begin = end) {
        for (end = begin + 1; end < lefts && strcmp(left[end].name, left[begin].name) == 0;)
            end++;
        if ((end - begin) * (end - begin) > MAX_PAIRS)
            continue;
        for (size_t i = begin; i < end; i++) {
            const struct entry *a = &entries[left[i].entry];
            for (size_t j = begin; j < end && is_left(a, 0); j++) {
                const struct entry *b = &entries[left[j].entry];
                uint32_t score =
                    is_left(b, 1) && may_pair(a, b, name) ? alike(a->path, b->path) : 0;
                if (score == 0)
                    continue;
                if (pairs == capacity) {
                    capacity = capacity * 2 + 64;
                    struct pair *grown = realloc(*out_pairs, capacity * sizeof(*grown));
                    if (!grown) {
                        free(left);
                        return false;
                    }
                    *out_pairs = grown;
                }
                (*out_pairs)[pairs++] = (struct pair){ left[i].entry, left[j].entry, score };
            }
        }
    }
    free(left);
    *out_count = pairs;
    return true;
}

/* Joins pairs, the most alike first; where two are as much alike, none. */
static bool join(struct entry *entries, uint32_t count, name_of *name)
{
    struct pair *pairs = NULL;
    size_t pair_count = 0;
    uint32_t *rivals = calloc((size_t)count + 1, sizeof(*rivals));
    if (!rivals || !find_pairs(entries, count, name, &pairs, &pair_count)) {
        free(rivals);
        free(pairs);
        return false;
    }
    if (pair_count > 0)
        qsort(pairs, pair_count, sizeof(*pairs), by_likeness);
    for (size_t begin = 0, end; begin < pair_count; begin = end) {
        for (end = begin; end < pair_count && pairs[end].alike == pairs[begin].alike; end++) {
            if (is_left(&entries[pairs[end].before], 0) && is_left(&entries[pairs[end].after], 1)) {
                rivals[pairs[end].before]++;
                rivals[pairs[end].after]++;
            }
        }
        for (size_t i = begin; i < end; i++) {
            struct entry *a = &entries[pairs[i].before], *b = &entries[pairs[i].after];
            if (!is_left(a, 0) || !is_left(b, 1) || rivals[pairs[i].before] > 1 ||
                rivals[pairs[i].after] > 1)
                continue;
            a->function[1] = b->function[1];
            b->function[0] = a->function[0];
            b->key = a->key;
        }
        for (size_t i = begin; i < end; i++) /* what was ambiguous stays so */
            rivals[pairs[i].before] = rivals[pairs[i].after] = 2;
    }
    free(pairs);
    free(rivals);
    return true;
}

static void number(const struct entry *entries, uint32_t count, struct bsk_match *match,
                   uint32_t *number_of)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = entries[i].key;
        if (number_of[key] == NONE) {
            number_of[key] = match->count++;
            match->in_before[number_of[key]] = entries[i].function[0];
            match->in_after[number_of[key]] = entries[i].function[1];
        }
    }
}

bool bsk_match_make(const struct bsk_profile *before, const struct bsk_profile *after,
                    struct bsk_match *out_match)
{
    const struct bsk_profile *const sides[2] = { before, after };
    size_t counts[2] = { bsk_profile_function_count(before), bsk_profile_function_count(after) };
    size_t total = counts[0] + counts[1] + 1;
    struct bsk_match match = {
        .of_before = calloc(counts[0] + 1, sizeof(uint32_t)),
        .of_after = calloc(counts[1] + 1, sizeof(uint32_t)),
        .in_before = calloc(total, sizeof(uint32_t)),
        .in_after = calloc(total, sizeof(uint32_t)),
    };
    uint32_t *number_of = malloc(total * sizeof(*number_of)), count = 0;
    uint32_t *const of[2] = { match.of_before, match.of_after };
    struct entry *entries = NULL;
    bool done = false;
    if (!match.of_before || !match.of_after || !match.in_before || !match.in_after || !number_of)
        goto out;
    entries = collect(sides, of, &count);
    if (!entries || !join(entries, count, whole) || !join(entries, count, last_part))
        goto out;
    memset(number_of, 0xff, total * sizeof(*number_of));
    number(entries, count, &match, number_of);
    for (uint32_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < counts[side]; i++)
            of[side][i] = number_of[entries[of[side][i]].key];
    }
    done = true;
out:
    free(entries);
    free(number_of);
    if (done)
        *out_match = match;
    else
        bsk_match_free(&match);
    return done;
}

void bsk_match_free(struct bsk_match *match)
{
    free(match->of_before);
    free(match->of_after);
    free(match->in_before);
    free(match->in_after);
    memset(match, 0, sizeof(*match));
}
