#include "engine/base/strings.h"

#include "engine/base/buffer.h"

#include <stdint.h>
#include <string.h>

size_t bsk_utf8_length(const char *text, size_t size)
{
    const unsigned char *b = (const unsigned char *)text;
    if (size == 0)
        return 0;
    size_t length = b[0] < 0x80             ? 1
                    : (b[0] & 0xe0) == 0xc0 ? 2
                    : (b[0] & 0xf0) == 0xe0 ? 3
                    : (b[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (length == 0 || length > size)
        return 0;
    uint32_t point = length == 1 ? b[0] : b[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (b[i] & 0x3f);
    }
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return length;
}

void bsk_utf8_copy(char *out, size_t size, const char *text)
{
    static const char unknown[] = "\xef\xbf\xbd";
    size_t left = strlen(text), used = 0;
    while (left > 0) {
        size_t length = bsk_utf8_length(text, left);
        const char *from = length ? text : unknown;
        size_t bytes = length ? length : sizeof(unknown) - 1;
        if (used + bytes >= size)
            break;
        memcpy(out + used, from, bytes);
        used += bytes;
        text += length ? length : 1;
        left -= length ? length : 1;
    }
    out[used] = '\0';
}

bool bsk_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool bsk_ends_with(const char *text, const char *suffix)
{
    size_t text_bytes = strlen(text), suffix_bytes = strlen(suffix);
    return text_bytes >= suffix_bytes && strcmp(text + text_bytes - suffix_bytes, suffix) == 0;
}

bool bsk_path_below(const char *path, const char *folder)
{
    size_t bytes = strlen(folder);
    return strncmp(path, folder, bytes) == 0 && (path[bytes] == '/' || path[bytes] == '\0');
}

void bsk_file_url(struct bsk_buffer *out, const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    bsk_buffer_text_append(out, "file://");
    for (const char *c = path; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || strchr("/-._~", byte);
        const char coded[3] = { '%', hex[byte >> 4], hex[byte & 15] };
        bsk_buffer_append(out, plain ? c : coded, plain ? 1 : 3);
    }
}
