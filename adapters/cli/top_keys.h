/* What each key of `top` does to what is shown. */
#ifndef BSK_CLI_TOP_KEYS_H
#define BSK_CLI_TOP_KEYS_H

#include "adapters/cli/top_screen.h"

enum top_deed {
    TOP_NOTHING,
    TOP_REDRAW,  /* the rows stand, how they are shown has changed */
    TOP_RECOUNT, /* the rows are to be made again */
    TOP_ZERO,    /* counting begins anew */
    TOP_QUIT,
};

/* `key` as wgetch() gives it. `rows` is what is on the screen. */
enum top_deed top_key(struct top_state *state, const struct top_rows *rows, int key);

#endif
