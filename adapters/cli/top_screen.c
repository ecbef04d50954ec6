#include "adapters/cli/top_screen.h"

#include "adapters/cli/top_terminal.h"
#include "adapters/cli/top_text.h"
#include "engine/findings/heat.h"

#include <curses.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct column {
    const char *title, *thread_title;
    int width; /* one blank before it included */
    int rank;  /* the higher, the sooner it is left out */
};

static const struct column columns[TOP_COLUMNS] = {
    [TOP_OWN] = { "%Own", "%CPU", 7, 0 },
    [TOP_TOTAL] = { "%Total", NULL, 8, 1 },
    [TOP_OWN_TIME] = { "OwnTime", "CPUTime", 10, 2 },
    [TOP_TOTAL_TIME] = { "TotalTime", NULL, 11, 3 },
    [TOP_GIL_PERCENT] = { "%GIL", "%GIL", 7, 4 },
    [TOP_WAIT] = { "%Wait", "%Wait", 7, 6 },
    [TOP_IDLE] = { "%Idle", "%Idle", 7, 5 },
    [TOP_CALL] = { "%Call", "%Call", 7, 7 },
    [TOP_NAME] = { "Function", "Thread", 0, 0 },
    [TOP_PLACE] = { "File:line", "Process", 0, 0 },
};

enum {
    NAME_LEAST = 24, /* cells that names keep before a number's column goes */
    PLACE_LEAST = 16,
    RANKS = 8,
    HEIGHT_FULL = 14, /* lines from which the whole head is there */
};

const enum top_column *top_columns(enum top_view view)
{
    static const enum top_column all[] = { TOP_OWN,         TOP_TOTAL, TOP_OWN_TIME, TOP_TOTAL_TIME,
                                           TOP_GIL_PERCENT, TOP_WAIT,  TOP_IDLE,     TOP_CALL,
                                           TOP_NAME,        TOP_PLACE, TOP_COLUMNS };
    static const enum top_column threads[] = { TOP_OWN,  TOP_OWN_TIME, TOP_GIL_PERCENT,
                                               TOP_WAIT, TOP_IDLE,     TOP_CALL,
                                               TOP_NAME, TOP_PLACE,    TOP_COLUMNS };
    return view == TOP_THREADS ? threads : all;
}

static const char *symbol(const char *nice, const char *plain)
{
    return top_terminal_utf8() ? nice : plain;
}

static void paint(enum top_paint what, attr_t more)
{
    attrset(top_terminal_paint(what) | more);
}

/* ---- The head ---------------------------------------------------------------------------------
 */

struct line {
    int y, x, right; /* the next cell, and the first that is taken */
};

/* Puts a word when all of it fits, two blanks behind the one before. */
static void word(struct line *line, enum top_paint what, const char *text)
{
    int width = top_text_width(text);
    if (text[0] == '\0' || line->x + width > line->right)
        return;
    paint(what, 0);
    top_text_put(line->y, line->x, width, text, false);
    line->x += width + 2;
}

static void word_count(struct line *line, uint64_t count, const char *unit, bool bad)
{
    char digits[32], text[64];
    size_t used = 0;
    int bytes = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    for (int i = 0; i < bytes; i++) {
        if (i > 0 && (bytes - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    snprintf(text + used, sizeof(text) - used, " %s%s", unit, count == 1 ? "" : "s");
    word(line, bad && count ? TOP_PAINT_WARM : TOP_PAINT_PLAIN, text);
}

static void draw_title(const struct top_facts *facts, const struct top_state *state, int y)
{
    char elapsed[48], pid[32];
    uint64_t seconds = facts->elapsed_ns / 1000000000U;
    if (seconds < 3600)
        snprintf(elapsed, sizeof(elapsed), "%u:%02u", (unsigned)(seconds / 60),
                 (unsigned)(seconds % 60));
    else
        snprintf(elapsed, sizeof(elapsed), "%" PRIu64 ":%02u:%02u", seconds / 3600,
                 (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
    int right = COLS - (int)strlen(elapsed);
    paint(TOP_PAINT_PLAIN, A_BOLD);
    top_text_put(y, right, (int)strlen(elapsed), elapsed, false);
    right -= 2;
    if (state->paused) {
        right -= 6;
        paint(TOP_PAINT_WARM, A_BOLD | A_REVERSE);
        top_text_put(y, right, 6, "PAUSED", false);
        right -= 2;
    }
    struct line line = { y, 0, right };
    snprintf(pid, sizeof(pid), "pid %d", (int)facts->pid);
    int room = right - (int)strlen(pid) - 2;
    int width = top_text_width(facts->program);
    if (COLS >= 60)
        word(&line, TOP_PAINT_ACCENT, "basilisk");
    if (width > room - line.x)
        width = room - line.x;
    paint(TOP_PAINT_PLAIN, A_BOLD);
    if (width > 0) {
        top_text_put(y, line.x, width, facts->program, false);
        line.x += width + 2;
    }
    word(&line, TOP_PAINT_PLAIN, pid);
}

static void draw_facts(const struct top_facts *facts, int y)
{
    char text[64];
    struct line line = { y, 0, COLS };
    snprintf(text, sizeof(text), "Python %.40s", facts->python);
    word(&line, TOP_PAINT_PLAIN, text);
    snprintf(text, sizeof(text), "%" PRIu32 " Hz", facts->rate_hz);
    word(&line, TOP_PAINT_PLAIN, text);
    word_count(&line, facts->samples, "sample", false);
    word_count(&line, facts->errors, "error", true);
    snprintf(text, sizeof(text), "%" PRIu64 " torn", facts->torn);
    word(&line, facts->torn ? TOP_PAINT_WARM : TOP_PAINT_PLAIN, text);
    const struct {
        uint64_t count;
        const char *what;
    } rare[] = { { facts->missed, "missed" },
                 { facts->unread, "unread" },
                 { facts->filled, "filled in" },
                 { facts->stopped, "stops" } };
    for (size_t i = 0; i < sizeof(rare) / sizeof(rare[0]); i++) {
        snprintf(text, sizeof(text), "%" PRIu64 " %s", rare[i].count, rare[i].what);
        if (rare[i].count)
            word(&line, i == 0 ? TOP_PAINT_WARM : TOP_PAINT_PLAIN, text);
    }
    if (facts->processes != 1)
        snprintf(text, sizeof(text), "%" PRIu32 " processes", facts->processes);
    else
        text[0] = '\0';
    word(&line, TOP_PAINT_PLAIN, text);
    word(&line, TOP_PAINT_DIM, facts->method);
}

/* "CPU 97.3% [bar]": the bar is full at 100 %, one core. */
static void gauge(struct line *line, const char *name, uint64_t part_ns, uint64_t whole_ns,
                  int cells, enum top_paint colour)
{
    char percent[TOP_NUMBER_BYTES], text[64];
    top_percent(part_ns, whole_ns, percent);
    snprintf(text, sizeof(text), "%s %s%%", name, percent);
    int width = (int)strlen(text);
    if (line->x + width > line->right)
        return;
    paint(TOP_PAINT_PLAIN, 0);
    top_text_put(line->y, line->x, width, text, false);
    line->x += width + 1;
    if (cells == 0 || line->x + cells > line->right) {
        line->x++;
        return;
    }
    uint64_t shown = part_ns < whole_ns ? part_ns : whole_ns;
    int full = whole_ns ? (int)((double)cells * (double)shown / (double)whole_ns + 0.5) : 0;
    for (int i = 0; i < cells; i++) {
        paint(i < full ? colour : TOP_PAINT_DIM, 0);
        top_text_put(line->y, line->x + i, 1,
                     i < full ? symbol("\u25a0", "#") : symbol("\u00b7", "."), false);
    }
    line->x += cells + 2;
}

static void draw_gauges(const struct top_rows *rows, int y)
{
    char text[64];
    struct line line = { y, 0, COLS };
    int cells = COLS >= 110 ? 20 : COLS >= 72 ? 10 : 0;
    gauge(&line, "CPU", rows->cpu_ns, rows->interval_ns, cells, TOP_PAINT_GOOD);
    gauge(&line, "GIL", rows->gil_ns, rows->interval_ns, cells, TOP_PAINT_ACCENT);
    snprintf(text, sizeof(text), "%zu thread%s", rows->threads, rows->threads == 1 ? "" : "s");
    word(&line, TOP_PAINT_PLAIN, text);
    snprintf(text, sizeof(text), "%zu active", rows->threads_on_cpu);
    word(&line, TOP_PAINT_PLAIN, text);
    gauge(&line, "GIL wait", rows->wait_ns, rows->interval_ns, 0, TOP_PAINT_WARM);
}

static void draw_view(const struct top_facts *facts, const struct top_rows *rows,
                      const struct top_state *state, int y)
{
    static const char *const names[] = { "Functions", "Lines", "Threads" };
    char text[TOP_FILTER_BYTES + 64], seconds[TOP_NUMBER_BYTES];
    struct line line = { y, 0, COLS };
    word(&line, TOP_PAINT_ACCENT, names[state->view]);
    if (facts->thread) {
        snprintf(text, sizeof(text), "of thread %.100s", facts->thread);
        word(&line, TOP_PAINT_WARM, text);
    }
    if (state->filter[0]) {
        snprintf(text, sizeof(text), "with \"%s\"", state->filter);
        word(&line, TOP_PAINT_WARM, text);
    }
    if (state->view != TOP_THREADS) {
        if (state->weight != TOP_CPU)
            word(&line, TOP_PAINT_WARM,
                 state->weight == TOP_GIL ? "only with the GIL" : "idle included");
        word(&line, TOP_PAINT_PLAIN, state->unfold ? "library shown" : "library folded");
    }
    top_seconds(rows->interval_ns, seconds);
    snprintf(text, sizeof(text), "%s of the last %s", state->of_cpu ? "% of CPU time" : "%",
             seconds);
    word(&line, TOP_PAINT_DIM, text);
    if (facts->output) {
        snprintf(text, sizeof(text), "output: %.100s", facts->output);
        word(&line, TOP_PAINT_DIM, text);
    }
}

/* ---- The table --------------------------------------------------------------------------------
 */

struct layout {
    bool shown[TOP_COLUMNS];
    int name_x, name_width, place_x, place_width;
};

/* Leaves columns out, the least important first, until names have room; the one that decides the
 * order stays as long as anything does. */
static void lay_out(const struct top_rows *rows, const struct top_state *state, struct layout *out)
{
    int used = 0, longest = 8;
    for (const enum top_column *c = top_columns(state->view); *c != TOP_COLUMNS; c++) {
        out->shown[*c] = true;
        used += columns[*c].width;
    }
    for (size_t i = 0; i < rows->count && i < state->page + 1; i++) {
        size_t at = state->first + i;
        int width = at < rows->count ? top_text_width(rows->items[at].name) : 0;
        longest = width > longest ? width : longest;
    }
    for (int rank = RANKS; rank >= 0 && COLS - used - 1 < NAME_LEAST + PLACE_LEAST + 2; rank--) {
        for (int c = 0; c < TOP_NAME; c++) {
            bool small = rank <= 1; /* the last two make room for a name only */
            if (!out->shown[c] || columns[c].rank != rank || rank == 0 || c == (int)state->sort ||
                (small && COLS - used - 1 >= 20))
                continue;
            out->shown[c] = false;
            used -= columns[c].width;
        }
    }
    out->name_x = used + 1;
    int room = COLS - out->name_x;
    if (room < 34) { /* one column for both */
        out->name_width = room > 0 ? room : 0;
        out->place_width = 0;
        out->place_x = COLS;
        out->shown[TOP_PLACE] = state->view != TOP_THREADS;
        return;
    }
    int most = room - PLACE_LEAST - 2 > room * 6 / 10 ? room * 6 / 10 : room - PLACE_LEAST - 2;
    out->name_width = longest < most ? longest : most;
    if (out->name_width < 10)
        out->name_width = 10;
    out->place_x = out->name_x + out->name_width + 2;
    out->place_width = COLS - out->place_x;
}

static void draw_titles(const struct top_state *state, const struct layout *layout, int y)
{
    int x = 0;
    paint(TOP_PAINT_PLAIN, A_REVERSE);
    top_text_put(y, 0, COLS, "", false);
    for (const enum top_column *c = top_columns(state->view); *c != TOP_COLUMNS; c++) {
        const struct column *column = &columns[*c];
        const char *name = state->view == TOP_THREADS ? column->thread_title : column->title;
        char text[32];
        bool sorts = state->sort == *c;
        bool up = state->reverse != (*c == TOP_NAME || *c == TOP_PLACE);
        if (!layout->shown[*c])
            continue;
        snprintf(text, sizeof(text), "%s%s", name,
                 !sorts ? ""
                 : up   ? symbol("\u25b2", "^")
                        : symbol("\u25bc", "v"));
        int width = top_text_width(text);
        paint(TOP_PAINT_PLAIN, sorts ? A_REVERSE | A_BOLD : A_REVERSE);
        if (*c == TOP_NAME) {
            top_text_put(y, layout->name_x, width, text, false);
        } else if (*c == TOP_PLACE) {
            if (layout->place_width)
                top_text_put(y, layout->place_x, width, text, false);
        } else {
            int at = x + column->width - width;
            top_text_put(y, at < 0 ? 0 : at, width, text, false);
            x += column->width;
        }
    }
}

static void place_of(const struct top_facts *facts, const struct top_state *state,
                     const struct top_row *row, char *out, size_t size)
{
    if (state->view == TOP_THREADS)
        snprintf(out, size, "%s%s%s%s  %d/%d%s", !row->ended && row->call[0] ? "in " : "",
                 row->ended ? "" : row->call, !row->ended && row->call[0] ? "  " : "", row->path,
                 (int)row->pid, (int)row->tid, row->ended ? "  ended" : "");
    else if (row->folded || row->path[0] == '\0')
        snprintf(out, size, "%s", row->path);
    else {
        const char *path = state->full_filenames
                               ? row->path
                               : top_short_path(row->path, facts->folder, facts->cwd);
        if (row->line)
            snprintf(out, size, "%s:%" PRIu32, path, row->line);
        else
            snprintf(out, size, "%s", path);
    }
}

static enum top_paint heat_of(uint64_t part_ns, uint64_t whole_ns)
{
    static const enum top_paint paints[] = {
        [BSK_LEVEL_NONE] = TOP_PAINT_PLAIN,        [BSK_LEVEL_COOL] = TOP_PAINT_COOL,
        [BSK_LEVEL_WARM] = TOP_PAINT_WARM,         [BSK_LEVEL_HOT] = TOP_PAINT_HOT,
        [BSK_LEVEL_CRITICAL] = TOP_PAINT_CRITICAL,
    };
    return paints[whole_ns ? bsk_level_of(100.0 * (double)part_ns / (double)whole_ns)
                           : BSK_LEVEL_NONE];
}

static void number_of(const struct top_row *row, enum top_column column, uint64_t whole_ns,
                      char out[TOP_NUMBER_BYTES])
{
    switch (column) {
    case TOP_OWN:
        top_percent(row->own_ns, whole_ns, out);
        break;
    case TOP_TOTAL:
        top_percent(row->total_ns, whole_ns, out);
        break;
    case TOP_OWN_TIME:
        top_seconds(row->all_own_ns, out);
        break;
    case TOP_TOTAL_TIME:
        top_seconds(row->all_total_ns, out);
        break;
    case TOP_GIL_PERCENT:
        top_percent(row->gil_ns, whole_ns, out);
        break;
    case TOP_WAIT:
        top_percent(row->wait_ns, whole_ns, out);
        break;
    case TOP_IDLE:
        top_percent(row->idle_ns, whole_ns, out);
        break;
    case TOP_CALL:
        top_percent(row->call_ns, whole_ns, out);
        break;
    default:
        out[0] = '\0';
        break;
    }
}

static void draw_row(const struct top_facts *facts, const struct top_state *state,
                     const struct layout *layout, const struct top_row *row, uint64_t whole_ns,
                     bool marked, int y)
{
    attr_t mark = marked ? A_REVERSE : A_NORMAL;
    char place[4200], number[TOP_NUMBER_BYTES];
    int x = 0;
    paint(TOP_PAINT_PLAIN, mark);
    top_text_put(y, 0, COLS, "", false);
    for (int c = 0; c < TOP_NAME; c++) {
        if (!layout->shown[c])
            continue;
        number_of(row, (enum top_column)c, whole_ns, number);
        int width = (int)strlen(number), at = x + columns[c].width - width;
        enum top_paint colour = TOP_PAINT_PLAIN;
        if (c == TOP_OWN) /* heat is a function's own time (docs/findings.md) */
            colour = heat_of(row->own_ns, whole_ns);
        else if (c >= TOP_GIL_PERCENT && strcmp(number, "0.0") == 0)
            colour = TOP_PAINT_DIM;
        paint(colour, mark);
        top_text_put(y, at < 0 ? 0 : at, width, number, false);
        x += columns[c].width;
    }
    place_of(facts, state, row, place, sizeof(place));
    enum top_paint name_paint = row->ended || row->folded ? TOP_PAINT_DIM : TOP_PAINT_PLAIN;
    paint(name_paint, mark | (row->own_ns && !row->folded ? A_BOLD : A_NORMAL));
    top_text_put(y, layout->name_x, layout->name_width, row->name, false);
    if (layout->place_width) {
        paint(TOP_PAINT_DIM, mark);
        top_text_put(y, layout->place_x, layout->place_width, place, true);
    } else if (layout->shown[TOP_PLACE]) {
        int used = top_text_width(row->name) + 2, left = layout->name_width - used;
        paint(TOP_PAINT_DIM, mark);
        if (left >= 6)
            top_text_put(y, layout->name_x + used, left, place, true);
    }
}

static void draw_table(const struct top_facts *facts, const struct top_rows *rows,
                       struct top_state *state, int y, int height)
{
    struct layout layout = { 0 };
    state->page = height > 1 ? (size_t)height - 1 : 1;
    if (rows->count == 0)
        state->cursor = 0;
    else if (state->cursor >= rows->count)
        state->cursor = rows->count - 1;
    if (state->cursor < state->first)
        state->first = state->cursor;
    if (state->cursor >= state->first + state->page)
        state->first = state->cursor - state->page + 1;
    if (state->first + state->page > rows->count)
        state->first = rows->count > state->page ? rows->count - state->page : 0;
    lay_out(rows, state, &layout);
    draw_titles(state, &layout, y);
    uint64_t whole_ns = state->of_cpu ? rows->cpu_ns : rows->interval_ns;
    for (size_t i = 0; i < state->page && state->first + i < rows->count; i++) {
        size_t at = state->first + i;
        draw_row(facts, state, &layout, &rows->items[at], whole_ns,
                 state->cursor_shown && at == state->cursor, y + 1 + (int)i);
    }
    if (rows->count == 0 && height > 2) {
        paint(TOP_PAINT_DIM, 0);
        top_text_put(y + 2, 2, COLS - 2,
                     state->filter[0] ? "nothing has this in its name"
                     : facts->samples ? "nothing used the CPU since counting began"
                                      : "waiting for the program to use the CPU",
                     false);
    }
}

/* ---- The rest ---------------------------------------------------------------------------------
 */

static void draw_footer(const struct top_rows *rows, const struct top_state *state, int y)
{
    static const char *const keys[][2] = {
        { "q", "quit" },   { "?", "help" },    { "t", "threads" }, { "l", "lines" },
        { "/", "filter" }, { "a", "library" }, { "<>", "sort" },   { "r", "reverse" },
        { "p", "pause" },  { "z", "zero" },    { "g", "GIL" },     { "i", "idle" },
        { "%", "of CPU" },
    };
    int x = 0;
    char text[TOP_FILTER_BYTES + 32];
    paint(TOP_PAINT_PLAIN, 0);
    if (state->editing) {
        snprintf(text, sizeof(text), "/%s%s", state->filter, symbol("\u2588", "_"));
        paint(TOP_PAINT_ACCENT, 0);
        top_text_put(y, 0, COLS, text, true);
        return;
    }
    int right = COLS;
    if (rows->count > state->page) {
        snprintf(text, sizeof(text), "%zu-%zu of %zu", state->first + 1,
                 state->first + state->page < rows->count ? state->first + state->page
                                                          : rows->count,
                 rows->count);
        right -= (int)strlen(text);
        paint(TOP_PAINT_DIM, 0);
        top_text_put(y, right, (int)strlen(text), text, false);
        right -= 2;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        int key = (int)strlen(keys[i][0]), words = (int)strlen(keys[i][1]);
        if (x + key + 1 + words > right)
            break;
        paint(TOP_PAINT_ACCENT, A_BOLD);
        top_text_put(y, x, key, keys[i][0], false);
        paint(TOP_PAINT_DIM, 0);
        top_text_put(y, x + key + 1, words, keys[i][1], false);
        x += key + words + 3;
    }
}

static void draw_help(void)
{
    static const char *const lines[][2] = {
        { "1 2 3 4", "order by %Own, %Total, OwnTime, TotalTime" },
        { "5 to 9 0", "by %GIL, %Wait, %Idle, %Call, name, place" },
        { "< >  r", "the column beside; the other way round" },
        { "t  Enter", "threads; the functions of the marked one" },
        { "l", "lines instead of functions" },
        { "a", "library functions one by one; ended threads" },
        { "/  Esc", "rows with a text in them; all rows" },
        { "g  i", "time with the GIL alone; with sleep" },
        { "%", "of the CPU time used, not of time passed" },
        { "p  z", "hold the picture; count from now on" },
        { "arrows", "also PgUp PgDn Home End j k" },
        { "q", "quit, as Ctrl-C does" },
        { "", "" },
        { "%Own", "in the last interval, in the function itself" },
        { "%Total", "with what it called" },
        { "OwnTime", "since the start, or since z" },
        { "%Wait", "waited for the GIL" },
    };
    paint(TOP_PAINT_ACCENT, A_BOLD);
    top_text_put(0, 0, COLS, "Keys (any key goes back)", false);
    for (int i = 0; i < (int)(sizeof(lines) / sizeof(lines[0])) && i + 1 < LINES; i++) {
        paint(TOP_PAINT_ACCENT, 0);
        top_text_put(i + 1, 1, 10, lines[i][0], false);
        paint(TOP_PAINT_PLAIN, 0);
        top_text_put(i + 1, 11, COLS - 11, lines[i][1], false);
    }
}

void top_draw(const struct top_facts *facts, const struct top_rows *rows, struct top_state *state)
{
    int y = 0;
    erase();
    if (state->help) {
        draw_help();
        refresh();
        return;
    }
    draw_title(facts, state, y++);
    if (LINES >= HEIGHT_FULL)
        draw_facts(facts, y++);
    if (LINES >= 8)
        draw_gauges(rows, y++);
    if (LINES >= 10)
        draw_view(facts, rows, state, y++);
    int footer = LINES >= 7 ? 1 : 0;
    if (LINES > y + footer)
        draw_table(facts, rows, state, y, LINES - y - footer);
    if (footer)
        draw_footer(rows, state, LINES - 1);
    refresh();
}
