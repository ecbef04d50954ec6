#include "proxy/wire/locate.h"

#include <string.h>

struct cursor {
    const char *json;
    size_t size, at;
};

static bool skip_spaces(struct cursor *c)
{
    while (c->at < c->size && strchr(" \t\r\n", c->json[c->at]) && c->json[c->at])
        c->at++;
    return c->at < c->size;
}

/* From the opening quote past the closing one. */
static bool skip_text(struct cursor *c)
{
    for (c->at++; c->at < c->size; c->at++) {
        if (c->json[c->at] == '\\')
            c->at++;
        else if (c->json[c->at] == '"')
            return ++c->at, true;
    }
    return false;
}

static bool skip_value(struct cursor *c)
{
    if (!skip_spaces(c))
        return false;
    char first = c->json[c->at];
    if (first == '"')
        return skip_text(c);
    if (first != '{' && first != '[') {
        size_t from = c->at;
        while (c->at < c->size && !(strchr(",}] \t\r\n", c->json[c->at]) && c->json[c->at]))
            c->at++;
        return c->at > from;
    }
    size_t depth = 0;
    while (c->at < c->size) {
        char here = c->json[c->at];
        if (here == '"') {
            if (!skip_text(c))
                return false;
            continue;
        }
        c->at++;
        if (here == '{' || here == '[')
            depth++;
        else if ((here == '}' || here == ']') && --depth == 0)
            return true;
    }
    return false;
}

/* Is the JSON text at [at, at + bytes), quotes included, the ASCII `name`? */
static bool text_is(const char *json, size_t bytes, const char *name)
{
    size_t at = 1;
    for (; at + 1 < bytes && *name; name++) {
        char c = json[at++];
        if (c == '\\') {
            c = json[at++];
            if (c == 'u') {
                unsigned code = 0;
                for (int i = 0; i < 4 && at + 1 < bytes; i++, at++) {
                    char digit = json[at];
                    code = code * 16 +
                           (unsigned)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
                }
                if (code != (unsigned char)*name)
                    return false;
                continue;
            }
            if (strchr("bfnrt", c))
                return false; /* control characters are in no name that we look for */
        }
        if (c != *name)
            return false;
    }
    return *name == '\0' && at + 1 == bytes;
}

/* One object's member `name`; `c` stands at the object's brace. */
static bool find_member(struct cursor *c, const char *name, struct dap_member *out)
{
    bool found = false;
    if (!skip_spaces(c) || c->json[c->at] != '{')
        return false;
    size_t comma = c->at++; /* the brace, until there is a comma before a key */
    bool first = true;
    for (;;) {
        if (!skip_spaces(c))
            return false;
        if (c->json[c->at] == '}')
            return found;
        size_t key = c->at;
        if (c->json[key] != '"' || !skip_text(c))
            return false;
        size_t key_bytes = c->at - key;
        if (!skip_spaces(c) || c->json[c->at] != ':')
            return false;
        c->at++;
        if (!skip_spaces(c))
            return false;
        size_t value = c->at;
        if (!skip_value(c))
            return false;
        size_t value_end = c->at;
        if (!skip_spaces(c))
            return false;
        bool more = c->json[c->at] == ',';
        if (text_is(c->json + key, key_bytes, name)) {
            found = true;
            out->value_at = value;
            out->value_bytes = value_end - value;
            /* With a comma before it that one goes, else the one after. */
            out->cut_at = first ? comma + 1 : comma;
            out->cut_bytes = (first && more ? c->at + 1 : value_end) - out->cut_at;
        }
        if (!more)
            return c->json[c->at] == '}' && found;
        comma = c->at++;
        first = false;
    }
}

bool dap_locate(const char *json, size_t size, const char *const *path, struct dap_member *out)
{
    struct cursor c = { json, size, 0 };
    struct dap_member member = { 0, size, 0, 0 };
    for (; *path; path++) {
        c.at = member.value_at;
        c.size = member.value_at + member.value_bytes;
        if (!find_member(&c, *path, &member))
            return false;
    }
    *out = member;
    return true;
}
