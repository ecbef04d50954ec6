/* Sessions of subprocesses come through us as well, once the session has opted in. */
#include "proxy/session/inside.h"

#include "proxy/wire/locate.h"

#include <stdio.h>

/* Rewrites connect.host and connect.port below `parent` so that the editor comes to a port of ours.
 */
static enum dap_verdict rewrite(struct dap_session *session, struct dap_message *message,
                                struct json_object *configuration, const char *const *host_path,
                                const char *const *port_path)
{
    struct json_object *connect = json_member(configuration, "connect");
    const char *host = json_text(connect, "host");
    int64_t port = json_object_get_int64(json_member(connect, "port"));
    struct dap_member member;
    uint16_t ours = 0;
    char text[16];
    if (port <= 0 || port > 65535 || !session->host->child_port)
        return DAP_FORWARD;
    if (!session->host->child_port(session->host_user, host[0] ? host : "127.0.0.1", (uint16_t)port,
                                   &ours) ||
        !dap_change_begin(session, message))
        return DAP_FORWARD;
    snprintf(text, sizeof(text), "%u", ours);
    if (!dap_locate(session->changed.data, session->changed.size, port_path, &member) ||
        !dap_splice(session, member.value_at, member.value_bytes, text))
        return DAP_FORWARD;
    if (host[0] && (!dap_locate(session->changed.data, session->changed.size, host_path, &member) ||
                    !dap_splice(session, member.value_at, member.value_bytes, "\"127.0.0.1\"")))
        return DAP_FORWARD;
    return DAP_CHANGED;
}

enum dap_verdict on_debugpy_attach(struct dap_session *session, struct dap_message *message)
{
    static const char *const host[] = { "body", "connect", "host", NULL };
    static const char *const port[] = { "body", "connect", "port", NULL };
    struct json_object *body = json_member(message_json(session, message), "body");
    return rewrite(session, message, body, host, port);
}

enum dap_verdict on_start_debugging(struct dap_session *session, struct dap_message *message)
{
    static const char *const host[] = { "arguments", "configuration", "connect", "host", NULL };
    static const char *const port[] = { "arguments", "configuration", "connect", "port", NULL };
    struct json_object *arguments = json_member(message_json(session, message), "arguments");
    return rewrite(session, message, json_member(arguments, "configuration"), host, port);
}
