#include "engine/inject/channel.h"

#include "engine/base/strings.h"

#include <string.h>

void bsk_python_literal(struct bsk_buffer *out, const char *text)
{
    bsk_buffer_append(out, "'", 1);
    const unsigned char *at = (const unsigned char *)text, *plain = at;
    const unsigned char *end = at + strlen(text);
    while (at < end) {
        size_t bytes = bsk_utf8_length((const char *)at, (size_t)(end - at));
        if (bytes > 0 && *at >= 0x20 && *at != 0x7f && *at != '\'' && *at != '\\') {
            at += bytes;
            continue;
        }
        bsk_buffer_append(out, plain, (size_t)(at - plain));
        if (*at == '\n')
            bsk_buffer_append(out, "\\n", 2);
        else if (*at == '\'' || *at == '\\')
            bsk_buffer_printf(out, "\\%c", *at);
        else if (bytes == 0)
            bsk_buffer_printf(out, "\\udc%02x", *at);
        else
            bsk_buffer_printf(out, "\\x%02x", *at);
        plain = ++at;
    }
    bsk_buffer_append(out, plain, (size_t)(at - plain));
    bsk_buffer_append(out, "'", 1);
}
