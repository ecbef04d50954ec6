#include "engine/base/json.h"

#include "engine/base/strings.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { FLUSH_BYTES = 64 << 10 };

static void flush(struct bsk_json *json)
{
    if (!json->file || json->out->size == 0)
        return;
    if (fwrite(json->out->data, 1, json->out->size, json->file) != json->out->size &&
        !json->io_errno)
        json->io_errno = errno ? errno : EIO;
    json->out->size = 0;
}

static void before_value(struct bsk_json *json)
{
    if (json->out->size >= FLUSH_BYTES)
        flush(json);
    if (json->started && !json->no_comma)
        bsk_buffer_append(json->out, ",", 1);
    json->started = true;
    json->no_comma = false;
}

void bsk_json_begin(struct bsk_json *json, char bracket)
{
    before_value(json);
    bsk_buffer_append(json->out, &bracket, 1);
    json->no_comma = true;
}

void bsk_json_end(struct bsk_json *json, char bracket)
{
    bsk_buffer_append(json->out, &bracket, 1);
    json->no_comma = false;
}

void bsk_json_key(struct bsk_json *json, const char *key)
{
    bsk_json_text(json, key);
    bsk_buffer_append(json->out, ":", 1);
    json->no_comma = true;
}

void bsk_json_text(struct bsk_json *json, const char *text)
{
    bsk_json_text_n(json, text ? text : "", text ? strlen(text) : 0);
}

static void escape(struct bsk_json *json, unsigned char c)
{
    static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
        if ((unsigned char)letters[i] == c) {
            const char pair[2] = { '\\', letters[i + 1] };
            bsk_buffer_append(json->out, pair, 2);
            return;
        }
    }
    bsk_buffer_printf(json->out, "\\u%04x", c);
}

void bsk_json_text_n(struct bsk_json *json, const char *text, size_t size)
{
    before_value(json);
    bsk_buffer_append(json->out, "\"", 1);
    size_t plain = 0; /* where the run of bytes that need nothing began */
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        size_t length = c < 0x80 ? 1 : bsk_utf8_length(text + i, size - i);
        if (length > 1 || (length == 1 && c >= 0x20 && c < 0x7f && c != '"' && c != '\\')) {
            i += length;
            continue;
        }
        bsk_buffer_append(json->out, text + plain, i - plain);
        if (length == 0)
            bsk_buffer_append(json->out, "\xef\xbf\xbd", 3);
        else
            escape(json, c);
        plain = ++i;
    }
    bsk_buffer_append(json->out, text + plain, size - plain);
    bsk_buffer_append(json->out, "\"", 1);
}

void bsk_json_int(struct bsk_json *json, int64_t value)
{
    before_value(json);
    bsk_buffer_printf(json->out, "%" PRId64, value);
}

void bsk_json_uint(struct bsk_json *json, uint64_t value)
{
    before_value(json);
    char digits[20], *at = digits + sizeof(digits); /* by hand: exports write millions of these */
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    bsk_buffer_append(json->out, at, (size_t)(digits + sizeof(digits) - at));
}

void bsk_json_double(struct bsk_json *json, double value, int decimals)
{
    before_value(json);
    bsk_buffer_printf(json->out, "%.*f", decimals, isfinite(value) ? value : 0.0);
}

void bsk_json_bool(struct bsk_json *json, bool value)
{
    before_value(json);
    bsk_buffer_text_append(json->out, value ? "true" : "false");
}

void bsk_json_raw(struct bsk_json *json, const char *text, size_t size)
{
    before_value(json);
    bsk_buffer_append(json->out, text, size);
}

void bsk_json_field_text(struct bsk_json *json, const char *key, const char *text)
{
    bsk_json_key(json, key);
    bsk_json_text(json, text);
}

void bsk_json_field_int(struct bsk_json *json, const char *key, int64_t value)
{
    bsk_json_key(json, key);
    bsk_json_int(json, value);
}

void bsk_json_field_uint(struct bsk_json *json, const char *key, uint64_t value)
{
    bsk_json_key(json, key);
    bsk_json_uint(json, value);
}

void bsk_json_field_double(struct bsk_json *json, const char *key, double value, int decimals)
{
    bsk_json_key(json, key);
    bsk_json_double(json, value, decimals);
}

void bsk_json_field_bool(struct bsk_json *json, const char *key, bool value)
{
    bsk_json_key(json, key);
    bsk_json_bool(json, value);
}

int bsk_json_finish(struct bsk_json *json, struct bsk_error *err)
{
    flush(json);
    if (json->out->failed)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory while writing JSON");
    if (json->io_errno)
        return bsk_fail(err, BSK_E_IO, "is the disk full?", "cannot write: %s",
                        strerror(json->io_errno));
    return BSK_OK;
}
