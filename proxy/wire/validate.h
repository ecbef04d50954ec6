/* Is this JSON? Pure, no allocation. */
#ifndef DAP_WIRE_VALIDATE_H
#define DAP_WIRE_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

/* One JSON value and nothing after it but spaces, nested 512 deep at most. Bytes above 0x7f count
 * as text whatever they are. */
bool dap_is_json(const char *text, size_t size);

#endif
