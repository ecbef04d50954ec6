/*
 * Reads a profile back out of a file: what `diff` compares.
 *
 * The format is found by the content, never by the name of the file: speedscope, cpuprofile,
 * chrometrace, flamegraph (SVG), raw (collapsed stacks) and pprof as engine/export writes them;
 * raw, speedscope and flamegraph as py-spy 0.4.3 does; each of them also packed with gzip.
 * Everything in a file is a rumour: a wrong, cut or hostile one fails with BSK_E_FORMAT or
 * BSK_E_LIMIT, and the message says where in it.
 *
 * Cost: the file is held in memory once, and the profile beside it; no tree of JSON objects.
 */
#ifndef BSK_IMPORT_IMPORT_H
#define BSK_IMPORT_IMPORT_H

#include "engine/base/error.h"
#include "engine/profile/profile.h"

enum {
    BSK_IMPORT_MAX_BYTES = 512 << 20, /* of a file, also once unpacked */
    BSK_IMPORT_MAX_NODES = 4000000,   /* distinct stacks: 380 MiB */
    BSK_IMPORT_MAX_DEPTH = 100000,    /* frames of one stack */
};

struct bsk_imported {
    struct bsk_profile *profile; /* owned by the caller */
    const char *format;          /* "speedscope", as after -f */
    char maker[64];              /* "basilisk 0.1.0", "py-spy@0.4.3"; "" when the file is silent */
    char commit[65];             /* of the sources; "" when not known */
    bool clock_known;            /* the file says what its time is; else meta.clock is a guess */
    bool has_order;              /* the timeline says what ran when; raw and pprof do not */
    bool has_time;               /* weights are times; else each sample counts as one period */
};

/* Reads `path`; messages begin with it. Fails also with BSK_E_IO and BSK_E_MEMORY. */
int bsk_import_file(const char *path, struct bsk_imported *out, struct bsk_error *err);

/* The same of bytes in memory; `name` begins the messages. */
int bsk_import_bytes(const char *name, const void *bytes, size_t size, struct bsk_imported *out,
                     struct bsk_error *err);

#endif
