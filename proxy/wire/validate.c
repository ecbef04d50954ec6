#include "proxy/wire/validate.h"

#include <string.h>

enum { DEPTH_MAX = 512 };

struct reader {
    const char *at, *end;
};

static char peek(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'))
        r->at++;
    return r->at < r->end ? *r->at : '\0';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool take_text(struct reader *r)
{
    if (r->at == r->end || *r->at++ != '"')
        return false;
    while (r->at < r->end) {
        unsigned char c = (unsigned char)*r->at++;
        if (c == '"')
            return true;
        if (c < 0x20)
            return false;
        if (c != '\\')
            continue;
        if (r->at == r->end)
            return false;
        c = (unsigned char)*r->at++;
        if (c == '\0' || !strchr("\"\\/bfnrtu", c))
            return false;
        for (int i = 0; c == 'u' && i < 4; i++) {
            if (r->at == r->end || !is_hex(*r->at++))
                return false;
        }
    }
    return false;
}

static bool take_digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

static bool take_number(struct reader *r)
{
    if (*r->at == '-')
        r->at++;
    if (!take_digits(r))
        return false;
    if (r->at < r->end && *r->at == '.' && (r->at++, !take_digits(r)))
        return false;
    if (r->at < r->end && (*r->at | 32) == 'e') {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        return take_digits(r);
    }
    return true;
}

static bool take_word(struct reader *r, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return false;
    r->at += length;
    return true;
}

/* A key and its colon. */
static bool take_key(struct reader *r)
{
    if (peek(r) != '"' || !take_text(r) || peek(r) != ':')
        return false;
    r->at++;
    return true;
}

static bool take_scalar(struct reader *r, char first)
{
    return first == '"'   ? take_text(r)
           : first == 't' ? take_word(r, "true")
           : first == 'f' ? take_word(r, "false")
           : first == 'n' ? take_word(r, "null")
                          : (first == '-' || (first >= '0' && first <= '9')) && take_number(r);
}

bool dap_is_json(const char *text, size_t size)
{
    struct reader r = { text, text + size };
    char closing[DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        char first = peek(&r);
        if (first == '{' || first == '[') {
            if (depth == DEPTH_MAX)
                return false;
            closing[depth++] = first == '{' ? '}' : ']';
            r.at++;
            if (peek(&r) != closing[depth - 1]) {
                if (first == '{' && !take_key(&r))
                    return false;
                continue;
            }
        } else if (!take_scalar(&r, first)) {
            return false;
        }
        /* After a value: out of as many as end here. */
        while (depth > 0 && peek(&r) == closing[depth - 1]) {
            r.at++;
            depth--;
        }
        if (depth == 0)
            return peek(&r) == '\0' && r.at == r.end;
        if (peek(&r) != ',')
            return false;
        r.at++;
        if (closing[depth - 1] == '}' && !take_key(&r))
            return false;
    }
}
