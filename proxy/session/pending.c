/* The editor's requests that the adapter has not answered yet. */
#include "engine/base/room.h"
#include "proxy/session/inside.h"

#include <stdio.h>
#include <stdlib.h>

struct dap_pending *dap_pending_find(struct dap_session *session, int64_t seq)
{
    for (size_t i = 0; i < session->pending_count; i++) {
        if (session->pending[i].seq == seq)
            return &session->pending[i];
    }
    return NULL;
}

/* Beyond PENDING_MAX (an adapter that does not answer) the oldest is forgotten. */
void dap_pending_add(struct dap_session *session, int64_t seq, const char *command,
                     dap_handler *answered)
{
    if (session->pending_count == PENDING_MAX)
        dap_pending_remove(session, session->pending[0].seq);
    if (!bsk_room_for_one(&session->pending, session->pending_count, &session->pending_capacity,
                          sizeof(*session->pending)))
        return;
    struct dap_pending *pending = &session->pending[session->pending_count++];
    pending->seq = seq;
    pending->answered = answered;
    snprintf(pending->command, sizeof(pending->command), "%s", command);
    /* Our own numbers keep clear of the editor's, should it ever count so far. */
    if (seq >= session->first_own_seq && seq < session->next_own_seq + 1000 &&
        seq < INT64_MAX / 2 && session->hidden_count == 0)
        session->first_own_seq = session->next_own_seq = seq + 100000;
}

void dap_pending_remove(struct dap_session *session, int64_t seq)
{
    for (size_t i = 0; i < session->pending_count; i++) {
        if (session->pending[i].seq != seq)
            continue;
        session->pending_count--;
        for (; i < session->pending_count; i++)
            session->pending[i] = session->pending[i + 1];
        return;
    }
}
