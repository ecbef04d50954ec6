/* The characters of a Python str as UTF-8. A pure function over a copy of them. */
#ifndef BSK_PYTHON_TEXT_H
#define BSK_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* `kind` is the bytes of one character: 1 (Latin-1), 2 or 4. What is no character (a surrogate, a
 * number past U+10FFFF, NUL) becomes U+FFFD. Writes at most `size` bytes, the final '\0' among
 * them, and ends in "..." when `cut` is set or the room was short. Returns the bytes before '\0'.
 * `size` must be at least 4. */
size_t bsk_text_utf8(const void *characters, size_t length, unsigned kind, bool cut, char *out,
                     size_t size);

#endif
