#include "engine/recording/account.h"

#include <string.h>

/* Puts the first `count` samples that wait into the profile; those that had no CPU are forgotten.
 */
static uint32_t pay_out(struct bsk_account *account, struct bsk_profile *profile, uint32_t count)
{
    uint32_t counted = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct bsk_pending *pending = &account->pending[i];
        if (pending->cpu_ns == 0)
            continue;
        bsk_profile_add(profile, pending->node, pending->start_ns, pending->wall_ns,
                        pending->cpu_ns, 1);
        counted++;
    }
    account->pending_count -= count;
    memmove(account->pending, account->pending + count,
            account->pending_count * sizeof(account->pending[0]));
    return counted;
}

/* Shares what is owed among all that wait: half a share to the first if it has had its first half,
 * and to the last if it is the sample of this moment. */
static void share_out(struct bsk_account *account, bool last_is_now)
{
    uint32_t count = account->pending_count;
    bool first_is_half = account->pending[0].cpu_ns > 0 && count > 1;
    uint64_t halves = 2 * (uint64_t)count - first_is_half - (last_is_now && count > 1);
    uint64_t left_ns = account->owed_ns;
    for (uint32_t i = 0; i < count; i++) {
        bool half = (i == 0 && first_is_half) || (i + 1 == count && last_is_now && count > 1);
        uint64_t share_ns = i + 1 == count ? left_ns : account->owed_ns * (half ? 1 : 2) / halves;
        account->pending[i].cpu_ns += share_ns;
        left_ns -= share_ns;
    }
    account->owed_ns = 0;
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

static uint32_t add_pending(struct bsk_account *account, struct bsk_profile *profile, uint32_t node,
                            uint64_t start_ns, uint64_t wall_ns)
{
    uint32_t counted = 0;
    if (account->pending_count == BSK_ACCOUNT_PENDING) /* it waits for a CPU this long */
        counted = pay_out(account, profile, BSK_ACCOUNT_PENDING / 2);
    account->pending[account->pending_count++] =
        (struct bsk_pending){ .node = node, .start_ns = start_ns, .wall_ns = wall_ns };
    return counted;
}

uint32_t bsk_account_look(struct bsk_account *account, struct bsk_profile *profile, uint64_t now_ns,
                          uint64_t cpu_ns, uint32_t node, bool runs)
{
    if (!account->has_baseline)
        bsk_account_rebase(account, profile, 0, now_ns);
    uint64_t before_ns = account->seen_ns;
    uint32_t counted = 0;
    bool moved = cpu_ns > account->cpu_ns;
    if (moved)
        account->owed_ns += cpu_ns - account->cpu_ns;
    account->cpu_ns = cpu_ns;
    account->seen_ns = now_ns;
    runs = runs && node != BSK_NO_NODE;
    if (node != BSK_NO_NODE && (runs || !account->ran)) {
        account->last_node = node;
        account->was_seen = true;
        account->ran = runs;
    }
    if (runs)
        counted = add_pending(account, profile, node, before_ns, now_ns - before_ns);
    if (moved && account->pending_count > 0) {
        share_out(account, runs);
        if (runs) /* the sample of this moment has half of its due */
            counted += pay_out(account, profile, account->pending_count - 1);
    }
    if (!runs) /* it sleeps, and the counter is exact: what waits has all that it will get */
        counted += pay_out(account, profile, account->pending_count);
    return counted;
}

uint32_t bsk_account_close(struct bsk_account *account, struct bsk_profile *profile,
                           uint64_t now_ns)
{
    if (account->owed_ns > 0 && account->pending_count > 0)
        share_out(account, false);
    else if (account->owed_ns > 0 && account->was_seen)
        bsk_profile_add(profile, account->last_node, now_ns, 0, account->owed_ns, 0);
    account->owed_ns = 0;
    return pay_out(account, profile, account->pending_count);
}
