#include "engine/profile/noise.h"

#include <math.h>
#include <stdlib.h>

const struct bsk_noise bsk_noise_unordered = { .inflation = 1.25, .phases = 0.25 };

static const double family_alpha = 0.02;
static const double least_asked = 0.0025; /* the share of both together that is asked about */
static const double target_shift = 0.02;  /* for which the chances are weighed */

/* Equal runs are not equal: standard deviations, on a machine that is quiet and on one that was
 * busy with other things. `code`: how much the speeds of two pieces of code differ from one run to
 * the next (caches, where memory lies). `machine`: how fast the machine is, for a stretch of
 * `machine_seconds`. `reading`: what a share is off by, whatever its size (as a share). */
static const struct running {
    double code, machine, reading;
} quiet = { 0.015, 0.04, 0.0005 }, busy = { 0.04, 0.12, 0.003 };
static const double machine_seconds = 2;

/* The mean of the smaller nine tenths of squares of a normal variable. */
static const double trimmed_mean = 0.623;

static double square(double value)
{
    return value * value;
}

size_t bsk_noise_blocks(double samples)
{
    double count = floor(samples / BSK_NOISE_BLOCK_SAMPLES);
    return count < BSK_NOISE_BLOCKS_MIN   ? 0
           : count > BSK_NOISE_BLOCKS_MAX ? BSK_NOISE_BLOCKS_MAX
                                          : (size_t)count;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void bsk_noise_from_blocks(const float *shares, size_t count, double block_samples,
                           struct bsk_noise *out)
{
    double squares[BSK_NOISE_BLOCKS_MAX], sum = 0, mean = 0, spread = 0;
    out->inflation = 1;
    out->phases = 0;
    if (count < 2 || count > BSK_NOISE_BLOCKS_MAX)
        return;
    for (size_t i = 0; i < count; i++)
        mean += (double)shares[i] / (double)count;
    for (size_t i = 0; i < count; i++)
        spread += square((double)shares[i] - mean) / (double)(count - 1);
    for (size_t i = 1; i < count; i++) {
        double step = (double)shares[i] - (double)shares[i - 1];
        squares[i - 1] = step * step / 2;
    }
    size_t kept = (count - 1) - (count - 1) / 10;
    qsort(squares, count - 1, sizeof(*squares), by_value);
    for (size_t i = 0; i < kept; i++)
        sum += squares[i];
    double independent = mean * (1 - mean);
    if (independent <= 0)
        return;
    double inflation = sum / (double)kept / trimmed_mean * block_samples / independent;
    double phases = (spread - independent / block_samples) / independent;
    out->inflation = fmax(1, inflation);
    out->phases = fmin(1, fmax(0, phases));
}

static double pooled(const struct bsk_judged *item)
{
    return (item->before * item->noise_before.samples + item->after * item->noise_after.samples) /
           (item->noise_before.samples + item->noise_after.samples);
}

/* The variance of one profile's share. */
static double variance_of(const struct bsk_noise *noise, double share)
{
    const struct running *running = noise->busy ? &busy : &quiet;
    double spread = share * (1 - share);
    double stretches = noise->seconds > machine_seconds ? noise->seconds / machine_seconds : 1;
    return spread * noise->inflation / noise->samples + square(running->code * spread) +
           square(running->machine) * noise->phases * spread / stretches + square(running->reading);
}

static double error_of(const struct bsk_judged *item)
{
    double share = pooled(item);
    if (share <= 0 || share >= 1)
        return 0;
    return sqrt(variance_of(&item->noise_before, share) + variance_of(&item->noise_after, share));
}

/* A function that could hardly have moved by half a point is not asked about, and costs the others
 * nothing. That depends on the sum of both profiles alone, not on their difference. */
static bool is_asked(const struct bsk_judged *item)
{
    double share = pooled(item);
    return item->error > 0 && share >= least_asked && share <= 1 - least_asked;
}

/* How many standard errors the target is, within bounds. */
static double reach(const struct bsk_judged *item)
{
    double reached = target_shift / item->error;
    return reached < 1.5 ? 1.5 : reached > 8 ? 8 : reached;
}

static double critical_of(double reached, double k)
{
    double critical = reached / 2 + k / reached;
    return critical > 1.96 ? critical : 1.96;
}

/*
 * Bonferroni, with weights: the chances of a false alarm add up to `family_alpha` whatever the
 * functions have to do with each other. A function whose noise is small against two points gives
 * most of its chance to those whose noise is large: reached / 2 + k / reached is what finds most
 * shifts of the target's size. It depends on the noise alone, never on the shift.
 */
static double solve(const struct bsk_judged *items, size_t count)
{
    double low = -20, high = 200;
    for (int i = 0; i < 60; i++) {
        double k = (low + high) / 2, sum = 0;
        for (size_t at = 0; at < count; at++) {
            if (is_asked(&items[at]))
                sum += erfc(critical_of(reach(&items[at]), k) / sqrt(2));
        }
        if (sum > family_alpha)
            low = k;
        else
            high = k;
    }
    return high;
}

void bsk_judge(struct bsk_judged *items, size_t count, double least_shift)
{
    for (size_t i = 0; i < count; i++)
        items[i].error = error_of(&items[i]);
    double k = solve(items, count);
    for (size_t i = 0; i < count; i++) {
        struct bsk_judged *item = &items[i];
        double shift = fabs(item->after - item->before);
        /* counts are whole: half of one in each profile is no shift */
        double step = 0.5 / item->noise_before.samples + 0.5 / item->noise_after.samples;
        item->critical = item->error > 0 ? critical_of(reach(item), k) : 0;
        item->significant = is_asked(item) && shift >= least_shift &&
                            shift - step / 2 > item->critical * item->error;
    }
}

double bsk_noise_visible(double share, const struct bsk_noise *before,
                         const struct bsk_noise *after, size_t count)
{
    struct bsk_judged item = {
        .before = share, .after = share, .noise_before = *before, .noise_after = *after
    };
    double low = 1, high = 8;
    for (int i = 0; i < 40; i++) {
        double middle = (low + high) / 2;
        if (erfc(middle / sqrt(2)) * (double)(count ? count : 1) > family_alpha)
            low = middle;
        else
            high = middle;
    }
    return (high + 1.645) * error_of(&item);
}
