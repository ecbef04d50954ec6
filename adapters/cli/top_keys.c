#include "adapters/cli/top_keys.h"

#include <curses.h>
#include <string.h>

enum { KEY_ESCAPE = 27, KEY_CTRL_C = 3, KEY_DELETE = 127, KEY_CTRL_L = 12 };

static enum top_deed to_top(struct top_state *state)
{
    state->cursor = state->first = 0;
    return TOP_RECOUNT;
}

/* Typing is seen at once: each letter filters. Bytes of UTF-8 come one by one. */
static enum top_deed edit_filter(struct top_state *state, int key)
{
    size_t bytes = strlen(state->filter);
    if (key == KEY_ESCAPE) {
        state->editing = false;
        state->filter[0] = '\0';
        return to_top(state);
    }
    if (key == '\r' || key == '\n' || key == KEY_ENTER) {
        state->editing = false;
        return TOP_REDRAW;
    }
    if (key == KEY_BACKSPACE || key == KEY_DELETE || key == '\b') {
        if (bytes == 0)
            state->editing = false;
        while (bytes > 0 && ((unsigned char)state->filter[--bytes] & 0xc0) == 0x80)
            ;
        state->filter[bytes] = '\0';
        return to_top(state);
    }
    if (key < ' ' || key > 255 || bytes + 1 >= TOP_FILTER_BYTES)
        return TOP_NOTHING;
    state->filter[bytes] = (char)key;
    state->filter[bytes + 1] = '\0';
    return to_top(state);
}

static enum top_deed sort_by(struct top_state *state, enum top_column column)
{
    for (const enum top_column *c = top_columns(state->view); *c != TOP_COLUMNS; c++) {
        if (*c == column) {
            state->sort = column;
            state->reverse = false;
            return to_top(state);
        }
    }
    return TOP_NOTHING;
}

static enum top_deed sort_beside(struct top_state *state, int step)
{
    const enum top_column *all = top_columns(state->view);
    int count = 0, at = 0;
    for (; all[count] != TOP_COLUMNS; count++)
        if (all[count] == state->sort)
            at = count;
    return count ? sort_by(state, all[(at + step + count) % count]) : TOP_NOTHING;
}

static enum top_deed show(struct top_state *state, enum top_view view)
{
    state->view = state->view == view ? TOP_FUNCTIONS : view;
    state->cursor_shown = state->view == TOP_THREADS;
    if (state->view == TOP_THREADS) {
        state->track = UINT32_MAX;
        if (state->sort == TOP_TOTAL)
            state->sort = TOP_OWN;
        else if (state->sort == TOP_TOTAL_TIME)
            state->sort = TOP_OWN_TIME;
    }
    return to_top(state);
}

static enum top_deed go(struct top_state *state, const struct top_rows *rows, long step)
{
    size_t last = rows->count ? rows->count - 1 : 0;
    size_t far = (size_t)(step < 0 ? -step : step);
    if (!state->cursor_shown && (step == 1 || step == -1)) {
        state->cursor_shown = true; /* the first arrow shows where it is */
        return TOP_REDRAW;
    }
    if (step < 0)
        state->cursor = far < state->cursor ? state->cursor - far : 0;
    else
        state->cursor = far < last - state->cursor ? state->cursor + far : last;
    return TOP_REDRAW;
}

/* A page moves what is visible as well, so that no row is passed over. */
static enum top_deed page(struct top_state *state, const struct top_rows *rows, bool down)
{
    long step = (long)state->page;
    if (down && state->first + state->page < rows->count)
        state->first += state->page;
    else if (!down)
        state->first = state->first > state->page ? state->first - state->page : 0;
    state->cursor_shown = true;
    return go(state, rows, down ? step : -step);
}

static enum top_deed enter(struct top_state *state, const struct top_rows *rows)
{
    if (state->view != TOP_THREADS || state->cursor >= rows->count)
        return TOP_NOTHING;
    state->track = rows->items[state->cursor].track;
    state->view = TOP_FUNCTIONS;
    state->cursor_shown = false;
    state->filter[0] = '\0';
    return to_top(state);
}

static enum top_deed leave(struct top_state *state)
{
    if (state->filter[0])
        state->filter[0] = '\0';
    else if (state->track != UINT32_MAX)
        state->track = UINT32_MAX;
    else
        state->cursor_shown = state->view == TOP_THREADS;
    return to_top(state);
}

static enum top_deed weigh(struct top_state *state, enum top_weight weight)
{
    state->weight = state->weight == weight ? TOP_CPU : weight;
    return TOP_RECOUNT;
}

enum top_deed top_key(struct top_state *state, const struct top_rows *rows, int key)
{
    if (key == KEY_CTRL_C)
        return TOP_QUIT;
    if (state->editing)
        return edit_filter(state, key);
    if (state->help) {
        state->help = false;
        return TOP_REDRAW;
    }
    if (key >= '1' && key <= '9')
        return sort_by(state, (enum top_column)(key - '1'));
    if (key == '0')
        return sort_by(state, TOP_PLACE);
    switch (key) {
    case 'q':
    case 'Q':
        return TOP_QUIT;
    case '?':
    case 'h':
    case KEY_F(1):
        state->help = true;
        return TOP_REDRAW;
    case '<':
    case KEY_LEFT:
        return sort_beside(state, -1);
    case '>':
    case KEY_RIGHT:
        return sort_beside(state, 1);
    case 'r':
    case 'R':
        state->reverse = !state->reverse;
        return to_top(state);
    case 't':
    case 'T':
        return show(state, TOP_THREADS);
    case 'l':
    case 'L':
        return show(state, TOP_LINES);
    case 'a':
    case 'A':
        state->unfold = !state->unfold;
        return to_top(state);
    case 'g':
    case 'G':
        return weigh(state, TOP_GIL);
    case 'i':
    case 'I':
        return weigh(state, TOP_WALL);
    case '%':
        state->of_cpu = !state->of_cpu;
        return TOP_REDRAW;
    case '/':
        state->editing = true;
        return TOP_REDRAW;
    case 'p':
    case 'P':
    case ' ':
        state->paused = !state->paused;
        return TOP_REDRAW;
    case 'z':
    case 'Z':
        return TOP_ZERO;
    case KEY_UP:
    case 'k':
        return go(state, rows, -1);
    case KEY_DOWN:
    case 'j':
        return go(state, rows, 1);
    case KEY_PPAGE:
        return page(state, rows, false);
    case KEY_NPAGE:
        return page(state, rows, true);
    case KEY_HOME:
        state->cursor = state->first = 0;
        return TOP_REDRAW;
    case KEY_END:
        return go(state, rows, (long)rows->count);
    case '\r':
    case '\n':
    case KEY_ENTER:
        return enter(state, rows);
    case KEY_ESCAPE:
    case KEY_BACKSPACE:
    case KEY_DELETE:
        return leave(state);
    case KEY_CTRL_L:
        clear();
        return TOP_REDRAW;
    default:
        return TOP_NOTHING;
    }
}
