/* The family basilisk.memory.* in the console. */
#include "proxy/commands/memory_words.h"

#include "engine/base/amounts.h"
#include "proxy/commands/family.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_SITES = 10, SHOWN_TYPES = 5, SHOWN_UNLIKELY = 3, SHOWN_CALLERS = 4 };

void dap_size_text(char *out, size_t out_bytes, int64_t bytes, bool sign)
{
    char size[24];
    bsk_bytes_text(bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes, size, sizeof(size));
    snprintf(out, out_bytes, "%s%s", bytes < 0 ? "-" : sign && bytes ? "+" : "", size);
}

static void say_site(struct dap_session *session, const struct dap_memory_result *result,
                     const struct bsk_memory_site *site)
{
    char size[32], growth[32] = "", count[32], average[32], text[1000];
    int64_t growth_bytes = 0, growth_count = 0;
    dap_size_text(size, sizeof(size), (int64_t)site->bytes, false);
    bsk_count_text(site->count, count, sizeof(count));
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
    bsk_count_text(snapshot->object_count, count, sizeof(count));
    bsk_buffer_printf(&text, "%s objects: ", count);
    for (size_t i = 0; i < snapshot->type_count && i < SHOWN_TYPES; i++) {
        bsk_count_text(snapshot->types[i].count, count, sizeof(count));
        bsk_buffer_printf(&text, "%s%s %.80s", i ? ", " : "", count, snapshot->types[i].name);
    }
    bsk_buffer_text_append(&text, snapshot->type_count > SHOWN_TYPES ? ", ...\n" : "\n");
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

void dap_say_snapshot_table(struct dap_session *session, const struct dap_memory_result *result)
{
    const struct bsk_memory_snapshot *snapshot = result->snapshot;
    struct bsk_buffer text = { 0 };
    char traced[32], blocks[32], peak[32], rss[32], own[32];
    dap_size_text(traced, sizeof(traced), (int64_t)snapshot->traced_bytes, false);
    dap_size_text(peak, sizeof(peak), (int64_t)snapshot->peak_bytes, false);
    dap_size_text(rss, sizeof(rss), (int64_t)snapshot->rss_bytes, false);
    dap_size_text(own, sizeof(own), (int64_t)snapshot->tracker_bytes, false);
    bsk_count_text(snapshot->blocks, blocks, sizeof(blocks));
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

/* ---- Diff --------------------------------------------------------------------------------------
 */

/* "called from load (app.py:12) from main (app.py:30)", and who says so. A comprehension is a frame
 * of its own on the same line: that is no caller. */
static void say_stack(struct dap_session *session, const struct bsk_leak *leak)
{
    struct bsk_buffer text = { 0 };
    uint32_t at = 1, shown = 0;
    while (at < leak->stack_count && leak->stack[at].line == leak->line &&
           strcmp(leak->stack[at].path, leak->path) == 0)
        at++;
    if (at >= leak->stack_count)
        return;
    bsk_buffer_printf(&text, "%36scalled", "");
    for (; at < leak->stack_count && shown < SHOWN_CALLERS; at++, shown++) {
        const struct bsk_memory_frame *frame = &leak->stack[at];
        bsk_buffer_printf(&text, " from %.100s (%.200s:%" PRIu32 ")",
                          frame->function[0] ? frame->function : "?",
                          dap_short_path(session, frame->path), frame->line);
    }
    if (at < leak->stack_count)
        bsk_buffer_text_append(&text, " ...");
    if (leak->stack_samples > 0)
        bsk_buffer_printf(&text, "  (inferred, %" PRIu64 " sample%s)\n", leak->stack_samples,
                          leak->stack_samples == 1 ? "" : "s");
    else
        bsk_buffer_text_append(&text, "  (traced)\n");
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

static void say_leak(struct dap_session *session, const struct bsk_leak *leak)
{
    char growth[32], size[32], text[1200];
    dap_size_text(growth, sizeof(growth), leak->growth_bytes, true);
    dap_size_text(size, sizeof(size), (int64_t)leak->bytes, false);
    const char *path = leak->user_path ? leak->user_path : leak->path;
    uint32_t line = leak->user_path ? leak->user_line : leak->line;
    snprintf(text, sizeof(text), "%3d %-8s %10s %10s  %.200s:%" PRIu32 "  %.200s\n",
             leak->confidence, bsk_leak_band_name(leak->band), growth, size,
             dap_short_path(session, path), line, leak->text ? leak->text : "");
    dap_session_output(session, "console", text, path[0] == '/' ? path : NULL, line);
    for (int i = 0; i < 3 && leak->band >= BSK_LEAK_MEDIUM; i++) {
        if (!leak->reasons[i][0])
            continue;
        snprintf(text, sizeof(text), "%36s%s\n", "", leak->reasons[i]);
        dap_session_output(session, "console", text, NULL, 0);
    }
    if (leak->band >= BSK_LEAK_MEDIUM)
        say_stack(session, leak);
}

const char *dap_diff_hint(const struct dap_memory_result *result)
{
    const struct bsk_memory_diff *diff = result->diff;
    bool is_early = diff->leak_count > 0 && diff->intervals > 0 && diff->intervals < 3;
    /* Of an older pair of snapshots nobody learns more by taking new ones. */
    if (!is_early || result->over || diff->to != result->snapshots)
        return "";
    if (result->by_itself && result->autopilot)
        return diff->intervals == 1 ? "One interval tells little of what leaks: the next stops, "
                                      "with work before them, tell more."
                                    : "Two intervals are a beginning: the next stop tells more.";
    return diff->intervals == 1
               ? "One interval tells little of what leaks: let the program work on, take "
                 "another snapshot (/memsnap), and /memdiff knows more."
               : "Two intervals are a beginning: let the program work on, take another "
                 "snapshot (/memsnap), and /memdiff knows more.";
}

void dap_say_diff_table(struct dap_session *session, const struct dap_memory_result *result)
{
    const struct bsk_memory_diff *diff = result->diff;
    struct bsk_buffer text = { 0 };
    char traced[32], rss[32];
    dap_size_text(traced, sizeof(traced), diff->traced_growth, true);
    dap_size_text(rss, sizeof(rss), diff->rss_growth, true);
    bsk_buffer_printf(&text, "Memory from snapshot %" PRIu32 " to %" PRIu32, diff->from, diff->to);
    if (result->place)
        bsk_buffer_printf(&text, ", both at %.200s:%" PRIu32,
                          dap_short_path(session, result->place->path), result->place->line);
    bsk_buffer_printf(&text, ": %s traced, %s of the process, in %.2f s of CPU time\n", traced, rss,
                      diff->work_s);
    if (diff->leak_count == 0)
        bsk_buffer_text_append(&text, "No line has grown.\n");
    else
        bsk_buffer_text_append(&text, "leak? (0 to 100)  growth       size  allocated at\n");
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_clear(&text);
    size_t shown = 0, unlikely = 0;
    for (; shown < diff->leak_count && shown < SHOWN_SITES && unlikely < SHOWN_UNLIKELY; shown++) {
        say_leak(session, &diff->leaks[shown]);
        unlikely += diff->leaks[shown].band == BSK_LEAK_LOW;
    }
    if (shown < diff->leak_count)
        bsk_buffer_printf(&text, "and %zu lines that are less likely\n", diff->leak_count - shown);
    if (diff->type_count > 0)
        bsk_buffer_text_append(&text, "More objects of: ");
    for (size_t i = 0; i < diff->type_count && i < SHOWN_TYPES; i++)
        bsk_buffer_printf(&text, "%s%.80s (%+" PRId64 ")", i ? ", " : "", diff->types[i].name,
                          diff->types[i].growth_count);
    if (diff->type_count > 0)
        bsk_buffer_text_append(&text, "\n");
    if (dap_diff_hint(result)[0])
        bsk_buffer_printf(&text, "%s\n", dap_diff_hint(result));
    if (diff->native_note[0])
        bsk_buffer_printf(&text, "%s\n", diff->native_note);
    if (diff->missing[0])
        bsk_buffer_printf(&text, "%s\n", diff->missing);
    if (result->diff_note && result->diff_note[0])
        bsk_buffer_printf(&text, "%s\n", result->diff_note);
    if (text.size > 0)
        dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

/* ---- Objects and references --------------------------------------------------------------------
 */

void dap_say_objects_table(struct dap_session *session, const struct dap_memory_result *result)
{
    const struct bsk_memory_snapshot *snapshot = result->snapshot;
    struct bsk_buffer text = { 0 };
    char count[32], size[32];
    enum { SHOWN = 20 };
    bsk_count_text(snapshot->object_count, count, sizeof(count));
    bsk_buffer_printf(&text, "%s objects that the collector tracks (no str, bytes, int, float)\n",
                      count);
    bsk_buffer_printf(&text, "%12s %10s  type\n", "objects", "size");
    for (size_t i = 0; i < snapshot->type_count && i < SHOWN; i++) {
        const struct bsk_memory_type *type = &snapshot->types[i];
        bsk_count_text(type->count, count, sizeof(count));
        dap_size_text(size, sizeof(size), (int64_t)type->bytes, false);
        bsk_buffer_printf(&text, "%12s %10s  %.200s\n", count, snapshot->has_type_bytes ? size : "",
                          type->name);
    }
    if (snapshot->type_count > SHOWN)
        bsk_buffer_printf(&text, "and %zu types more\n", snapshot->type_count - SHOWN);
    if (snapshot->missing[0])
        bsk_buffer_printf(&text, "%s\n", snapshot->missing);
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

void dap_say_references_tree(struct dap_session *session, const struct dap_memory_result *result)
{
    struct bsk_buffer text = { 0 };
    bsk_references_text(result->references, 0, &text);
    if (text.size > 0 && text.data[text.size - 1] != '\n')
        bsk_buffer_text_append(&text, "\n");
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}
