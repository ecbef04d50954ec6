#include "engine/import/pull.h"

#include "engine/base/strings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX_BYTES = 64 << 10, NUMBER_MAX_BYTES = 64 };

bool bsk_pull_fail(struct bsk_pull *pull, enum bsk_code code, const char *format, ...)
{
    if (pull->failed)
        return false;
    pull->failed = true;
    size_t line = 1;
    const char *begin = pull->start;
    for (const char *nl; (nl = memchr(begin, '\n', (size_t)(pull->at - begin))) != NULL;) {
        line++;
        begin = nl + 1;
    }
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bsk_fail(pull->err, code, NULL, "%.200s: line %zu, column %zu: %s", pull->name, line,
             (size_t)(pull->at - begin) + 1, text);
    return false;
}

/* What stands where something else was wanted, in words that fit a terminal. */
static bool wanted(struct bsk_pull *pull, const char *what)
{
    if (pull->at == pull->end)
        return bsk_pull_fail(pull, BSK_E_FORMAT, "%s was expected, but the file ends here", what);
    unsigned char c = (unsigned char)*pull->at;
    if (c < 0x20 || c >= 0x7f)
        return bsk_pull_fail(pull, BSK_E_FORMAT, "%s was expected, not the byte 0x%02x", what, c);
    return bsk_pull_fail(pull, BSK_E_FORMAT, "%s was expected, not '%c'", what, c);
}

static void blanks(struct bsk_pull *pull)
{
    while (pull->at < pull->end &&
           (*pull->at == ' ' || *pull->at == '\n' || *pull->at == '\t' || *pull->at == '\r'))
        pull->at++;
}

char bsk_pull_peek(struct bsk_pull *pull)
{
    blanks(pull);
    return pull->failed || pull->at == pull->end ? 0 : *pull->at;
}

static bool take(struct bsk_pull *pull, char c, const char *what)
{
    if (pull->failed)
        return false;
    blanks(pull);
    if (pull->at == pull->end || *pull->at != c)
        return wanted(pull, what);
    pull->at++;
    return true;
}

bool bsk_pull_object(struct bsk_pull *pull)
{
    pull->first = true;
    return take(pull, '{', "an object ('{')");
}

bool bsk_pull_array(struct bsk_pull *pull)
{
    pull->first = true;
    return take(pull, '[', "a list ('[')");
}

/* At the closing bracket: leaves. Else passes the comma where one is due. */
static bool more(struct bsk_pull *pull, char closing, const char *what)
{
    if (pull->failed)
        return false;
    bool first = pull->first;
    pull->first = false;
    blanks(pull);
    if (pull->at < pull->end && *pull->at == closing) {
        pull->at++;
        return false;
    }
    return first || take(pull, ',', what);
}

/* The text between the quotes, as it is written. */
static bool quoted(struct bsk_pull *pull, struct bsk_span *out)
{
    if (!take(pull, '"', "text in quotes"))
        return false;
    const char *begin = pull->at;
    while (pull->at < pull->end && *pull->at != '"') {
        unsigned char c = (unsigned char)*pull->at;
        if (c < 0x20)
            return wanted(pull, "the end of the text in quotes");
        if (c == '\\' && ++pull->at == pull->end)
            break;
        pull->at++;
    }
    if (pull->at == pull->end)
        return wanted(pull, "the end of the text in quotes");
    *out = (struct bsk_span){ begin, (size_t)(pull->at - begin) };
    pull->at++;
    return true;
}

bool bsk_pull_key(struct bsk_pull *pull, struct bsk_span *out_key)
{
    return more(pull, '}', "',' or '}'") && quoted(pull, out_key) && take(pull, ':', "':'");
}

bool bsk_pull_item(struct bsk_pull *pull)
{
    if (!more(pull, ']', "',' or ']'"))
        return false;
    blanks(pull);
    if (pull->at == pull->end || *pull->at == ']')
        return wanted(pull, "a value");
    return true;
}

bool bsk_pull_is(struct bsk_span key, const char *name)
{
    return strlen(name) == key.size && memcmp(key.text, name, key.size) == 0;
}

static bool literal(struct bsk_pull *pull, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(pull->end - pull->at) < size || memcmp(pull->at, word, size) != 0)
        return wanted(pull, "a value");
    pull->at += size;
    return true;
}

static int hex4(const char *at, const char *end)
{
    int value = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t encode(uint32_t point, char out[4])
{
    if (point == 0 || (point >= 0xd800 && point < 0xe000) || point > 0x10ffff)
        point = 0xfffd;
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

/* The escape behind a backslash at `at`; returns where it ends, or NULL. */
static const char *escape(const char *at, const char *end, char out[4], size_t *out_size)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = *at ? strchr(from, *at) : NULL;
    if (found) {
        out[0] = to[found - from];
        *out_size = 1;
        return at + 1;
    }
    int high = *at == 'u' ? hex4(at + 1, end) : -1;
    if (high < 0)
        return NULL;
    at += 5;
    uint32_t point = (uint32_t)high;
    if (point >= 0xd800 && point < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int low = hex4(at + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
            point = 0x10000 + ((point - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
            at += 6;
        }
    }
    *out_size = encode(point, out);
    return at;
}

const char *bsk_pull_text(struct bsk_pull *pull, struct bsk_buffer *room)
{
    struct bsk_span span;
    bsk_buffer_clear(room);
    if (bsk_pull_peek(pull) == 'n') {
        literal(pull, "null");
        return "";
    }
    if (pull->failed || !quoted(pull, &span))
        return "";
    const char *end = span.text + span.size;
    for (const char *at = span.text; at < end && room->size < TEXT_MAX_BYTES;) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((stop ? stop : end) - at);
        plain = plain > TEXT_MAX_BYTES ? TEXT_MAX_BYTES : plain;
        bsk_buffer_append(room, at, plain);
        at += plain;
        if (at != stop)
            continue;
        char bytes[4];
        size_t size;
        const char *next = escape(at + 1, end, bytes, &size);
        if (!next) {
            pull->at = at;
            bsk_pull_fail(pull, BSK_E_FORMAT, "there is no such escape");
            return "";
        }
        bsk_buffer_append(room, bytes, size);
        at = next;
    }
    if (room->failed)
        bsk_pull_fail(pull, BSK_E_MEMORY, "out of memory");
    return bsk_buffer_text(room);
}

double bsk_pull_number(struct bsk_pull *pull)
{
    char c = bsk_pull_peek(pull), digits[NUMBER_MAX_BYTES + 1];
    size_t size = 0;
    if (pull->failed)
        return 0;
    if (c == 'n') {
        literal(pull, "null");
        return 0;
    }
    while (pull->at + size < pull->end && size <= NUMBER_MAX_BYTES && pull->at[size] &&
           strchr("+-.0123456789eE", pull->at[size]))
        size++;
    if (size > 0 && size <= NUMBER_MAX_BYTES) {
        char *end;
        memcpy(digits, pull->at, size);
        digits[size] = '\0';
        double value = strtod(digits, &end);
        if (*end == '\0' && digits[0] != '+' && digits[0] != '.' && isfinite(value)) {
            pull->at += size;
            return value;
        }
    }
    wanted(pull, "a number");
    return 0;
}

uint64_t bsk_pull_index(struct bsk_pull *pull, uint64_t most, const char *what)
{
    uint64_t value = 0;
    bsk_pull_peek(pull);
    if (pull->failed)
        return 0;
    const char *begin = pull->at;
    while (pull->at < pull->end && *pull->at >= '0' && *pull->at <= '9' && value <= most &&
           value <= UINT64_MAX / 10 - 1)
        value = value * 10 + (uint64_t)(*pull->at++ - '0');
    bool digits = pull->at > begin;
    bool ends = pull->at == pull->end || *pull->at == ',' || *pull->at == ']' || *pull->at == '}' ||
                *pull->at == ' ' || *pull->at == '\n' || *pull->at == '\r' || *pull->at == '\t';
    if (digits && ends && value <= most)
        return value;
    pull->at = begin;
    if (digits)
        bsk_pull_fail(pull, BSK_E_FORMAT, "%s is no whole number from 0 to %llu", what,
                      (unsigned long long)most);
    else
        wanted(pull, "a whole number");
    return 0;
}

static bool scalar(struct bsk_pull *pull)
{
    struct bsk_span ignored;
    switch (bsk_pull_peek(pull)) {
    case '"':
        return quoted(pull, &ignored);
    case 't':
        return literal(pull, "true");
    case 'f':
        return literal(pull, "false");
    case 'n':
        return literal(pull, "null");
    default:
        bsk_pull_number(pull);
        return !pull->failed;
    }
}

bool bsk_pull_skip(struct bsk_pull *pull)
{
    char open[BSK_PULL_MAX_NESTING];
    size_t depth = 0;
    struct bsk_span key;
    do {
        char c = bsk_pull_peek(pull);
        if (c == '{' || c == '[') {
            if (depth == sizeof(open))
                return bsk_pull_fail(pull, BSK_E_LIMIT, "nested more than %zu deep", sizeof(open));
            open[depth++] = c;
            pull->at++;
            pull->first = true;
        } else if (!scalar(pull)) {
            return false;
        }
        /* leaves what ends here, up to where another value comes */
        while (depth > 0 &&
               !(open[depth - 1] == '{' ? bsk_pull_key(pull, &key) : bsk_pull_item(pull))) {
            if (pull->failed)
                return false;
            depth--;
        }
    } while (depth > 0);
    pull->first = false;
    return !pull->failed;
}

bool bsk_pull_done(struct bsk_pull *pull)
{
    blanks(pull);
    return !pull->failed && (pull->at == pull->end || wanted(pull, "the end of the file"));
}
