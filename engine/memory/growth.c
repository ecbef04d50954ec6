#include "engine/memory/growth.h"

#include "engine/memory/arena.h"
#include "engine/memory/score.h"
#include "engine/memory/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FROM_FIRST_SITES = 1024, RESTART_SLACK_S = 1 };

/* How a site stood from one snapshot on, until the next entry. */
struct entry {
    uint32_t number;
    uint64_t bytes, count;
    struct bsk_score score;
};

struct record {
    const char *path; /* the history's own */
    uint32_t line;
    struct entry *entries;
    uint32_t entry_count, entry_capacity;
    struct bsk_evidence evidence;
    uint32_t evidence_number; /* the snapshot that it is of, or 0 */
};

struct bsk_memory_history {
    struct bsk_memory_snapshot *snapshots[BSK_HISTORY_SNAPSHOTS]; /* oldest first */
    size_t count;
    uint32_t last_number;
    uint32_t epoch_number; /* the first snapshot since tracking began anew */
    uint32_t sited_number; /* the last snapshot that had sites, or 0 */
    double sited_work_s;
    double works[3]; /* of the last intervals */
    uint32_t work_count;
    struct record *records;
    size_t record_count, record_capacity;
    uint32_t *slots; /* open addressing: index of a record + 1 */
    size_t slot_count;
    struct bsk_arena *arena;
    pid_t pid;
};

enum bsk_leak_band bsk_leak_band_of(int confidence)
{
    return confidence >= 95   ? BSK_LEAK_DEFINITE
           : confidence >= 70 ? BSK_LEAK_HIGH
           : confidence >= 40 ? BSK_LEAK_MEDIUM
                              : BSK_LEAK_LOW;
}

const char *bsk_leak_band_name(enum bsk_leak_band band)
{
    static const char *const names[] = { "low", "medium", "high", "definite" };
    return names[band];
}

struct bsk_memory_history *bsk_memory_history_new(void)
{
    struct bsk_memory_history *history = calloc(1, sizeof(*history));
    if (history && !(history->arena = bsk_arena_new())) {
        free(history);
        return NULL;
    }
    return history;
}

static void forget_records(struct bsk_memory_history *history)
{
    for (size_t i = 0; i < history->record_count; i++)
        free(history->records[i].entries);
    history->record_count = 0;
    memset(history->slots, 0, history->slot_count * sizeof(*history->slots));
}

void bsk_memory_history_free(struct bsk_memory_history *history)
{
    if (!history)
        return;
    if (history->slots)
        forget_records(history);
    for (size_t i = 0; i < history->count; i++)
        bsk_memory_snapshot_free(history->snapshots[i]);
    free(history->records);
    free(history->slots);
    bsk_arena_free(history->arena);
    free(history);
}

/* ---- records -----------------------------------------------------------------------------------
 */

static size_t hash_site(const char *path, uint32_t line)
{
    uint64_t hash = 14695981039346656037u ^ line;
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 1099511628211u;
    return (size_t)(hash ^ hash >> 29);
}

static struct record *find(const struct bsk_memory_history *history, const char *path,
                           uint32_t line)
{
    if (history->slot_count == 0)
        return NULL;
    size_t mask = history->slot_count - 1;
    for (size_t at = hash_site(path, line) & mask; history->slots[at]; at = (at + 1) & mask) {
        struct record *record = &history->records[history->slots[at] - 1];
        if (record->line == line && strcmp(record->path, path) == 0)
            return record;
    }
    return NULL;
}

static bool grow_records(struct bsk_memory_history *history)
{
    size_t capacity = history->record_capacity ? history->record_capacity * 2 : FROM_FIRST_SITES;
    struct record *records = realloc(history->records, capacity * sizeof(*records));
    if (!records)
        return false;
    history->records = records;
    history->record_capacity = capacity;
    uint32_t *slots = calloc(capacity * 2, sizeof(*slots));
    if (!slots)
        return false;
    free(history->slots);
    history->slots = slots;
    history->slot_count = capacity * 2;
    for (size_t i = 0; i < history->record_count; i++) {
        size_t at = hash_site(records[i].path, records[i].line) & (history->slot_count - 1);
        while (slots[at])
            at = (at + 1) & (history->slot_count - 1);
        slots[at] = (uint32_t)i + 1;
    }
    return true;
}

/* NULL: out of memory. */
static struct record *find_or_make(struct bsk_memory_history *history, const char *path,
                                   uint32_t line)
{
    struct record *record = find(history, path, line);
    if (record)
        return record;
    if (history->record_count == history->record_capacity && !grow_records(history))
        return NULL;
    const char *copy = bsk_arena_text(history->arena, path);
    if (!copy)
        return NULL;
    record = &history->records[history->record_count++];
    *record = (struct record){ .path = copy, .line = line };
    size_t at = hash_site(path, line) & (history->slot_count - 1);
    while (history->slots[at])
        at = (at + 1) & (history->slot_count - 1);
    history->slots[at] = (uint32_t)history->record_count;
    return record;
}

/* How the record stood at a snapshot; NULL: it was not there yet. */
static const struct entry *entry_at(const struct record *record, uint32_t number)
{
    for (uint32_t i = record->entry_count; i > 0; i--) {
        if (record->entries[i - 1].number <= number)
            return &record->entries[i - 1];
    }
    return NULL;
}

static bool same_entry(const struct entry *a, const struct entry *b)
{
    return a->bytes == b->bytes && a->count == b->count && a->score.odds == b->score.odds &&
           a->score.grew == b->score.grew && a->score.shrank == b->score.shrank;
}

static bool add_entry(struct record *record, const struct entry *entry)
{
    uint32_t count = record->entries ? record->entry_count : 0;
    if (count > 0 && same_entry(&record->entries[count - 1], entry))
        return true; /* nothing is new: it stood like this already */
    if (count == BSK_HISTORY_SNAPSHOTS + 1) {
        memmove(record->entries, record->entries + 1, (count - 1) * sizeof(*record->entries));
        count--;
    }
    if (!record->entries || count == record->entry_capacity) {
        uint32_t capacity = record->entry_capacity ? record->entry_capacity * 2 : 2;
        struct entry *entries = realloc(record->entries, capacity * sizeof(*entries));
        if (!entries)
            return false;
        record->entries = entries;
        record->entry_capacity = capacity;
    }
    record->entries[count] = *entry;
    record->entry_count = count + 1;
    return true;
}

/* ---- adding a snapshot -------------------------------------------------------------------------
 */

static double usual_work(const struct bsk_memory_history *history)
{
    const double *w = history->works;
    if (history->work_count == 0)
        return 0;
    if (history->work_count == 1)
        return w[0];
    if (history->work_count == 2)
        return (w[0] + w[1]) / 2;
    return fmax(fmin(w[0], w[1]), fmin(fmax(w[0], w[1]), w[2]));
}

static bool step_record(struct bsk_memory_history *history, struct record *record, uint32_t number,
                        uint64_t bytes, uint64_t count, double work_s, bool is_interval)
{
    const struct entry *last =
        record->entry_count ? &record->entries[record->entry_count - 1] : NULL;
    struct entry next = { .number = number, .bytes = bytes, .count = count };
    next.score = last ? last->score : bsk_score_start();
    if (is_interval)
        bsk_score_interval(&next.score, last ? last->bytes : 0, bytes, work_s, usual_work(history));
    return add_entry(record, &next);
}

static bool step_sites(struct bsk_memory_history *history,
                       const struct bsk_memory_snapshot *snapshot)
{
    uint32_t number = snapshot->number;
    bool is_interval = history->sited_number > 0;
    double work_s = is_interval ? fmax(0, snapshot->work_s - history->sited_work_s) : 0;
    if (is_interval) {
        history->works[2] = history->works[1];
        history->works[1] = history->works[0];
        history->works[0] = work_s;
        history->work_count += history->work_count < 3;
    }
    unsigned char *seen = calloc(history->record_count + snapshot->site_count + 1, 1);
    if (!seen)
        return false;
    bool whole = true;
    for (size_t i = 0; whole && i < snapshot->site_count; i++) {
        const struct bsk_memory_site *site = &snapshot->sites[i];
        bool full = history->record_count >= BSK_MEMORY_MAX_SITES;
        struct record *record = full ? find(history, site->path, site->line)
                                     : find_or_make(history, site->path, site->line);
        if (!record) {
            whole = full; /* a small one more than is kept */
            continue;
        }
        seen[record - history->records] = 1;
        whole = step_record(history, record, number, site->bytes, site->count, work_s, is_interval);
    }
    for (size_t i = 0; whole && is_interval && i < history->record_count; i++) {
        if (!seen[i])
            whole = step_record(history, &history->records[i], number, 0, 0, work_s, true);
    }
    free(seen);
    history->sited_number = number;
    history->sited_work_s = snapshot->work_s;
    return whole;
}

int bsk_memory_history_add(struct bsk_memory_history *history, struct bsk_memory_snapshot *snapshot,
                           struct bsk_error *err)
{
    if (history->count > 0 && snapshot->pid != history->pid) {
        bsk_memory_snapshot_free(snapshot);
        return bsk_fail(err, BSK_E_STATE, NULL, "the snapshot is of another process");
    }
    const struct bsk_memory_snapshot *last =
        history->count > 0 ? history->snapshots[history->count - 1] : NULL;
    if (last && snapshot->uptime_s > 0 && snapshot->uptime_s + RESTART_SLACK_S < last->uptime_s) {
        /* Tracking was stopped and started: what was known of blocks is gone with it. */
        forget_records(history);
        history->epoch_number = history->last_number + 1;
        history->sited_number = 0;
        history->work_count = 0;
    }
    if (history->count == BSK_HISTORY_SNAPSHOTS) {
        bsk_memory_snapshot_free(history->snapshots[1]);
        memmove(&history->snapshots[1], &history->snapshots[2],
                (BSK_HISTORY_SNAPSHOTS - 2) * sizeof(struct bsk_memory_snapshot *));
        history->count--;
    }
    snapshot->number = ++history->last_number;
    if (history->epoch_number == 0)
        history->epoch_number = snapshot->number;
    history->pid = snapshot->pid;
    history->snapshots[history->count++] = snapshot;
    if (snapshot->has_sites && !step_sites(history, snapshot))
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    return BSK_OK;
}

const struct bsk_memory_snapshot *bsk_memory_history_get(const struct bsk_memory_history *history,
                                                         uint32_t number)
{
    if (number == 0)
        number = history->last_number;
    for (size_t i = 0; i < history->count; i++) {
        if (history->snapshots[i]->number == number)
            return history->snapshots[i];
    }
    return NULL;
}

int bsk_memory_history_evidence(struct bsk_memory_history *history, const char *path, uint32_t line,
                                const struct bsk_evidence *evidence, struct bsk_error *err)
{
    struct record *record = find(history, path, line);
    if (!record)
        return bsk_fail(err, BSK_E_STATE, NULL, "no memory was allocated at %.300s:%" PRIu32, path,
                        line);
    record->evidence = *evidence;
    record->evidence.holder[sizeof(record->evidence.holder) - 1] = '\0';
    record->evidence_number = history->last_number;
    return BSK_OK;
}

bool bsk_memory_history_growth(const struct bsk_memory_history *history,
                               const struct bsk_memory_snapshot *snapshot,
                               const struct bsk_memory_site *site, int64_t *out_bytes,
                               int64_t *out_count)
{
    if (snapshot->number <= history->epoch_number || !snapshot->has_sites)
        return false;
    const struct record *record = find(history, site->path, site->line);
    const struct entry *before = record ? entry_at(record, snapshot->number - 1) : NULL;
    *out_bytes = (int64_t)(site->bytes - (before ? before->bytes : 0));
    *out_count = (int64_t)(site->count - (before ? before->count : 0));
    return true;
}

/* ---- a diff ------------------------------------------------------------------------------------
 */

struct comparing {
    const struct bsk_memory_history *history;
    const struct bsk_memory_snapshot *from, *to;
    struct bsk_memory_diff *diff;
    struct bsk_arena *arena;
};

static const struct bsk_memory_site *site_of(const struct bsk_memory_snapshot *snapshot,
                                             const struct record *record)
{
    for (size_t i = 0; i < snapshot->site_count; i++) {
        if (snapshot->sites[i].line == record->line &&
            strcmp(snapshot->sites[i].path, record->path) == 0)
            return &snapshot->sites[i];
    }
    return NULL;
}

static int likelier_leak(const void *a, const void *b)
{
    const struct bsk_leak *x = a, *y = b;
    if (x->confidence != y->confidence)
        return y->confidence - x->confidence;
    if (x->growth_bytes != y->growth_bytes)
        return x->growth_bytes < y->growth_bytes ? 1 : -1;
    int order = strcmp(x->path, y->path);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int larger_type_growth(const void *a, const void *b)
{
    const struct bsk_type_growth *x = a, *y = b;
    if (x->growth_bytes != y->growth_bytes)
        return x->growth_bytes < y->growth_bytes ? 1 : -1;
    if (x->growth_count != y->growth_count)
        return x->growth_count < y->growth_count ? 1 : -1;
    return strcmp(x->name, y->name);
}

static void fill_leak(const struct comparing *c, const struct record *record,
                      const struct entry *from, const struct entry *to, struct bsk_leak *leak)
{
    *leak = (struct bsk_leak){
        .path = record->path,
        .line = record->line,
        .function = "",
        .text = "",
        .user_path = record->path,
        .user_line = record->line,
        .growth_bytes = (int64_t)(to->bytes - (from ? from->bytes : 0)),
        .growth_count = (int64_t)(to->count - (from ? from->count : 0)),
        .bytes = to->bytes,
        .count = to->count,
        .grew = to->score.grew,
        .shrank = to->score.shrank,
        .intervals = to->score.grew + to->score.flat + to->score.shrank,
    };
    if (c->diff->work_s > 0)
        leak->bytes_per_s = (double)leak->growth_bytes / c->diff->work_s;
    leak->confidence = bsk_score_confidence(&to->score);
    if (record->evidence_number == c->to->number) {
        leak->evidence = record->evidence;
        leak->confidence = bsk_score_with_evidence(leak->confidence, &leak->evidence);
    }
    leak->band = bsk_leak_band_of(leak->confidence);
}

/* What only the shown ones need: text costs time. */
static bool finish_leak(const struct comparing *c, struct bsk_leak *leak)
{
    const struct record *record = find(c->history, leak->path, leak->line);
    const struct entry *to = record ? entry_at(record, c->to->number) : NULL;
    leak->path = leak->user_path = bsk_arena_text(c->arena, leak->path);
    if (!leak->path)
        return false;
    const struct bsk_memory_site *site = record ? site_of(c->to, record) : NULL;
    if (!site && record)
        site = site_of(c->from, record);
    if (site) {
        struct bsk_memory_frame *stack =
            bsk_arena_get(c->arena, (site->stack_count + 1) * sizeof(*stack));
        leak->function = bsk_arena_text(c->arena, site->function);
        leak->text = bsk_arena_text(c->arena, site->text);
        leak->user_path = bsk_arena_text(c->arena, site->user_path);
        leak->user_line = site->user_line;
        if (!stack || !leak->function || !leak->text || !leak->user_path)
            return false;
        for (uint32_t i = 0; i < site->stack_count; i++) {
            stack[i] = site->stack[i];
            stack[i].path = bsk_arena_text(c->arena, stack[i].path);
            stack[i].function = bsk_arena_text(c->arena, stack[i].function);
            if (!stack[i].path || !stack[i].function)
                return false;
        }
        leak->stack = stack;
        leak->stack_count = site->stack_count;
        leak->stack_samples = site->stack_samples;
    }
    if (to)
        bsk_leak_reasons(leak, &to->score);
    return true;
}

static bool compare_sites(struct comparing *c)
{
    const struct bsk_memory_history *h = c->history;
    struct bsk_leak *leaks = malloc((h->record_count + 1) * sizeof(*leaks));
    size_t count = 0;
    if (!leaks)
        return false;
    for (size_t i = 0; i < h->record_count; i++) {
        const struct record *record = &h->records[i];
        const struct entry *from = entry_at(record, c->from->number);
        const struct entry *to = entry_at(record, c->to->number);
        if (!to)
            continue;
        fill_leak(c, record, from, to, &leaks[count]);
        if (leaks[count].intervals > c->diff->intervals)
            c->diff->intervals = leaks[count].intervals;
        bool was = from && bsk_leak_band_of(bsk_score_confidence(&from->score)) > BSK_LEAK_LOW;
        if (leaks[count].growth_bytes > 0 || leaks[count].band > BSK_LEAK_LOW || was)
            count++;
    }
    qsort(leaks, count, sizeof(*leaks), likelier_leak);
    count = count < BSK_DIFF_LEAKS ? count : BSK_DIFF_LEAKS;
    bool whole = true;
    struct bsk_leak *kept = bsk_arena_get(c->arena, (count + 1) * sizeof(*kept));
    for (size_t i = 0; kept && whole && i < count; i++) {
        kept[i] = leaks[i];
        whole = finish_leak(c, &kept[i]);
    }
    free(leaks);
    c->diff->leaks = kept;
    c->diff->leak_count = count;
    return kept && whole;
}

static int by_name(const void *a, const void *b)
{
    const struct bsk_memory_type *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static const struct bsk_memory_type **types_by_name(const struct bsk_memory_snapshot *snapshot)
{
    const struct bsk_memory_type **types =
        malloc((snapshot->type_count + 1) * sizeof(const struct bsk_memory_type *));
    for (size_t i = 0; types && i < snapshot->type_count; i++)
        types[i] = &snapshot->types[i];
    if (types)
        qsort(types, snapshot->type_count, sizeof(const struct bsk_memory_type *), by_name);
    return types;
}

static bool compare_types(struct comparing *c)
{
    enum { MOST_TYPES = 100 };
    const struct bsk_memory_type **before = types_by_name(c->from);
    const struct bsk_memory_type **after = types_by_name(c->to);
    struct bsk_type_growth *grown = malloc((c->to->type_count + 1) * sizeof(*grown));
    size_t count = 0, at = 0;
    bool whole = before && after && grown;
    for (size_t i = 0; whole && i < c->to->type_count; i++) {
        while (at < c->from->type_count && strcmp(before[at]->name, after[i]->name) < 0)
            at++;
        bool was = at < c->from->type_count && strcmp(before[at]->name, after[i]->name) == 0;
        int64_t count_growth = (int64_t)(after[i]->count - (was ? before[at]->count : 0));
        int64_t bytes_growth = (int64_t)(after[i]->bytes - (was ? before[at]->bytes : 0));
        if (count_growth > 0 || bytes_growth > 0)
            grown[count++] = (struct bsk_type_growth){ after[i]->name, count_growth, bytes_growth,
                                                       after[i]->count, after[i]->bytes };
    }
    if (whole) {
        qsort(grown, count, sizeof(*grown), larger_type_growth);
        count = count < MOST_TYPES ? count : MOST_TYPES;
        c->diff->types = bsk_arena_get(c->arena, (count + 1) * sizeof(*grown));
        whole = c->diff->types != NULL;
    }
    for (size_t i = 0; whole && i < count; i++) {
        c->diff->types[i] = grown[i];
        c->diff->types[i].name = bsk_arena_text(c->arena, grown[i].name);
        whole = c->diff->types[i].name != NULL;
    }
    c->diff->type_count = whole ? count : 0;
    free((void *)before);
    free((void *)after);
    free(grown);
    return whole;
}

static void compare_totals(struct comparing *c)
{
    struct bsk_memory_diff *d = c->diff;
    d->traced_growth = (int64_t)(c->to->traced_bytes - c->from->traced_bytes);
    if (c->from->rss_bytes && c->to->rss_bytes)
        d->rss_growth = (int64_t)(c->to->rss_bytes - c->from->rss_bytes);
    d->work_s = fmax(0, c->to->work_s - c->from->work_s);
    bsk_native_note(c->from, c->to, d->native_note, sizeof(d->native_note));
    const char *missing = c->to->missing[0] ? c->to->missing : c->from->missing;
    snprintf(d->missing, sizeof(d->missing), "%.220s%s", missing,
             missing[0] && missing == c->from->missing ? " (in the earlier snapshot)" : "");
}

int bsk_memory_history_diff(const struct bsk_memory_history *history, uint32_t from, uint32_t to,
                            struct bsk_memory_diff **out_diff, struct bsk_error *err)
{
    if (history->last_number < 2)
        return bsk_fail(err, BSK_E_STATE, NULL, "Take at least two snapshots");
    to = to ? to : history->last_number;
    from = from ? from : to > 1 ? to - 1 : 0;
    struct comparing c = { .history = history,
                           .from = from ? bsk_memory_history_get(history, from) : NULL,
                           .to = bsk_memory_history_get(history, to) };
    if (!c.from || !c.to)
        return bsk_fail(err, BSK_E_STATE, NULL,
                        "there is no snapshot %" PRIu32 " (1 to %" PRIu32
                        ", the oldest are not kept)",
                        c.from ? to : from, history->last_number);
    if (from >= to)
        return bsk_fail(err, BSK_E_STATE, NULL,
                        "snapshot %" PRIu32 " is not older than snapshot %" PRIu32, from, to);
    if (from < history->epoch_number)
        return bsk_fail(err, BSK_E_STATE, NULL,
                        "memory tracking was started anew after snapshot %" PRIu32, from);
    struct bsk_memory_diff *diff = calloc(1, sizeof(*diff));
    c.diff = diff;
    c.arena = diff ? bsk_arena_new() : NULL;
    if (!c.arena) {
        free(diff);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    *diff = (struct bsk_memory_diff){ .from = from, .to = to, .memory = c.arena };
    compare_totals(&c);
    diff->sites_comparable = c.from->has_sites && c.to->has_sites;
    diff->types_comparable =
        c.from->has_types && c.to->has_types && c.from->has_type_bytes == c.to->has_type_bytes;
    if ((diff->sites_comparable && !compare_sites(&c)) ||
        (diff->types_comparable && !compare_types(&c))) {
        bsk_memory_diff_free(diff);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    *out_diff = diff;
    return BSK_OK;
}

void bsk_memory_diff_free(struct bsk_memory_diff *diff)
{
    if (!diff)
        return;
    bsk_arena_free(diff->memory);
    free(diff);
}
