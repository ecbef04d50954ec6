#include "engine/base/error.h"

#include <stdarg.h>
#include <stdio.h>

int bsk_fail(struct bsk_error *err, enum bsk_code code, const char *hint, const char *format, ...)
{
    if (!err)
        return code;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
    return code;
}

void bsk_error_sentence(const struct bsk_error *err, char *out, unsigned long size)
{
    if (err->hint[0])
        snprintf(out, size, "%s: %s", err->message, err->hint);
    else
        snprintf(out, size, "%s", err->message);
}
