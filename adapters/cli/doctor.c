/* `basilisk doctor`: what works here, what does not, and the one command that mends it. */
#include "adapters/cli/doctor.h"

#include "adapters/cli/commands.h"
#include "engine/base/json.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wishes {
    pid_t pid;
    bool json;
};

static const struct cli_option doctor_options[] = {
    { "pid", 'p', "PID", "PID", "also: what of this process can be read" },
    { "json", 'j', NULL, NULL, "for programs" },
    { NULL, 0, NULL, NULL, NULL },
};

struct doctor_finding *doctor_say(struct doctor *doctor, const char *check,
                                  enum doctor_status status, const char *cause, const char *format,
                                  ...)
{
    size_t at = doctor->count < DOCTOR_FINDINGS_MAX ? doctor->count++ : DOCTOR_FINDINGS_MAX - 1;
    struct doctor_finding *finding = &doctor->findings[at];
    va_list args;
    *finding = (struct doctor_finding){ .check = check, .status = status, .cause = cause };
    va_start(args, format);
    vsnprintf(finding->text, sizeof(finding->text), format, args);
    va_end(args);
    return finding;
}

void doctor_fix(struct doctor_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(finding->fix, sizeof(finding->fix), format, args);
    va_end(args);
}

static bool all_good(const struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->count; i++)
        if (doctor->findings[i].status == DOCTOR_BAD)
            return false;
    return true;
}

/* Names of processes are others' text: no control characters to the terminal. */
static void print_clean(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < ' ' || *text == 127 ? '?' : *text);
}

static void print_list(const struct doctor *doctor)
{
    static const char *const nice[] = { "\u2713", "!", "\u2717" };
    static const char *const plain[] = { "ok", "! ", "no" };
    static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
    const char *refused = getenv("NO_COLOR");
    setlocale(LC_CTYPE, "");
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    bool colour = isatty(STDOUT_FILENO) && !(refused && *refused);
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *finding = &doctor->findings[i];
        printf("%s%s%s ", colour ? colours[finding->status] : "",
               (utf8 ? nice : plain)[finding->status], colour ? "\033[0m" : "");
        print_clean(finding->text);
        putchar('\n');
        if (finding->fix[0]) {
            fputs(utf8 ? "  \u2192 " : "   -> ", stdout);
            print_clean(finding->fix);
            putchar('\n');
        }
    }
}

static int print_json(const struct doctor *doctor, pid_t pid)
{
    static const char *const names[] = { "ok", "warning", "failed" };
    struct bsk_buffer out = { 0 };
    struct bsk_json json = { .out = &out, .file = stdout };
    bsk_json_begin(&json, '{');
    bsk_json_field_bool(&json, "ok", all_good(doctor));
    bsk_json_field_text(&json, "version", BASILISK_VERSION);
    if (pid)
        bsk_json_field_int(&json, "pid", pid);
    bsk_json_key(&json, "checks");
    bsk_json_begin(&json, '[');
    for (size_t i = 0; i < doctor->count; i++) {
        const struct doctor_finding *finding = &doctor->findings[i];
        bsk_json_begin(&json, '{');
        bsk_json_field_text(&json, "check", finding->check);
        bsk_json_field_text(&json, "status", names[finding->status]);
        bsk_json_field_text(&json, "text", finding->text);
        if (finding->cause[0])
            bsk_json_field_text(&json, "cause", finding->cause);
        if (finding->fix[0])
            bsk_json_field_text(&json, "fix", finding->fix);
        bsk_json_end(&json, '}');
    }
    bsk_json_end(&json, ']');
    bsk_json_end(&json, '}');
    struct bsk_error err = { 0 };
    int rc = bsk_json_finish(&json, &err);
    bsk_buffer_free(&out);
    putchar('\n');
    if (rc < 0)
        fprintf(stderr, "basilisk: %s\n", err.message);
    return rc < 0 ? 1 : 0;
}

static int take(void *user, const struct cli_option *option, const char *value)
{
    struct wishes *wishes = user;
    if (cli_is(option, "json"))
        wishes->json = true;
    else
        return cli_pid(option, value, &wishes->pid);
    return 0;
}

static int run_doctor(const struct cli_command *command, int argc, char **argv)
{
    struct wishes wishes = { 0 };
    int plain = 0, rest = 0;
    int rc = cli_parse(command, argc, argv, take, &wishes, &plain, &rest);
    if (rc)
        return rc;
    if (plain || rest < argc)
        return cli_usage("doctor takes no \"%s\"", plain ? argv[0] : argv[rest]);
    struct doctor *doctor = calloc(1, sizeof(*doctor));
    if (!doctor) {
        fprintf(stderr, "basilisk: out of memory\n");
        return 1;
    }
    ssize_t got = readlink("/proc/self/exe", doctor->self, sizeof(doctor->self) - 1);
    if (got <= 0)
        snprintf(doctor->self, sizeof(doctor->self), "basilisk");
    snprintf(doctor->command, sizeof(doctor->command), wishes.pid ? "doctor -p %d" : "doctor",
             wishes.pid);
    if (wishes.pid)
        doctor_target(doctor, wishes.pid);
    else
        doctor_machine(doctor);
    rc = all_good(doctor) ? 0 : 1;
    if (wishes.json)
        rc |= print_json(doctor, wishes.pid);
    else
        print_list(doctor);
    free(doctor);
    return rc;
}

const struct cli_command cli_doctor = {
    "doctor",       "[-p PID] [--json]", "try what works here, and say what mends the rest",
    doctor_options, run_doctor,
};
