#include "engine/memory/words.h"

#include "engine/base/amounts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static const char *plural(uint32_t count)
{
    return count == 1 ? "" : "s";
}

static void growth_in_words(const struct bsk_leak *leak, const struct bsk_score *score, char *out,
                            size_t size)
{
    char each[32], back[32], all[32];
    double given_back = score->gross - score->net;
    if (score->grew == 0) {
        snprintf(out, size, "did not grow in %" PRIu32 " interval%s", leak->intervals,
                 plural(leak->intervals));
        return;
    }
    bsk_bytes_text((uint64_t)(score->gross / score->grew), each, sizeof(each));
    bsk_bytes_text((uint64_t)fmax(0, given_back), back, sizeof(back));
    bsk_bytes_text((uint64_t)score->gross, all, sizeof(all));
    int used = snprintf(out, size, "grew in %" PRIu32 " of %" PRIu32 " interval%s, %s each, ",
                        score->grew, leak->intervals, plural(leak->intervals), each);
    if (used < 0 || (size_t)used >= size)
        return;
    if (given_back < 1)
        snprintf(out + used, size - (size_t)used, "nothing given back");
    else
        snprintf(out + used, size - (size_t)used, "%s of %s given back", back, all);
}

static void pace_in_words(const struct bsk_leak *leak, const struct bsk_score *score, char *out,
                          size_t size)
{
    char rate[32];
    if (score->rate_count >= 2 && score->rates[0] < score->rates[score->rate_count - 1] / 2) {
        snprintf(out, size, "it grows slower and slower, as a cache that fills up does");
        return;
    }
    if (leak->bytes_per_s >= 1) {
        bsk_bytes_text((uint64_t)leak->bytes_per_s, rate, sizeof(rate));
        snprintf(out, size, "%s for each second of CPU time", rate);
    }
}

/* "all of it (1,200 objects)", "98 % of it (1,200 objects)" */
static void share_in_words(const struct bsk_evidence *evidence, char *out, size_t size)
{
    int percent = (int)(fmin(1, fmax(0, evidence->share)) * 100 + 0.5);
    char objects[48] = "", count[28];
    if (evidence->objects > 0)
        snprintf(objects, sizeof(objects), " (%s object%s)",
                 bsk_count_text(evidence->objects, count, sizeof(count)),
                 plural(evidence->objects));
    if (percent == 100)
        snprintf(out, size, "all of it%s", objects);
    else
        snprintf(out, size, "%d %% of it%s", percent, objects);
}

static void evidence_in_words(const struct bsk_evidence *evidence, char *out, size_t size)
{
    char share[64];
    const char *holder = evidence->holder[0] ? evidence->holder : "one container";
    share_in_words(evidence, share, sizeof(share));
    switch (evidence->kind) {
    case BSK_EVIDENCE_LEAKED:
        snprintf(out, size, "%s hangs on %.100s, which grows", share, holder);
        break;
    case BSK_EVIDENCE_HELD:
        snprintf(out, size, "%s hangs on %.100s", share, holder);
        break;
    case BSK_EVIDENCE_BOUNDED:
        snprintf(out, size, "%s is held by %.100s, which has a bound", share, holder);
        break;
    case BSK_EVIDENCE_GARBAGE:
        snprintf(out, size, "%s is garbage that waits for the collector", share);
        break;
    case BSK_EVIDENCE_IN_USE:
        snprintf(out, size, "%s is held by calls that still run (%.100s)", share, holder);
        break;
    default:
        break;
    }
}

void bsk_leak_reasons(struct bsk_leak *leak, const struct bsk_score *score)
{
    size_t at = 0;
    evidence_in_words(&leak->evidence, leak->reasons[at], sizeof(leak->reasons[at]));
    at += leak->reasons[at][0] != '\0';
    growth_in_words(leak, score, leak->reasons[at], sizeof(leak->reasons[at]));
    at++;
    pace_in_words(leak, score, leak->reasons[at], sizeof(leak->reasons[at]));
}

void bsk_native_note(const struct bsk_memory_snapshot *from, const struct bsk_memory_snapshot *to,
                     char *out, size_t size)
{
    enum { LEAST_BYTES = 8 << 20, DUMP_BYTES_A_BLOCK = 160 };
    char rss[32], traced[32], tracking[32], beside[64] = "";
    out[0] = '\0';
    if (!from->rss_bytes || !to->rss_bytes || to->rss_bytes <= from->rss_bytes)
        return;
    uint64_t grown = to->rss_bytes - from->rss_bytes;
    uint64_t seen =
        to->traced_bytes > from->traced_bytes ? to->traced_bytes - from->traced_bytes : 0;
    uint64_t tracker =
        to->tracker_bytes > from->tracker_bytes ? to->tracker_bytes - from->tracker_bytes : 0;
    /* What a dump takes is free again, but may stay with the process. */
    uint64_t slack = LEAST_BYTES + from->blocks * DUMP_BYTES_A_BLOCK + (seen + tracker) / 4;
    if (grown <= seen + tracker + slack)
        return;
    bsk_bytes_text(grown, rss, sizeof(rss));
    bsk_bytes_text(seen, traced, sizeof(traced));
    bsk_bytes_text(tracker, tracking, sizeof(tracking));
    if (tracker >= LEAST_BYTES)
        snprintf(beside, sizeof(beside), " and what the tracking takes by %s", tracking);
    snprintf(out, size,
             "The process grew by %s, what Python allocated by %s%s: the rest is memory of C code, "
             "which tracemalloc cannot see, or fragments",
             rss, traced, beside);
}
