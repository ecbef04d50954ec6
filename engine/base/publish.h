/*
 * Putting a finished file in place in one step, and making the folder that holds it.
 *
 * A draft is an unnamed-to-the-user file beside the final one (".NAME.PID.draft"), mode 0600. An
 * interrupted run leaves the previous file or none, never half of one.
 */
#ifndef BSK_BASE_PUBLISH_H
#define BSK_BASE_PUBLISH_H

#include "engine/base/error.h"

#include <stddef.h>
#include <stdio.h>

/* Opens a draft for `path`; its name goes to `draft_path`. The caller owns the FILE until it is
 * published or discarded. Fails with BSK_E_IO ("Output directory not writable" where that is so).
 */
int bsk_draft_open(const char *path, char *draft_path, size_t draft_path_bytes, FILE **out_draft,
                   struct bsk_error *err);

/* Takes over and closes `draft` in every case; on failure the draft is removed. */
int bsk_publish(FILE *draft, const char *draft_path, const char *path, struct bsk_error *err);

/* The same without waiting for the disk: whole whatever happens to us, not to the machine. */
int bsk_publish_unsynced(FILE *draft, const char *draft_path, const char *path,
                         struct bsk_error *err);

/* Closes and removes a draft that is not wanted any more. */
void bsk_draft_discard(FILE *draft, const char *draft_path);

/* Makes `path` and its parents (0777 minus the umask); a folder that was there is fine. */
int bsk_make_folder(const char *path, struct bsk_error *err);

#endif
