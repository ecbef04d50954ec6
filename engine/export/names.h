/*
 * What frames are called where a person reads them: short file names, text without control
 * characters, and whose code it is.
 *
 * Ownership: bsk_names_init() learns from a profile and keeps nothing of it; bsk_names_free() gives
 * back its own memory and accepts a zeroed struct. Functions that append to a buffer leave failures
 * in it.
 */
#ifndef BSK_EXPORT_NAMES_H
#define BSK_EXPORT_NAMES_H

#include "engine/base/buffer.h"
#include "engine/profile/profile.h"

enum bsk_code_kind {
    BSK_CODE_USER,
    BSK_CODE_LIBRARY, /* the standard library: below lib/python3.X, frozen, in python3X.zip */
    BSK_CODE_PACKAGE, /* below site-packages or dist-packages */
    BSK_CODE_NATIVE,  /* C: a shared object, a C or a Cython source */
    BSK_CODE_SPECIAL, /* "(garbage collector)", "(debugger)", "(unread)": nobody's code */
    BSK_CODE_KINDS,
};

/* Whose code a function is, told by its path alone. */
enum bsk_code_kind bsk_code_kind(const struct bsk_function *function);

struct bsk_names {
    char *root; /* what all of the user's files have in common, "/" at its end; NULL: nothing */
    size_t root_bytes;
    bool whole; /* meta.full_filenames: paths are shown as they are */
};

/* False when out of memory. */
bool bsk_names_init(struct bsk_names *names, const struct bsk_profile *profile);
void bsk_names_free(struct bsk_names *names);

/* The end of `path` that tells it from others: without the folder that holds all of the user's
 * files, or what leads to site-packages or the standard library. Points into `path`. */
const char *bsk_names_short(const struct bsk_names *names, const char *path);

/* `text` on one line of valid UTF-8: control characters as their pictures (U+2400 and on), bytes
 * that are no UTF-8 and what XML forbids as U+FFFD, as are marks that turn the writing direction.
 */
void bsk_append_plain(struct bsk_buffer *out, const char *text);

/* "function (file:line)", as py-spy writes it: without ":line" where that is 0, and the name alone
 * where there is no file. */
void bsk_append_frame(struct bsk_buffer *out, const struct bsk_names *names,
                      const struct bsk_function *function, uint32_t line);

/* What the weights of a profile are: "CPU", "wall" or "GIL" for people; "cpu", "wall" or "gil" for
 * programs. */
const char *bsk_clock_name(enum bsk_clock clock);
const char *bsk_clock_word(enum bsk_clock clock);

enum { BSK_JIT_PHRASE_BYTES = 160 };
/* "2 functions compiled by Python's JIT: ..." for people; "" where there was none. */
void bsk_jit_phrase(const struct bsk_profile_meta *meta, char *out, size_t size);

/* How stacks were read, for people ("read from outside, nothing stopped") and for programs:
 * "read", "tick" or "stop". */
const char *bsk_method_phrase(enum bsk_method method);
const char *bsk_method_word(enum bsk_method method);

#endif
