#include "engine/python/text.h"

#include <stdint.h>
#include <string.h>

static uint32_t character_at(const void *characters, size_t index, unsigned kind)
{
    uint32_t wide;
    uint16_t narrow;
    switch (kind) {
    case 1:
        return ((const uint8_t *)characters)[index];
    case 2:
        memcpy(&narrow, (const char *)characters + index * 2, 2);
        return narrow;
    default:
        memcpy(&wide, (const char *)characters + index * 4, 4);
        return wide;
    }
}

static size_t encode(uint32_t c, char out[4])
{
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

size_t bsk_text_utf8(const void *characters, size_t length, unsigned kind, bool cut, char *out,
                     size_t size)
{
    size_t used = 0;
    size_t fits = 0; /* how much may stay when "..." and '\0' must still find room */
    for (size_t i = 0; i < length; i++) {
        char bytes[4];
        size_t count = encode(character_at(characters, i, kind), bytes);
        if (used + count + 1 > size) {
            cut = true;
            break;
        }
        memcpy(out + used, bytes, count);
        used += count;
        if (used + 4 <= size)
            fits = used;
    }
    if (cut) {
        memcpy(out + fits, "...", 3);
        used = fits + 3;
    }
    out[used] = '\0';
    return used;
}
