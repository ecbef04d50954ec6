/*
 * Writes JSON into a buffer, piece by piece, with no tree in memory.
 *
 * Commas and quotes are the writer's business; nesting is the caller's. Text is written as valid
 * UTF-8 whatever it holds: bytes that are not become U+FFFD, since names come out of the memory of
 * other processes. A writer to a FILE flushes its buffer into it by itself, so that memory does not
 * grow with the document.
 *
 *     struct bsk_json json = { .out = &buffer };
 *     bsk_json_begin(&json, '{');
 *     bsk_json_key(&json, "samples");
 *     bsk_json_uint(&json, 4000);
 *     bsk_json_end(&json, '}');
 */
#ifndef BSK_BASE_JSON_H
#define BSK_BASE_JSON_H

#include "engine/base/buffer.h"
#include "engine/base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct bsk_json {
    struct bsk_buffer *out;
    FILE *file;    /* NULL: everything stays in `out` */
    bool no_comma; /* state: the next value follows '[', '{' or a key, or is the first */
    bool started;
    int io_errno; /* the first failed write to `file`, or 0 */
};

void bsk_json_begin(struct bsk_json *json, char bracket); /* '{' or '[' */
void bsk_json_end(struct bsk_json *json, char bracket);   /* '}' or ']' */
void bsk_json_key(struct bsk_json *json, const char *key);

void bsk_json_text(struct bsk_json *json, const char *text); /* NULL is written as "" */
void bsk_json_text_n(struct bsk_json *json, const char *text, size_t size);
void bsk_json_int(struct bsk_json *json, int64_t value);
void bsk_json_uint(struct bsk_json *json, uint64_t value);
void bsk_json_double(struct bsk_json *json, double value, int decimals); /* NaN and Inf become 0 */
void bsk_json_bool(struct bsk_json *json, bool value);
void bsk_json_raw(struct bsk_json *json, const char *text, size_t size); /* a value, already JSON */

/* key and value in one call, for objects */
void bsk_json_field_text(struct bsk_json *json, const char *key, const char *text);
void bsk_json_field_int(struct bsk_json *json, const char *key, int64_t value);
void bsk_json_field_uint(struct bsk_json *json, const char *key, uint64_t value);
void bsk_json_field_double(struct bsk_json *json, const char *key, double value, int decimals);
void bsk_json_field_bool(struct bsk_json *json, const char *key, bool value);

/* Writes what is left to the file, where there is one. Fails with BSK_E_IO or BSK_E_MEMORY when
 * anything since the start went wrong. */
int bsk_json_finish(struct bsk_json *json, struct bsk_error *err);

#endif
