/* What `basilisk record` is asked to do: its command line and its file of options. */
#ifndef BSK_CLI_RECORD_OPTIONS_H
#define BSK_CLI_RECORD_OPTIONS_H

#include "adapters/cli/args.h"
#include "adapters/cli/config.h"
#include "engine/export/export.h"

#include <stdint.h>
#include <sys/types.h>

enum { CLI_PATTERNS_MAX = 64 };

struct cli_patterns {
    char *items[CLI_PATTERNS_MAX]; /* owned; absolute where they name a path */
    size_t count;
};

struct cli_record_options {
    pid_t pid;      /* 0: a command */
    char **command; /* ends with NULL; NULL: a PID */
    const char *output;
    const struct bsk_exporter *exporter;
    uint32_t rate_hz;
    double seconds;       /* 0: until it is stopped */
    double every_seconds; /* 0: one file at the end */
    bool subprocesses, native, gil, idle, threads, by_function, no_lines, full_filenames;
    bool blocking, nonblocking, no_ticks, hide_progress, capture;
    struct cli_patterns only, exclude;

    /* of the reading: where the PID, and of each two opposites the one that is set, come from */
    bool reads_file, of_file[2], pid_of_file;
    const char *format, *config_path;
    struct cli_config *config; /* owned */
};

extern const struct cli_option cli_record_options_table[];

/* Returns 0, or the exit code after it has complained. `out` starts zeroed and is freed by
 * cli_record_options_free() in every case. */
int cli_record_options_read(const struct cli_command *command, int argc, char **argv,
                            struct cli_record_options *out);
void cli_record_options_free(struct cli_record_options *options);

#endif
