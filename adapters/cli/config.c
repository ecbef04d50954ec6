#include "adapters/cli/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cli_config {
    size_t bytes;
    char text[CLI_CONFIG_MAX_BYTES + 1];
};

static char *trimmed(char *text)
{
    text += strspn(text, " \t\r");
    size_t bytes = strlen(text);
    while (bytes > 0 && strchr(" \t\r", text[bytes - 1]))
        text[--bytes] = '\0';
    return text;
}

/* Takes a comment and the quotes off; NULL when what is left is no value. */
static char *value_of(char *text)
{
    text = trimmed(text);
    if (*text != '"') {
        text[strcspn(text, "#")] = '\0';
        return trimmed(text);
    }
    char *end = strchr(text + 1, '"');
    if (!end)
        return NULL;
    char *after = trimmed(end + 1);
    *end = '\0';
    return *after == '\0' || *after == '#' ? text + 1 : NULL;
}

static int wrong(const char *path, unsigned line, const char *what, const char *word)
{
    fprintf(stderr, "basilisk: %s:%u: %s %s\n", path, line, what, word);
    return 2;
}

static int take_line(const struct cli_command *command, const char *path, unsigned line, char *text,
                     cli_take_fn *take, void *user)
{
    text = trimmed(text);
    if (*text == '\0' || *text == '#')
        return 0;
    char *equals = strchr(text, '=');
    if (!equals)
        return wrong(path, line, "a line is `name = value`, not", text);
    *equals = '\0';
    const char *name = trimmed(text), *value = value_of(equals + 1);
    const struct cli_option *option = cli_option_named(command, name);
    if (!option || strcmp(name, "config") == 0)
        return wrong(path, line, "there is no option", name);
    if (!value || !*value)
        return wrong(path, line, "a value is missing, or its quotes are wrong, for", name);
    if (!option->argument) {
        if (strcmp(value, "false") == 0)
            return 0;
        if (strcmp(value, "true") != 0)
            return wrong(path, line, "it is true or false:", name);
        value = NULL;
    }
    char place[PATH_MAX + 32];
    snprintf(place, sizeof(place), "%s:%u", path, line);
    cli_usage_place(place);
    int rc = take(user, option, value);
    cli_usage_place(NULL);
    return rc;
}

int cli_config_read(const struct cli_command *command, const char *path, cli_take_fn *take,
                    void *user, struct cli_config **out_config)
{
    struct cli_config *config = calloc(1, sizeof(*config));
    FILE *file = fopen(path, "re");
    int rc = 0;
    *out_config = config;
    if (!config || !file) {
        fprintf(stderr, "basilisk: cannot read %s: %s\n", path, strerror(errno));
        rc = 1;
        goto out;
    }
    config->bytes = fread(config->text, 1, sizeof(config->text), file);
    if (ferror(file)) {
        fprintf(stderr, "basilisk: cannot read %s: %s\n", path, strerror(errno));
        rc = 1;
        goto out;
    }
    if (config->bytes > CLI_CONFIG_MAX_BYTES) {
        fprintf(stderr, "basilisk: %s is larger than %d bytes\n", path, CLI_CONFIG_MAX_BYTES);
        rc = 1;
        goto out;
    }
    config->text[config->bytes] = '\0';
    if (memchr(config->text, '\0', config->bytes)) {
        fprintf(stderr, "basilisk: %s is no text\n", path);
        rc = 1;
        goto out;
    }
    char *at = config->text;
    for (unsigned line = 1; rc == 0 && at && *at; line++) {
        char *end = strchr(at, '\n');
        if (end)
            *end = '\0';
        rc = take_line(command, path, line, at, take, user);
        at = end ? end + 1 : NULL;
    }
out:
    if (file)
        fclose(file);
    return rc;
}

void cli_config_free(struct cli_config *config)
{
    free(config);
}
