#include "proxy/profiling/diagnostics.h"

#include "engine/base/json.h"
#include "engine/base/strings.h"

#include <stdlib.h>
#include <string.h>

struct said { /* by one owner of one URI */
    struct said *next;
    const void *owner;
    char *uri;
    char *items; /* what stands between the brackets; never "" */
    bool stale;  /* was not said since begin() */
};

struct dap_diagnostics {
    struct said *all;
};

struct dap_diagnostics *dap_diagnostics_new(void)
{
    return calloc(1, sizeof(struct dap_diagnostics));
}

static void remove_said(struct said **at)
{
    struct said *said = *at;
    *at = said->next;
    free(said->uri);
    free(said->items);
    free(said);
}

void dap_diagnostics_free(struct dap_diagnostics *diagnostics)
{
    while (diagnostics && diagnostics->all)
        remove_said(&diagnostics->all);
    free(diagnostics);
}

static struct said **find(struct dap_diagnostics *diagnostics, const void *owner, const char *uri)
{
    struct said **at = &diagnostics->all;
    while (*at && ((*at)->owner != owner || strcmp((*at)->uri, uri) != 0))
        at = &(*at)->next;
    return at;
}

static void send(const struct dap_diagnostics *diagnostics, struct dap_session *session,
                 const char *uri)
{
    struct bsk_buffer body = { 0 };
    struct bsk_json json = { .out = &body };
    if (!session || !dap_session_client(session)->custom_events)
        return;
    bsk_json_begin(&json, '{');
    bsk_json_field_text(&json, "uri", uri);
    bsk_json_key(&json, "diagnostics");
    bsk_json_begin(&json, '[');
    for (const struct said *said = diagnostics->all; said; said = said->next) {
        if (strcmp(said->uri, uri) == 0)
            bsk_json_raw(&json, said->items, strlen(said->items));
    }
    bsk_json_end(&json, ']');
    bsk_json_end(&json, '}');
    if (!body.failed)
        dap_session_event(session, "basilisk.diagnostics", body.data, body.size, DAP_MUST_ARRIVE);
    bsk_buffer_free(&body);
}

void dap_diagnostics_say(struct dap_diagnostics *diagnostics, struct dap_session *session,
                         const void *owner, const char *path, const char *list, size_t bytes)
{
    struct bsk_buffer url = { 0 };
    bsk_file_url(&url, path);
    const char *uri = bsk_buffer_text(&url);
    struct said **at = find(diagnostics, owner, uri);
    char *items = bytes > 2 ? strndup(list + 1, bytes - 2) : NULL;
    if (items && !*at) {
        struct said *said = calloc(1, sizeof(*said));
        if (said && (said->uri = strdup(uri))) {
            said->owner = owner;
            *at = said;
        } else {
            free(said);
        }
    }
    if (items && *at) {
        free((*at)->items);
        (*at)->items = items;
        (*at)->stale = false;
    } else {
        free(items);
        if (*at)
            remove_said(at);
    }
    send(diagnostics, session, uri);
    bsk_buffer_free(&url);
}

void dap_diagnostics_begin(struct dap_diagnostics *diagnostics, const void *owner)
{
    for (struct said *said = diagnostics->all; said; said = said->next)
        said->stale |= said->owner == owner;
}

void dap_diagnostics_end(struct dap_diagnostics *diagnostics, struct dap_session *session,
                         const void *owner)
{
    for (struct said **at = &diagnostics->all; *at;) {
        if ((*at)->owner != owner || !(*at)->stale) {
            at = &(*at)->next;
            continue;
        }
        char *uri = (*at)->uri;
        (*at)->uri = NULL;
        remove_said(at);
        send(diagnostics, session, uri);
        free(uri);
    }
}

void dap_diagnostics_clear(struct dap_diagnostics *diagnostics, struct dap_session *session,
                           const void *owner)
{
    dap_diagnostics_begin(diagnostics, owner);
    dap_diagnostics_end(diagnostics, session, owner);
}
