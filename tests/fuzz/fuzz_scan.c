/*
 * What a scanner finds does not depend on how the bytes are cut; what it finds in valid JSON is
 * there; and cutting a located member out of valid JSON leaves valid JSON without it.
 */
#include "proxy/wire/locate.h"
#include "proxy/wire/scan.h"
#include "proxy/wire/validate.h"

#include <json.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct dap_scan *a, const struct dap_scan *b)
{
    if (a->found != b->found || a->type != b->type || a->seq != b->seq ||
        a->request_seq != b->request_seq || a->success != b->success || a->status != b->status ||
        strcmp(a->name, b->name) != 0)
        abort();
}

static void cut(const char *text, size_t size, const char *const *path)
{
    struct dap_member member;
    for (int round = 0; round < 50 && dap_locate(text, size, path, &member); round++) {
        if (member.cut_at + member.cut_bytes > size || member.value_at + member.value_bytes > size)
            abort();
        char *rest = malloc(size - member.cut_bytes + 1);
        memcpy(rest, text, member.cut_at);
        memcpy(rest + member.cut_at, text + member.cut_at + member.cut_bytes,
               size - member.cut_at - member.cut_bytes);
        if (!dap_is_json(rest, size - member.cut_bytes))
            abort();
        free(rest);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const key[] = { "arguments", "basilisk", NULL };
    static const char *const port[] = { "body", "connect", "port", NULL };
    const char *text = (const char *)data;
    struct dap_scan whole, split;
    dap_scan_begin(&whole);
    dap_scan_feed(&whole, text, size);
    dap_scan_begin(&split);
    for (size_t at = 0; at < size; at++)
        dap_scan_feed(&split, text + at, 1);
    same(&whole, &split);
    for (size_t at = 1; at < size && at < 64; at++) {
        dap_scan_begin(&split);
        dap_scan_feed(&split, text, at);
        dap_scan_feed(&split, text + at, size - at);
        same(&whole, &split);
    }
    if (dap_is_json(text, size)) {
        struct json_tokener *tokener = json_tokener_new_ex(600);
        struct json_object *json = json_tokener_parse_ex(tokener, text, (int)size), *value;
        if (json && json_object_is_type(json, json_type_object)) {
            if (whole.type != DAP_TYPE_UNKNOWN && !json_object_object_get_ex(json, "type", &value))
                abort();
            if (whole.name[0] && !json_object_object_get_ex(json, "command", &value) &&
                !json_object_object_get_ex(json, "event", &value))
                abort();
        }
        json_object_put(json);
        json_tokener_free(tokener);
        cut(text, size, key);
        cut(text, size, port);
    } else {
        struct dap_member member;
        dap_locate(text, size, key, &member);
    }
    return 0;
}
