#include "adapters/cli/memory_print.h"

#include "engine/memory/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SHOWN = 20 };

static void end_json(struct bsk_json *json)
{
    bsk_json_end(json, '}');
    bsk_json_finish(json, NULL);
    putchar('\n');
    bsk_buffer_free(json->out);
}

static const char *signed_bytes(int64_t bytes, char *out, size_t size)
{
    char plain[32];
    bsk_bytes_text((uint64_t)(bytes < 0 ? -bytes : bytes), plain, sizeof(plain));
    snprintf(out, size, "%c%s", bytes < 0 ? '-' : '+', plain);
    return out;
}

/* --- snapshot -------------------------------------------------------------------------------- */

static void snapshot_json(const struct bsk_memory_snapshot *snapshot, struct bsk_json *json)
{
    bsk_json_field_uint(json, "number", snapshot->number);
    bsk_json_field_uint(json, "tracedBytes", snapshot->traced_bytes);
    bsk_json_field_uint(json, "peakBytes", snapshot->peak_bytes);
    bsk_json_field_uint(json, "rssBytes", snapshot->rss_bytes);
    bsk_json_field_uint(json, "trackerBytes", snapshot->tracker_bytes);
    if (snapshot->truncated)
        bsk_json_field_text(json, "truncated", snapshot->missing);
    bsk_json_key(json, "sites");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < snapshot->top_count; i++) {
        const struct bsk_memory_site *site = &snapshot->sites[i];
        bsk_json_begin(json, '{');
        bsk_json_field_text(json, "path", site->path);
        bsk_json_field_uint(json, "line", site->line);
        bsk_json_field_text(json, "function", site->function);
        bsk_json_field_uint(json, "bytes", site->bytes);
        bsk_json_field_uint(json, "count", site->count);
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
    bsk_json_key(json, "types");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < snapshot->type_count && i < 100; i++) {
        bsk_json_begin(json, '{');
        bsk_json_field_text(json, "type", snapshot->types[i].name);
        bsk_json_field_uint(json, "count", snapshot->types[i].count);
        bsk_json_field_uint(json, "bytes", snapshot->types[i].bytes);
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
}

void cli_memory_print_snapshot(const struct bsk_memory_snapshot *snapshot, bool json)
{
    char a[32], b[32], c[32];
    struct bsk_buffer buffer = { 0 };
    struct bsk_json out = { .out = &buffer, .file = stdout };
    if (json) {
        bsk_json_begin(&out, '{');
        snapshot_json(snapshot, &out);
        end_json(&out);
        return;
    }
    bsk_bytes_text(snapshot->traced_bytes, a, sizeof(a));
    bsk_bytes_text(snapshot->rss_bytes, b, sizeof(b));
    bsk_bytes_text(snapshot->tracker_bytes, c, sizeof(c));
    printf("%s allocated since tracking began %.1f s ago, %s resident, %s for the tracking\n", a,
           snapshot->uptime_s, b, c);
    if (snapshot->truncated)
        printf("%s\n", snapshot->missing);
    printf("\n%12s %10s  %s\n", "size", "blocks", "line");
    for (size_t i = 0; i < snapshot->top_count && i < SHOWN; i++) {
        const struct bsk_memory_site *site = &snapshot->sites[i];
        bsk_bytes_text(site->bytes, a, sizeof(a));
        printf("%12s %10" PRIu64 "  %s:%" PRIu32 "%s%s\n", a, site->count, site->path, site->line,
               site->text[0] ? "  " : "", site->text);
    }
    printf("\n%12s %10s  %s\n", "size", "objects", "type (all objects, tracked or not)");
    for (size_t i = 0; i < snapshot->type_count && i < SHOWN; i++) {
        bsk_bytes_text(snapshot->types[i].bytes, a, sizeof(a));
        printf("%12s %10" PRIu64 "  %s\n", a, snapshot->types[i].count, snapshot->types[i].name);
    }
}

/* --- diff ------------------------------------------------------------------------------------ */

static void diff_json(const struct bsk_memory_diff *diff, struct bsk_json *json)
{
    bsk_json_field_uint(json, "from", diff->from);
    bsk_json_field_uint(json, "to", diff->to);
    bsk_json_field_int(json, "tracedGrowthBytes", diff->traced_growth);
    bsk_json_field_int(json, "rssGrowthBytes", diff->rss_growth);
    bsk_json_key(json, "leaks");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < diff->leak_count; i++) {
        const struct bsk_leak *leak = &diff->leaks[i];
        bsk_json_begin(json, '{');
        bsk_json_field_text(json, "path", leak->path);
        bsk_json_field_uint(json, "line", leak->line);
        bsk_json_field_text(json, "function", leak->function);
        bsk_json_field_int(json, "growthBytes", leak->growth_bytes);
        bsk_json_field_int(json, "confidence", leak->confidence);
        bsk_json_field_text(json, "band", bsk_leak_band_name(leak->band));
        bsk_json_key(json, "reasons");
        bsk_json_begin(json, '[');
        for (int j = 0; j < 3 && leak->reasons[j][0]; j++)
            bsk_json_text(json, leak->reasons[j]);
        bsk_json_end(json, ']');
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
}

void cli_memory_print_diff(const struct bsk_memory_diff *diff, bool json)
{
    char a[40], b[40];
    struct bsk_buffer buffer = { 0 };
    struct bsk_json out = { .out = &buffer, .file = stdout };
    if (json) {
        bsk_json_begin(&out, '{');
        diff_json(diff, &out);
        end_json(&out);
        return;
    }
    printf("Snapshot %" PRIu32 " to %" PRIu32 ": %s allocated, %s resident\n", diff->from, diff->to,
           signed_bytes(diff->traced_growth, a, sizeof(a)),
           signed_bytes(diff->rss_growth, b, sizeof(b)));
    if (diff->native_note[0])
        printf("%s\n", diff->native_note);
    if (diff->missing[0])
        printf("%s\n", diff->missing);
    printf("\n%12s  %-14s %s\n", "growth", "leak?", "line");
    size_t shown = 0;
    for (size_t i = 0; i < diff->leak_count && shown < SHOWN; i++, shown++) {
        const struct bsk_leak *leak = &diff->leaks[i];
        snprintf(b, sizeof(b), "%d %s", leak->confidence, bsk_leak_band_name(leak->band));
        printf("%12s  %-14s %s:%" PRIu32 "%s%s\n", signed_bytes(leak->growth_bytes, a, sizeof(a)),
               b, leak->path, leak->line, leak->text[0] ? "  " : "", leak->text);
        for (int j = 0; j < 3 && leak->reasons[j][0]; j++)
            printf("%28s %s\n", "", leak->reasons[j]);
    }
    if (shown == 0)
        printf("%12s\n", "nothing grew");
}

/* --- references ------------------------------------------------------------------------------ */

void cli_memory_print_references(const struct bsk_references *refs, bool json)
{
    struct bsk_buffer buffer = { 0 };
    struct bsk_json out = { .out = &buffer, .file = stdout };
    struct winsize window = { 0 };
    if (json) {
        bsk_json_begin(&out, '{');
        bsk_references_json(refs, 1, &out);
        end_json(&out);
        return;
    }
    bool terminal = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col >= 40;
    bsk_references_text(refs, terminal ? window.ws_col : 200, &buffer);
    fputs(bsk_buffer_text(&buffer), stdout);
    bsk_buffer_free(&buffer);
}
