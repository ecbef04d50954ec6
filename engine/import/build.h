/*
 * What all readers share: stacks into a profile, with ceilings, and the place of a failure.
 */
#ifndef BSK_IMPORT_BUILD_H
#define BSK_IMPORT_BUILD_H

#include "engine/base/buffer.h"
#include "engine/import/import.h"
#include "engine/import/pull.h"

struct bsk_build {
    const char *name; /* of the file, for messages */
    struct bsk_imported *out;
    struct bsk_error *err;
    struct bsk_profile_frame *frames; /* the stack that is being read, outermost first */
    size_t depth, capacity;
    uint64_t frames_read; /* of all stacks together */
    int pid, tid;         /* as a frame of the stack itself told; 0: none did */
    char process[256];
    char thread[128];
};

/* What a file says of itself under "basilisk". */
struct bsk_said {
    bool there;
    double cpu_seconds;
    uint64_t samples;
};

/* A frame's function; UINT32_MAX: out of memory. */
uint32_t bsk_build_function(struct bsk_build *build, const char *name, const char *path,
                            uint32_t first_line);

/* The frame that "function (file:line)" means; `text` is cut up in place. BSK_E_MEMORY. */
int bsk_build_label(struct bsk_build *build, char *text, struct bsk_profile_frame *out_frame);

/* True when this is no function but a process or a thread, as py-spy writes them into stacks; the
 * build remembers it until the next stack. */
bool bsk_build_is_track(struct bsk_build *build, const char *name);

void bsk_build_begin_stack(struct bsk_build *build);
/* BSK_E_LIMIT: too deep. BSK_E_MEMORY. */
int bsk_build_frame(struct bsk_build *build, uint32_t function, uint32_t line);
/* Turns an innermost-first stack round. */
void bsk_build_turn(struct bsk_build *build);

/* The track that process and thread frames named since the stack began; UINT32_MAX: out of
 * memory. */
uint32_t bsk_build_track(struct bsk_build *build);
/* Whether `nodes` more fit under the ceilings: BSK_OK or BSK_E_LIMIT. */
int bsk_build_room(struct bsk_build *build, size_t nodes);

/* The node of the stack that was read, on `track`, or, with UINT32_MAX, on the one that its process
 * and thread frames name. Fails with BSK_E_LIMIT and BSK_E_MEMORY. */
int bsk_build_stack(struct bsk_build *build, uint32_t track, uint32_t *out_node);

/* The object under the key "basilisk": into the profile's meta and out->commit. */
void bsk_build_about(struct bsk_build *build, struct bsk_pull *pull, struct bsk_said *said);

struct bsk_pull bsk_build_pull(struct bsk_build *build, const void *bytes, size_t size);

/* The readers; each takes the whole file. */
typedef int bsk_reader(struct bsk_build *build, const char *bytes, size_t size);
bsk_reader bsk_read_speedscope, bsk_read_cpuprofile, bsk_read_chrometrace, bsk_read_raw,
    bsk_read_pprof, bsk_read_svg;

#endif
