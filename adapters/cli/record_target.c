#include "adapters/cli/record_target.h"

#include "engine/process/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool is_interpreter(const char *word)
{
    return strncmp(last_part(word), "python", 6) == 0;
}

/* It is shown on a terminal, and a command line may hold anything. */
static void name(char *out, size_t size, const char *before, const char *text)
{
    snprintf(out, size, "%s%s", before, text);
    for (char *c = out; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

void cli_target_name(pid_t pid, char *out, size_t size)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    snprintf(out, size, "python");
    if (bytes <= 0)
        return;
    text[bytes] = '\0';
    const char *end = text + bytes, *word = text;
    if (!is_interpreter(word)) {
        name(out, size, "", last_part(word));
        return;
    }
    for (word += strlen(word) + 1; word < end; word += strlen(word) + 1) {
        const char *next = word + strlen(word) + 1;
        if (strcmp(word, "-m") == 0 && next < end) {
            name(out, size, "python -m ", next);
            return;
        }
        if (strcmp(word, "-c") == 0) {
            snprintf(out, size, "python -c");
            return;
        }
        if (word[0] != '-') {
            name(out, size, "", last_part(word));
            return;
        }
        if ((strcmp(word, "-X") == 0 || strcmp(word, "-W") == 0) && next < end)
            word = next;
    }
}

static int try_one(pid_t pid, const struct bsk_recording_options *options,
                   struct bsk_recording **out_recording, struct bsk_error *err)
{
    struct bsk_recording_options named = *options;
    char text[256];
    cli_target_name(pid, text, sizeof(text));
    named.name = text;
    return bsk_recording_start(pid, &named, out_recording, err);
}

int cli_target_try(struct cli_program *program, const struct bsk_recording_options *options,
                   struct bsk_recording **out_recording, pid_t *out_pid, struct bsk_error *err)
{
    pid_t *below = NULL;
    size_t count = 0;
    *out_pid = cli_program_pid(program);
    int rc = try_one(*out_pid, options, out_recording, err);
    if (rc != BSK_E_FORMAT || bsk_process_below(*out_pid, &below, &count, NULL) != BSK_OK)
        return rc;
    for (size_t i = 0; i < count && rc != BSK_OK; i++) {
        char exe[512];
        bsk_process_exe(below[i], exe, sizeof(exe));
        if (!*exe || try_one(below[i], options, out_recording, NULL) != BSK_OK)
            continue;
        *out_pid = below[i];
        rc = BSK_OK;
    }
    free(below);
    return rc;
}
