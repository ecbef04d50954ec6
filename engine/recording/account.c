#include "engine/recording/account.h"

void bsk_account_rebase(struct bsk_account *account, uint64_t cpu_ns, uint64_t now_ns)
{
    account->has_baseline = true;
    account->cpu_ns = cpu_ns;
    account->seen_ns = now_ns;
    account->owed_ns = 0;
    account->pending_count = 0;
}

static uint32_t settle(struct bsk_account *account, struct bsk_profile *profile)
{
    uint32_t count = account->pending_count;
    uint64_t share = account->owed_ns / count;
    uint64_t rest = account->owed_ns % count;
    for (uint32_t i = 0; i < count; i++)
        bsk_profile_add(profile, account->pending[i].node, account->pending[i].start_ns,
                        account->pending[i].wall_ns, share + (i < rest ? 1 : 0), 1);
    account->owed_ns = 0;
    account->pending_count = 0;
    return count;
}

uint32_t bsk_account_look(struct bsk_account *account, struct bsk_profile *profile, uint64_t now_ns,
                          uint64_t cpu_ns, uint32_t node, bool runs)
{
    if (!account->has_baseline)
        bsk_account_rebase(account, 0, now_ns);
    uint64_t since_ns = now_ns - account->seen_ns;
    bool moved = cpu_ns > account->cpu_ns;
    if (moved)
        account->owed_ns += cpu_ns - account->cpu_ns;
    account->cpu_ns = cpu_ns;
    account->seen_ns = now_ns;
    if (node != BSK_NO_NODE) {
        account->last_node = node;
        account->was_seen = true;
    }
    if (node != BSK_NO_NODE && runs) {
        if (account->pending_count == BSK_ACCOUNT_PENDING) {
            /* It waits for a CPU this long: forget the older half, which used none. */
            account->pending_count /= 2;
            for (uint32_t i = 0; i < account->pending_count; i++)
                account->pending[i] = account->pending[i + account->pending_count];
        }
        account->pending[account->pending_count].node = node;
        account->pending[account->pending_count].start_ns = now_ns - since_ns;
        account->pending[account->pending_count].wall_ns = since_ns;
        account->pending_count++;
    }
    if (account->owed_ns > 0 && account->pending_count > 0 && moved)
        return settle(account, profile);
    if (!runs)
        account->pending_count = 0; /* it sleeps, and the counter is exact: it had no CPU */
    return 0;
}

void bsk_account_close(struct bsk_account *account, struct bsk_profile *profile, uint64_t now_ns)
{
    if (account->owed_ns == 0)
        return;
    if (account->pending_count > 0)
        settle(account, profile);
    else if (account->was_seen)
        bsk_profile_add(profile, account->last_node, now_ns, 0, account->owed_ns, 0);
    account->owed_ns = 0;
}
