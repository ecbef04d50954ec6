/*
 * Text of any script into cells of a terminal: by wcwidth, cut with an ellipsis, never wrapped.
 * Control characters and what the locale cannot show become '?'.
 */
#ifndef BSK_CLI_TOP_TEXT_H
#define BSK_CLI_TOP_TEXT_H

#include <stdbool.h>
#include <stdint.h>

int top_text_width(const char *text); /* in cells */

/* Writes `text` at (y, x) with the attributes that are set, into exactly `width` cells: blanks
 * follow what is shorter; of what is longer the end is cut, or with `keep_end` the beginning.
 * Nothing beyond the right edge of the screen. Returns the cells used. */
int top_text_put(int y, int x, int width, const char *text, bool keep_end);

/* Room for what the two below write. */
enum { TOP_NUMBER_BYTES = 16 };
void top_percent(uint64_t part_ns, uint64_t whole_ns, char out[TOP_NUMBER_BYTES]); /* "12.3" */
void top_seconds(uint64_t ns, char out[TOP_NUMBER_BYTES]);                         /* "12.34s" */

#endif
