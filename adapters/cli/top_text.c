#include "adapters/cli/top_text.h"

#include "adapters/cli/top_terminal.h"
#include "engine/base/strings.h"

#include <curses.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

enum { CELLS_MAX = 1024, TEXT_MAX_BYTES = 4096 };

/* Reads one character; what cannot be shown becomes '?'. Returns its cells, 0 to 2. */
static int next_character(const char **text, wchar_t *out)
{
    const unsigned char *at = (const unsigned char *)*text;
    size_t bytes = bsk_utf8_length(*text, strnlen(*text, 4));
    uint32_t code = at[0];
    if (bytes == 0) {
        (*text)++;
        *out = L'?';
        return 1;
    }
    if (bytes > 1) {
        code = at[0] & (0xffU >> (bytes + 1));
        for (size_t i = 1; i < bytes; i++)
            code = code << 6 | (at[i] & 0x3fU);
    }
    *text += bytes;
    int cells = code < 128 || top_terminal_utf8() ? wcwidth((wchar_t)code) : -1;
    *out = cells < 0 ? L'?' : (wchar_t)code;
    return cells < 0 ? 1 : cells;
}

int top_text_width(const char *text)
{
    int width = 0;
    wchar_t ignored;
    while (*text && width < CELLS_MAX)
        width += next_character(&text, &ignored);
    return width;
}

/* The end of `text` that needs at most `width` cells. */
static const char *end_of(const char *text, int width)
{
    int left = top_text_width(text);
    wchar_t ignored;
    while (*text && left > width)
        left -= next_character(&text, &ignored);
    while (*text) { /* no accent without its letter */
        const char *next = text;
        if (next_character(&next, &ignored) > 0)
            break;
        text = next;
    }
    return text;
}

int top_text_put(int y, int x, int width, const char *text, bool keep_end)
{
    wchar_t line[CELLS_MAX * 2];
    wchar_t dots = top_terminal_utf8() ? L'\u2026' : L'~';
    size_t count = 0;
    int used = 0;
    if (x + width > COLS)
        width = COLS - x;
    if (width <= 0 || y < 0 || y >= LINES)
        return 0;
    if (width > CELLS_MAX)
        width = CELLS_MAX;
    bool cut = top_text_width(text) > width;
    if (cut && keep_end) {
        line[count++] = dots;
        used = 1;
        text = end_of(text, width - 1);
        cut = false;
    }
    int room = cut ? width - 1 : width;
    while (*text && count + 2 < CELLS_MAX * 2) {
        const char *next = text;
        wchar_t character;
        int cells = next_character(&next, &character);
        if (used + cells > room)
            break;
        line[count++] = character;
        used += cells;
        text = next;
    }
    if (cut) {
        line[count++] = dots;
        used++;
    }
    mvaddnwstr(y, x, line, (int)count);
    for (; used < width; used++)
        mvaddch(y, x + used, ' ');
    return width;
}

void top_percent(uint64_t part_ns, uint64_t whole_ns, char out[TOP_NUMBER_BYTES])
{
    double percent = whole_ns ? 100.0 * (double)part_ns / (double)whole_ns : 0.0;
    snprintf(out, TOP_NUMBER_BYTES, percent < 999.95 ? "%.1f" : "%.0f", percent);
}

void top_seconds(uint64_t ns, char out[TOP_NUMBER_BYTES])
{
    double seconds = (double)ns / 1e9;
    uint64_t whole = ns / 1000000000U;
    if (seconds < 999.995)
        snprintf(out, TOP_NUMBER_BYTES, "%.2fs", seconds);
    else if (whole < 60000)
        snprintf(out, TOP_NUMBER_BYTES, "%" PRIu64 "m%02us", whole / 60, (unsigned)(whole % 60));
    else
        snprintf(out, TOP_NUMBER_BYTES, "%" PRIu64 "h%02um", whole / 3600 % 1000000,
                 (unsigned)(whole / 60 % 60));
}
