/*
 * What the user can ask for: basilisk.* requests and console commands. Each is one line of the
 * table in commands.c and one function in the file of its family: it parses, calls, and puts into
 * words.
 */
#ifndef DAP_COMMANDS_COMMANDS_H
#define DAP_COMMANDS_COMMANDS_H

#include "proxy/session/session.h"

#include <uv.h>

/* The extension that hangs on every session; its `user` is the loop (uv_loop_t *) on which all of
 * them run. */
extern const struct dap_extension dap_basilisk;

#endif
