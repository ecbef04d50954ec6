#include "proxy/wire/scan.h"

#include <stdlib.h>
#include <string.h>

enum state {
    AT_START,     /* before the object's brace */
    BEFORE_KEY,   /* after '{' or ',' */
    IN_KEY,       /* inside the quotes */
    AFTER_KEY,    /* before ':' */
    BEFORE_VALUE, /* after ':' */
    IN_TEXT,      /* a text that we want */
    IN_WORD,      /* a number, true, false, null */
    IN_NESTED,    /* an object or array, or a text of no interest, that is skipped */
    AFTER_VALUE,  /* before ',' or '}' */
};

void dap_scan_begin(struct dap_scan *scan)
{
    memset(scan, 0, sizeof(*scan));
    scan->seq = scan->request_seq = -1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void text_add(struct dap_scan *scan, char c)
{
    if (scan->text_bytes >= sizeof(scan->text) - 1)
        scan->overlong = true;
    else
        scan->text[scan->text_bytes++] = c;
}

static void text_begin(struct dap_scan *scan)
{
    scan->text_bytes = 0;
    scan->escape = 0;
    scan->overlong = false;
}

/* Takes one character inside quotes; true when it was the closing one. */
static bool text_take(struct dap_scan *scan, char c)
{
    if (scan->escape == 0) {
        if (c == '"')
            return true;
        if (c == '\\')
            scan->escape = 1;
        else
            text_add(scan, c);
        return false;
    }
    if (scan->escape == 1) {
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        const char *at = c ? strchr(from, c) : NULL;
        scan->escape = c == 'u' ? 2 : 0;
        scan->code = 0;
        if (c != 'u')
            text_add(scan, at ? to[at - from] : c);
        return false;
    }
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) {
        scan->escape = 0;
        scan->overlong = true; /* broken: no name that we know */
        return c == '"';
    }
    scan->code = scan->code * 16 + (uint32_t)digit;
    scan->escape = scan->escape == 5 ? 0 : (uint8_t)(scan->escape + 1);
    if (scan->escape == 0) {
        if (scan->code > 0 && scan->code < 0x80)
            text_add(scan, (char)scan->code);
        else
            scan->overlong = true; /* every name that we know is ASCII */
    }
    return false;
}

static enum dap_key key_of(const struct dap_scan *scan)
{
    static const struct {
        const char *name;
        enum dap_key key;
    } keys[] = {
        { "type", DAP_KEY_TYPE },       { "command", DAP_KEY_COMMAND },
        { "event", DAP_KEY_EVENT },     { "seq", DAP_KEY_SEQ },
        { "success", DAP_KEY_SUCCESS }, { "request_seq", DAP_KEY_REQUEST_SEQ },
    };
    for (size_t i = 0; !scan->overlong && i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].name, scan->text) == 0)
            return scan->found & keys[i].key ? DAP_KEY_NONE : keys[i].key;
    }
    return DAP_KEY_NONE;
}

static void value_found(struct dap_scan *scan, bool is_text)
{
    scan->text[scan->text_bytes] = '\0';
    const char *text = scan->overlong ? "" : scan->text;
    scan->found |= scan->key;
    switch (scan->key) {
    case DAP_KEY_TYPE:
        scan->type = !is_text                        ? DAP_TYPE_OTHER
                     : strcmp(text, "request") == 0  ? DAP_REQUEST
                     : strcmp(text, "response") == 0 ? DAP_RESPONSE
                     : strcmp(text, "event") == 0    ? DAP_EVENT
                                                     : DAP_TYPE_OTHER;
        break;
    case DAP_KEY_COMMAND:
    case DAP_KEY_EVENT: {
        /* An event has an `event`, the others a `command`; with both, the type would have to
         * choose, and no adapter sends both. The first stands. */
        unsigned other = scan->key == DAP_KEY_EVENT ? DAP_KEY_COMMAND : DAP_KEY_EVENT;
        if (is_text && !(scan->found & other))
            memcpy(scan->name, text, strlen(text) + 1);
        break;
    }
    case DAP_KEY_SEQ:
    case DAP_KEY_REQUEST_SEQ: {
        char *end = NULL;
        int64_t number = is_text || text[0] == '\0' ? -1 : strtoll(text, &end, 10);
        if (end && *end != '\0')
            number = -1;
        *(scan->key == DAP_KEY_SEQ ? &scan->seq : &scan->request_seq) = number;
        break;
    }
    case DAP_KEY_SUCCESS:
        scan->success = !is_text && strcmp(text, "true") == 0;
        break;
    case DAP_KEY_NONE:
        break;
    }
}

static bool wants_more(const struct dap_scan *scan)
{
    unsigned all = DAP_KEY_TYPE | DAP_KEY_SEQ;
    if (scan->type == DAP_EVENT)
        all |= DAP_KEY_EVENT;
    else if (scan->type == DAP_RESPONSE)
        all |= DAP_KEY_COMMAND | DAP_KEY_REQUEST_SEQ | DAP_KEY_SUCCESS;
    else if (scan->type != DAP_TYPE_OTHER)
        all |= DAP_KEY_COMMAND;
    return (scan->found & all) != all;
}

/* Skips what is nested or of no interest; returns the bytes used. Most of a message goes through
 * here, so texts are jumped over. */
static size_t skip_nested(struct dap_scan *scan, const char *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        char c = bytes[at];
        if (scan->in_text) {
            if (scan->escape) {
                scan->escape = 0;
                at++;
                continue;
            }
            while (at < size && bytes[at] != '"' && bytes[at] != '\\')
                at++;
            if (at == size)
                break;
            if (bytes[at] == '\\')
                scan->escape = 1;
            else
                scan->in_text = false;
            at++;
            if (!scan->in_text && scan->depth == 0) {
                scan->state = AFTER_VALUE;
                break;
            }
            continue;
        }
        at++;
        if (c == '"') {
            scan->in_text = true;
        } else if (c == '{' || c == '[') {
            scan->depth++;
        } else if ((c == '}' || c == ']') && --scan->depth == 0) {
            scan->state = AFTER_VALUE;
            break;
        }
    }
    return at;
}

static void begin_value(struct dap_scan *scan, char c)
{
    text_begin(scan);
    scan->depth = 0;
    if (c == '{' || c == '[') {
        scan->found |= scan->key;
        scan->in_text = false;
        scan->depth = 1;
        scan->state = IN_NESTED;
        if (scan->key == DAP_KEY_TYPE)
            scan->type = DAP_TYPE_OTHER;
    } else if (c == '"' && scan->key == DAP_KEY_NONE) {
        scan->in_text = true;
        scan->state = IN_NESTED;
    } else if (c == '"') {
        scan->state = IN_TEXT;
    } else {
        text_add(scan, c);
        scan->state = IN_WORD;
    }
}

/* One character outside of what skip_nested() takes. */
static enum dap_scan_status take(struct dap_scan *scan, char c)
{
    switch ((enum state)scan->state) {
    case AT_START:
        if (c == '{')
            scan->state = BEFORE_KEY;
        return c == '{' || is_space(c) ? DAP_SCAN_MORE : DAP_SCAN_BROKEN;
    case BEFORE_KEY:
        if (c == '"') {
            text_begin(scan);
            scan->state = IN_KEY;
        }
        if (c == '}')
            return DAP_SCAN_END;
        return c == '"' || is_space(c) ? DAP_SCAN_MORE : DAP_SCAN_BROKEN;
    case IN_KEY:
        if (text_take(scan, c)) {
            scan->text[scan->text_bytes] = '\0';
            scan->key = key_of(scan);
            scan->state = AFTER_KEY;
        }
        return DAP_SCAN_MORE;
    case AFTER_KEY:
        if (c == ':')
            scan->state = BEFORE_VALUE;
        return c == ':' || is_space(c) ? DAP_SCAN_MORE : DAP_SCAN_BROKEN;
    case BEFORE_VALUE:
        if (is_space(c))
            return DAP_SCAN_MORE;
        if (c == ',' || c == '}' || c == ']' || c == ':')
            return DAP_SCAN_BROKEN;
        begin_value(scan, c);
        return DAP_SCAN_MORE;
    case IN_TEXT:
        if (text_take(scan, c)) {
            value_found(scan, true);
            scan->state = AFTER_VALUE;
            return wants_more(scan) ? DAP_SCAN_MORE : DAP_SCAN_END;
        }
        return DAP_SCAN_MORE;
    case IN_WORD:
        if (!is_space(c) && c != ',' && c != '}') {
            text_add(scan, c);
            return DAP_SCAN_MORE;
        }
        value_found(scan, false);
        scan->state = c == ',' ? BEFORE_KEY : AFTER_VALUE;
        return c == '}' || !wants_more(scan) ? DAP_SCAN_END : DAP_SCAN_MORE;
    case AFTER_VALUE:
        if (c == ',')
            scan->state = BEFORE_KEY;
        if (c == '}')
            return DAP_SCAN_END;
        return c == ',' || is_space(c) ? DAP_SCAN_MORE : DAP_SCAN_BROKEN;
    case IN_NESTED:
        break;
    }
    return DAP_SCAN_MORE;
}

enum dap_scan_status dap_scan_feed(struct dap_scan *scan, const char *bytes, size_t size)
{
    size_t at = 0;
    while (at < size && scan->status == DAP_SCAN_MORE) {
        if (scan->state == IN_NESTED)
            at += skip_nested(scan, bytes + at, size - at);
        else
            scan->status = take(scan, bytes[at++]);
    }
    return scan->status;
}
