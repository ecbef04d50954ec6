/*
 * What a profile says of itself in every JSON format: what made it, of what, and how well. One
 * object under the key "basilisk", which readers of those formats pass over.
 */
#ifndef BSK_EXPORT_ABOUT_H
#define BSK_EXPORT_ABOUT_H

#include "engine/base/json.h"
#include "engine/profile/profile.h"

enum { BSK_COMMIT_BYTES = 65 }; /* a SHA-1 or SHA-256 in hex, and the terminator */

/* "basilisk 0.1.0" */
extern const char bsk_export_maker[];

/* The program's name, or "profile"; never "". */
const char *bsk_export_name(const struct bsk_profile *profile);

/* "app.py (PID 4711) MainThread" */
void bsk_export_track_name(struct bsk_track track, char *out, size_t size);

/* Begins the key and its object; the caller may add fields of its own and ends it. */
void bsk_export_about(const struct bsk_profile *profile, struct bsk_json *json);

/* The commit that is checked out where `path` lies; "" when that is in no git repository. Reads two
 * or three small files, runs nothing. */
void bsk_git_commit(const char *path, char out[BSK_COMMIT_BYTES]);

#endif
