#include "engine/export/wall.h"

#include "engine/base/room.h"

#include <math.h>
#include <stdlib.h>

/*
 * Virtual time, as in fair queueing: while the runs in progress use `rate` CPUs together, a stretch
 * of d ns moves `service` by d / rate, and a run that uses r of them has earned r times what
 * `service` moved while it lasted. So a stretch costs nothing for the runs that go on through it.
 */
struct active {
    uint64_t end_ns;
    double rate, since; /* CPU per wall time; `service` when it began */
    uint32_t node;
};

struct walk {
    struct active *heap; /* the one that ends first at the front */
    size_t count, capacity;
    double rate, service;
    double earned_ns;    /* handed out since `quiet_ns` */
    uint64_t quiet_ns;   /* when last nothing ran: up to there all is handed out */
    uint64_t now_ns;     /* up to where `service` counts */
    uint64_t written_us; /* up to where stretches were handed out */
    bsk_wall_fn *fn;
    void *user;
};

static bool push(struct walk *walk, struct active item)
{
    if (!bsk_room_for_one(&walk->heap, walk->count, &walk->capacity, sizeof(*walk->heap)))
        return false;
    size_t at = walk->count++;
    for (; at > 0 && walk->heap[(at - 1) / 2].end_ns > item.end_ns; at = (at - 1) / 2)
        walk->heap[at] = walk->heap[(at - 1) / 2];
    walk->heap[at] = item;
    return true;
}

static struct active pop(struct walk *walk)
{
    struct active *heap = walk->heap, first = heap[0], last = heap[--walk->count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= walk->count)
            break;
        if (child + 1 < walk->count && heap[child + 1].end_ns < heap[child].end_ns)
            child++;
        if (heap[child].end_ns >= last.end_ns)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

static void hand_out(struct walk *walk, uint32_t node, uint64_t end_us)
{
    if (end_us < walk->written_us)
        end_us = walk->written_us;
    walk->fn(node, walk->written_us, end_us, walk->user);
    walk->written_us = end_us;
}

static void advance(struct walk *walk, uint64_t to_ns)
{
    if (walk->rate > 0)
        walk->service += (double)(to_ns - walk->now_ns) / walk->rate;
    walk->now_ns = to_ns;
}

/* Ends every run that is over by `until_ns`. */
static void retire(struct walk *walk, uint64_t until_ns)
{
    while (walk->count > 0 && walk->heap[0].end_ns <= until_ns) {
        struct active run = pop(walk);
        advance(walk, run.end_ns);
        walk->rate -= run.rate;
        walk->earned_ns += run.rate * (walk->service - run.since);
        /* Nobody is left: whatever rounding took or gave, all up to now is handed out. */
        uint64_t end_ns =
            walk->count == 0 ? walk->now_ns : walk->quiet_ns + (uint64_t)fmax(0.0, walk->earned_ns);
        if (end_ns > walk->now_ns)
            end_ns = walk->now_ns;
        hand_out(walk, run.node, end_ns / 1000);
        if (walk->count == 0) {
            walk->quiet_ns = walk->now_ns;
            walk->rate = walk->service = walk->earned_ns = 0;
        }
    }
}

uint64_t bsk_wall_us(const struct bsk_profile *profile)
{
    uint64_t end_ns = bsk_profile_meta_const(profile)->duration_ns;
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);) {
        if (run.start_ns + run.wall_ns > end_ns)
            end_ns = run.start_ns + run.wall_ns;
    }
    return end_ns / 1000;
}

bool bsk_wall_walk(const struct bsk_profile *profile, bsk_wall_fn *fn, void *user)
{
    struct walk walk = { .fn = fn, .user = user };
    struct bsk_run run;
    for (size_t at = 0; bsk_profile_next_run(profile, &at, &run);) {
        if (run.samples == 0 && run.cpu_ns == 0)
            continue; /* it did not run */
        retire(&walk, run.start_ns);
        if (walk.count == 0 && run.start_ns > walk.now_ns) {
            hand_out(&walk, BSK_NO_NODE, run.start_ns / 1000);
            walk.quiet_ns = walk.now_ns = run.start_ns;
        }
        if (run.start_ns > walk.now_ns)
            advance(&walk, run.start_ns);
        struct active item = { .end_ns = run.start_ns + run.wall_ns,
                               .rate = (double)(run.cpu_ns + 1) / (double)run.wall_ns,
                               .since = walk.service,
                               .node = run.node };
        if (item.end_ns < walk.now_ns)
            item.end_ns = walk.now_ns; /* starts are rounded; never back in time */
        if (!push(&walk, item)) {
            free(walk.heap);
            return false;
        }
        walk.rate += item.rate;
    }
    retire(&walk, UINT64_MAX);
    hand_out(&walk, BSK_NO_NODE, bsk_wall_us(profile));
    free(walk.heap);
    return true;
}
