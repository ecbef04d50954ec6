#include "tests/engine/memory/debuggee.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* cmocka wants these four before it, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char *line; /* the last answer */
static size_t line_capacity;

struct debuggee start_debuggee(const char *python)
{
    struct debuggee debuggee = { .child = start_fixture(python, "debuggee.py", NULL),
                                 .python = python };
    debuggee.pid = (pid_t)debuggee_number(&debuggee, "__import__('os').getpid()");
    return debuggee;
}

void stop_debuggee(struct debuggee *debuggee)
{
    stop_child(&debuggee->child);
    free(line);
    line = NULL;
    line_capacity = 0;
}

static void send(struct debuggee *debuggee, char what, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t size = strlen(text), at = 0;
    char *out = malloc(2 * size + 3);
    assert_non_null(out);
    out[at++] = what;
    out[at++] = ' ';
    for (size_t i = 0; i < size; i++) {
        out[at++] = digits[(unsigned char)text[i] >> 4];
        out[at++] = digits[text[i] & 15];
    }
    out[at++] = '\n';
    for (size_t done = 0; done < at;) {
        ssize_t wrote = write(debuggee->child.input, out + done, at - done);
        assert_true(wrote > 0);
        done += (size_t)wrote;
    }
    free(out);
}

/* The answer's bytes, terminated; false for "bad". */
static bool receive(struct debuggee *debuggee, const char **out_bytes, size_t *out_size)
{
    ssize_t got = getline(&line, &line_capacity, debuggee->child.output);
    if (got <= 0)
        fail_msg("%s has ended", debuggee->python);
    bool ok = strncmp(line, "ok", 2) == 0;
    const char *hex = strchr(line, ' ');
    size_t size = 0;
    for (hex = hex ? hex + 1 : ""; hex[0] > ' '; hex += 2) {
        const char pair[3] = { hex[0], hex[1], '\0' };
        line[size++] = (char)strtoul(pair, NULL, 16);
    }
    line[size] = '\0';
    *out_bytes = line;
    *out_size = size;
    return ok;
}

void debuggee_does(struct debuggee *debuggee, const char *code)
{
    const char *bytes;
    size_t size;
    send(debuggee, 'x', code);
    if (!receive(debuggee, &bytes, &size))
        fail_msg("%s: %s", debuggee->python, bytes);
}

const char *debuggee_says(struct debuggee *debuggee, const char *expression)
{
    const char *bytes;
    size_t size;
    send(debuggee, 'v', expression);
    if (!receive(debuggee, &bytes, &size))
        fail_msg("%s: %s: %s", debuggee->python, expression, bytes);
    return bytes;
}

long long debuggee_number(struct debuggee *debuggee, const char *expression)
{
    return strtoll(debuggee_says(debuggee, expression), NULL, 10);
}

int debuggee_runs(struct debuggee *debuggee, const char *text, const void **out_bytes,
                  size_t *out_size)
{
    const char *bytes;
    send(debuggee, 'r', text);
    debuggee->calls++;
    bool ok = receive(debuggee, &bytes, out_size);
    *out_bytes = bytes;
    return ok ? BSK_OK : BSK_E_FORMAT;
}

struct bsk_memory_job *debuggee_job(struct debuggee *debuggee, const struct bsk_script *script,
                                    const struct bsk_script_options *options,
                                    const struct bsk_memory_job_how *how)
{
    const struct bsk_memory_job_how usual = { .pid = debuggee->pid, .wait_ms = 20 };
    struct bsk_memory_job *job = NULL;
    struct bsk_error err = { 0 };
    const char *text;
    uint32_t timeout_ms = 0;
    assert_int_equal(bsk_memory_job_new(script, options, how ? how : &usual, &job, &err), BSK_OK);
    while ((text = bsk_memory_job_next(job, &timeout_ms))) {
        const void *bytes;
        size_t size;
        int rc = debuggee_runs(debuggee, text, &bytes, &size);
        if (rc < 0)
            bsk_fail(&err, rc, NULL, "%s", (const char *)bytes);
        bsk_memory_job_answer(job, rc, bytes, size, &err);
    }
    assert_true(bsk_memory_job_ended(job));
    return job;
}

const struct bsk_memory_job_result *result_of(struct bsk_memory_job *job)
{
    struct bsk_error err = { 0 };
    const struct bsk_memory_job_result *result = bsk_memory_job_result(job, &err);
    if (!result)
        fail_msg("%s", err.message);
    return result;
}
