/*
 * NAME.md beside the files of a profile: ten lines of Markdown for a pull request or an agent. What
 * ran and for how long, how good the profile is, its top lines and functions, and how to look at
 * the files.
 */
#ifndef BSK_EXPORT_SUMMARY_H
#define BSK_EXPORT_SUMMARY_H

#include "engine/base/error.h"
#include "engine/profile/totals.h"

#include <stdio.h>

/* `name` is what the files are called, without folder and ending. Fails with BSK_E_IO and
 * BSK_E_MEMORY. */
int bsk_summary_write(const struct bsk_profile *profile, const struct bsk_totals *totals,
                      const char *name, FILE *out, struct bsk_error *err);

/* The same under `path`, in one step (base/publish.h). */
int bsk_summary_file(const struct bsk_profile *profile, const struct bsk_totals *totals,
                     const char *name, const char *path, struct bsk_error *err);

#endif
