#include "adapters/cli/memory_remote.h"

#include <stdlib.h>

enum { JOB_MS = 60000 }; /* a dump of millions of objects */

struct cli_remote {
    struct bsk_remote *remote;
    struct bsk_memory_job *job;
    pid_t pid;
    uint32_t timeout_ms;
    bool was_there, began;
};

int cli_remote_open(pid_t pid, uint32_t timeout_ms, const volatile sig_atomic_t *stop,
                    struct cli_remote **out_remote, struct bsk_error *err)
{
    struct cli_remote *remote = calloc(1, sizeof(*remote));
    struct bsk_buffer answer = { 0 };
    if (!remote)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "Out of memory");
    remote->pid = pid;
    remote->timeout_ms = timeout_ms;
    int rc = bsk_remote_open(pid, stop, &remote->remote, err);
    if (rc == BSK_OK)
        rc = bsk_remote_run(remote->remote,
                            "lib = type(__build_class__.__self__.__spec__).__init__.__globals__\n"
                            "_answer('y' if '_basilisk' in lib['sys'].modules else 'n')\n",
                            timeout_ms, &answer, err);
    remote->was_there = answer.size == 1 && answer.data[0] == 'y';
    bsk_buffer_free(&answer);
    if (rc < 0) {
        bsk_remote_close(remote->remote);
        free(remote);
        return rc;
    }
    *out_remote = remote;
    return BSK_OK;
}

int cli_remote_job(struct cli_remote *remote, const struct bsk_script *script,
                   struct bsk_script_options *options,
                   const struct bsk_memory_job_result **out_result, struct bsk_error *err)
{
    const struct bsk_memory_job_how how = { .pid = remote->pid,
                                            .later = true,
                                            .give_up_ms = JOB_MS };
    struct bsk_buffer answer = { 0 };
    uint32_t timeout_ms;
    const char *text;
    bsk_memory_job_free(remote->job);
    remote->job = NULL;
    int rc = bsk_memory_job_new(script, options, &how, &remote->job, err);
    if (options)
        bsk_buffer_free(&options->text);
    if (rc < 0)
        return rc;
    bool first = true;
    while ((text = bsk_memory_job_next(remote->job, &timeout_ms))) {
        struct bsk_error failure = { 0 };
        bsk_buffer_clear(&answer);
        rc = bsk_remote_run(remote->remote, text, remote->timeout_ms, &answer, &failure);
        remote->began = remote->began || rc == BSK_OK;
        bsk_memory_job_answer(remote->job, rc, answer.data, answer.size, &failure);
        if (rc == BSK_OK && first) { /* the job's thread says the rest by itself */
            bsk_buffer_clear(&answer);
            rc = bsk_remote_later(remote->remote, JOB_MS, &answer, &failure);
            bsk_memory_job_answer(remote->job, rc, answer.data, answer.size, &failure);
        }
        first = false;
    }
    bsk_buffer_free(&answer);
    *out_result = bsk_memory_job_result(remote->job, err);
    return *out_result ? BSK_OK : err->code;
}

void cli_remote_close(struct cli_remote *remote, bool keep)
{
    if (!remote)
        return;
    bsk_memory_job_free(remote->job);
    if (remote->began && !keep && !remote->was_there) {
        struct bsk_buffer text = { 0 }, answer = { 0 };
        bsk_script_remove(&text);
        bsk_remote_run(remote->remote, bsk_buffer_text(&text), remote->timeout_ms, &answer, NULL);
        bsk_buffer_free(&text);
        bsk_buffer_free(&answer);
    }
    bsk_remote_close(remote->remote);
    free(remote);
}
