/* The difference as a table, as wide as the terminal. */
#include "adapters/cli/diff_show.h"

#include "engine/base/strings.h"
#include "engine/export/names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ROWS = 25,      /* without --all */
    NUMBERS_CELLS = 55, /* of a row, before the function's name */
    NAME_LEAST_CELLS = 16,
};
static const double least_row = 0.1; /* points: smaller shifts are of no interest */

struct row {
    struct bsk_share self, total;
    bool folded; /* of many functions: their totals do not add up */
    const char *name,
        *path; /* of a folded one the name is `text`, which moves as rows are sorted */
    char text[96];
};

struct table {
    const struct cli_diff *shown;
    FILE *out;
    struct bsk_names names;
    struct row *rows;
    size_t count;
};

static const char *paint(const struct table *table, const char *code)
{
    return table->shown->colour ? code : "";
}

/* How many cells of a terminal a character takes: two in East Asian scripts and for pictures. */
static size_t cells_of(const char *at, size_t length)
{
    static const struct {
        uint32_t first, last;
    } wide[] = { { 0x1100, 0x115f },   { 0x2e80, 0x303e },  { 0x3041, 0xa4cf }, { 0xac00, 0xd7a3 },
                 { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },  { 0xff00, 0xff60 }, { 0xffe0, 0xffe6 },
                 { 0x1f300, 0x1faff }, { 0x20000, 0x3fffd } };
    static const unsigned char first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t point = (unsigned char)at[0] & first_bits[length];
    for (size_t i = 1; i < length; i++)
        point = point << 6 | ((unsigned char)at[i] & 0x3f);
    if (point >= 0x300 && point <= 0x36f)
        return 0; /* an accent on what stands before it */
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        if (point >= wide[i].first && point <= wide[i].last)
            return 2;
    }
    return 1;
}

static size_t width_of(const char *text)
{
    size_t cells = 0, left = strlen(text);
    while (left > 0) {
        size_t length = bsk_utf8_length(text, left);
        length = length ? length : 1;
        cells += cells_of(text, length);
        text += length;
        left -= length;
    }
    return cells;
}

/* Writes as much of `text` as fits into `cells`, "…" at its end where it is cut. */
static void put_cut(FILE *out, const char *text, size_t cells)
{
    if (width_of(text) <= cells) {
        fputs(text, out);
        return;
    }
    size_t left = strlen(text), used = 0;
    while (left > 0) {
        size_t length = bsk_utf8_length(text, left);
        length = length ? length : 1;
        used += cells_of(text, length);
        if (used + 1 > cells)
            break;
        fwrite(text, 1, length, out);
        text += length;
        left -= length;
    }
    fputs("…", out);
}

/* The end of a path says more than its beginning. */
static void put_path(FILE *out, const char *text, size_t cells)
{
    if (width_of(text) <= cells) {
        fputs(text, out);
        return;
    }
    while (*text && width_of(text) + 1 > cells) {
        size_t length = bsk_utf8_length(text, strlen(text));
        text += length ? length : 1;
    }
    fputs("…", out);
    fputs(text, out);
}

static void put_share(const struct table *table, const struct bsk_share *share)
{
    const char *code = !share->significant ? "\033[2m" : share->delta > 0 ? "\033[31m" : "\033[34m";
    double delta = fabs(share->delta) < 0.005 ? 0 : share->delta; /* no "-0.00" */
    fprintf(table->out, "%7.2f %7.2f %s%+7.2f%c%s", share->before, share->after, paint(table, code),
            delta, share->significant ? '*' : ' ', paint(table, "\033[0m"));
}

static void put_row(const struct table *table, const struct row *row)
{
    struct bsk_buffer name = { 0 }, path = { 0 };
    size_t width = table->shown->width > 0 ? (size_t)table->shown->width : SIZE_MAX;
    size_t room = width > NUMBERS_CELLS + NAME_LEAST_CELLS ? width - NUMBERS_CELLS : SIZE_MAX;
    put_share(table, &row->self);
    fputs("  ", table->out);
    if (row->folded)
        fprintf(table->out, "%24s", "");
    else
        put_share(table, &row->total);
    fputs("  ", table->out);
    bsk_append_plain(&name, row->name);
    if (row->path[0])
        bsk_append_plain(&path, bsk_names_short(&table->names, row->path));
    if (width != SIZE_MAX && room == SIZE_MAX)
        room = NAME_LEAST_CELLS; /* narrower than the numbers: the terminal wraps */
    const char *text = bsk_buffer_text(&name);
    put_cut(table->out, text, room);
    size_t used = width_of(text);
    if (path.size > 0 && (room == SIZE_MAX || used + 2 + 8 <= room)) {
        fprintf(table->out, "  %s", paint(table, "\033[2m"));
        put_path(table->out, bsk_buffer_text(&path), room == SIZE_MAX ? room : room - used - 2);
        fputs(paint(table, "\033[0m"), table->out);
    }
    fputc('\n', table->out);
    bsk_buffer_free(&name);
    bsk_buffer_free(&path);
}

static double size_of(const struct row *row)
{
    return fmax(fabs(row->self.delta), row->folded ? 0 : fabs(row->total.delta));
}

static int by_size(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    double x = size_of(a), y = size_of(b);
    if (x != y)
        return x > y ? -1 : 1;
    int order = a->folded || b->folded ? a->folded - b->folded : strcmp(a->name, b->name);
    return order ? order : strcmp(a->path, b->path);
}

static bool is_significant(const struct row *row)
{
    return row->self.significant || row->total.significant;
}

/* One row for all functions of an origin. */
static void fold(struct table *table, enum bsk_code_origin origin, const char *what)
{
    struct row *row = &table->rows[table->count];
    size_t functions = 0, significant = 0;
    *row = (struct row){ .folded = true, .path = "" };
    for (size_t i = 0; i < table->shown->diff->count; i++) {
        const struct bsk_diff_function *f = &table->shown->diff->functions[i];
        if (f->origin != origin)
            continue;
        row->self.before += f->self.before;
        row->self.after += f->self.after;
        functions++;
        significant += f->self.significant || f->total.significant;
    }
    if (functions == 0)
        return;
    row->self.delta = row->self.after - row->self.before;
    int used = snprintf(row->text, sizeof(row->text), "(%s: %zu function%s", what, functions,
                        functions == 1 ? "" : "s");
    if (significant > 0)
        snprintf(row->text + used, sizeof(row->text) - (size_t)used,
                 ", %zu significant, see --all)", significant);
    else
        snprintf(row->text + used, sizeof(row->text) - (size_t)used, ")");
    table->count++;
}

static bool fill(struct table *table)
{
    const struct bsk_diff *diff = table->shown->diff;
    table->rows = calloc(diff->count + 2, sizeof(*table->rows));
    if (!table->rows)
        return false;
    for (size_t i = 0; i < diff->count; i++) {
        const struct bsk_diff_function *f = &diff->functions[i];
        bool folds = f->origin == BSK_ORIGIN_LIBRARY || f->origin == BSK_ORIGIN_PACKAGE;
        if (table->shown->all || !folds)
            table->rows[table->count++] =
                (struct row){ f->self, f->total, false, f->name, f->path, "" };
    }
    if (!table->shown->all) {
        fold(table, BSK_ORIGIN_LIBRARY, "standard library");
        fold(table, BSK_ORIGIN_PACKAGE, "packages");
    }
    return true;
}

static void put_head(const struct table *table)
{
    static const char *const what[] = { "A (before)", "B (after) " };
    char line[1400];
    for (size_t i = 0; i < 2; i++) {
        cli_diff_describe(table->shown, i, line, sizeof(line));
        struct bsk_buffer path = { 0 };
        bsk_append_plain(&path, table->shown->paths[i]);
        fprintf(table->out, "%s  %s\n            %s\n", what[i], bsk_buffer_text(&path), line);
        bsk_buffer_free(&path);
    }
    for (size_t i = 0; i < table->shown->warning_count; i++)
        fprintf(table->out, "%swarning:%s %s\n", paint(table, "\033[33m"), paint(table, "\033[0m"),
                table->shown->warnings[i]);
    fprintf(table->out, "\n%-26s%-26s\n%7s %7s %7s   %7s %7s %7s   %s\n", "percent, in itself",
            "percent, with what it calls", "before", "after", "shift", "before", "after", "shift",
            "function");
}

static void put_foot(const struct table *table, size_t left_out)
{
    const struct bsk_diff *diff = table->shown->diff;
    if (left_out > 0)
        fprintf(table->out, "%zu more, none of them significant; --all shows them\n", left_out);
    fputc('\n', table->out);
    if (diff->significant > 0)
        fprintf(table->out, "* significant: at most 3 of 100 pairs of equal runs show any such "
                            "shift. The others may "
                            "be noise.\n");
    else
        fprintf(table->out,
                "No shift is significant: two runs of the same program may differ as much.\n");
    fprintf(
        table->out,
        "A shift of %.1f points, of a function of 10 percent, would be found 95 times in 100.\n",
        diff->visible_points);
}

int cli_diff_text(const struct cli_diff *shown, FILE *out, struct bsk_error *err)
{
    struct table table = { .shown = shown, .out = out };
    size_t left_out = 0, written = 0;
    if (!bsk_names_init(&table.names, shown->sides[1].profile) || !fill(&table)) {
        bsk_names_free(&table.names);
        free(table.rows);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    qsort(table.rows, table.count, sizeof(*table.rows), by_size);
    put_head(&table);
    for (size_t i = 0; i < table.count; i++) {
        struct row *row = &table.rows[i];
        if (row->folded)
            row->name = row->text;
        if (!shown->all && !is_significant(row) && !row->folded &&
            (written >= MAX_ROWS || size_of(row) < least_row)) {
            left_out++;
            continue;
        }
        put_row(&table, row);
        written++;
    }
    put_foot(&table, left_out);
    bsk_names_free(&table.names);
    free(table.rows);
    return BSK_OK;
}
