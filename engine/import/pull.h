/*
 * Walks JSON text that lies in memory, value by value, without building anything.
 *
 *     bsk_pull_object(&pull);
 *     while (bsk_pull_key(&pull, &key))
 *         if (bsk_pull_is(key, "name")) bsk_pull_text(&pull, &text);
 *         else bsk_pull_skip(&pull);
 *     if (pull.failed) ...
 *
 * After the first failure every call does nothing and returns false or 0, so that a reader may walk
 * on and look once. The failure says what was wanted, with line and column. A copy of the struct is
 * a bookmark: walking it again visits the same values.
 */
#ifndef BSK_IMPORT_PULL_H
#define BSK_IMPORT_PULL_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BSK_PULL_MAX_NESTING = 512 };

struct bsk_pull {
    const char *start, *at, *end;
    const char *name;      /* of the file, for messages */
    struct bsk_error *err; /* filled in at the first failure; may be NULL */
    bool failed;
    bool first; /* state: nothing was read yet of the object or array that was entered */
};

struct bsk_span {
    const char *text;
    size_t size;
};

/* Enters the object or array that comes next. */
bool bsk_pull_object(struct bsk_pull *pull);
bool bsk_pull_array(struct bsk_pull *pull);

/* The next key of the object, as it is written (escapes stay); false at its end. Its value must be
 * read or skipped before the next call. */
bool bsk_pull_key(struct bsk_pull *pull, struct bsk_span *out_key);

/* True when the array has another item, which must be read or skipped; false at its end. */
bool bsk_pull_item(struct bsk_pull *pull);

bool bsk_pull_is(struct bsk_span key, const char *name);

/* Text with its escapes undone, terminated; a NUL inside, or a lone surrogate, becomes U+FFFD. Null
 * is "". What is longer than 64 KiB is cut. */
const char *bsk_pull_text(struct bsk_pull *pull, struct bsk_buffer *room);

/* A number; null is 0. */
double bsk_pull_number(struct bsk_pull *pull);

/* A whole number from 0 to `most`; anything else fails, and `what` says of what: "the frame". */
uint64_t bsk_pull_index(struct bsk_pull *pull, uint64_t most, const char *what);

/* The first character of the value that comes next: one of  { [ " t f n -  or a digit; 0 at the
 * end. */
char bsk_pull_peek(struct bsk_pull *pull);

/* Passes over one value, whatever it is. */
bool bsk_pull_skip(struct bsk_pull *pull);

/* Nothing but blanks is left. */
bool bsk_pull_done(struct bsk_pull *pull);

/* Fails at the place reached: "NAME: line 3, column 17: TEXT". Returns false. */
bool bsk_pull_fail(struct bsk_pull *pull, enum bsk_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
