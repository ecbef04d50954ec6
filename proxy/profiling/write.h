/*
 * Writing the files of one profile, on one of libuv's workers.
 */
#ifndef DAP_PROFILING_WRITE_H
#define DAP_PROFILING_WRITE_H

#include "engine/profile/totals.h"
#include "proxy/profiling/profiling.h"

/* Writes the formats of a session (speedscope, cpuprofile, flamegraph) and its summary ("markdown")
 * under one new name in `folder`. Where that folder cannot be written,
 * the files go below the system's temporary folder and `out_warning` says so: nothing is lost.
 * Fails with BSK_E_IO when neither works. Blocks: for a worker. */
int dap_write_profile(const struct bsk_profile *profile, const struct bsk_totals *totals,
                      const char *folder, const char *name, struct dap_profile_paths *out_paths,
                      char *out_warning, size_t out_warning_bytes, struct bsk_error *err);

/* Tries `folder` by writing there, before a profile is begun. */
int dap_check_folder(const char *folder, struct bsk_error *err);

/* Where files go: `wanted` ("" : basilisk-profiles) as it is when absolute, else below the launch
 * cwd, else the program's folder, else the process's cwd, else ours. */
void dap_place_folder(const char *wanted, const struct dap_debuggee *debuggee, pid_t pid, char *out,
                      size_t out_bytes);

#endif
