/*
 * Looks at a message's top-level keys while its bytes go by.
 *
 * A scanner never keeps or copies a message: it remembers the few values that decide what becomes
 * of it. It is fed the body in pieces of any size and says after each whether there is more to
 * learn. It is lenient: what it takes for JSON may not be, and then nothing is found. Pure, no
 * allocation.
 */
#ifndef DAP_WIRE_SCAN_H
#define DAP_WIRE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dap_key {
    DAP_KEY_NONE = 0,
    DAP_KEY_TYPE = 1 << 0,
    DAP_KEY_COMMAND = 1 << 1,
    DAP_KEY_EVENT = 1 << 2,
    DAP_KEY_SEQ = 1 << 3,
    DAP_KEY_REQUEST_SEQ = 1 << 4,
    DAP_KEY_SUCCESS = 1 << 5,
};

enum dap_message_type { DAP_TYPE_UNKNOWN, DAP_REQUEST, DAP_RESPONSE, DAP_EVENT, DAP_TYPE_OTHER };

enum dap_scan_status {
    DAP_SCAN_MORE,  /* the top level has not ended: keys may still come */
    DAP_SCAN_END,   /* the object has ended, or there is nothing more that could matter */
    DAP_SCAN_BROKEN /* not a JSON object: what was found before still holds */
};

struct dap_scan {
    /* What was found so far. A number that is no integer, and a text that is none or too long,
     * counts as found, with value -1 and "". */
    unsigned found; /* of enum dap_key; the first of two equal keys counts */
    enum dap_message_type type;
    bool success;
    int64_t seq, request_seq;
    char name[64]; /* the `command` or the `event` */

    /* The state of the machine. */
    enum dap_scan_status status;
    uint8_t state;
    uint8_t escape;   /* inside \: 1 after the backslash, 2..5 hex digits of \u to come */
    bool overlong;    /* the text does not fit, so it is none that we know */
    bool in_text;     /* inside a text that is nested or of no interest */
    uint32_t depth;   /* of nesting inside a value that is of no interest */
    uint32_t code;    /* of \uXXXX */
    enum dap_key key; /* whose value is read */
    uint8_t text_bytes;
    char text[64];
};

void dap_scan_begin(struct dap_scan *scan);
enum dap_scan_status dap_scan_feed(struct dap_scan *scan, const char *bytes, size_t size);

#endif
