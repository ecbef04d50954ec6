/* How `basilisk diff` shows what it found: a table for a terminal, JSON, an SVG. */
#ifndef BSK_CLI_DIFF_SHOW_H
#define BSK_CLI_DIFF_SHOW_H

#include "engine/base/error.h"
#include "engine/import/import.h"
#include "engine/profile/diff.h"

#include <stdio.h>

enum { CLI_DIFF_MAX_WARNINGS = 12 };

struct cli_diff {
    const char *paths[2]; /* before, after: as the user wrote them */
    struct bsk_imported sides[2];
    struct bsk_diff *diff;
    char warnings[CLI_DIFF_MAX_WARNINGS][320];
    size_t warning_count;
    bool all;       /* each function of the standard library and of packages by itself; all rows */
    bool colour;    /* ANSI colours may be used */
    int width;      /* of the terminal; 0: nothing is cut */
    double fail_on; /* points; negative: not asked for */
};

/* They return BSK_OK, or the code of the error that they filled in. What could not be written is
 * the caller's to find out, by ferror(). */
int cli_diff_text(const struct cli_diff *shown, FILE *out, struct bsk_error *err);
int cli_diff_json(const struct cli_diff *shown, FILE *out, struct bsk_error *err);
int cli_diff_svg(const struct cli_diff *shown, FILE *out, struct bsk_error *err);

/* "shares.py, Python 3.11.7, 1000 Hz, 10361 samples, 10.0 s CPU": what is known of a profile. */
void cli_diff_describe(const struct cli_diff *shown, size_t side, char *out, size_t size);

/* Whether this is a growth that --fail-on asks for. */
bool cli_diff_grew(const struct cli_diff *shown, const struct bsk_share *share);

#endif
