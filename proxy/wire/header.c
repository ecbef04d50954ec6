#include "proxy/wire/header.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define COMPLAINT "does the adapter print to its standard output?"

/* Is `line` (of `size` bytes so far) the field `name`, or could it still become it? */
static bool is_field(const char *line, size_t size, const char *name)
{
    size_t length = strlen(name);
    return strncasecmp(line, name, size < length ? size : length) == 0;
}

static int parse_length(const char *at, const char *end, uint64_t *out_length,
                        struct bsk_error *err)
{
    uint64_t length = 0;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    const char *digits = at;
    for (; at < end && *at >= '0' && *at <= '9' && length <= DAP_BODY_MAX_BYTES; at++)
        length = length * 10 + (uint64_t)(*at - '0');
    bool any = at > digits;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (!any || at != end || length > DAP_BODY_MAX_BYTES)
        return bsk_fail(err, BSK_E_FORMAT, COMPLAINT, "a message's length is no number up to 2^40");
    *out_length = length;
    return BSK_OK;
}

ssize_t dap_parse_header(const char *buf, size_t size, uint64_t *out_body_bytes,
                         struct bsk_error *err)
{
    bool has_length = false;
    uint64_t body = 0;
    size_t at = 0;
    if (size > DAP_HEADER_MAX_BYTES)
        size = DAP_HEADER_MAX_BYTES;
    while (at < size) {
        const char *line = buf + at;
        size_t left = size - at;
        const char *newline = memchr(line, '\n', left);
        size_t text = newline ? (size_t)(newline - line) : left;
        if (line[0] == '\r' && (text == 1 || text == 0)) {
            if (!newline)
                return 0;
            if (!has_length)
                return bsk_fail(err, BSK_E_FORMAT, COMPLAINT, "a message without Content-Length");
            *out_body_bytes = body;
            return (ssize_t)(at + 2);
        }
        bool is_length = is_field(line, text, "Content-Length:");
        if (!is_length && !is_field(line, text, "Content-Type:")) {
            return bsk_fail(err, BSK_E_FORMAT, COMPLAINT,
                            "what came is not a header of the Debug Adapter Protocol");
        }
        if (!newline)
            break;
        if (text == 0 || line[text - 1] != '\r' || text - 1 < strlen("Content-Type:"))
            return bsk_fail(err, BSK_E_FORMAT, COMPLAINT,
                            "a header line that does not end in CR LF");
        if (is_length) {
            size_t name = strlen("Content-Length:");
            if (has_length || text - 1 < name)
                return bsk_fail(err, BSK_E_FORMAT, COMPLAINT, "a message with two lengths or none");
            int rc = parse_length(line + name, line + text - 1, &body, err);
            if (rc < 0)
                return rc;
            has_length = true;
        }
        at += text + 1;
    }
    if (size == DAP_HEADER_MAX_BYTES)
        return bsk_fail(err, BSK_E_LIMIT, NULL, "no end of a header within %d bytes",
                        DAP_HEADER_MAX_BYTES);
    return 0;
}
