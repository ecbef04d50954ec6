/* Until the room engine/memory is whole. */
#include "engine/memory/growth.h"
#include <stdlib.h>
struct bsk_memory_history {
    uint32_t last;
};
struct bsk_memory_history *bsk_memory_history_new(void)
{
    return calloc(1, sizeof(struct bsk_memory_history));
}
void bsk_memory_history_free(struct bsk_memory_history *history)
{
    free(history);
}
uint32_t bsk_memory_history_last(const struct bsk_memory_history *history)
{
    return history->last;
}
bool bsk_memory_history_growth(const struct bsk_memory_history *history,
                               const struct bsk_memory_snapshot *snapshot,
                               const struct bsk_memory_site *site, int64_t *a, int64_t *b)
{
    (void)history;
    (void)snapshot;
    (void)site;
    (void)a;
    (void)b;
    return false;
}
void bsk_memory_diff_free(struct bsk_memory_diff *diff)
{
    (void)diff;
}
void bsk_memory_snapshot_free(struct bsk_memory_snapshot *snapshot)
{
    (void)snapshot;
}
