/*
 * Sessions on the loop: each link is one editor's stream, one adapter (a process of ours or a TCP
 * connection) and the session object between them; a hub holds the links of this process, the ports
 * that it listens on, and the children that come to it.
 *
 * Ownership: links free themselves when their session is over; the hub tells its owner when the
 * last one is gone and it listens nowhere. Threads: the loop's, which must be the main thread.
 */
#ifndef DAP_SESSION_LINK_H
#define DAP_SESSION_LINK_H

#include "proxy/session/session.h"

#include <uv.h>

struct dap_hub;
struct dap_log;

struct dap_hub_options {
    const struct dap_extension *extension; /* may be NULL */
    void *extension_user;

    /* The adapter: a connection, or a command of the user's, or one of `pythons` with "-m
     * debugpy.adapter": the first that has debugpy. */
    const char *connect_host; /* or NULL */
    uint16_t connect_port;
    char *const *command; /* NULL-terminated, or NULL */
    char **pythons;       /* NULL-terminated, absolute or names on PATH */
    struct dap_log *log;  /* or NULL */
    /* Every link has ended and no port is listened on. `why` is not NULL when the session on stdio
     * failed; the user has been told, on stderr. */
    void (*on_idle)(void *user, const struct bsk_error *why);
    void *user;
};

/* `options` must outlive the hub. */
int dap_hub_open(uv_loop_t *loop, const struct dap_hub_options *options, struct dap_hub **out_hub,
                 struct bsk_error *err);

/* One session on these descriptors, which are taken over. */
int dap_hub_serve(struct dap_hub *hub, int in, int out, struct bsk_error *err);

/* A session for each connection. Port 0: any; *out_port is the one taken. */
int dap_hub_listen(struct dap_hub *hub, const char *host, uint16_t port, uint16_t *out_port,
                   struct bsk_error *err);

/* Ends every session as if its editor had gone, and stops listening. */
void dap_hub_stop(struct dap_hub *hub);

/* After on_idle, when the loop has run out. */
void dap_hub_close(struct dap_hub *hub);

#endif
