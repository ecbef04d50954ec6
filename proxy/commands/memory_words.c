/* The family basilisk.memory.* in the console. */
#include "proxy/commands/memory_words.h"

#include "proxy/commands/family.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_SITES = 10, SHOWN_TYPES = 5 };

void dap_size_text(char *out, size_t out_bytes, int64_t bytes, bool sign)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double size = fabs((double)bytes);
    size_t unit = 0;
    while (size >= 999.95 && unit < 4) {
        size /= 1000;
        unit++;
    }
    const char *mark = bytes < 0 ? "-" : sign ? "+" : "";
    snprintf(out, out_bytes, unit == 0 ? "%s%.0f %s" : "%s%.1f %s", mark, size, units[unit]);
}

void dap_count_text(char *out, size_t out_bytes, uint64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < out_bytes; i++) {
        out[at++] = digits[i];
        if ((length - i) % 3 == 1 && i + 1 < length)
            out[at++] = ',';
    }
    out[at < out_bytes ? at : out_bytes - 1] = '\0';
}

static void say_site(struct dap_session *session, const struct dap_memory_result *result,
                     const struct bsk_memory_site *site)
{
    char size[32], growth[32] = "", count[32], average[32], text[1000];
    int64_t growth_bytes = 0, growth_count = 0;
    dap_size_text(size, sizeof(size), (int64_t)site->bytes, false);
    dap_count_text(count, sizeof(count), site->count);
    dap_size_text(average, sizeof(average), site->count ? (int64_t)(site->bytes / site->count) : 0,
                  false);
    if (bsk_memory_history_growth(result->history, result->snapshot, site, &growth_bytes,
                                  &growth_count))
        dap_size_text(growth, sizeof(growth), growth_bytes, true);
    snprintf(text, sizeof(text), "%10s %10s %11s %9s  %.200s:%" PRIu32 "  %.200s\n", size, growth,
             count, average, dap_short_path(session, site->path), site->line,
             site->text ? site->text : "");
    dap_session_output(session, "console", text, site->path[0] == '/' ? site->path : NULL,
                       site->line);
}

static void say_types(struct dap_session *session, const struct bsk_memory_snapshot *snapshot)
{
    struct bsk_buffer text = { 0 };
    if (!snapshot->has_types)
        return;
    char count[32];
    dap_count_text(count, sizeof(count), snapshot->object_count);
    bsk_buffer_printf(&text, "%s objects: ", count);
    for (size_t i = 0; i < snapshot->type_count && i < SHOWN_TYPES; i++) {
        dap_count_text(count, sizeof(count), snapshot->types[i].count);
        bsk_buffer_printf(&text, "%s%s %.80s", i ? ", " : "", count, snapshot->types[i].name);
    }
    bsk_buffer_text_append(&text, snapshot->type_count > SHOWN_TYPES ? ", ...\n" : "\n");
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

void dap_say_memory_table(struct dap_session *session, const struct dap_memory_result *result)
{
    const struct bsk_memory_snapshot *snapshot = result->snapshot;
    struct bsk_buffer text = { 0 };
    char traced[32], blocks[32], peak[32], rss[32], own[32];
    dap_size_text(traced, sizeof(traced), (int64_t)snapshot->traced_bytes, false);
    dap_size_text(peak, sizeof(peak), (int64_t)snapshot->peak_bytes, false);
    dap_size_text(rss, sizeof(rss), (int64_t)snapshot->rss_bytes, false);
    dap_size_text(own, sizeof(own), (int64_t)snapshot->tracker_bytes, false);
    dap_count_text(blocks, sizeof(blocks), snapshot->blocks);
    bsk_buffer_printf(&text,
                      "Memory snapshot %" PRIu32
                      "%s: %s in %s blocks (peak %s); the process has %s, "
                      "%s of it for tracking\n",
                      snapshot->number, snapshot->at_exit ? ", when the program ended" : "", traced,
                      blocks, peak, rss, own);
    if (snapshot->top_count > 0)
        bsk_buffer_printf(&text, "%10s %10s %11s %9s  allocated at\n", "size", "growth", "blocks",
                          "average");
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_clear(&text);
    for (size_t i = 0; i < snapshot->top_count && i < SHOWN_SITES; i++)
        say_site(session, result, &snapshot->sites[i]);
    say_types(session, snapshot);
    if (snapshot->missing[0])
        bsk_buffer_printf(&text, "%s\n", snapshot->missing);
    if (result->heapprofile[0])
        bsk_buffer_printf(&text, "wrote: %s\n", result->heapprofile);
    if (result->warning[0])
        bsk_buffer_printf(&text, "%s\n", result->warning);
    if (text.size > 0)
        dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}
