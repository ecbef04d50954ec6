#include "engine/recording/account.h"

#include <stdlib.h>
#include <string.h>

/* Puts the first `count` that wait into the profile; those that had no CPU are forgotten. */
static uint32_t pay_out(struct bsk_account *account, struct bsk_profile *profile, uint32_t count)
{
    uint32_t counted = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct bsk_pending *pending = &account->pending[i];
        if (pending->cpu_ns == 0 || (account->clock == BSK_CLOCK_GIL && !pending->gil))
            continue;
        bsk_profile_add(profile, pending->node, pending->start_ns, pending->wall_ns,
                        pending->cpu_ns, pending->samples);
        if (pending->gil)
            bsk_profile_add_states(profile, pending->node, pending->cpu_ns, 0, 0);
        counted += pending->samples;
    }
    account->pending_count -= count;
    if (account->pending_count > 0) /* there may be no array at all yet */
        memmove(account->pending, account->pending + count,
                account->pending_count * sizeof(account->pending[0]));
    return counted;
}

/* Shares what is owed among all that wait, by the halves that are due to them. */
static void share_out(struct bsk_account *account)
{
    uint64_t halves = 0, left_ns = account->owed_ns;
    struct bsk_pending *last = NULL;
    for (uint32_t i = 0; i < account->pending_count; i++)
        halves += account->pending[i].halves;
    for (uint32_t i = 0; i < account->pending_count && halves > 0; i++) {
        struct bsk_pending *pending = &account->pending[i];
        uint64_t share_ns =
            (uint64_t)((unsigned __int128)account->owed_ns * pending->halves / halves);
        if (pending->halves > 0)
            last = pending;
        pending->halves = 0;
        pending->cpu_ns += share_ns;
        left_ns -= share_ns;
    }
    if (last)
        last->cpu_ns += left_ns; /* what did not divide */
    account->owed_ns = last ? 0 : left_ns;
}

void bsk_account_rebase(struct bsk_account *account, struct bsk_profile *profile, uint64_t cpu_ns,
                        uint64_t now_ns)
{
    pay_out(account, profile, account->pending_count);
    account->has_baseline = true;
    account->cpu_ns = cpu_ns;
    account->seen_ns = now_ns;
    account->owed_ns = 0;
}

/* `alone`: its second half comes later, so nothing may be merged with it yet. */
static uint32_t add_pending(struct bsk_account *account, struct bsk_profile *profile,
                            const struct bsk_sight *sight, bool alone)
{
    uint32_t counted = 0, count = account->pending_count;
    struct bsk_pending *last = count > 0 ? &account->pending[count - 1] : NULL;
    uint64_t wall_ns = sight->now_ns - account->seen_ns;
    if (last && !alone && last->node == sight->node && last->gil == sight->gil) {
        last->samples++;
        last->halves += 2;
        last->wall_ns += wall_ns;
        return 0;
    }
    if (count == account->pending_capacity && count < BSK_ACCOUNT_PENDING_MAX) {
        uint32_t capacity = count ? count * 2 : 16;
        struct bsk_pending *grown = realloc(account->pending, capacity * sizeof(*grown));
        if (grown) {
            account->pending = grown;
            account->pending_capacity = capacity;
        }
    }
    if (count == account->pending_capacity) { /* it waits for a CPU this long */
        if (count == 0 || !account->pending)
            return 0;
        counted = pay_out(account, profile, (count + 1) / 2);
    }
    if (!account->pending)
        return counted;
    account->pending[account->pending_count++] = (struct bsk_pending){ .node = sight->node,
                                                                       .samples = 1,
                                                                       .halves = 2,
                                                                       .gil = sight->gil,
                                                                       .start_ns = account->seen_ns,
                                                                       .wall_ns = wall_ns };
    return counted;
}

/* A thread that does not run has done something else since it was looked at before. */
static void add_sleep(struct bsk_profile *profile, uint32_t node, const struct bsk_sight *sight,
                      uint64_t wall_ns)
{
    if (sight->gil_wait)
        bsk_profile_add_states(profile, node, 0, wall_ns, 0);
    else if (sight->in_call)
        bsk_profile_add_call_time(profile, node, wall_ns);
    else
        bsk_profile_add_states(profile, node, 0, 0, wall_ns);
}

static uint32_t look_at_wall(struct bsk_account *account, struct bsk_profile *profile,
                             const struct bsk_sight *sight)
{
    uint64_t wall_ns = sight->now_ns - account->seen_ns;
    uint32_t node = sight->node != BSK_NO_NODE ? sight->node : account->last_node;
    if (sight->node == BSK_NO_NODE && !account->was_seen)
        return 0;
    account->was_seen = true;
    account->last_node = node;
    bsk_profile_add(profile, node, account->seen_ns, wall_ns, wall_ns, 1);
    if (sight->runs)
        bsk_profile_add_states(profile, node, sight->gil ? wall_ns : 0, 0, 0);
    else
        add_sleep(profile, node, sight, wall_ns);
    return 1;
}

uint32_t bsk_account_look(struct bsk_account *account, struct bsk_profile *profile,
                          const struct bsk_sight *sight)
{
    uint32_t counted = 0;
    if (!account->has_baseline)
        bsk_account_rebase(account, profile, 0, sight->now_ns);
    if (account->clock == BSK_CLOCK_WALL) {
        counted = look_at_wall(account, profile, sight);
        account->seen_ns = sight->now_ns;
        return counted;
    }
    bool moved = sight->counted && sight->cpu_ns > account->cpu_ns;
    if (moved)
        account->owed_ns += sight->cpu_ns - account->cpu_ns;
    if (sight->counted)
        account->cpu_ns = sight->cpu_ns;
    bool runs = sight->runs && sight->node != BSK_NO_NODE;
    if (sight->node != BSK_NO_NODE && (runs || !account->ran)) {
        account->last_node = sight->node;
        account->was_seen = true;
        account->ran = runs;
    }
    if (!sight->runs && account->was_seen) {
        uint64_t wall_ns = sight->now_ns - account->seen_ns;
        uint32_t node = sight->node != BSK_NO_NODE ? sight->node : account->last_node;
        add_sleep(profile, node, sight, wall_ns);
    }
    if (runs)
        counted = add_pending(account, profile, sight, sight->counted);
    account->seen_ns = sight->now_ns;
    if (moved && account->pending_count > 0) {
        struct bsk_pending *last = &account->pending[account->pending_count - 1];
        bool half = runs && account->pending_count > 1;
        if (half)
            last->halves--; /* the sample of this moment has half of its due now */
        share_out(account);
        if (runs) {
            last->halves = 1; /* and the other half later */
            counted += pay_out(account, profile, account->pending_count - 1);
        }
    }
    if (sight->counted && !sight->runs) /* it sleeps, and the counter is exact */
        counted += pay_out(account, profile, account->pending_count);
    return counted;
}

uint32_t bsk_account_close(struct bsk_account *account, struct bsk_profile *profile,
                           uint64_t now_ns)
{
    if (account->owed_ns > 0 && account->pending_count > 0)
        share_out(account);
    if (account->owed_ns > 0 && account->was_seen)
        bsk_profile_add(profile, account->last_node, now_ns, 0, account->owed_ns, 0);
    account->owed_ns = 0;
    return pay_out(account, profile, account->pending_count);
}

void bsk_account_free(struct bsk_account *account)
{
    free(account->pending);
    *account = (struct bsk_account){ 0 };
}
