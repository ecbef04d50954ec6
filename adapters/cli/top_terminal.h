/*
 * The terminal of `top`: taken over with the alternate screen, and given back as it was, however
 * we end: by q, by a signal, by a crash of our own (SIGKILL alone leaves it as it is; `reset` mends
 * that).
 *
 * There is one terminal, so there is no object. All calls come from the main thread.
 */
#ifndef BSK_CLI_TOP_TERMINAL_H
#define BSK_CLI_TOP_TERMINAL_H

#include "engine/base/error.h"

#include <stdbool.h>

/* From here on signals that end us, and SIGWINCH, come as numbers through top_terminal_signal(). */
int top_terminal_catch(struct bsk_error *err);

/* After top_terminal_catch(). Fails with BSK_E_UNSUPPORTED when the type of the terminal ($TERM) is
 * not known. */
int top_terminal_open(struct bsk_error *err);
void top_terminal_close(void); /* twice is harmless */

int top_terminal_signal_fd(void); /* readable when a signal came */
int top_terminal_signal(void);    /* the next signal's number, or 0 */
void top_terminal_resize(void);   /* after SIGWINCH: asks the terminal for its size */

/* True when text may go beyond ASCII: the locale says UTF-8. */
bool top_terminal_utf8(void);

/* How heat is shown: colours where the terminal has them and $NO_COLOR is not set, else bold. */
enum top_paint {
    TOP_PAINT_PLAIN,
    TOP_PAINT_COOL,
    TOP_PAINT_WARM,
    TOP_PAINT_HOT,
    TOP_PAINT_CRITICAL,
    TOP_PAINT_ACCENT, /* words that name things: keys, headings */
    TOP_PAINT_DIM,
    TOP_PAINT_GOOD, /* bars */
};
unsigned int top_terminal_paint(enum top_paint paint); /* an attribute for attrset() */

#endif
