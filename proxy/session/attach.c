#include "proxy/session/inside.h"
bool attach_starts_connecting(struct dap_session *session, struct dap_message *message,
                              struct json_object *arguments, bool changed)
{
    (void)session;
    (void)message;
    (void)arguments;
    (void)changed;
    return false;
}
void attach_watches_injection(struct dap_session *session, struct dap_message *message,
                              struct json_object *arguments)
{
    (void)session;
    (void)message;
    (void)arguments;
}
void attach_tick(struct dap_session *session, uint64_t now_ns)
{
    (void)session;
    (void)now_ns;
}
enum dap_verdict on_second_greeting(struct dap_session *s, struct dap_message *m)
{
    (void)s;
    (void)m;
    return DAP_TAKE;
}
enum dap_verdict on_attach_answer(struct dap_session *s, struct dap_message *m)
{
    (void)s;
    (void)m;
    return DAP_FORWARD;
}
void dap_session_reconnected(struct dap_session *session, const struct bsk_error *err)
{
    (void)session;
    (void)err;
}
