#include "proxy/wire/log.h"
int dap_log_open(const char *path, struct dap_log **out_log, struct bsk_error *err)
{
    (void)path;
    (void)out_log;
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
void dap_log_close(struct dap_log *log)
{
    (void)log;
}
void dap_log_message(struct dap_log *log, unsigned session, const char *from, const char *to,
                     const char *bytes, size_t size, bool first, bool last)
{
    (void)log;
    (void)session;
    (void)from;
    (void)to;
    (void)bytes;
    (void)size;
    (void)first;
    (void)last;
}
void dap_log_note(struct dap_log *log, unsigned session, const char *from, const char *note)
{
    (void)log;
    (void)session;
    (void)from;
    (void)note;
}
