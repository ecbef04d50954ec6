/*
 * How likely the growth of one site is a leak, from its levels alone. Pure arithmetic, one interval
 * at a time; docs/memory.md tells why it is so.
 */
#ifndef BSK_MEMORY_SCORE_H
#define BSK_MEMORY_SCORE_H

#include "engine/memory/growth.h"

struct bsk_score {
    double odds;         /* natural logarithm of odds; starts at bsk_score_start() */
    double net, gross;   /* bytes: grown less given back; all that grew */
    double rates[3];     /* of the last three growths, bytes for a unit of work; newest first */
    uint32_t rate_count; /* 0..3 */
    uint32_t grew, flat, shrank; /* intervals that counted */
};

struct bsk_score bsk_score_start(void);

/* One interval: the level went from `before` to `after` bytes while the debuggee worked `work_s`
 * CPU seconds; `usual_work_s` is what it works in an interval as a rule (0: not known). */
void bsk_score_interval(struct bsk_score *score, uint64_t before, uint64_t after, double work_s,
                        double usual_work_s);

/* 0..94 */
int bsk_score_confidence(const struct bsk_score *score);

/* What the graph's evidence makes of a confidence: 0..100. */
int bsk_score_with_evidence(int confidence, const struct bsk_evidence *evidence);

#endif
