/*
 * The header block in front of every message: pure, no allocation, no state.
 */
#ifndef DAP_WIRE_HEADER_H
#define DAP_WIRE_HEADER_H

#include "engine/base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { DAP_HEADER_MAX_BYTES = 4096 };

/* A passing message is never held in memory, so this only keeps sums from overflowing. */
#define DAP_BODY_MAX_BYTES ((uint64_t)1 << 40)

/*
 * Returns the bytes of the header block at the start of `buf`, blank line included, and sets
 * *out_body_bytes; 0 when more input is needed; a negative bsk_code when it cannot become valid: no
 * blank line within 4 KiB, a field other than Content-Length and Content-Type (a web page can reach
 * our port), no length or two, a length that is no number up to 1 TiB. An answer once given does
 * not change when more bytes arrive.
 */
ssize_t dap_parse_header(const char *buf, size_t size, uint64_t *out_body_bytes,
                         struct bsk_error *err);

#endif
