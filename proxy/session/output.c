#include "proxy/session/inside.h"
enum dap_verdict on_output(struct dap_session *s, struct dap_message *m)
{
    return on_greeting(s, m);
}
void output_tick(struct dap_session *session, uint64_t now_ns)
{
    (void)session;
    (void)now_ns;
}
uint64_t output_next(const struct dap_session *session)
{
    (void)session;
    return UINT64_MAX;
}
void output_flush(struct dap_session *session)
{
    (void)session;
}
void output_free(struct dap_session *session)
{
    (void)session;
}
