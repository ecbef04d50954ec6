#include "engine/profile/diff.h"

#include "engine/base/buffer.h"
#include "engine/profile/noise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* A function whose share in both together is less than this is not cut into blocks: it could not
 * have a significant shift (noise.h). */
static const double least_judged = 0.0025;

enum {
    MAX_STEPS = 400000000
}; /* frames of all runs together: past it stretches are not looked at */

struct side { /* one profile, by the numbers of its functions in the match */
    const struct bsk_profile *profile;
    const uint32_t *of; /* by function: which one it is */
    uint32_t count, nodes;
    bool ordered;
    bool *outermost;      /* by node: no frame outside is the same function */
    double *self, *total; /* by number: shares */
    double weight, samples;
    float *blocks; /* of those that are judged: [2 * place + (0 self, 1 total)][block] */
    size_t block_count;
    struct bsk_stretches *stretches; /* of those that are judged: [2 * place + (0, 1)] */
    struct bsk_noise noise;          /* what all of its functions have in common */
};

static void side_free(struct side *side)
{
    free(side->outermost);
    free(side->self);
    free(side->total);
    free(side->blocks);
    free(side->stretches);
}

/* Which frames are the outermost of their function: only those add to its total. */
static bool find_outermost(struct side *side)
{
    uint32_t *active = calloc((size_t)side->count + 1, sizeof(*active));
    side->outermost = calloc((size_t)side->nodes + 1, sizeof(*side->outermost));
    if (!active || !side->outermost) {
        free(active);
        return false;
    }
    for (uint32_t track = 0; track < bsk_profile_track_count(side->profile); track++) {
        uint32_t root = bsk_profile_track_root(side->profile, track), at = root;
        for (;;) {
            const struct bsk_node *node = bsk_profile_node_at(side->profile, at);
            if (at != root)
                side->outermost[at] = active[side->of[node->function]]++ == 0;
            if (node->first_child != BSK_NO_NODE) {
                at = node->first_child;
                continue;
            }
            while (at != root && node->next_sibling == BSK_NO_NODE) {
                active[side->of[node->function]]--;
                at = node->parent;
                node = bsk_profile_node_at(side->profile, at);
            }
            if (at == root)
                break;
            active[side->of[node->function]]--;
            at = node->next_sibling;
        }
    }
    free(active);
    return true;
}

/* Adds `weights`, by node, to what each function has; `weights` ends with what is below each node.
 */
static void sum_up(const struct side *side, double *weights, double *total)
{
    for (uint32_t i = side->nodes; i-- > 0;) { /* a parent's index is smaller than its children's */
        const struct bsk_node *node = bsk_profile_node_at(side->profile, i);
        if (node->parent == BSK_NO_NODE || weights[i] <= 0)
            continue;
        if (side->outermost[i])
            total[side->of[node->function]] += weights[i];
        weights[node->parent] += weights[i];
    }
}

/* On a busy machine a thread is sampled while it waits for a CPU, too: its samples are no more than
 * its CPU time has periods. */
static void know_noise(struct side *side)
{
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(side->profile);
    double seconds = side->weight / 1e9, samples = (double)bsk_profile_samples(side->profile);
    double missed = (double)meta->missed;
    if (meta->rate_hz > 0 && samples > seconds * meta->rate_hz * 1.02)
        samples = seconds * meta->rate_hz;
    side->samples = samples < 1 ? 1 : samples;
    side->noise = bsk_noise_unordered;
    side->noise.samples = side->samples;
    side->noise.seconds = seconds;
    side->noise.busy = missed > 0.03 * (missed + (double)bsk_profile_samples(side->profile));
    side->noise.guessed = fmin(1, (double)(meta->filled + meta->unread) / side->samples);
}

static bool sum_side(struct side *side)
{
    double *weights = calloc((size_t)side->nodes + 1, sizeof(*weights));
    side->self = calloc((size_t)side->count + 1, sizeof(*side->self));
    side->total = calloc((size_t)side->count + 1, sizeof(*side->total));
    if (!weights || !side->self || !side->total || !find_outermost(side)) {
        free(weights);
        return false;
    }
    for (uint32_t i = 0; i < side->nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(side->profile, i);
        weights[i] = (double)node->self_ns;
        side->weight += weights[i];
        if (node->depth > 0)
            side->self[side->of[node->function]] += weights[i];
    }
    sum_up(side, weights, side->total);
    free(weights);
    for (uint32_t i = 0; i < side->count && side->weight > 0; i++) {
        side->self[i] /= side->weight;
        side->total[i] /= side->weight;
    }
    know_noise(side);
    return true;
}

struct blocks {           /* one that is being filled */
    double *weights;      /* by node */
    double *self, *total; /* by number */
    double filled, size;
    size_t done;
};

static void end_block(struct side *side, struct blocks *blocks, const uint32_t *place)
{
    for (uint32_t i = 0; i < side->nodes; i++) {
        const struct bsk_node *node = bsk_profile_node_at(side->profile, i);
        if (node->depth > 0)
            blocks->self[side->of[node->function]] += blocks->weights[i];
    }
    sum_up(side, blocks->weights, blocks->total);
    for (uint32_t i = 0; i < side->count; i++) {
        if (place[i] == NONE)
            continue;
        float *row = side->blocks + (size_t)place[i] * 2 * side->block_count;
        row[blocks->done] = (float)(blocks->self[i] / blocks->size);
        row[side->block_count + blocks->done] = (float)(blocks->total[i] / blocks->size);
    }
    memset(blocks->weights, 0, side->nodes * sizeof(*blocks->weights));
    memset(blocks->self, 0, side->count * sizeof(*blocks->self));
    memset(blocks->total, 0, side->count * sizeof(*blocks->total));
    blocks->filled = 0;
    blocks->done++;
}

/* Cuts the timeline into blocks of equal weight, and takes each judged function's share in each.
 * Leaves block_count 0 where the timeline says too little. */
static bool cut(struct side *side, const uint32_t *place, size_t judged)
{
    double in_runs = 0;
    struct bsk_run run;
    size_t count = side->ordered ? bsk_noise_blocks(side->samples) : 0;
    for (size_t at = 0; count > 0 && bsk_profile_next_run(side->profile, &at, &run);)
        in_runs += (double)run.cpu_ns;
    if (count == 0 || in_runs < side->weight / 2)
        return true;
    struct blocks blocks = { .weights = calloc((size_t)side->nodes + 1, sizeof(double)),
                             .self = calloc((size_t)side->count + 1, sizeof(double)),
                             .total = calloc((size_t)side->count + 1, sizeof(double)),
                             .size = in_runs / (double)count };
    side->blocks = calloc(judged * 2 * count + 1, sizeof(*side->blocks));
    bool done = blocks.weights && blocks.self && blocks.total && side->blocks;
    side->block_count = count;
    for (size_t at = 0; done && bsk_profile_next_run(side->profile, &at, &run);) {
        double left = (double)run.cpu_ns;
        while (left > 0 && blocks.done < count) {
            double room = blocks.size - blocks.filled, part = left < room ? left : room;
            blocks.weights[run.node] += part;
            blocks.filled += part;
            left -= part;
            if (blocks.filled < blocks.size * (1 - 1e-9))
                break;
            end_block(side, &blocks, place);
        }
    }
    if (done && blocks.done < count && blocks.filled > 0)
        end_block(side, &blocks, place); /* the last one, short by a rounding */
    free(blocks.weights);
    free(blocks.self);
    free(blocks.total);
    return done;
}

/* A stretch that goes on, of one function in the track that is walked. */
struct open {
    uint64_t step; /* the last run that it was in, counted over all; 0: none */
    double length;
};

static void close_stretch(const struct side *side, uint32_t row, struct open *open)
{
    struct bsk_stretches *sums = &side->stretches[row];
    double length = open->length / side->weight * side->samples;
    sums->sum += length;
    sums->squares += length * length;
    if (length > side->samples / (double)side->block_count) {
        sums->long_sum += length;
        sums->long_squares += length * length;
    }
    open->length = 0;
}

static void extend(const struct side *side, uint32_t row, struct open *opens, uint64_t step,
                   double length)
{
    struct open *open = &opens[row];
    if (open->step + 1 != step && open->length > 0)
        close_stretch(side, row, open);
    open->step = step;
    open->length += length;
}

/* Walks a track's runs in order: in how long stretches each judged function comes. */
static void walk_track(const struct side *side, const struct bsk_run *runs, size_t count,
                       const uint32_t *place, struct open *opens, uint64_t *step)
{
    (*step)++; /* what another track did last is no neighbour */
    for (size_t i = 0; i < count; i++) {
        const struct bsk_node *node = bsk_profile_node_at(side->profile, runs[i].node);
        double length = (double)runs[i].cpu_ns;
        if (length <= 0)
            continue;
        (*step)++;
        if (node->depth > 0 && place[side->of[node->function]] != NONE)
            extend(side, 2 * place[side->of[node->function]], opens, *step, length);
        for (uint32_t at = runs[i].node; bsk_profile_node_at(side->profile, at)->depth > 0;
             at = bsk_profile_node_at(side->profile, at)->parent) {
            uint32_t number = side->of[bsk_profile_node_at(side->profile, at)->function];
            if (side->outermost[at] && place[number] != NONE)
                extend(side, 2 * place[number] + 1, opens, *step, length);
        }
    }
}

static bool find_stretches(struct side *side, const uint32_t *place, size_t judged)
{
    size_t tracks = bsk_profile_track_count(side->profile), total = 0, steps = 0;
    struct bsk_run run;
    if (side->block_count == 0)
        return true;
    size_t *begin = calloc(tracks + 2, sizeof(*begin));
    struct open *opens = calloc(judged * 2 + 1, sizeof(*opens));
    side->stretches = calloc(judged * 2 + 1, sizeof(*side->stretches));
    struct bsk_run *runs = NULL;
    uint64_t step = 1;
    bool done = begin && opens && side->stretches;
    for (size_t at = 0; done && bsk_profile_next_run(side->profile, &at, &run); total++) {
        begin[run.track + 2]++;
        steps += bsk_profile_node_at(side->profile, run.node)->depth;
    }
    runs = done && steps < MAX_STEPS ? malloc((total + 1) * sizeof(*runs)) : NULL;
    for (size_t t = 2; runs && t < tracks + 2; t++)
        begin[t] += begin[t - 1];
    for (size_t at = 0; runs && bsk_profile_next_run(side->profile, &at, &run);)
        runs[begin[run.track + 1]++] = run;
    for (size_t t = 0; runs && t < tracks; t++)
        walk_track(side, runs + begin[t], begin[t + 1] - begin[t], place, opens, &step);
    for (uint32_t row = 0; runs && row < judged * 2; row++) {
        if (opens[row].length > 0)
            close_stretch(side, row, &opens[row]);
    }
    done = done && (runs || steps >= MAX_STEPS);
    free(begin);
    free(opens);
    free(runs);
    return done;
}

static struct bsk_noise noise_of(const struct side *side, uint32_t place, bool total, double share,
                                 bool course)
{
    struct bsk_noise noise = side->noise;
    if (place == NONE || side->block_count == 0)
        return noise;
    size_t row = (size_t)place * 2 + total;
    bsk_noise_from_blocks(side->blocks + row * side->block_count, side->block_count,
                          side->samples / (double)side->block_count, course, &noise);
    bsk_noise_from_stretches(&side->stretches[row], share, course, &noise);
    return noise;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Of what is judged at all, what is in the middle. */
static double median(double *values, size_t count, double otherwise)
{
    if (count == 0)
        return otherwise;
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

static bool judge(struct side *before, struct side *after, struct bsk_judged *judged)
{
    uint32_t count = before->count, places = 0;
    uint32_t *place = malloc(((size_t)count + 1) * sizeof(*place));
    bool done = false;
    if (!place)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        double share = (before->total[i] * before->samples + after->total[i] * after->samples) /
                       (before->samples + after->samples);
        place[i] = share >= least_judged ? places++ : NONE;
    }
    if (!cut(before, place, places) || !cut(after, place, places) ||
        !find_stretches(before, place, places) || !find_stretches(after, place, places))
        goto out;
    bool course = before->block_count > 0 && after->block_count > 0 &&
                  bsk_noise_same_course(before->blocks, before->block_count, after->blocks,
                                        after->block_count, places, 2);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t total = 0; total < 2; total++) {
            struct bsk_judged *item = &judged[2 * i + total];
            *item = (struct bsk_judged){
                .before = total ? before->total[i] : before->self[i],
                .after = total ? after->total[i] : after->self[i],
            };
            item->noise_before = noise_of(before, place[i], total, item->before, course);
            item->noise_after = noise_of(after, place[i], total, item->after, course);
        }
    }
    done = true;
out:
    free(place);
    return done;
}

/* A total that is the self share of the same function is not asked twice, nor one that is another
 * function's: a chain of callers is one question. */
struct question {
    double before, after;
    uint32_t item;
};

static int by_shares(const void *left, const void *right)
{
    const struct question *a = left, *b = right;
    if (a->before != b->before)
        return a->before < b->before ? -1 : 1;
    if (a->after != b->after)
        return a->after < b->after ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

/* False: out of memory. */
static bool decide(struct bsk_judged *judged, size_t count, double least_points,
                   size_t *out_different)
{
    struct question *questions = malloc((count + 1) * sizeof(*questions));
    struct bsk_judged *asked = malloc((count + 1) * sizeof(*asked));
    size_t different = 0;
    bool done = questions && asked;
    if (done) {
        for (size_t i = 0; i < count; i++)
            questions[i] = (struct question){ judged[i].before, judged[i].after, (uint32_t)i };
        qsort(questions, count, sizeof(*questions), by_shares);
        for (size_t i = 0; i < count; i++) {
            if (i == 0 || questions[i].before != questions[i - 1].before ||
                questions[i].after != questions[i - 1].after)
                asked[different++] = judged[questions[i].item];
        }
        done = bsk_judge(asked, different, least_points / 100);
        for (size_t i = 0, at = 0; i < count; i++) {
            if (i > 0 && (questions[i].before != questions[i - 1].before ||
                          questions[i].after != questions[i - 1].after))
                at++;
            judged[questions[i].item] = asked[at];
        }
    }
    free(questions);
    free(asked);
    *out_different = different;
    return done;
}

static struct bsk_share share_of(const struct bsk_judged *item, double least_points)
{
    return (struct bsk_share){ .before = 100 * item->before,
                               .after = 100 * item->after,
                               .delta = 100 * (item->after - item->before),
                               .noise =
                                   100 * fmax(least_points / 100, item->critical * item->error),
                               .significant = item->significant };
}

static double largest(const struct bsk_diff_function *function)
{
    return fmax(fabs(function->self.delta), fabs(function->total.delta));
}

static int by_shift(const void *left, const void *right)
{
    const struct bsk_diff_function *a = left, *b = right;
    double x = largest(a), y = largest(b);
    if (x != y)
        return x > y ? -1 : 1;
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->path, b->path);
}

/* An absolute path says more than one that was shortened. */
static enum bsk_code_origin origin_of(const struct side sides[2], const struct bsk_match *match,
                                      uint32_t i)
{
    const uint32_t in[2] = { match->in_before[i], match->in_after[i] };
    const char *path = "";
    for (size_t side = 0; side < 2; side++) {
        if (in[side] == NONE)
            continue;
        const char *its = bsk_profile_function_at(sides[side].profile, in[side]).path;
        if (path[0] != '/')
            path = its;
    }
    return bsk_code_origin(path);
}

static bool fill(struct bsk_diff *diff, const struct side sides[2], const struct bsk_match *match,
                 const struct bsk_judged *judged)
{
    struct bsk_buffer text = { 0 };
    size_t *at = calloc((size_t)match->count * 2 + 1, sizeof(*at));
    if (!at)
        return false;
    for (uint32_t i = 0; i < match->count; i++) {
        struct bsk_function function =
            match->in_after[i] != NONE
                ? bsk_profile_function_at(sides[1].profile, match->in_after[i])
                : bsk_profile_function_at(sides[0].profile, match->in_before[i]);
        struct bsk_diff_function *out = &diff->functions[diff->count];
        if (judged[2 * i + 1].before <= 0 && judged[2 * i + 1].after <= 0)
            continue;
        at[2 * diff->count] = text.size;
        bsk_buffer_append(&text, function.name, strlen(function.name) + 1);
        at[2 * diff->count + 1] = text.size;
        bsk_buffer_append(&text, function.path, strlen(function.path) + 1);
        out->kind = function.kind;
        out->number = i;
        out->origin = origin_of(sides, match, i);
        out->in_before = match->in_before[i] != NONE;
        out->in_after = match->in_after[i] != NONE;
        out->self = share_of(&judged[2 * i], diff->least_points);
        out->total = share_of(&judged[2 * i + 1], diff->least_points);
        if (strcmp(function.name, BSK_FUNCTION_UNREAD) == 0) /* a shift of the profiler's own */
            out->self.significant = out->total.significant = false;
        diff->significant += out->self.significant || out->total.significant;
        diff->count++;
    }
    for (size_t i = 0; i < diff->count; i++) {
        diff->functions[i].name = text.data + at[2 * i];
        diff->functions[i].path = text.data + at[2 * i + 1];
    }
    free(at);
    diff->strings = text.data;
    qsort(diff->functions, diff->count, sizeof(*diff->functions), by_shift);
    return !text.failed;
}

static void describe(struct bsk_diff_side *out, const struct side *side,
                     const struct bsk_judged *judged, bool after)
{
    double values[512], phases[512];
    size_t count = 0;
    for (uint32_t i = 0; i < side->count * 2 && count < 512; i++) {
        double share = (judged[i].before + judged[i].after) / 2;
        if (share < 0.02 || share > 0.98)
            continue;
        const struct bsk_noise *noise = after ? &judged[i].noise_after : &judged[i].noise_before;
        values[count] = noise->inflation;
        phases[count++] = noise->phases;
    }
    *out = (struct bsk_diff_side){ .samples = (uint64_t)side->samples,
                                   .weight_ns = side->weight,
                                   .inflation = median(values, count, 1),
                                   .phases = median(phases, count, side->noise.phases),
                                   .from_order = side->block_count > 0,
                                   .busy = side->noise.busy };
}

struct bsk_diff *bsk_diff_new(const struct bsk_profile *before, bool before_ordered,
                              const struct bsk_profile *after, bool after_ordered,
                              double least_points)
{
    struct bsk_match match = { 0 };
    if (!bsk_match_make(before, after, &match))
        return NULL;
    struct side sides[2] = {
        { .profile = before, .of = match.of_before, .ordered = before_ordered },
        { .profile = after, .of = match.of_after, .ordered = after_ordered },
    };
    struct bsk_diff *diff = calloc(1, sizeof(*diff));
    struct bsk_judged *judged = calloc((size_t)match.count * 2 + 1, sizeof(*judged));
    bool done = false;
    for (size_t i = 0; i < 2; i++) {
        sides[i].count = match.count;
        sides[i].nodes = (uint32_t)bsk_profile_node_count(sides[i].profile);
    }
    if (!diff || !judged || !sum_side(&sides[0]) || !sum_side(&sides[1]))
        goto out;
    diff->functions = calloc((size_t)match.count + 1, sizeof(*diff->functions));
    if (!diff->functions || !judge(&sides[0], &sides[1], judged))
        goto out;
    size_t different;
    if (!decide(judged, (size_t)match.count * 2, least_points, &different))
        goto out;
    describe(&diff->before, &sides[0], judged, false);
    describe(&diff->after, &sides[1], judged, true);
    sides[0].noise.inflation = diff->before.inflation;
    sides[1].noise.inflation = diff->after.inflation;
    sides[0].noise.phases = diff->before.phases;
    sides[1].noise.phases = diff->after.phases;
    diff->least_points = least_points;
    diff->visible_points =
        fmax(least_points, 100 * bsk_noise_visible(0.1, &sides[0].noise, &sides[1].noise,
                                                   different < 40 ? different : 40));
    done = fill(diff, sides, &match, judged);
out:
    bsk_match_free(&match);
    free(judged);
    side_free(&sides[0]);
    side_free(&sides[1]);
    if (done)
        return diff;
    bsk_diff_free(diff);
    return NULL;
}

void bsk_diff_free(struct bsk_diff *diff)
{
    if (!diff)
        return;
    free(diff->functions);
    free(diff->strings);
    free(diff);
}
