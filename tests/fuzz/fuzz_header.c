/* An answer once given does not change when more bytes arrive. */
#include "proxy/wire/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole_body = 0, early_body = 0;
    ssize_t whole = dap_parse_header((const char *)data, size, &whole_body, NULL);
    if (whole > (ssize_t)size || whole > DAP_HEADER_MAX_BYTES || whole_body > DAP_BODY_MAX_BYTES)
        abort();
    for (size_t part = 0; part < size && part < 256; part++) {
        ssize_t early = dap_parse_header((const char *)data, part, &early_body, NULL);
        if (early != 0 && (early > 0 || whole >= 0) && (early != whole || early_body != whole_body))
            abort();
    }
    return 0;
}
