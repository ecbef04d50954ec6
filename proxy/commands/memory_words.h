/* What is said of memory: bodies for requests and events, and lines for the console. */
#ifndef DAP_COMMANDS_MEMORY_WORDS_H
#define DAP_COMMANDS_MEMORY_WORDS_H

#include "engine/base/buffer.h"
#include "proxy/memory/memory.h"
#include "proxy/session/session.h"

#include <json-c/json.h>

/* Bodies as docs/protocol has them; the caller owns them. */
struct json_object *dap_memory_start_body(const struct dap_memory_result *result);
struct json_object *dap_memory_snapshot_body(const struct dap_memory_result *result);
struct json_object *dap_memory_diff_body(const struct dap_memory_result *result);
struct json_object *dap_memory_references_body(const struct dap_memory_result *result);
struct json_object *dap_memory_inspect_body(const struct dap_memory_result *result);
struct json_object *dap_memory_collect_body(const struct dap_memory_result *result);
/* By the kind of a payload. */
struct json_object *dap_memory_kind_body(const struct dap_memory_result *result);
struct json_object *dap_memory_objects_body(const struct dap_memory_result *result);

/* Tables, as output events that can be clicked. */
void dap_say_snapshot_table(struct dap_session *session, const struct dap_memory_result *result);
void dap_say_diff_table(struct dap_session *session, const struct dap_memory_result *result);
void dap_say_objects_table(struct dap_session *session, const struct dap_memory_result *result);
void dap_say_references_tree(struct dap_session *session, const struct dap_memory_result *result);

/* What would make a diff surer, while it rests on fewer than three intervals; else "". */
const char *dap_diff_hint(const struct dap_memory_result *result);

/* "1.2 MiB"; with a sign: "+1.2 MiB". */
void dap_size_text(char *out, size_t out_bytes, int64_t bytes, bool sign);

#endif
