#include "engine/memory/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GIVE_UP_MS = 60000,
    PIECE_BYTES = 4 << 20,
    CALL_MS = 15000, /* what C code that holds the GIL may take of a call, with its own wait */
};

enum step { STEP_BEGIN, STEP_POLL, STEP_PIECE, STEP_DROP, STEP_ENDED };

struct bsk_memory_job {
    struct bsk_script script;
    struct bsk_script_options options;
    struct bsk_memory_job_how how;
    unsigned char nonce[BSK_NONCE_BYTES];
    enum step step;
    enum step asked;    /* whose text is on its way, where one is */
    bool awaiting;      /* a text is on its way */
    bool awaiting_more; /* `later`: the job's own answer is still to come */
    bool begun;
    struct bsk_buffer text;
    struct bsk_value_tree tree; /* of the last answer with state "done" */
    struct bsk_buffer answer;   /* its bytes */
    struct bsk_buffer dump;
    uint64_t dump_bytes;
    struct bsk_memory_job_result result;
    struct bsk_error err;
    int rc;
};

int bsk_memory_job_new(const struct bsk_script *script, const struct bsk_script_options *options,
                       const struct bsk_memory_job_how *how, struct bsk_memory_job **out_job,
                       struct bsk_error *err)
{
    struct bsk_memory_job *job = calloc(1, sizeof(*job));
    if (!job)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    job->script = *script;
    job->how = *how;
    if (!job->how.give_up_ms)
        job->how.give_up_ms = GIVE_UP_MS;
    if (!job->how.max_dump_bytes)
        job->how.max_dump_bytes = 1u << 30;
    if (!job->how.piece_bytes)
        job->how.piece_bytes = PIECE_BYTES;
    job->dump.max_bytes = job->how.max_dump_bytes;
    if (options)
        bsk_buffer_append(&job->options.text, options->text.data, options->text.size);
    if (job->options.text.failed || (options && options->text.failed)) {
        bsk_memory_job_free(job);
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    }
    if (getrandom(job->nonce, sizeof(job->nonce), 0) != (ssize_t)sizeof(job->nonce)) {
        bsk_memory_job_free(job);
        return bsk_fail(err, BSK_E_IO, NULL, "no random bytes: %s", strerror(errno));
    }
    *out_job = job;
    return BSK_OK;
}

void bsk_memory_job_free(struct bsk_memory_job *job)
{
    if (!job)
        return;
    bsk_value_tree_free(&job->tree);
    bsk_buffer_free(&job->options.text);
    bsk_buffer_free(&job->text);
    bsk_buffer_free(&job->answer);
    bsk_buffer_free(&job->dump);
    free(job);
}

bool bsk_memory_job_ended(const struct bsk_memory_job *job)
{
    return job->step == STEP_ENDED;
}

/* The job is over, well or badly; what it left in the debuggee is dropped by one more text. */
static void end(struct bsk_memory_job *job, int rc)
{
    if (job->step == STEP_DROP || job->step == STEP_ENDED)
        return;
    job->rc = rc;
    job->awaiting_more = false;
    job->step = job->begun ? STEP_DROP : STEP_ENDED;
    job->result.dump = (const unsigned char *)job->dump.data;
    job->result.dump_bytes = job->dump.size;
}

/* Whatever the channel says: nothing can be dropped through a channel that failed. */
static void end_now(struct bsk_memory_job *job, int rc)
{
    if (job->step != STEP_DROP)
        job->rc = rc;
    job->step = STEP_ENDED;
}

const char *bsk_memory_job_next(struct bsk_memory_job *job, uint32_t *out_timeout_ms)
{
    if (job->awaiting || job->awaiting_more || job->step == STEP_ENDED)
        return NULL;
    struct bsk_buffer *text = &job->text;
    struct bsk_script_how how = { job->how.wait_ms, job->how.stopped };
    bsk_buffer_clear(text);
    switch (job->step) {
    case STEP_BEGIN:
        bsk_script_begin(text, &job->script, job->nonce, &job->options, how);
        job->begun = true;
        break;
    case STEP_POLL:
        bsk_script_poll(text, job->nonce, how);
        break;
    case STEP_PIECE: {
        uint64_t left = job->dump_bytes - job->dump.size;
        bsk_script_piece(text, job->nonce, job->dump.size,
                         left < job->how.piece_bytes ? (uint32_t)left : job->how.piece_bytes, how);
        break;
    }
    default:
        bsk_script_drop(text, job->nonce, how);
        break;
    }
    const char *plain = bsk_buffer_text(text);
    if (text->failed || !plain[0]) {
        bsk_fail(&job->err, BSK_E_MEMORY, NULL, "out of memory");
        end_now(job, BSK_E_MEMORY);
        return NULL;
    }
    job->asked = job->step;
    job->awaiting = true;
    *out_timeout_ms = job->how.wait_ms + CALL_MS;
    return plain;
}

/* ---- the dump ----------------------------------------------------------------------------------
 */

/* True when the dump was read from the debuggee's own descriptor. */
static bool read_descriptor(struct bsk_memory_job *job, int64_t fd)
{
    char path[64];
    unsigned char nonce[BSK_NONCE_BYTES];
    bool whole = false;
    if (fd < 0 || fd > INT32_MAX || job->how.pid <= 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)job->how.pid, (int)fd);
    /* Not yet proven to be what we think: nothing that could block or act is opened. */
    struct stat is;
    if (stat(path, &is) != 0 || !S_ISREG(is.st_mode))
        return false;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return false;
    if (pread(file, nonce, sizeof(nonce), 0) == (ssize_t)sizeof(nonce) &&
        memcmp(nonce, job->nonce, sizeof(nonce)) == 0) {
        char *to = bsk_buffer_reserve(&job->dump, job->dump_bytes);
        while (to && job->dump.size < job->dump_bytes) {
            ssize_t got = pread(file, to + job->dump.size, job->dump_bytes - job->dump.size,
                                (off_t)(job->dump.size + sizeof(nonce)));
            if (got <= 0 && !(got < 0 && errno == EINTR))
                break;
            job->dump.size += got > 0 ? (size_t)got : 0;
        }
        whole = to && job->dump.size == job->dump_bytes;
    }
    close(file);
    if (!whole)
        bsk_buffer_clear(&job->dump);
    return whole;
}

static void take_dump(struct bsk_memory_job *job, int64_t fd)
{
    if (job->dump_bytes > job->how.max_dump_bytes) {
        end(job, bsk_fail(&job->err, BSK_E_LIMIT, NULL, "the %s dump has %llu bytes, over %llu",
                          job->script.name, (unsigned long long)job->dump_bytes,
                          (unsigned long long)job->how.max_dump_bytes));
    } else if (job->dump_bytes == 0 || read_descriptor(job, fd)) {
        end(job, BSK_OK);
    } else {
        job->result.through_channel = true;
        job->step = STEP_PIECE;
    }
}

static void on_piece(struct bsk_memory_job *job, const void *bytes, size_t size)
{
    struct bsk_value_tree tree = { 0 };
    int rc = bsk_marshal_read(bytes, size, 0, &tree, &job->err);
    if (rc == BSK_OK && (tree.root->kind != BSK_VALUE_BYTES || tree.root->bytes == 0 ||
                         tree.root->bytes > job->dump_bytes - job->dump.size))
        rc = bsk_fail(&job->err, BSK_E_FORMAT, NULL, "the %s dump is not whole", job->script.name);
    if (rc == BSK_OK && !bsk_buffer_append(&job->dump, tree.root->text, tree.root->bytes))
        rc = bsk_fail(&job->err, BSK_E_MEMORY, NULL, "out of memory");
    bsk_value_tree_free(&tree);
    if (rc < 0 || job->dump.size == job->dump_bytes)
        end(job, rc);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void on_state(struct bsk_memory_job *job, const void *bytes, size_t size)
{
    char word[16];
    bsk_value_tree_free(&job->tree);
    bsk_buffer_clear(&job->answer);
    if (!bsk_buffer_append(&job->answer, bytes, size)) {
        end(job, bsk_fail(&job->err, BSK_E_MEMORY, NULL, "out of memory"));
        return;
    }
    int rc = bsk_marshal_read(job->answer.data, job->answer.size, 0, &job->tree, &job->err);
    if (rc < 0) {
        end(job, rc);
        return;
    }
    const struct bsk_value *state = job->tree.root;
    bsk_value_text(state, "state", word, sizeof(word));
    if (strcmp(word, "running") == 0) {
        job->step = STEP_POLL;
        job->awaiting_more = job->how.later;
        if (bsk_value_real(state, "seconds", 0) * 1000 > job->how.give_up_ms)
            end(job, bsk_fail(&job->err, BSK_E_IO, "is a C call holding the GIL?",
                              "the %s script did not end within %u s", job->script.name,
                              (unsigned)job->how.give_up_ms / 1000));
        return;
    }
    if (strcmp(word, "done") == 0) {
        job->result.value = bsk_value_field(state, "result");
        job->result.seconds = bsk_value_real(state, "seconds", 0);
        job->result.cpu_seconds = bsk_value_real(state, "cpu", 0);
        job->dump_bytes = bsk_value_bytes(state, "dump");
        if (!job->result.value || job->result.value->kind != BSK_VALUE_DICT)
            end(job, bsk_fail(&job->err, BSK_E_FORMAT, NULL, "the %s script answered nothing",
                              job->script.name));
        else
            take_dump(job, bsk_value_integer(state, "fd", -1));
        return;
    }
    char reason[400];
    bsk_value_text(state, "error", reason, sizeof(reason));
    end(job, bsk_fail(&job->err, BSK_E_FORMAT, NULL, "the %s script failed: %s", job->script.name,
                      reason[0] ? reason : "the debuggee does not know of it"));
}

void bsk_memory_job_answer(struct bsk_memory_job *job, int rc, const void *bytes, size_t size,
                           const struct bsk_error *err)
{
    if (job->step == STEP_ENDED || (!job->awaiting && !job->awaiting_more))
        return;
    job->awaiting = false;
    job->awaiting_more = false;
    if (rc < 0) {
        if (err && job->step != STEP_DROP)
            job->err = *err;
        end_now(job, rc);
    } else if (job->step == STEP_DROP) {
        if (job->asked ==
            STEP_DROP) /* else it was cancelled meanwhile: the drop is still to come */
            job->step = STEP_ENDED;
    } else if (job->step == STEP_PIECE) {
        on_piece(job, bytes, size);
    } else {
        on_state(job, bytes, size);
    }
}

void bsk_memory_job_cancel(struct bsk_memory_job *job, const char *reason)
{
    if (job->step == STEP_DROP || job->step == STEP_ENDED)
        return;
    bsk_fail(&job->err, BSK_E_STATE, NULL, "%s", reason);
    end(job, BSK_E_STATE);
}

const struct bsk_memory_job_result *bsk_memory_job_result(const struct bsk_memory_job *job,
                                                          struct bsk_error *err)
{
    if (job->step != STEP_ENDED) {
        bsk_fail(err, BSK_E_STATE, NULL, "the %s script has not ended", job->script.name);
        return NULL;
    }
    if (job->rc < 0) {
        if (err)
            *err = job->err;
        return NULL;
    }
    return &job->result;
}
