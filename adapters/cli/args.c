#include "adapters/cli/args.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_command *usage_command;
static const char *usage_place;

void cli_usage_command(const struct cli_command *command)
{
    usage_command = command;
}

void cli_usage_place(const char *place)
{
    usage_place = place;
}

int cli_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "basilisk: %s%s", usage_place ? usage_place : "", usage_place ? ": " : "");
    vfprintf(stderr, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized): it is */
    fprintf(stderr, "; see `basilisk %s%s--help`\n", usage_command ? usage_command->name : "",
            usage_command ? " " : "");
    va_end(args);
    return 2;
}

bool cli_is(const struct cli_option *option, const char *name)
{
    return strcmp(option->name, name) == 0;
}

int cli_number(const struct cli_option *option, const char *value, long long least, long long most,
               long long *out_number)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < least || number > most)
        return cli_usage("--%s is a whole number from %lld to %lld, not \"%s\"", option->name,
                         least, most, value);
    *out_number = number;
    return 0;
}

int cli_pid(const struct cli_option *option, const char *value, pid_t *out_pid)
{
    char *end;
    bool hex = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
    errno = 0;
    long long pid = strtoll(value, &end, hex ? 16 : 10);
    if (errno || end == value || *end || pid < 1 || pid > INT_MAX)
        return cli_usage("--%s is a process id, not \"%s\"", option->name, value);
    *out_pid = (pid_t)pid;
    return 0;
}

int cli_fail(const struct bsk_error *err)
{
    char sentence[1100];
    bsk_error_sentence(err, sentence, sizeof(sentence));
    fprintf(stderr, "basilisk: %s\n", sentence);
    return 1;
}

static const struct cli_option *named(const struct cli_command *command, const char *name,
                                      size_t bytes)
{
    for (const struct cli_option *o = command->options; o->name; o++)
        if (strlen(o->name) == bytes && memcmp(o->name, name, bytes) == 0)
            return o;
    return NULL;
}

static const struct cli_option *lettered(const struct cli_command *command, char letter)
{
    for (const struct cli_option *o = command->options; o->name; o++)
        if (letter && o->letter == letter)
            return o;
    return NULL;
}

struct reading {
    const struct cli_command *command;
    int argc, at;
    char **argv;
    cli_take_fn *take;
    void *user;
    bool program; /* the first plain argument ends the options */
};

static int take_long(struct reading *reading)
{
    char *word = reading->argv[reading->at] + 2, *equals = strchr(word, '=');
    size_t bytes = equals ? (size_t)(equals - word) : strlen(word);
    const struct cli_option *option = named(reading->command, word, bytes);
    if (!option)
        return cli_usage("%s has no option '--%.*s'", reading->command->name, (int)bytes, word);
    if (!option->argument && equals)
        return cli_usage("--%s takes no value", option->name);
    char *value = equals ? equals + 1 : NULL;
    if (option->argument && !value) {
        if (reading->at + 1 >= reading->argc)
            return cli_usage("--%s wants %s", option->name, option->argument);
        value = reading->argv[++reading->at];
    }
    return reading->take(reading->user, option, value);
}

static int take_letters(struct reading *reading)
{
    for (char *letter = reading->argv[reading->at] + 1; *letter; letter++) {
        const struct cli_option *option = lettered(reading->command, *letter);
        if (!option)
            return cli_usage("%s has no option '-%c'", reading->command->name, *letter);
        if (!option->argument) {
            int rc = reading->take(reading->user, option, NULL);
            if (rc)
                return rc;
            continue;
        }
        char *value = letter + 1 + (letter[1] == '=');
        if (!*value) {
            if (reading->at + 1 >= reading->argc)
                return cli_usage("-%c wants %s", option->letter, option->argument);
            value = reading->argv[++reading->at];
        }
        return reading->take(reading->user, option, value);
    }
    return 0;
}

static int parse(struct reading *reading, int *out_plain, int *out_rest)
{
    int rc = 0, plain = 0;
    *out_rest = reading->argc;
    for (; rc == 0 && reading->at < reading->argc; reading->at++) {
        char *word = reading->argv[reading->at];
        if (strcmp(word, "--") == 0) {
            *out_rest = reading->at + 1;
            break;
        }
        if (word[0] == '-' && word[1] == '-') {
            rc = take_long(reading);
        } else if (word[0] == '-' && word[1]) {
            rc = take_letters(reading);
        } else if (reading->program) {
            *out_rest = reading->at;
            break;
        } else {
            reading->argv[plain++] = word;
        }
    }
    *out_plain = plain;
    return rc;
}

int cli_parse(const struct cli_command *command, int argc, char **argv, cli_take_fn *take,
              void *user, int *out_plain, int *out_rest)
{
    struct reading reading = { command, argc, 0, argv, take, user, false };
    return parse(&reading, out_plain, out_rest);
}

int cli_parse_program(const struct cli_command *command, int argc, char **argv, cli_take_fn *take,
                      void *user, int *out_rest)
{
    struct reading reading = { command, argc, 0, argv, take, user, true };
    int plain;
    return parse(&reading, &plain, out_rest);
}

const struct cli_option *cli_option_named(const struct cli_command *command, const char *name)
{
    return named(command, name, strlen(name));
}

void cli_print_help(const struct cli_command *command)
{
    printf("%s\n\n    basilisk %s %s\n", command->summary, command->name, command->synopsis);
    if (command->options->name)
        putchar('\n');
    for (const struct cli_option *o = command->options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%c%s --%s%s%s", o->letter ? "-" : " ",
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");
        printf("    %-32s %s\n", left, o->help);
    }
}
