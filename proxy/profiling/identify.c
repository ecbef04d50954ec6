#include "proxy/profiling/identify.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs on debugpy's own thread: milliseconds, the standard library only. The proof is kept alive in
 * the one private module that Basilisk has in the debuggee. */
static const char script[] =
    "import sys, os, json, threading\n"
    "m = sys.modules.get('_basilisk')\n"
    "if m is None:\n"
    "    m = sys.modules['_basilisk'] = type(sys)('_basilisk')\n"
    "if getattr(m, 'proof', None) is None:\n" /* memory's agent may have made the module */
    "    m.proof = os.urandom(16)\n"
    "if tracer:\n"
    "    import ctypes\n"
    "    ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(tracer), 0, 0, 0)\n"
    "folders = set()\n"
    "for name in ('debugpy', 'pydevd', '_pydevd_bundle', '_pydev_bundle', 'pydevd_file_utils'):\n"
    "    path = getattr(sys.modules.get(name), '__file__', None)\n"
    "    if path:\n"
    "        path = os.path.dirname(os.path.abspath(path))\n"
    "        if name != 'debugpy' and name.startswith('_'):\n"
    "            path = os.path.dirname(path)\n"
    "        if os.path.basename(path) not in ('site-packages', 'dist-packages'):\n"
    "            folders.add(path)\n"
    "            head, tail = os.path.split(os.path.dirname(path))\n"
    "            if tail == '_vendored' and os.path.basename(head) == 'debugpy':\n"
    "                folders.add(head)\n"
    "threads = []\n"
    "for t in list(getattr(threading, '_active', {}).values()):\n"
    "    threads.append([getattr(t, 'native_id', None) or 0, str(t.name),\n"
    "                    bool(getattr(t, 'is_pydev_daemon_thread', False))])\n"
    /* pydevd lets threads of the user's answer, too: their stacks may begin anew meanwhile */
    "ident = threading.get_ident()\n"
    "t = getattr(threading, '_active', {}).get(ident)\n"
    "frames, frame = [], None\n"
    "if getattr(t, 'is_pydev_daemon_thread', False):\n"
    "    frame = sys._getframe()\n"
    "while frame is not None:\n"
    "    frames.append(frame.f_code.co_name)\n"
    "    frame = frame.f_back\n"
    "_answer(json.dumps({'pid': os.getpid(), 'ident': ident,\n"
    "                    'frames': frames[-2:][::-1],\n"
    "                    'address': id(m.proof) + bytes.__basicsize__ - 1,\n"
    "                    'bytes': m.proof.hex(), 'folders': sorted(folders),\n"
    "                    'threads': threads}))\n";

void dap_identify_script(struct bsk_buffer *out, pid_t tracer)
{
    bsk_buffer_printf(out, "tracer = %d\n", (int)tracer);
    bsk_buffer_text_append(out, script);
}

pid_t dap_wanted_tracer(void)
{
    char scope = '0';
    int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, &scope, 1);
    close(fd);
    return got == 1 && scope == '1' ? getpid() : 0;
}

/* NULL when it is no text: what comes from the debuggee need not be what we asked for. */
static const char *text_of(struct json_object *value)
{
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static struct json_object *array_field(struct json_object *object, const char *key)
{
    struct json_object *field = NULL;
    if (!json_object_object_get_ex(object, key, &field) ||
        !json_object_is_type(field, json_type_array))
        return NULL;
    return field;
}

static bool parse_proof(struct json_object *answer, struct bsk_identity *proof)
{
    struct json_object *address = NULL, *bytes = NULL;
    if (!json_object_object_get_ex(answer, "address", &address) ||
        !json_object_object_get_ex(answer, "bytes", &bytes))
        return false;
    const char *hex = text_of(bytes);
    if (!hex || strlen(hex) != 2 * sizeof(proof->bytes))
        return false;
    for (size_t i = 0; i < sizeof(proof->bytes); i++) {
        const char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
        char *end = NULL;
        proof->bytes[i] = (unsigned char)strtoul(pair, &end, 16);
        if (*end != '\0')
            return false;
    }
    proof->address = (uint64_t)json_object_get_int64(address);
    return proof->address != 0;
}

/* How the thread that answers says that its stack begins. */
static void parse_frames(struct json_object *answer, struct bsk_identity *proof)
{
    struct json_object *ident = NULL, *frames = array_field(answer, "frames");
    if (!frames || !json_object_object_get_ex(answer, "ident", &ident))
        return;
    proof->ident = (uint64_t)json_object_get_int64(ident);
    for (size_t i = 0; i < json_object_array_length(frames) && i < BSK_IDENTITY_FRAMES; i++) {
        const char *name = text_of(json_object_array_get_idx(frames, i));
        if (!name || strlen(name) >= sizeof(proof->frames[0]))
            return;
        strcpy(proof->frames[proof->frame_count++], name);
    }
}

int dap_identity_parse(const char *text, size_t bytes, struct dap_identity *out_identity,
                       struct bsk_error *err)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *answer =
        tokener && bytes < 1 << 24 ? json_tokener_parse_ex(tokener, text, (int)bytes) : NULL;
    json_tokener_free(tokener);
    struct json_object *pid = NULL;
    if (!answer || !json_object_is_type(answer, json_type_object) ||
        !json_object_object_get_ex(answer, "pid", &pid)) {
        json_object_put(answer);
        return bsk_fail(err, BSK_E_FORMAT, NULL, "the program did not say who it is");
    }
    struct json_object *folders = array_field(answer, "folders");
    struct json_object *threads = array_field(answer, "threads");
    size_t folder_count = folders ? json_object_array_length(folders) : 0;
    size_t thread_count = threads ? json_object_array_length(threads) : 0;
    struct dap_identity identity = { .pid = json_object_get_int(pid), .memory = answer };
    identity.has_proof = parse_proof(answer, &identity.proof);
    parse_frames(answer, &identity.proof);
    identity.folders = calloc(folder_count + 1, sizeof(*identity.folders));
    identity.threads = calloc(thread_count + 1, sizeof(*identity.threads));
    if (!identity.folders || !identity.threads) {
        dap_identity_free(&identity);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    for (size_t i = 0; i < folder_count; i++) {
        const char *folder = text_of(json_object_array_get_idx(folders, i));
        if (folder)
            identity.folders[identity.folder_count++] = folder;
    }
    for (size_t i = 0; i < thread_count; i++) {
        struct json_object *row = json_object_array_get_idx(threads, i);
        if (!json_object_is_type(row, json_type_array) || json_object_array_length(row) != 3 ||
            !text_of(json_object_array_get_idx(row, 1)))
            continue;
        identity.threads[identity.thread_count++] = (struct bsk_known_thread){
            .tid = json_object_get_int(json_object_array_get_idx(row, 0)),
            .name = json_object_get_string(json_object_array_get_idx(row, 1)),
            .debugger = json_object_get_boolean(json_object_array_get_idx(row, 2)),
        };
    }
    *out_identity = identity;
    return BSK_OK;
}

void dap_identity_free(struct dap_identity *identity)
{
    free(identity->folders);
    free(identity->threads);
    json_object_put(identity->memory);
    memset(identity, 0, sizeof(*identity));
}
