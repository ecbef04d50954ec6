#include "engine/python/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_MAX = 17 }; /* as many make any double unique */

/* The digits of a finite number that is not negative, without zeros at the end, and the power of
 * ten of the first one. With few digits there may be several numbers that read back right: printf's
 * is the nearest, which is what repr() takes; where the nearest does not read back (at a power of
 * two the gap below is half as wide), the next one up may. */
static void shortest(double value, char digits[DIGITS_MAX + 2], int *out_exponent)
{
    for (int count = 1; count <= DIGITS_MAX; count++) {
        char text[64];
        size_t used = 0;
        snprintf(text, sizeof(text), "%.*e", count - 1, value);
        double back = strtod(text, NULL);
        if (back != value && count < DIGITS_MAX) {
            char *last = strchr(text, 'e') - 1;
            if (*last >= '9' || *last < '0')
                continue; /* a carry: then one digit less would have done */
            ++*last;
            if (strtod(text, NULL) != value)
                continue;
        }
        for (const char *at = text; *at != 'e'; at++)
            if (*at >= '0' && *at <= '9') /* the point is the locale's */
                digits[used++] = *at;
        while (used > 1 && digits[used - 1] == '0')
            used--;
        digits[used] = '\0';
        *out_exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
        return;
    }
}

void bsk_number_float(double value, bool whole, char out[BSK_FLOAT_BYTES])
{
    char digits[DIGITS_MAX + 2] = "0";
    int exponent = 0;
    const char *sign = signbit(value) ? "-" : "";
    if (isnan(value)) {
        strcpy(out, "nan");
        return;
    }
    if (isinf(value)) {
        snprintf(out, BSK_FLOAT_BYTES, "%sinf", sign);
        return;
    }
    if (value != 0)
        shortest(fabs(value), digits, &exponent);
    int count = (int)strlen(digits);
    if (exponent < -4 || exponent >= 16)
        snprintf(out, BSK_FLOAT_BYTES, "%s%c%s%se%c%02d", sign, digits[0], count > 1 ? "." : "",
                 digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0)
        snprintf(out, BSK_FLOAT_BYTES, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
    else if (count <= exponent + 1)
        snprintf(out, BSK_FLOAT_BYTES, "%s%s%.*s%s", sign, digits, exponent + 1 - count,
                 "0000000000000000", whole ? ".0" : "");
    else
        snprintf(out, BSK_FLOAT_BYTES, "%s%.*s.%s", sign, exponent + 1, digits,
                 digits + exponent + 1);
}

void bsk_number_complex(double real, double imaginary, char out[2 * BSK_FLOAT_BYTES + 4])
{
    char first[BSK_FLOAT_BYTES], second[BSK_FLOAT_BYTES];
    bsk_number_float(imaginary, false, second);
    if (real == 0 && !signbit(real)) {
        snprintf(out, 2 * BSK_FLOAT_BYTES + 4, "%sj", second);
        return;
    }
    bsk_number_float(real, false, first);
    snprintf(out, 2 * BSK_FLOAT_BYTES + 4, "(%s%s%sj)", first, second[0] == '-' ? "" : "+", second);
}

bool bsk_number_int(const uint32_t *digits, size_t count, bool negative, char out[BSK_INT_BYTES])
{
    enum { CHUNK = 1000000000, CHUNKS_MAX = BSK_INT_DIGITS_MAX / 9 + 2 };
    uint32_t chunks[CHUNKS_MAX]; /* of nine decimal digits, lowest first */
    size_t used = 0;
    for (size_t i = count; i-- > 0;) {
        uint64_t carry = digits[i] & 0x3fffffff;
        for (size_t k = 0; k < used; k++) {
            carry += (uint64_t)chunks[k] << 30;
            chunks[k] = (uint32_t)(carry % CHUNK);
            carry /= CHUNK;
        }
        for (; carry > 0; carry /= CHUNK) {
            if (used == CHUNKS_MAX)
                return false;
            chunks[used++] = (uint32_t)(carry % CHUNK);
        }
    }
    char text[CHUNKS_MAX * 9 + 2] = "0";
    int length = used ? snprintf(text, sizeof(text), "%u", chunks[used - 1]) : 1;
    for (size_t k = used; k-- > 1;)
        length += snprintf(text + length, sizeof(text) - (size_t)length, "%09u", chunks[k - 1]);
    if (length > BSK_INT_DIGITS_MAX)
        return false;
    out[0] = '-';
    strcpy(out + negative, text);
    return true;
}
