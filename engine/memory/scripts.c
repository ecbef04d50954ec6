#include "engine/memory/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

extern const char bsk_embedded_call[], bsk_embedded_agent[];
extern const char bsk_embedded_start[], bsk_embedded_snapshot[], bsk_embedded_census[];
extern const char bsk_embedded_collect[], bsk_embedded_stop[];
extern const char bsk_embedded_at_exit[], bsk_embedded_no_exit[];

const struct bsk_script bsk_script_start = { "start", bsk_embedded_start, NULL };
const struct bsk_script bsk_script_snapshot = { "snapshot", bsk_embedded_snapshot,
                                                bsk_embedded_census };
const struct bsk_script bsk_script_census = { "census", bsk_embedded_census, NULL };
const struct bsk_script bsk_script_collect = { "collect", bsk_embedded_collect, NULL };
const struct bsk_script bsk_script_start_to_end = { "start", bsk_embedded_at_exit,
                                                    bsk_embedded_start };
const struct bsk_script bsk_script_stop = { "stop", bsk_embedded_no_exit, bsk_embedded_stop };

/* A Python literal: `prefix` is "" for text in UTF-8, "b" for bytes. */
static void literal(struct bsk_buffer *out, const char *prefix, const char *bytes, size_t size)
{
    bsk_buffer_text_append(out, prefix);
    bsk_buffer_append(out, "'", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\\' || c == '\'')
            bsk_buffer_append(out, (char[2]){ '\\', (char)c }, 2);
        else if (c == '\n')
            bsk_buffer_append(out, "\\n", 2);
        else if ((c >= ' ' && c < 127) || (c >= 128 && !prefix[0]))
            bsk_buffer_append(out, &bytes[i], 1); /* text in UTF-8 stays: the source is that too */
        else
            bsk_buffer_printf(out, "\\x%02x", c);
    }
    bsk_buffer_append(out, "'", 1);
}

/* ---- options -----------------------------------------------------------------------------------
 */

static void option(struct bsk_script_options *options, const char *key)
{
    bsk_buffer_printf(&options->text, "'%s':", key);
}

void bsk_script_option_int(struct bsk_script_options *options, const char *key, int64_t value)
{
    option(options, key);
    bsk_buffer_printf(&options->text, "%" PRId64 ",", value);
}

void bsk_script_option_text(struct bsk_script_options *options, const char *key, const char *value)
{
    option(options, key);
    literal(&options->text, "", value, strlen(value));
    bsk_buffer_append(&options->text, ",", 1);
}

void bsk_script_option_raw(struct bsk_script_options *options, const char *key, const char *python)
{
    option(options, key);
    bsk_buffer_printf(&options->text, "%s,", python);
}

/* ---- calls -------------------------------------------------------------------------------------
 */

/* An agent of another Basilisk that is still there is replaced. */
static uint64_t version_of(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static void call(struct bsk_buffer *out, const char *op, const unsigned char nonce[BSK_NONCE_BYTES],
                 struct bsk_script_how how)
{
    bsk_buffer_printf(out, "_op = '%s'\n_wait_ms = %" PRIu32 "\n_stopped = %s\n", op, how.wait_ms,
                      how.stopped ? "True" : "False");
    bsk_buffer_text_append(out, "_nonce = ");
    literal(out, "b", nonce ? (const char *)nonce : "", nonce ? BSK_NONCE_BYTES : 0);
    bsk_buffer_text_append(out, "\n");
}

static void source(struct bsk_buffer *out, const struct bsk_script *script)
{
    bsk_buffer_text_append(out, "_source = ");
    if (script->library)
        literal(out, "", script->library, strlen(script->library));
    bsk_buffer_text_append(out, " ");
    literal(out, "", script->source, strlen(script->source));
    bsk_buffer_text_append(out, "\n");
}

void bsk_script_begin(struct bsk_buffer *out, const struct bsk_script *script,
                      const unsigned char nonce[BSK_NONCE_BYTES],
                      const struct bsk_script_options *options, struct bsk_script_how how)
{
    call(out, "begin", nonce, how);
    bsk_buffer_printf(out, "_name = '%s'\n_version = %" PRIu64 "\n_options = {", script->name,
                      version_of(bsk_embedded_agent));
    if (options) {
        bsk_buffer_append(out, options->text.data, options->text.size);
        if (options->text.failed)
            out->failed = true;
    }
    bsk_buffer_text_append(out, "}\n");
    source(out, script);
    bsk_buffer_text_append(out, "_agent = ");
    literal(out, "", bsk_embedded_agent, strlen(bsk_embedded_agent));
    bsk_buffer_text_append(out, "\n");
    bsk_buffer_text_append(out, bsk_embedded_call);
}

static void short_call(struct bsk_buffer *out, const char *op,
                       const unsigned char nonce[BSK_NONCE_BYTES], struct bsk_script_how how)
{
    call(out, op, nonce, how);
    bsk_buffer_text_append(out, bsk_embedded_call);
}

void bsk_script_poll(struct bsk_buffer *out, const unsigned char nonce[BSK_NONCE_BYTES],
                     struct bsk_script_how how)
{
    short_call(out, "poll", nonce, how);
}

void bsk_script_piece(struct bsk_buffer *out, const unsigned char nonce[BSK_NONCE_BYTES],
                      uint64_t at, uint32_t size, struct bsk_script_how how)
{
    bsk_buffer_printf(out, "_at = %" PRIu64 "\n_size = %" PRIu32 "\n", at, size);
    short_call(out, "piece", nonce, how);
}

void bsk_script_drop(struct bsk_buffer *out, const unsigned char nonce[BSK_NONCE_BYTES],
                     struct bsk_script_how how)
{
    short_call(out, "drop", nonce, how);
}

void bsk_script_remove(struct bsk_buffer *out)
{
    short_call(out, "remove", NULL, (struct bsk_script_how){ 0 });
}

void bsk_script_undo(struct bsk_buffer *out, const struct bsk_script *script,
                     struct bsk_script_how how)
{
    source(out, script);
    short_call(out, "undo", NULL, how);
}
