#include "engine/python/printed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(struct bsk_printed *out, const char *bytes, size_t count)
{
    if (out->used + count + 4 > out->capacity) { /* "..." and '\0' always fit */
        size_t capacity = 2 * out->capacity + count + 64;
        char *grown = realloc(out->bytes, capacity);
        if (!grown) {
            out->no_memory = true;
            return;
        }
        out->bytes = grown;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->used, bytes, count);
    out->used += count;
}

void bsk_print(struct bsk_printed *out, const char *text)
{
    size_t bytes = 0;
    if (out->cut)
        return; /* also where it was not for want of room: brackets that close nothing shown */
    while (text[bytes] != '\0') {
        if (((unsigned char)text[bytes] & 0xc0) != 0x80) { /* a character begins here */
            if (out->characters >= out->limit) {
                out->cut = true;
                break;
            }
            out->characters++;
        }
        bytes++;
    }
    if (bytes > 0 && !out->no_memory)
        append(out, text, bytes);
}

void bsk_print_format(struct bsk_printed *out, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bsk_print(out, text);
}

void bsk_print_character(struct bsk_printed *out, uint32_t c)
{
    char text[5] = "";
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c == 0)
        c = 0xfffd;
    if (c < 0x80) {
        text[0] = (char)c;
    } else if (c < 0x800) {
        text[0] = (char)(0xc0 | c >> 6);
        text[1] = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        text[0] = (char)(0xe0 | c >> 12);
        text[1] = (char)(0x80 | (c >> 6 & 63));
        text[2] = (char)(0x80 | (c & 63));
    } else {
        text[0] = (char)(0xf0 | c >> 18);
        text[1] = (char)(0x80 | (c >> 12 & 63));
        text[2] = (char)(0x80 | (c >> 6 & 63));
        text[3] = (char)(0x80 | (c & 63));
    }
    bsk_print(out, text);
}

char *bsk_printed_take(struct bsk_printed *out)
{
    char *text = NULL;
    append(out, "", 0);
    if (!out->no_memory && out->bytes) {
        strcpy(out->bytes + out->used, out->cut ? "..." : "");
        text = out->bytes;
    } else {
        free(out->bytes);
    }
    *out = (struct bsk_printed){ .limit = out->limit };
    return text;
}
