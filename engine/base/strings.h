/* Small questions about text that several rooms ask. Pure functions. */
#ifndef BSK_BASE_STRINGS_H
#define BSK_BASE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

struct bsk_buffer;

/* Bytes of the valid UTF-8 character at `text` (1 to 4), or 0 when there is none: a stray or
 * missing continuation byte, an overlong form, a surrogate, or past U+10FFFF. */
size_t bsk_utf8_length(const char *text, size_t size);

/* Copies `text` into `out` (of `size` bytes, terminated), each byte that is no UTF-8 as U+FFFD;
 * what does not fit is cut between characters. */
void bsk_utf8_copy(char *out, size_t size, const char *text);

bool bsk_starts_with(const char *text, const char *prefix);
bool bsk_ends_with(const char *text, const char *suffix);

/* True when `path` is `folder` or lies below it; both absolute, `folder` without a final slash. */
bool bsk_path_below(const char *path, const char *folder);

/* Appends `path` as a file:// URL, everything but unreserved characters and '/' percent-encoded. */
void bsk_file_url(struct bsk_buffer *out, const char *path);

#endif
