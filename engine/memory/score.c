#include "engine/memory/score.h"

#include <math.h>
#include <string.h>

/* Chosen on the tuning half of tests/engine/memory's leak suite; docs/memory.md has the tables. */
static const double PRIOR = 0.12; /* of a site that grows at all: most growth is no leak */
static const double FULL_STEP = 1.38629436; /* ln 4: what one whole interval of evidence weighs */
static const double MOST_ODDS = 6;          /* either way: no past is so long that nothing counts */
enum { FLAT_BYTES = 4096 };

struct bsk_score bsk_score_start(void)
{
    return (struct bsk_score){ .odds = log(PRIOR / (1 - PRIOR)) };
}

static double median(const double *values, uint32_t count)
{
    double a = values[0], b = values[1], c = values[2];
    if (count == 1)
        return a;
    if (count == 2)
        return (a + b) / 2;
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

void bsk_score_interval(struct bsk_score *score, uint64_t before, uint64_t after, double work_s,
                        double usual_work_s)
{
    double delta = (double)after - (double)before, evidence;
    double flat = fmax(FLAT_BYTES, 0.01 * (double)(before > after ? before : after));
    double worked = usual_work_s > 0 ? fmax(0, work_s) / usual_work_s : 1;
    /* An interval in which the program hardly worked says hardly anything. Up to a factor of two
     * work is no measure: it also counts what has nothing to do with the growth. */
    double weight = fmin(1, 2 * worked);
    double share = worked < 0.5 ? 2 * worked : worked > 2 ? worked / 2 : 1;
    double rate = share > 0 ? delta / share : delta;
    if (fabs(delta) <= flat) {
        evidence = -1;
        score->flat++;
    } else if (delta < 0) {
        evidence = -1 - 2 * fmin(1, -delta / fmax(score->net, -delta));
        score->shrank++;
    } else {
        evidence = 1;
        if (score->rate_count > 0)
            evidence = fmax(-1, fmin(1, log2(rate / median(score->rates, score->rate_count)) + 1));
        score->rates[2] = score->rates[1];
        score->rates[1] = score->rates[0];
        score->rates[0] = rate;
        score->rate_count += score->rate_count < 3;
        score->grew++;
        score->gross += delta;
    }
    score->net = fmax(0, score->net + delta);
    score->odds += FULL_STEP * evidence * weight;
    score->odds = fmax(-MOST_ODDS, fmin(MOST_ODDS, score->odds));
}

int bsk_score_confidence(const struct bsk_score *score)
{
    double kept = score->gross > 0 ? sqrt(fmin(1, score->net / score->gross)) : 1;
    double percent = 100 / (1 + exp(-score->odds)) * kept;
    int rounded = (int)(percent + 0.5);
    return rounded > BSK_CONFIDENCE_ALONE ? BSK_CONFIDENCE_ALONE : rounded;
}

int bsk_score_with_evidence(int confidence, const struct bsk_evidence *evidence)
{
    enum {
        SHARE_PERCENT = 80,
        MEDIUM = 40,
        MOST_BOUNDED = 55,
        MOST_GARBAGE = 25,
        FIRST_GRAPH = 10
    };
    if (evidence->share * 100 < SHARE_PERCENT)
        return confidence;
    switch (evidence->kind) {
    case BSK_EVIDENCE_LEAKED:
        if (confidence < MEDIUM)
            return confidence;
        if (evidence->graphs >= 2) /* the holder was seen to grow */
            return 95 + (confidence - MEDIUM) / 11;
        return confidence + FIRST_GRAPH > BSK_CONFIDENCE_ALONE ? BSK_CONFIDENCE_ALONE
                                                               : confidence + FIRST_GRAPH;
    case BSK_EVIDENCE_BOUNDED:
    case BSK_EVIDENCE_IN_USE:
        return confidence > MOST_BOUNDED ? MOST_BOUNDED : confidence;
    case BSK_EVIDENCE_GARBAGE:
        return confidence > MOST_GARBAGE ? MOST_GARBAGE : confidence;
    default:
        return confidence;
    }
}
