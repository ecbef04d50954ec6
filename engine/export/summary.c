#include "engine/export/summary.h"

#include "engine/base/publish.h"
#include "engine/export/about.h"
#include "engine/export/names.h"
#include "engine/export/stream.h"

#include <limits.h>
#include <string.h>

enum { TOP = 3, TEXT_MAX_BYTES = 300 };

struct summary {
    const struct bsk_profile *profile;
    const struct bsk_totals *totals;
    struct bsk_names names;
    struct bsk_buffer text;
    struct bsk_stream *out;
};

/* As code: on one line, and nothing in it can end it. */
static void code(struct summary *summary, const char *text)
{
    bsk_buffer_clear(&summary->text);
    bsk_append_plain(&summary->text, text);
    const char *plain = bsk_buffer_text(&summary->text);
    size_t size = strlen(plain), kept = size;
    if (size > TEXT_MAX_BYTES)
        for (kept = TEXT_MAX_BYTES; kept > 0 && ((unsigned char)plain[kept] & 0xc0) == 0x80;)
            kept--; /* not in the middle of a character */
    bsk_stream_text(summary->out, "`");
    for (size_t i = 0; i < kept; i++)
        bsk_stream_bytes(summary->out, plain[i] == '`' ? "'" : plain + i, 1);
    bsk_stream_text(summary->out, kept < size ? "…`" : "`");
}

static void plain(struct summary *summary, const char *before, const char *text, const char *after)
{
    bsk_buffer_clear(&summary->text);
    bsk_append_plain(&summary->text, text);
    bsk_stream_text(summary->out, before);
    bsk_stream_text(summary->out, bsk_buffer_text(&summary->text));
    bsk_stream_text(summary->out, after);
}

static void place(struct summary *summary, const char *path, uint32_t line)
{
    char text[PATH_MAX + 16];
    const char *shown = bsk_names_short(&summary->names, path);
    if (line > 0)
        snprintf(text, sizeof(text), "%s:%u", shown, line);
    else
        snprintf(text, sizeof(text), "%s", shown);
    code(summary, text);
}

static void what_ran(struct summary *summary)
{
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(summary->profile);
    struct bsk_stream *out = summary->out;
    bsk_stream_text(out, "# Profile of ");
    code(summary, bsk_export_name(summary->profile));
    bsk_stream_text(out, "\n\n");
    if (meta->command[0]) {
        code(summary, meta->command);
        bsk_stream_text(out, ", ");
    }
    if (meta->python[0])
        plain(summary, "Python ", meta->python, ", ");
    bsk_stream_printf(out, "%.2f s of %s time in %.1f s", (double)summary->totals->cpu_ns / 1e9,
                      bsk_clock_name(meta->clock), (double)meta->duration_ns / 1e9);
    if (meta->reason[0])
        plain(summary, " (", meta->reason, ")");
    if (summary->names.root) {
        bsk_stream_text(out, "; paths are below ");
        code(summary, summary->names.root);
    }
    bsk_stream_text(out, "\n\n");
    bsk_stream_printf(out,
                      "%llu samples at %g Hz, %llu errors, %llu torn, %llu filled in, %llu unread, "
                      "%llu missed, %llu lost; %s\n\n",
                      (unsigned long long)summary->totals->samples, meta->rate_hz,
                      (unsigned long long)meta->errors, (unsigned long long)meta->torn,
                      (unsigned long long)meta->filled, (unsigned long long)meta->unread,
                      (unsigned long long)meta->missed,
                      (unsigned long long)bsk_profile_lost(summary->profile),
                      bsk_method_phrase(meta->method));
    char jit[BSK_JIT_PHRASE_BYTES];
    bsk_jit_phrase(meta, jit, sizeof(jit));
    if (jit[0])
        bsk_stream_printf(out, "%s\n\n", jit);
}

static void top_lines(struct summary *summary)
{
    const struct bsk_totals *totals = summary->totals;
    for (size_t i = 0; i < totals->line_count && i < TOP; i++) {
        const struct bsk_line_total *line = &totals->lines[i];
        bsk_stream_printf(summary->out, "- line: %.1f %% ", line->self_percent);
        place(summary, line->path, line->line);
        bsk_stream_text(summary->out, " in ");
        code(summary, line->function);
        bsk_stream_text(summary->out, "\n");
    }
}

static void top_functions(struct summary *summary)
{
    const struct bsk_totals *totals = summary->totals;
    for (size_t i = 0; i < totals->function_count && i < TOP; i++) {
        const struct bsk_function_total *function = &totals->functions[i];
        bsk_stream_printf(summary->out, "- function: %.1f %% itself, %.1f %% with what it calls: ",
                          function->self_percent, function->total_percent);
        code(summary, function->name);
        if (function->path[0]) {
            bsk_stream_text(summary->out, " in ");
            place(summary, function->path, function->first_line);
        }
        bsk_stream_text(summary->out, "\n");
    }
}

int bsk_summary_write(const struct bsk_profile *profile, const struct bsk_totals *totals,
                      const char *name, FILE *file, struct bsk_error *err)
{
    struct bsk_stream out = { .file = file };
    struct summary summary = { .profile = profile, .totals = totals, .out = &out };
    bool named = bsk_names_init(&summary.names, profile);
    what_ran(&summary);
    if (totals->samples == 0)
        bsk_stream_text(&out, "- No samples: it used no CPU time while it was profiled\n");
    top_lines(&summary);
    top_functions(&summary);
    bsk_stream_text(&out, "\nFiles: ");
    code(&summary, name);
    bsk_stream_text(&out, " + `.svg` (a browser), `.cpuprofile` (VS Code), `.speedscope.json` "
                          "(https://www.speedscope.app); two profiles: `basilisk diff A B`. By ");
    bsk_stream_printf(&out, "%s\n", bsk_export_maker);
    out.held.failed |= summary.text.failed || !named;
    int rc = bsk_stream_finish(&out, err);
    bsk_names_free(&summary.names);
    bsk_buffer_free(&summary.text);
    return rc;
}

int bsk_summary_file(const struct bsk_profile *profile, const struct bsk_totals *totals,
                     const char *name, const char *path, struct bsk_error *err)
{
    char draft_path[PATH_MAX + 64];
    FILE *draft;
    int rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, err);
    if (rc < 0)
        return rc;
    rc = bsk_summary_write(profile, totals, name, draft, err);
    if (rc < 0) {
        bsk_draft_discard(draft, draft_path);
        return rc;
    }
    return bsk_publish(draft, draft_path, path, err);
}
