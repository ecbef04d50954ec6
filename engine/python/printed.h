/*
 * Text that grows up to a limit, for what repr() of an object looks like.
 *
 * Counts characters, not bytes. What comes after the limit is dropped and makes it `cut`.
 * Ownership: starts as { .limit = N }; bsk_printed_take() hands the text out, ended by "..." where
 * it was cut.
 */
#ifndef BSK_PYTHON_PRINTED_H
#define BSK_PYTHON_PRINTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bsk_printed {
    char *bytes; /* UTF-8 */
    size_t used, capacity;
    size_t characters, limit;
    bool cut;
    bool no_memory;
};

void bsk_print(struct bsk_printed *out, const char *text);
/* Up to 255 bytes of text. */
void bsk_print_format(struct bsk_printed *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One character; what is none in UTF-8 (a surrogate) becomes U+FFFD. */
void bsk_print_character(struct bsk_printed *out, uint32_t character);

/* The text, which the caller frees; NULL when out of memory. Empties `out`. */
char *bsk_printed_take(struct bsk_printed *out);

#endif
