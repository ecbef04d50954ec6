#include "engine/findings/heat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DEFAULT_LINE_PERCENT = 1.0, DEFAULT_FUNCTION_PERCENT = 2.0;

static const struct {
    double from_percent;
    enum bsk_level level;
    const char *name;
} levels[] = {
    { 10.0, BSK_LEVEL_CRITICAL, "critical" },
    { 5.0, BSK_LEVEL_HOT, "hot" },
    { 2.0, BSK_LEVEL_WARM, "warm" },
    { 1.0, BSK_LEVEL_COOL, "cool" },
};

const char *bsk_level_name(enum bsk_level level)
{
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (levels[i].level == level)
            return levels[i].name;
    }
    return "none";
}

enum bsk_level bsk_level_of(double percent)
{
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (percent >= levels[i].from_percent)
            return levels[i].level;
    }
    return BSK_LEVEL_NONE;
}

static bool enough(uint64_t samples)
{
    return samples >= BSK_FINDING_SAMPLES_MIN;
}

enum bsk_level bsk_level_of_samples(double percent, uint64_t samples)
{
    return enough(samples) ? bsk_level_of(percent) : BSK_LEVEL_NONE;
}

static double rounded(double percent)
{
    return round(percent * 10.0) / 10.0;
}

/* By what a person reads, so that nothing called 10.0% is "hot" in one place and "critical" in
 * another; but a threshold finer than what is shown is obeyed as well. */
static bool passes(double percent, double threshold)
{
    return percent >= threshold || rounded(percent) >= threshold;
}

/* What passed a threshold below 1 % is to be seen. */
static enum bsk_level mark_of(double percent)
{
    enum bsk_level level = bsk_level_of(rounded(percent));
    return level == BSK_LEVEL_NONE ? BSK_LEVEL_COOL : level;
}

struct candidates {
    const struct bsk_line_total **lines;
    const struct bsk_function_total **functions;
    size_t line_count, function_count, text_bytes;
};

static int by_path_and_line(const void *left, const void *right)
{
    const struct bsk_line_total *a = *(const struct bsk_line_total *const *)left;
    const struct bsk_line_total *b = *(const struct bsk_line_total *const *)right;
    int order = a->path == b->path ? 0 : strcmp(a->path, b->path);
    return order ? order : (a->line > b->line) - (a->line < b->line);
}

static int by_path_line_and_name(const void *left, const void *right)
{
    const struct bsk_function_total *a = *(const struct bsk_function_total *const *)left;
    const struct bsk_function_total *b = *(const struct bsk_function_total *const *)right;
    int order = a->path == b->path ? 0 : strcmp(a->path, b->path);
    if (order == 0)
        order = (a->first_line > b->first_line) - (a->first_line < b->first_line);
    return order ? order : strcmp(a->name, b->name);
}

static void choose(const struct bsk_totals *totals, const struct bsk_thresholds *thresholds,
                   struct candidates *out)
{
    double line_percent = DEFAULT_LINE_PERCENT, function_percent = DEFAULT_FUNCTION_PERCENT;
    if (thresholds && thresholds->line_percent > 0)
        line_percent = thresholds->line_percent;
    if (thresholds && thresholds->function_percent > 0)
        function_percent = thresholds->function_percent;
    for (size_t i = 0; i < totals->line_count; i++) {
        const struct bsk_line_total *line = &totals->lines[i];
        if (line->path[0] != '/' || !enough(line->samples) ||
            !passes(line->self_percent, line_percent))
            continue;
        out->lines[out->line_count++] = line;
        out->text_bytes += strlen(line->path) + strlen(line->function) + 2;
    }
    for (size_t i = 0; i < totals->function_count; i++) {
        const struct bsk_function_total *function = &totals->functions[i];
        if (function->path[0] != '/' || !enough(function->self_samples) ||
            !passes(function->self_percent, function_percent))
            continue;
        out->functions[out->function_count++] = function;
        out->text_bytes += strlen(function->path) + strlen(function->name) + 2;
    }
    qsort(out->lines, out->line_count, sizeof(void *), by_path_and_line);
    qsort(out->functions, out->function_count, sizeof(void *), by_path_line_and_name);
}

static const char *keep(char **at, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *kept = *at;
    memcpy(kept, text, bytes);
    *at += bytes;
    return kept;
}

/* Both lists are by path: takes one path after the other off their fronts. */
static void fill(struct bsk_heat *heat, const struct candidates *from, struct bsk_hot_line *line,
                 struct bsk_hot_function *function, char *text)
{
    size_t l = 0, f = 0;
    while (l < from->line_count || f < from->function_count) {
        const char *path = l < from->line_count ? from->lines[l]->path : from->functions[f]->path;
        if (f < from->function_count && strcmp(from->functions[f]->path, path) < 0)
            path = from->functions[f]->path;
        struct bsk_hot_file *file = &heat->files[heat->file_count++];
        *file = (struct bsk_hot_file){ .path = keep(&text, path),
                                       .lines = line,
                                       .functions = function };
        for (; l < from->line_count && strcmp(from->lines[l]->path, path) == 0; l++) {
            const struct bsk_line_total *total = from->lines[l];
            *line++ = (struct bsk_hot_line){ .function = keep(&text, total->function),
                                             .line = total->line,
                                             .samples = total->samples,
                                             .percent = rounded(total->self_percent),
                                             .level = mark_of(total->self_percent) };
            file->line_count++;
        }
        for (; f < from->function_count && strcmp(from->functions[f]->path, path) == 0; f++) {
            const struct bsk_function_total *total = from->functions[f];
            *function++ = (struct bsk_hot_function){ .name = keep(&text, total->name),
                                                     .line = total->first_line,
                                                     .samples = total->self_samples,
                                                     .percent = rounded(total->self_percent),
                                                     .total_percent = rounded(total->total_percent),
                                                     .level = mark_of(total->self_percent) };
            file->function_count++;
        }
    }
}

struct bsk_heat *bsk_heat_new(const struct bsk_totals *totals,
                              const struct bsk_thresholds *thresholds)
{
    struct candidates chosen = { 0 };
    struct bsk_heat *heat = calloc(1, sizeof(*heat));
    chosen.lines = malloc((totals->line_count + 1) * sizeof(void *));
    chosen.functions = malloc((totals->function_count + 1) * sizeof(void *));
    if (!heat || !chosen.lines || !chosen.functions)
        goto fail;
    choose(totals, thresholds, &chosen);

    size_t files_max = chosen.line_count + chosen.function_count;
    char *memory = malloc(
        files_max * sizeof(struct bsk_hot_file) + chosen.line_count * sizeof(struct bsk_hot_line) +
        chosen.function_count * sizeof(struct bsk_hot_function) + chosen.text_bytes + 1);
    if (!memory)
        goto fail;
    heat->memory = memory;
    heat->files = (struct bsk_hot_file *)(void *)memory;
    memory += files_max * sizeof(struct bsk_hot_file);
    struct bsk_hot_line *lines = (struct bsk_hot_line *)(void *)memory;
    memory += chosen.line_count * sizeof(*lines);
    struct bsk_hot_function *functions = (struct bsk_hot_function *)(void *)memory;
    memory += chosen.function_count * sizeof(*functions);
    fill(heat, &chosen, lines, functions, memory);
    free(chosen.lines);
    free(chosen.functions);
    return heat;
fail:
    free(chosen.lines);
    free(chosen.functions);
    bsk_heat_free(heat);
    return NULL;
}

void bsk_heat_free(struct bsk_heat *heat)
{
    if (!heat)
        return;
    free(heat->memory);
    free(heat);
}

/* Percents are rounded, so equal ones have equal bits. */
static bool same_file(const struct bsk_hot_file *a, const struct bsk_hot_file *b)
{
    if (a->line_count != b->line_count || a->function_count != b->function_count)
        return false;
    for (size_t i = 0; i < a->line_count; i++) {
        const struct bsk_hot_line *x = &a->lines[i], *y = &b->lines[i];
        if (x->line != y->line || x->samples != y->samples || x->percent != y->percent ||
            x->level != y->level || strcmp(x->function, y->function) != 0)
            return false;
    }
    for (size_t i = 0; i < a->function_count; i++) {
        const struct bsk_hot_function *x = &a->functions[i], *y = &b->functions[i];
        if (x->line != y->line || x->samples != y->samples || x->percent != y->percent ||
            x->total_percent != y->total_percent || x->level != y->level ||
            strcmp(x->name, y->name) != 0)
            return false;
    }
    return true;
}

void bsk_heat_changes(const struct bsk_heat *before, const struct bsk_heat *now,
                      bsk_hot_file_fn *fn, void *user)
{
    size_t old_count = before ? before->file_count : 0;
    for (size_t i = 0, j = 0; i < old_count || j < now->file_count;) {
        int order = i == old_count         ? 1
                    : j == now->file_count ? -1
                                           : strcmp(before->files[i].path, now->files[j].path);
        if (order < 0) {
            const struct bsk_hot_file gone = { .path = before->files[i++].path };
            fn(&gone, user);
            continue;
        }
        if (order > 0 || !same_file(&before->files[i], &now->files[j]))
            fn(&now->files[j], user);
        i += order == 0;
        j++;
    }
}
