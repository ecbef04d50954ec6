#include "engine/profile/noise.h"

#include <math.h>
#include <stdlib.h>

const struct bsk_noise bsk_noise_unordered = { .inflation = 1.15, .phases = 0.1 };

static const double family_alpha = 0.03;
static const double least_asked = 0.0025; /* the share of both together that is asked about */
static const double target_shift = 0.02;  /* for which the chances are weighed */

/* Equal runs are not equal: standard deviations, on a machine that is quiet and on one that was
 * busy with other things. `code`: how much the speeds of two pieces of code differ from one run to
 * the next (caches, where memory lies). `machine`: how fast the machine is, for a stretch of
 * `machine_seconds`. `reading`: what a share is off by, whatever its size (as a share). */
static const struct running {
    double code, machine, reading;
} quiet = { 0.01, 0.04, 0.0005 }, busy = { 0.04, 0.12, 0.003 };
static const double machine_seconds = 2;

/* What a share is off by, of the part of the samples that was not wholly read: which chains and
 * calls a recording comes to know, and when, is another thing each time. */
static const double guess = 0.1;

/* An inflation below this is within what 64 blocks of independent samples show. */
static const double told_apart = 1.35;

/* Of what blocks differ by at random: so little along the best way is the same course. */
static const double course_alike = 0.4;

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

/* Half of what two blocks differ by in all functions together: from 0 (alike) to 1. */
static double distance(const float *a, size_t a_count, size_t i, const float *b, size_t b_count,
                       size_t j, size_t rows, size_t stride)
{
    double sum = 0;
    for (size_t r = 0; r < rows; r++)
        sum += fabs((double)a[r * stride * a_count + i] - (double)b[r * stride * b_count + j]);
    return sum / 2;
}

/*
 * Dynamic time warping: the way through both recordings, forward in each, on which blocks that
 * stand beside each other are the most alike. Where it is far more alike than blocks taken at
 * random, both go the same course.
 */
bool bsk_noise_same_course(const float *a, size_t a_count, const float *b, size_t b_count,
                           size_t rows, size_t stride)
{
    double cost[BSK_NOISE_BLOCKS_MAX], steps[BSK_NOISE_BLOCKS_MAX], all = 0;
    if (a_count == 0 || b_count == 0 || a_count > BSK_NOISE_BLOCKS_MAX ||
        b_count > BSK_NOISE_BLOCKS_MAX)
        return false;
    for (size_t i = 0; i < a_count; i++) {
        double corner_cost = 0, corner_steps = 0; /* of (i - 1, j - 1) */
        for (size_t j = 0; j < b_count; j++) {
            double here = distance(a, a_count, i, b, b_count, j, rows, stride);
            double best = corner_cost, best_steps = corner_steps;
            if (i > 0 && (j == 0 || cost[j] < best)) {
                best = cost[j];
                best_steps = steps[j];
            }
            if (j > 0 && (i == 0 || cost[j - 1] < best)) {
                best = cost[j - 1];
                best_steps = steps[j - 1];
            }
            corner_cost = i > 0 ? cost[j] : 0;
            corner_steps = i > 0 ? steps[j] : 0;
            cost[j] = best + here;
            steps[j] = best_steps + 1;
            all += here;
        }
    }
    double mean = all / (double)a_count / (double)b_count;
    return cost[b_count - 1] / steps[b_count - 1] < course_alike * mean;
}

void bsk_noise_from_blocks(const float *shares, size_t count, double block_samples, bool course,
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
    double independent = mean * (1 - mean);
    if (independent <= 0)
        return;
    for (size_t i = 1; i < count; i++)
        squares[i - 1] = square((double)shares[i] - (double)shares[i - 1]) / 2;
    size_t kept = (count - 1) - (count - 1) / 10;
    qsort(squares, count - 1, sizeof(*squares), by_value);
    for (size_t i = 0; i < kept; i++)
        sum += squares[i];
    double variance = course ? sum / (double)kept / trimmed_mean : spread;
    double phases = (spread - independent / block_samples) / independent;
    double inflation = variance * block_samples / independent;
    out->inflation = inflation > told_apart ? inflation : 1;
    out->phases = fmin(1, fmax(0, phases));
}

void bsk_noise_from_stretches(const struct bsk_stretches *stretches, double share, bool course,
                              struct bsk_noise *out)
{
    double squares = stretches->squares;
    if (stretches->sum <= 0)
        return;
    if (course) /* as if a phase were of independent samples */
        squares += stretches->long_sum - stretches->long_squares;
    /* as many stretches as chance makes have (1 + p) / (1 - p) samples, weighted by length */
    double inflation = squares / stretches->sum * (1 - share) / (1 + share);
    out->inflation = inflation > told_apart ? fmax(out->inflation, inflation) : out->inflation;
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
           square(running->machine) * noise->phases * spread / stretches +
           square(running->reading) + square(guess * noise->guessed);
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

static const double found_mostly = 1.645; /* 95 times in 100 */
static const double found_surely = 2.33;  /* 99 times */
static const double most_errors = 5;      /* nobody has to move by more than so many */

/* The chance that noise alone moves a share by so many standard errors, up or down. */
static double chance_of(double errors)
{
    return erfc(errors / sqrt(2));
}

struct place {
    double critical; /* with which a shift of the target's size is found mostly */
    size_t item;
};

static int by_critical(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->critical != b->critical)
        return a->critical > b->critical ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

/* How many errors a shift may have to be, so that one of the target's size, which is `reached`
 * errors, is found: surely, where that costs next to nothing, else mostly. */
static double wanted(double reached)
{
    double errors = reached - found_surely;
    if (errors < 0 || chance_of(errors) > family_alpha / 300)
        errors = reached - found_mostly;
    return fmin(most_errors, fmax(1.96, errors));
}

static double spent(const struct place *places, size_t count, double less)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += chance_of(fmax(1.96, places[i].critical - less));
    return sum;
}

/*
 * Bonferroni, with weights: the chances of a false alarm add up to `family_alpha` whatever the
 * functions have to do with each other. First come those whose noise is small against the target:
 * they need little of the chance to find it mostly. Those whose noise is too large for what is left
 * share it evenly. All of this depends on the noise alone, never on the shift.
 */
static void share_out(struct place *places, size_t count)
{
    double left = family_alpha;
    size_t served = 0;
    qsort(places, count, sizeof(*places), by_critical);
    for (; served < count; served++) {
        double price = chance_of(places[served].critical);
        /* what stays must be something for those who come after */
        if (price > left * (served + 1 < count ? 0.8 : 1))
            break;
        left -= price;
    }
    if (served == count) { /* there is more than they need */
        double low = 0, high = most_errors;
        for (int i = 0; i < 40; i++) {
            double less = (low + high) / 2;
            if (spent(places, count, less) > family_alpha)
                high = less;
            else
                low = less;
        }
        for (size_t i = 0; i < count; i++)
            places[i].critical = fmax(1.96, places[i].critical - low);
        return;
    }
    double low = 0, high = 10, each = left / (double)(count - served);
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        if (chance_of(middle) > each)
            low = middle;
        else
            high = middle;
    }
    for (size_t i = served; i < count; i++)
        places[i].critical = high;
}

bool bsk_judge(struct bsk_judged *items, size_t count, double least_shift)
{
    struct place *places = malloc((count + 1) * sizeof(*places));
    size_t asked = 0;
    if (!places)
        return false;
    for (size_t i = 0; i < count; i++) {
        items[i].error = error_of(&items[i]);
        items[i].critical = most_errors;
        items[i].significant = false;
        if (is_asked(&items[i]))
            places[asked++] = (struct place){ wanted(target_shift / items[i].error), i };
    }
    share_out(places, asked);
    for (size_t i = 0; i < asked; i++) {
        struct bsk_judged *item = &items[places[i].item];
        double shift = fabs(item->after - item->before);
        /* counts are whole: half of one in each profile is no shift */
        double half = 0.25 / item->noise_before.samples + 0.25 / item->noise_after.samples;
        item->critical = places[i].critical;
        item->significant = shift >= least_shift && shift - half > item->critical * item->error;
    }
    free(places);
    return true;
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
        if (chance_of(middle) * (double)(count ? count : 1) > family_alpha)
            low = middle;
        else
            high = middle;
    }
    return (high + found_mostly) * error_of(&item);
}
