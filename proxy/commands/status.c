/* The family basilisk.status and basilisk.processes: /basilisk, /processes. */
#include "engine/base/buffer.h"
#include "engine/python/python.h"
#include "proxy/commands/family.h"
#include "proxy/commands/memory_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Status ------------------------------------------------------------------------------------
 */

static struct json_object *running_body(const struct dap_profiling *profiling)
{
    struct bsk_recording_status status;
    const char *id = "";
    pid_t pid = 0;
    if (!profiling || !dap_profiling_running(profiling, &status, &pid, &id))
        return NULL;
    struct json_object *body = json_object_new_object();
    dap_add_text(body, "sessionId", id);
    json_object_object_add(body, "pid", json_object_new_int(pid));
    json_object_object_add(body, "sampleRate", json_object_new_int64(status.rate_hz));
    json_object_object_add(body, "samples", json_object_new_int64((int64_t)status.samples));
    json_object_object_add(body, "seconds",
                           json_object_new_double((double)status.duration_ns / 1e9));
    json_object_object_add(body, "processes", json_object_new_int64(status.processes));
    return body;
}

static pid_t known_pid(struct dap_session *session)
{
    const struct dap_debuggee *debuggee = dap_session_debuggee(session);
    if (debuggee->ended)
        return 0;
    return debuggee->pid > 0 ? debuggee->pid : debuggee->hint_pid;
}

static struct json_object *tracking_body(const struct dap_group *group,
                                         const struct dap_session *session)
{
    struct dap_memory_result facts;
    if (!dap_memory_running(group->memory, session, &facts))
        return NULL;
    struct json_object *body = dap_memory_start_body(&facts);
    json_object_object_add(body, "snapshots", json_object_new_int64(facts.snapshots));
    return body;
}

static struct json_object *status_body(struct dap_session *session, const struct dap_group *group,
                                       pid_t pid)
{
    struct json_object *body = json_object_new_object();
    struct json_object *running = running_body(group->profiling);
    if (running)
        json_object_object_add(body, "profiling", running);
    struct json_object *tracked = tracking_body(group, session);
    if (tracked)
        json_object_object_add(body, "memory", tracked);
    json_object_object_add(body, "pid", json_object_new_int(pid));
    dap_add_text(body, "version", BASILISK_VERSION);
    dap_add_text(body, "adapter", dap_session_debuggee(session)->adapter_version);
    struct json_object *commands = json_object_new_array();
    for (size_t i = 0; i < dap_command_count; i++) {
        struct json_object *row = json_object_new_object();
        dap_add_text(row, "request", dap_command_table[i].request);
        if (dap_command_table[i].console) {
            dap_add_text(row, "console", dap_command_table[i].console);
            dap_add_text(row, "usage", dap_command_table[i].usage);
        }
        dap_add_text(row, "description", dap_command_table[i].does);
        json_object_array_add(commands, row);
    }
    json_object_object_add(body, "commands", commands);
    return body;
}

static void status_words(struct bsk_buffer *out, const struct dap_commands *commands, pid_t pid)
{
    const struct dap_profiling *profiling = commands->profiling;
    struct bsk_recording_status status;
    struct dap_memory_result facts;
    bsk_buffer_printf(out, "Basilisk %s", BASILISK_VERSION);
    if (pid > 0)
        bsk_buffer_printf(out, ", process %d", (int)pid);
    if (dap_profiling_running(profiling, &status, NULL, NULL))
        bsk_buffer_printf(out, ", profiling at %u Hz: %llu samples in %.1f s\n", status.rate_hz,
                          (unsigned long long)status.samples, (double)status.duration_ns / 1e9);
    else
        bsk_buffer_text_append(out, ", not profiling\n");
    if (dap_memory_running(commands->memory, commands->session, &facts))
        bsk_buffer_printf(out, "Memory of process %d is tracked, %u snapshots\n", (int)facts.pid,
                          facts.snapshots);
    for (size_t i = 0; i < dap_command_count; i++) {
        if (dap_command_table[i].console)
            bsk_buffer_printf(out, "  %-29s %s\n", dap_command_table[i].usage,
                              dap_command_table[i].does);
    }
}

static void answer_status(struct dap_question *question)
{
    struct dap_commands *commands = question->commands;
    struct bsk_buffer words = { 0 };
    pid_t pid = known_pid(commands->session);
    /* Without a channel the adapter's number may be a wrapper's; a look tells. */
    if (pid > 0 && !dap_session_debuggee(commands->session)->has_channel) {
        pid_t below = 0;
        if (bsk_python_find_below(pid, &below, NULL) == BSK_OK)
            pid = below;
    }
    status_words(&words, commands, pid);
    dap_question_answer(question, status_body(commands->session, commands->group, pid),
                        bsk_buffer_text(&words));
    bsk_buffer_free(&words);
}

static void on_pid(void *user, int rc, const char *text, size_t bytes, const struct bsk_error *err)
{
    (void)rc, (void)text, (void)bytes, (void)err; /* without an answer the hint must do */
    struct dap_question *question = user;
    if (question->commands->session)
        answer_status(question);
    else
        dap_question_drop(question);
}

void dap_ask_status(struct dap_question *question, struct json_object *arguments)
{
    (void)arguments;
    struct dap_session *session = question->commands->session;
    const struct dap_debuggee *debuggee = dap_session_debuggee(session);
    if (debuggee->has_channel && debuggee->pid == 0 && !debuggee->ended)
        dap_session_find_pid(session, on_pid, question);
    else
        answer_status(question);
}

void dap_send_status(struct dap_session *session, const struct dap_group *group)
{
    if (!dap_session_client(session)->custom_events)
        return;
    pid_t pid = known_pid(session), profiled = 0;
    if (pid == 0 && dap_profiling_running(group->profiling, NULL, &profiled, NULL))
        pid = profiled;
    struct json_object *body = status_body(session, group, pid);
    size_t bytes = 0;
    const char *text =
        json_object_to_json_string_length(body, JSON_C_TO_STRING_NOSLASHESCAPE, &bytes);
    if (text)
        dap_session_event(session, "basilisk.status", text, bytes, DAP_NEWEST);
    json_object_put(body);
}

/* ---- Processes ---------------------------------------------------------------------------------
 */

enum { CPU_WINDOW_MS = 100 }; /* over which cpuPercent is measured */

struct list_job {
    uv_work_t work;
    struct dap_question *question;
    struct bsk_python_listing *entries;
    double *cpu_percents; /* one for each entry */
    size_t count;
    int rc;
    struct bsk_error err;
};

/* CPU time of a whole process in nanoseconds; 0 when it cannot be asked. */
static double cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

static void list_on_worker(uv_work_t *work)
{
    struct list_job *job = work->data;
    job->rc = bsk_python_list(&job->entries, &job->count, &job->err);
    if (job->rc != BSK_OK)
        return;
    job->cpu_percents = calloc(job->count + 1, sizeof(*job->cpu_percents));
    if (!job->cpu_percents) {
        job->rc = bsk_fail(&job->err, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    for (size_t i = 0; i < job->count; i++)
        job->cpu_percents[i] = -cpu_ns(job->entries[i].pid);
    uint64_t before = uv_hrtime();
    uv_sleep(CPU_WINDOW_MS);
    double window_ns = (double)(uv_hrtime() - before);
    for (size_t i = 0; i < job->count; i++) {
        double used_ns = job->cpu_percents[i] + cpu_ns(job->entries[i].pid);
        job->cpu_percents[i] = used_ns > 0 ? used_ns / window_ns * 100 : 0;
    }
}

static struct json_object *processes_body(const struct list_job *job)
{
    struct json_object *body = json_object_new_object();
    struct json_object *rows = json_object_new_array();
    for (size_t i = 0; i < job->count; i++) {
        const struct bsk_python_listing *entry = &job->entries[i];
        char executable[4096];
        struct json_object *row = json_object_new_object();
        json_object_object_add(row, "pid", json_object_new_int(entry->pid));
        bsk_process_exe(entry->pid, executable, sizeof(executable));
        dap_add_text(row, "python", executable);
        dap_add_text(row, "version", entry->version);
        dap_add_text(row, "commandLine", entry->command);
        json_object_object_add(row, "cpuPercent", json_object_new_double(job->cpu_percents[i]));
        if (entry->reason[0])
            dap_add_text(row, "reason", entry->reason);
        json_object_array_add(rows, row);
    }
    json_object_object_add(body, "processes", rows);
    return body;
}

static void processes_words(const struct list_job *job, struct bsk_buffer *out)
{
    bsk_buffer_printf(out, "%8s %-9s %6s  command\n", "PID", "Python", "CPU");
    for (size_t i = 0; i < job->count; i++) {
        const struct bsk_python_listing *entry = &job->entries[i];
        bsk_buffer_printf(out, "%8d %-9s %5.1f%%  %.200s%s%s%s\n", (int)entry->pid, entry->version,
                          job->cpu_percents[i], entry->command, entry->reason[0] ? "  (" : "",
                          entry->reason, entry->reason[0] ? ")" : "");
    }
}

static void after_list(uv_work_t *work, int cancelled)
{
    (void)cancelled;
    struct list_job *job = work->data;
    struct bsk_buffer words = { 0 };
    if (job->rc != BSK_OK) {
        dap_question_refuse(job->question, &job->err);
    } else {
        processes_words(job, &words);
        dap_question_answer(job->question, processes_body(job), bsk_buffer_text(&words));
    }
    bsk_buffer_free(&words);
    free(job->cpu_percents);
    free(job->entries);
    free(job);
}

void dap_ask_processes(struct dap_question *question, struct json_object *arguments)
{
    (void)arguments;
    struct list_job *job = calloc(1, sizeof(*job));
    if (!job) {
        dap_question_refuse_with(question, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    job->work.data = job;
    job->question = question;
    uv_queue_work(question->commands->loop, &job->work, list_on_worker, after_list);
}
