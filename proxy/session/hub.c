/* All links of the process, the ports that it listens on, and the children that come to it. */
#include "proxy/session/link_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_reaped(void *user, pid_t pid, int status)
{
    struct dap_hub *hub = user;
    for (struct dap_link *link = hub->links; link; link = link->next) {
        for (struct dap_adapter *adapter = link->adapters; adapter; adapter = adapter->next) {
            if (!adapter->runs || adapter->child.pid != pid)
                continue;
            if (!dap_session_has_ended(link->session))
                hub_adopt_orphans(hub, link);
            adapter_reaped(adapter, status);
            return;
        }
    }
}

/* An adapter has died by surprise: children of ours that nobody knows were its own. */
void hub_adopt_orphans(struct dap_hub *hub, struct dap_link *heir)
{
    struct dap_processes ours = { 0 };
    dap_processes_add_children(&ours, getpid());
    for (size_t i = 0; i < ours.count; i++) {
        bool known = false;
        for (struct dap_link *link = hub->links; link; link = link->next) {
            known |= dap_processes_contain(&link->family, ours.list[i].pid);
            for (struct dap_adapter *a = link->adapters; a; a = a->next)
                known |= a->runs && a->child.pid == ours.list[i].pid;
        }
        if (!known)
            dap_processes_add(&heir->family, ours.list[i].pid);
    }
    dap_processes_free(&ours);
}

int dap_hub_open(uv_loop_t *loop, const struct dap_hub_options *options, struct dap_hub **out_hub,
                 struct bsk_error *err)
{
    struct dap_hub *hub = calloc(1, sizeof(*hub));
    if (!hub)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    hub->loop = loop;
    hub->options = options;
    int rc = dap_reaper_start(loop, on_reaped, hub, err);
    if (rc < 0) {
        free(hub);
        return rc;
    }
    *out_hub = hub;
    return BSK_OK;
}

static void check_idle(struct dap_hub *hub)
{
    if (!hub->links && hub->open_ports == 0)
        hub->options->on_idle(hub->options->user, hub->why.code ? &hub->why : NULL);
}

void hub_link_gone(struct dap_hub *hub, struct dap_link *link)
{
    struct dap_link **at = &hub->links;
    while (*at && *at != link)
        at = &(*at)->next;
    if (*at)
        *at = link->next;
    for (struct dap_link *other = hub->links; other; other = other->next) {
        if (other->parent == link)
            other->parent = NULL;
    }
    if (!link->over_tcp)
        hub->why = link->why; /* one session's trouble is not the others' */
    check_idle(hub);
}

int dap_hub_serve(struct dap_hub *hub, int in, int out, struct bsk_error *err)
{
    struct dap_link *link = link_new(hub, false, NULL, err);
    if (!link)
        return BSK_E_MEMORY;
    int rc = dap_stream_open(hub->loop, in, out, &link_editor_events, link, &link->editor, err);
    if (rc < 0) {
        link_begin_end(link);
        return rc;
    }
    adapter_start(link);
    link_start(link);
    return BSK_OK;
}

/* ---- ports
 * ------------------------------------------------------------------------------------------- */

static void on_port_closed(uv_handle_t *handle)
{
    struct dap_port *port = handle->data;
    struct dap_hub *hub = port->hub;
    hub->open_ports--;
    free(port);
    check_idle(hub);
}

void hub_close_ports(struct dap_port **ports)
{
    while (*ports) {
        struct dap_port *port = *ports;
        *ports = port->next;
        uv_close((uv_handle_t *)&port->tcp, on_port_closed);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dap_port *port = listener->data;
    struct dap_link *parent = port->parent;
    struct bsk_error err = { 0 };
    if (status < 0 || port->hub->stopping)
        return;
    struct dap_link *link = link_new(port->hub, true, parent, &err);
    if (!link)
        return;
    if (dap_stream_accept(&port->tcp, &link_editor_events, link, &link->editor, &err) < 0) {
        if (link->editor)
            dap_stream_close(link->editor);
        link_begin_end(link);
        return;
    }
    if (parent)
        adapter_connect(link, port->host, port->port);
    link_start(link);
}

static struct dap_port *open_port(struct dap_hub *hub, const char *host, uint16_t number,
                                  struct bsk_error *err)
{
    struct sockaddr_storage address;
    struct dap_port *port = calloc(1, sizeof(*port));
    bool local = strcmp(host, "localhost") == 0 || host[0] == '\0';
    if (!port)
        return NULL;
    int rc = uv_ip4_addr(local ? "127.0.0.1" : host, number, (struct sockaddr_in *)&address);
    if (rc < 0)
        rc = uv_ip6_addr(host, number, (struct sockaddr_in6 *)&address);
    if (rc < 0) {
        bsk_fail(err, BSK_E_FORMAT, "give it as numbers, such as 127.0.0.1 or ::1",
                 "cannot listen on '%s'", host);
        free(port);
        return NULL;
    }
    port->hub = hub;
    uv_tcp_init(hub->loop, &port->tcp);
    port->tcp.data = port;
    hub->open_ports++;
    rc = uv_tcp_bind(&port->tcp, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&port->tcp, 128, on_connection);
    int size = sizeof(address);
    if (rc == 0)
        rc = uv_tcp_getsockname(&port->tcp, (struct sockaddr *)&address, &size);
    if (rc < 0) {
        bsk_fail(err, BSK_E_IO, NULL, "cannot listen on %s:%u: %s", host, number, uv_strerror(rc));
        uv_close((uv_handle_t *)&port->tcp, on_port_closed);
        return NULL;
    }
    port->ours = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                     : ((struct sockaddr_in *)&address)->sin_port);
    return port;
}

int dap_hub_listen(struct dap_hub *hub, const char *host, uint16_t port, uint16_t *out_port,
                   struct bsk_error *err)
{
    struct dap_port *open = open_port(hub, host, port, err);
    if (!open)
        return err->code ? err->code : bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    open->next = hub->ports;
    hub->ports = open;
    *out_port = open->ours;
    return BSK_OK;
}

/* One port for each address that children are sent to; debugpy has one for a whole session. */
bool hub_child_port(struct dap_link *link, const char *host, uint16_t port, uint16_t *out_port)
{
    struct bsk_error err = { 0 };
    struct dap_port *at = link->ports;
    while (at && !(at->port == port && strcmp(at->host, host) == 0))
        at = at->next;
    if (!at) {
        at = open_port(link->hub, "127.0.0.1", 0, &err);
        if (!at)
            return false;
        at->parent = link;
        at->port = port;
        snprintf(at->host, sizeof(at->host), "%s", host);
        at->next = link->ports;
        link->ports = at;
    }
    *out_port = at->ours;
    return true;
}

/* ---- the end
 * ------------------------------------------------------------------------------------------ */

void dap_hub_stop(struct dap_hub *hub)
{
    hub->stopping = true;
    hub_close_ports(&hub->ports);
    for (struct dap_link *link = hub->links, *next; link; link = next) {
        next = link->next;
        link_editor_gone(link);
    }
}

void dap_hub_close(struct dap_hub *hub)
{
    dap_reaper_stop();
    free(hub);
}
