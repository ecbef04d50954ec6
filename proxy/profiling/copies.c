#include "proxy/profiling/copies.h"

#include <stdlib.h>

struct dap_copy {
    struct dap_copy *next;
    struct dap_copies *copies;
    dap_copy_fn *done;
    void *user;
    uv_timer_t timer;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Out of the list before it is told: it may ask again at once. */
static void tell(struct dap_copy *copy, struct bsk_profile *profile)
{
    struct dap_copy **at = &copy->copies->first;
    dap_copy_fn *done = copy->done;
    void *user = copy->user;
    while (*at != copy)
        at = &(*at)->next;
    *at = copy->next;
    uv_close((uv_handle_t *)&copy->timer, on_closed);
    done(user, profile);
}

static void on_timer(uv_timer_t *timer)
{
    tell(timer->data, NULL);
}

bool dap_copies_add(struct dap_copies *copies, uv_loop_t *loop, uint32_t within_ms,
                    dap_copy_fn *done, void *user)
{
    struct dap_copy *copy = calloc(1, sizeof(*copy)), **last = &copies->first;
    if (!copy || uv_timer_init(loop, &copy->timer) != 0) {
        free(copy);
        return false;
    }
    copy->copies = copies;
    copy->done = done;
    copy->user = user;
    copy->timer.data = copy;
    uv_timer_start(&copy->timer, on_timer, within_ms, 0);
    while (*last)
        last = &(*last)->next;
    *last = copy;
    return true;
}

bool dap_copies_wanted(const struct dap_copies *copies)
{
    return copies->first != NULL;
}

void dap_copies_give(struct dap_copies *copies, struct bsk_profile *profile)
{
    if (copies->first)
        tell(copies->first, profile);
    else
        bsk_profile_free(profile);
}

void dap_copies_give_all(struct dap_copies *copies, const struct bsk_profile *profile)
{
    while (copies->first)
        tell(copies->first, profile ? bsk_profile_clone(profile) : NULL);
}

void dap_copies_end(struct dap_copies *copies)
{
    dap_copies_give_all(copies, NULL);
}
