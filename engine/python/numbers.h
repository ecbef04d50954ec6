/* Numbers as Python's repr() shows them. Pure functions. */
#ifndef BSK_PYTHON_NUMBERS_H
#define BSK_PYTHON_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BSK_FLOAT_BYTES = 64,
    BSK_INT_DIGITS_MAX = 4300,             /* decimal ones: where CPython refuses by default */
    BSK_INT_BYTES = BSK_INT_DIGITS_MAX + 2 /* with the sign and the final '\0' */
};

/* The shortest decimal that reads back as the same number. `whole` adds ".0" to what would look
 * like an int, as repr() of a float does and repr() of a complex does not. */
void bsk_number_float(double value, bool whole, char out[BSK_FLOAT_BYTES]);
/* repr() of a complex: at most twice as long, and 4. */
void bsk_number_complex(double real, double imaginary, char out[2 * BSK_FLOAT_BYTES + 4]);

/* Digits of 30 bits, lowest first; `count` of them. False, and nothing written, when it has more
 * than BSK_INT_DIGITS_MAX decimal digits. */
bool bsk_number_int(const uint32_t *digits, size_t count, bool negative, char out[BSK_INT_BYTES]);

#endif
