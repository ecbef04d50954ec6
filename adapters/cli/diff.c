/* `basilisk diff A B`: what changed between two profiles, and what of it is more than noise. */
#include "adapters/cli/commands.h"
#include "adapters/cli/diff_show.h"

#include "engine/base/publish.h"
#include "engine/base/strings.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef int show_fn(const struct cli_diff *shown, FILE *out, struct bsk_error *err);

static const struct {
    const char *name, *ending;
    show_fn *show;
} formats[] = {
    { "text", ".txt", cli_diff_text },
    { "json", ".json", cli_diff_json },
    { "svg", ".svg", cli_diff_svg },
};
enum { FORMATS = sizeof(formats) / sizeof(formats[0]), NO_FORMAT = FORMATS };

static const struct cli_option options[] = {
    { "format", 'f', "FORMAT", "text svg json",
      "text (a table), svg (a flame graph of the difference), or json" },
    { "output", 'o', "FILE", "FILE", "write there instead of to standard output" },
    { "all", 'a', NULL, NULL, "every function, the standard library's and packages' too" },
    { "fail-on", 0, "PERCENT", NULL,
      "exit with 1 when a function's share grew by so many points, and not by chance" },
    { "least", 0, "POINTS", NULL, "a smaller shift is never called significant (default 1)" },
    { NULL, 0, NULL, NULL, NULL },
};

struct asked {
    size_t format;
    const char *output;
    bool all;
    double fail_on, least;
};

static int points(const struct cli_option *option, const char *value, double *out)
{
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    if (end != value && *end == '%')
        end++;
    if (errno || end == value || *end || !(number >= 0 && number <= 100))
        return cli_usage("--%s is a number from 0 to 100, not \"%s\"", option->name, value);
    *out = number;
    return 0;
}

static int take(void *user, const struct cli_option *option, const char *value)
{
    struct asked *asked = user;
    if (cli_is(option, "output"))
        asked->output = value;
    else if (cli_is(option, "all"))
        asked->all = true;
    else if (cli_is(option, "fail-on"))
        return points(option, value, &asked->fail_on);
    else if (cli_is(option, "least"))
        return points(option, value, &asked->least);
    else {
        for (asked->format = 0; asked->format < FORMATS; asked->format++) {
            if (strcmp(formats[asked->format].name, value) == 0)
                return 0;
        }
        return cli_usage("there is no format '%s' to compare in: text, svg or json", value);
    }
    return 0;
}

__attribute__((format(printf, 2, 3))) static void warn(struct cli_diff *shown, const char *format,
                                                       ...)
{
    if (shown->warning_count == CLI_DIFF_MAX_WARNINGS)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(shown->warnings[shown->warning_count++], sizeof(shown->warnings[0]), format, args);
    va_end(args);
}

static const char *clock_of(const struct bsk_imported *side)
{
    static const char *const names[] = { [BSK_CLOCK_CPU] = "CPU time",
                                         [BSK_CLOCK_WALL] = "wall time",
                                         [BSK_CLOCK_GIL] = "CPU time with the GIL" };
    return side->clock_known ? names[bsk_profile_meta_const(side->profile)->clock]
                             : "time as its profiler saw it";
}

static size_t maker_bytes(const struct bsk_imported *side)
{
    return strcspn(side->maker, "@ ");
}

/* Whatever makes the two unlike in something else than the program's work. */
static void find_warnings(struct cli_diff *shown)
{
    const struct bsk_imported *a = &shown->sides[0], *b = &shown->sides[1];
    const struct bsk_profile_meta *before = bsk_profile_meta_const(a->profile);
    const struct bsk_profile_meta *after = bsk_profile_meta_const(b->profile);
    const struct bsk_diff *diff = shown->diff;
    if (a->clock_known && b->clock_known && before->clock != after->clock)
        warn(shown, "not comparable: A is %s, B is %s: record both with the same options",
             clock_of(a), clock_of(b));
    else if (a->maker[0] && b->maker[0] &&
             (maker_bytes(a) != maker_bytes(b) || strncmp(a->maker, b->maker, maker_bytes(a)) != 0))
        warn(shown,
             "A was made by %s and B by %s: they do not see the same things as running, so shares "
             "may differ for that alone",
             a->maker, b->maker);
    else if (strcmp(a->format, b->format) != 0)
        warn(shown,
             "A is %s and B is %s: some formats weigh by time and others count samples; the same "
             "format on both sides is safer",
             a->format, b->format);
    if (before->name[0] && after->name[0] && strcmp(before->name, after->name) != 0)
        warn(shown, "the programs have different names: A is %s, B is %s", before->name,
             after->name);
    if (before->python[0] && after->python[0] && strcmp(before->python, after->python) != 0)
        warn(shown, "the Pythons differ: A ran on %s, B on %s", before->python, after->python);
    for (size_t i = 0; i < 2; i++) {
        const struct bsk_diff_side *side = i ? &diff->after : &diff->before;
        const struct bsk_profile_meta *meta = i ? after : before;
        if (side->busy)
            warn(shown,
                 "%s was recorded on a busy machine (%llu looks came too late): more counts as "
                 "noise",
                 i ? "B" : "A", (unsigned long long)meta->missed);
        if (side->from_order && side->inflation >= 1.5)
            warn(shown,
                 "%s: what it does comes in long stretches: its %llu samples say as much as %.0f "
                 "independent ones",
                 i ? "B" : "A", (unsigned long long)side->samples,
                 (double)side->samples / side->inflation);
    }
    if (diff->visible_points > 2)
        warn(
            shown,
            "%s%llu and %llu samples: a shift below %.1f points of a function of 10 percent cannot "
            "be told from noise; record longer or at a higher rate",
            diff->before.samples < 5000 || diff->after.samples < 5000 ? "few samples, " : "",
            (unsigned long long)diff->before.samples, (unsigned long long)diff->after.samples,
            diff->visible_points);
}

static void copy_print(char *out, size_t size, const char *text)
{
    bsk_utf8_copy(out, size, text);
    for (char *c = out; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
}

void cli_diff_describe(const struct cli_diff *shown, size_t side, char *out, size_t size)
{
    const struct bsk_imported *imported = &shown->sides[side];
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(imported->profile);
    double weight = (double)bsk_profile_cpu_ns(imported->profile) / 1e9;
    char name[256], python[128] = "", rate[32] = "", took[64] = "", commit[32] = "";
    copy_print(name, sizeof(name), meta->name[0] ? meta->name : "a program");
    if (meta->python[0]) {
        char version[64];
        copy_print(version, sizeof(version), meta->python);
        snprintf(python, sizeof(python), ", Python %s", version);
    }
    if (meta->rate_hz > 0)
        snprintf(rate, sizeof(rate), ", %.0f Hz", meta->rate_hz);
    if (imported->has_time && meta->duration_ns > 0)
        snprintf(took, sizeof(took), ", %.1f s of %s in %.1f s", weight, clock_of(imported),
                 (double)meta->duration_ns / 1e9);
    else if (imported->has_time)
        snprintf(took, sizeof(took), ", %.1f s", weight);
    if (imported->commit[0])
        snprintf(commit, sizeof(commit), ", commit %.10s", imported->commit);
    snprintf(out, size, "%s%s%s, %llu samples%s%s (%s%s%s)", name, python, rate,
             (unsigned long long)bsk_profile_samples(imported->profile), took, commit,
             imported->format, imported->maker[0] ? ", " : "", imported->maker);
}

bool cli_diff_grew(const struct cli_diff *shown, const struct bsk_share *share)
{
    /* 0.05 is what the table rounds to: "grew by 2.0" is a growth of 2 */
    return shown->fail_on >= 0 && share->significant && share->delta > 0 &&
           share->delta >= shown->fail_on - 0.05;
}

static int fail_on_growth(const struct cli_diff *shown)
{
    int rc = 0;
    for (size_t i = 0; i < shown->diff->count; i++) {
        const struct bsk_diff_function *f = &shown->diff->functions[i];
        bool self = cli_diff_grew(shown, &f->self);
        const struct bsk_share *share = self ? &f->self : &f->total;
        char name[256], path[512];
        if (!self && !cli_diff_grew(shown, &f->total))
            continue;
        copy_print(name, sizeof(name), f->name);
        copy_print(path, sizeof(path), f->path);
        fprintf(stderr,
                "basilisk: %s%s%s%s grew by %.1f points (%s: %.1f to %.1f percent); --fail-on "
                "allows less than %g\n",
                name, path[0] ? " (" : "", path, path[0] ? ")" : "", share->delta,
                self ? "itself" : "with what it calls", share->before, share->after,
                shown->fail_on);
        rc = 1;
    }
    return rc;
}

/* To standard output, or to a file that appears when it is whole. */
static int write_out(const struct cli_diff *shown, show_fn *show, const char *path,
                     struct bsk_error *err)
{
    char draft_path[PATH_MAX + 64];
    FILE *out = stdout;
    if (path) {
        int rc = bsk_draft_open(path, draft_path, sizeof(draft_path), &out, err);
        if (rc < 0)
            return rc;
    }
    int rc = show(shown, out, err);
    if (!path) {
        if (rc == BSK_OK && (fflush(out) != 0 || ferror(out)))
            rc = bsk_fail(err, BSK_E_IO, "is the disk full?", "cannot write: %s", strerror(errno));
        return rc;
    }
    if (rc == BSK_OK)
        return bsk_publish(out, draft_path, path, err);
    bsk_draft_discard(out, draft_path);
    return rc;
}

static void look_at_terminal(struct cli_diff *shown, bool to_file)
{
    const char *none = getenv("NO_COLOR"), *columns = getenv("COLUMNS"), *term = getenv("TERM");
    struct winsize size;
    bool terminal = !to_file && isatty(STDOUT_FILENO);
    shown->colour = terminal && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
    if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        shown->width = size.ws_col;
    else if (terminal && columns && atoi(columns) > 0)
        shown->width = atoi(columns);
}

static int compare(struct cli_diff *shown, const struct asked *asked)
{
    struct bsk_error err = { 0 };
    for (size_t i = 0; i < 2; i++) {
        if (bsk_import_file(shown->paths[i], &shown->sides[i], &err) < 0)
            return cli_fail(&err);
    }
    const struct bsk_imported *a = &shown->sides[0], *b = &shown->sides[1];
    double least =
        asked->fail_on >= 0 ? fmin(asked->least, fmax(asked->fail_on, 0.1)) : asked->least;
    shown->diff = bsk_diff_new(a->profile, a->has_order, b->profile, b->has_order, least);
    if (!shown->diff) {
        bsk_fail(&err, BSK_E_MEMORY, NULL, "out of memory");
        return cli_fail(&err);
    }
    find_warnings(shown);
    if (formats[asked->format].show != cli_diff_text) {
        for (size_t i = 0; i < shown->warning_count; i++)
            fprintf(stderr, "basilisk: warning: %s\n", shown->warnings[i]);
    }
    if (write_out(shown, formats[asked->format].show, asked->output, &err) < 0)
        return cli_fail(&err);
    return fail_on_growth(shown);
}

static int run_diff(const struct cli_command *command, int argc, char **argv)
{
    struct asked asked = { .format = NO_FORMAT, .fail_on = -1, .least = BSK_DIFF_LEAST_POINTS };
    int plain, rest;
    int rc = cli_parse(command, argc, argv, take, &asked, &plain, &rest);
    if (rc)
        return rc;
    for (int i = rest; i < argc; i++) /* names that begin with a dash */
        argv[plain++] = argv[i];
    if (plain != 2)
        return cli_usage("diff wants two profiles, A and B, not %d", plain);
    for (size_t i = 0; asked.format == NO_FORMAT && asked.output && i < FORMATS; i++) {
        if (bsk_ends_with(asked.output, formats[i].ending))
            asked.format = i;
    }
    if (asked.format == NO_FORMAT)
        asked.format = 0;
    struct cli_diff *shown = calloc(1, sizeof(*shown));
    if (!shown)
        return 1;
    shown->paths[0] = argv[0];
    shown->paths[1] = argv[1];
    shown->all = asked.all;
    shown->fail_on = asked.fail_on;
    look_at_terminal(shown, asked.output != NULL);
    rc = compare(shown, &asked);
    bsk_diff_free(shown->diff);
    bsk_profile_free(shown->sides[0].profile);
    bsk_profile_free(shown->sides[1].profile);
    free(shown);
    return rc;
}

const struct cli_command cli_diff = {
    "diff",
    "A B [options]",
    "compare two profiles, Basilisk's or py-spy's: what shifted, and what is noise",
    options,
    run_diff,
};
