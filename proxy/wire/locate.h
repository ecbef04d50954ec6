/*
 * Finds where in a message's bytes a value stands, so that it can be cut out or exchanged while
 * every other byte stays as it came. Pure, no allocation; nesting of any depth.
 */
#ifndef DAP_WIRE_LOCATE_H
#define DAP_WIRE_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

struct dap_member {
    size_t value_at, value_bytes; /* the value, quotes and brackets included */
    size_t cut_at, cut_bytes;     /* key and value with the one comma that goes with them */
};

/*
 * Finds the value that `path` (names of nested objects' keys, ended by NULL) leads to. Of equal
 * keys the last counts, as in Python's and JavaScript's readers. False when there is none or the
 * text is no JSON as far as it was read.
 */
bool dap_locate(const char *json, size_t size, const char *const *path, struct dap_member *out);

#endif
