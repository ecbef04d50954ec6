/* basilisk.profiler.compare, /profdiff: what shifted between two profiles, and what of it is more
 * than noise. Files are read and compared on a worker of libuv's. */
#include "engine/base/buffer.h"
#include "engine/base/strings.h"
#include "engine/import/import.h"
#include "engine/profile/diff.h"
#include "proxy/commands/family.h"
#include "proxy/profiling/write.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SHOWN_ROWS = 15,
    MAX_ROWS = 2000,            /* of a body: the largest shifts come first */
    MAX_FILE_BYTES = 128 << 20, /* a session must not be held up; `basilisk diff` reads more */
};

struct compare_job {
    uv_work_t work;
    struct dap_question *question;
    struct dap_debuggee debuggee; /* as it was when the question came */
    char folder[PATH_MAX];        /* where this session writes; "" when it has written nothing */
    struct side {
        unsigned number;      /* of one that this session wrote; 0: a file */
        char asked[PATH_MAX]; /* as the user wrote it */
        char path[PATH_MAX];  /* as it was found */
        struct bsk_imported imported;
    } sides[2];
    struct bsk_diff *diff;
    int rc;
    struct bsk_error err;
};

/* ---- On a worker -------------------------------------------------------------------------------
 */

/* True when there is something of this name, taken as it is or with speedscope's ending. */
static bool is_there(const char *folder, const char *name, char *out, size_t out_bytes)
{
    static const char *const endings[] = { "", ".speedscope.json" };
    struct stat status;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        int size =
            snprintf(out, out_bytes, "%s%s%s%s", folder, folder[0] ? "/" : "", name, endings[i]);
        if (size > 0 && (size_t)size < out_bytes && stat(out, &status) == 0)
            return true;
    }
    return false;
}

/* Below the folder that this session writes to, below the one that it would write to, below the
 * launch cwd. */
static int find_file(struct compare_job *job, struct side *side)
{
    char standard[PATH_MAX];
    struct stat status;
    dap_place_folder("", &job->debuggee, job->debuggee.pid, standard, sizeof(standard));
    const char *const folders[] = { job->folder, standard, job->debuggee.cwd };
    bool found = false;
    if (side->asked[0] == '/')
        found = is_there("", side->asked, side->path, sizeof(side->path));
    for (size_t i = 0; side->asked[0] != '/' && !found && i < 3; i++)
        found = folders[i][0] == '/' &&
                is_there(folders[i], side->asked, side->path, sizeof(side->path));
    if (!found)
        return bsk_fail(
            &job->err, BSK_E_IO,
            "give an absolute path, or one below the output directory or the launch cwd",
            "There is no file %.300s", side->asked);
    if (stat(side->path, &status) != 0 || !S_ISREG(status.st_mode))
        return bsk_fail(&job->err, BSK_E_IO, NULL, "%.300s is no file", side->path);
    if (status.st_size > MAX_FILE_BYTES)
        return bsk_fail(&job->err, BSK_E_LIMIT, "compare them with `basilisk diff`",
                        "%.300s is larger than %d MiB", side->path, MAX_FILE_BYTES >> 20);
    return BSK_OK;
}

static void compare_on_worker(uv_work_t *work)
{
    struct compare_job *job = work->data;
    for (size_t i = 0; i < 2 && job->rc == BSK_OK; i++) {
        job->rc = find_file(job, &job->sides[i]);
        if (job->rc == BSK_OK)
            job->rc = bsk_import_file(job->sides[i].path, &job->sides[i].imported, &job->err);
    }
    const struct bsk_imported *a = &job->sides[0].imported, *b = &job->sides[1].imported;
    if (job->rc == BSK_OK) {
        job->diff =
            bsk_diff_new(a->profile, a->has_order, b->profile, b->has_order, BSK_DIFF_LEAST_POINTS);
        if (!job->diff)
            job->rc = bsk_fail(&job->err, BSK_E_MEMORY, NULL, "out of memory");
    }
}

/* ---- In words ----------------------------------------------------------------------------------
 */

static bool is_significant(const struct bsk_diff_function *function)
{
    return function->self.significant || function->total.significant;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static void say_row(struct dap_session *session, const struct bsk_diff_function *function)
{
    /* the share that makes it worth a row */
    bool total = !function->self.significant && function->total.significant;
    const struct bsk_share *share = total ? &function->total : &function->self;
    char text[1200];
    snprintf(text, sizeof(text), "%7.2f %7.2f %+7.2f%c %s%s%.300s%s%s\n", share->before,
             share->after, share->delta, share->significant ? '*' : ' ', function->name,
             function->path[0] ? "  (" : "", file_name(function->path),
             function->path[0] ? ")" : "", total ? ", with what it calls" : "");
    dap_session_output(session, "console", text, NULL, 0);
}

static void say_sides(struct dap_session *session, const struct compare_job *job)
{
    static const char *const titles[] = { "before", "after" };
    struct bsk_buffer text = { 0 };
    for (size_t i = 0; i < 2; i++) {
        const struct side *side = &job->sides[i];
        uint64_t samples = bsk_profile_samples(side->imported.profile);
        char number[32] = "";
        if (side->number > 0)
            snprintf(number, sizeof(number), "profile %u, ", side->number);
        bsk_buffer_printf(&text, "%-6s  %s%s, %llu sample%s\n", titles[i], number,
                          file_name(side->path), (unsigned long long)samples,
                          samples == 1 ? "" : "s");
    }
    dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

/* What can be told from noise is nothing at all where there are next to no samples. */
static void say_foot(struct dap_session *session, const struct bsk_diff *diff, bool any_rows)
{
    enum { HOPELESS_POINTS = 30 };
    struct bsk_buffer text = { 0 };
    if (diff->significant > 0)
        bsk_buffer_printf(&text, "* more than noise\n");
    if (diff->visible_points >= HOPELESS_POINTS)
        bsk_buffer_printf(&text, "These are too few samples to tell a shift from noise: profile "
                                 "for longer, or at a higher rate.\n");
    else if (any_rows)
        bsk_buffer_printf(&text,
                          "A shift below %.1f points of a function of 10 percent cannot be told "
                          "from noise here.\n",
                          diff->visible_points);
    if (text.size > 0)
        dap_session_output(session, "console", bsk_buffer_text(&text), NULL, 0);
    bsk_buffer_free(&text);
}

static void say_result(struct dap_session *session, const struct compare_job *job)
{
    static const char head[] = " before   after   shift  percent of the time in the function "
                               "itself\n";
    const struct bsk_diff *diff = job->diff;
    size_t shown = 0;
    say_sides(session, job);
    for (int pass = 0; pass < 2; pass++) { /* what is significant first */
        for (size_t i = 0; i < diff->count && shown < SHOWN_ROWS; i++) {
            const struct bsk_diff_function *function = &diff->functions[i];
            bool worth = pass == 0 || function->self.before >= 1 || function->self.after >= 1;
            if (is_significant(function) != (pass == 0) || !worth)
                continue;
            if (shown++ == 0)
                dap_session_output(session, "console", head, NULL, 0);
            say_row(session, function);
        }
    }
    if (shown == 0)
        dap_session_output(session, "console", "No function has 1 percent of the time in either.\n",
                           NULL, 0);
    say_foot(session, diff, shown > 0);
}

/* ---- The body ----------------------------------------------------------------------------------
 */

static void add_share(struct json_object *row, const char *key, double value)
{
    char text[64];
    snprintf(text, sizeof(text), "%.2f", value);
    if (strcmp(text, "-0.00") == 0)
        memmove(text, text + 1, sizeof("0.00"));
    json_object_object_add(row, key, json_object_new_double_s(value, text));
}

static struct json_object *side_body(const struct side *side)
{
    const struct bsk_profile_meta *meta = bsk_profile_meta_const(side->imported.profile);
    struct json_object *body = json_object_new_object();
    if (side->number > 0)
        json_object_object_add(body, "number", json_object_new_int64(side->number));
    dap_add_text(body, "path", side->path);
    dap_add_text(body, "format", side->imported.format);
    dap_add_text(body, "name", meta->name);
    dap_add_text(body, "python", meta->python);
    dap_add_text(body, "commit", side->imported.commit);
    json_object_object_add(
        body, "samples",
        json_object_new_int64((int64_t)bsk_profile_samples(side->imported.profile)));
    return body;
}

static struct json_object *compare_body(const struct compare_job *job)
{
    const struct bsk_diff *diff = job->diff;
    struct json_object *body = json_object_new_object(), *rows = json_object_new_array();
    json_object_object_add(body, "baseline", side_body(&job->sides[0]));
    json_object_object_add(body, "candidate", side_body(&job->sides[1]));
    for (size_t i = 0; i < diff->count && i < MAX_ROWS; i++) {
        const struct bsk_diff_function *function = &diff->functions[i];
        struct json_object *row = json_object_new_object();
        dap_add_text(row, "function", function->name);
        dap_add_text(row, "path", function->path);
        add_share(row, "selfBefore", function->self.before);
        add_share(row, "selfAfter", function->self.after);
        add_share(row, "delta", function->self.delta);
        json_object_object_add(row, "significant",
                               json_object_new_boolean(function->self.significant));
        add_share(row, "totalBefore", function->total.before);
        add_share(row, "totalAfter", function->total.after);
        add_share(row, "totalDelta", function->total.delta);
        json_object_object_add(row, "totalSignificant",
                               json_object_new_boolean(function->total.significant));
        json_object_array_add(rows, row);
    }
    json_object_object_add(body, "functions", rows);
    json_object_object_add(body, "significantFunctions",
                           json_object_new_int64((int64_t)diff->significant));
    add_share(body, "visiblePoints", diff->visible_points);
    return body;
}

/* ---- On the loop -------------------------------------------------------------------------------
 */

static void after_compare(uv_work_t *work, int cancelled)
{
    (void)cancelled; /* we never cancel */
    struct compare_job *job = work->data;
    struct dap_session *session = job->question->commands->session;
    if (job->rc != BSK_OK) {
        dap_question_refuse(job->question, &job->err);
    } else if (session) {
        char words[200];
        if (job->diff->significant > 0)
            snprintf(words, sizeof(words), "%zu function%s shifted by more than noise",
                     job->diff->significant, job->diff->significant == 1 ? "" : "s");
        else
            snprintf(words, sizeof(words),
                     "No shift is significant: two runs of the same program may differ as much");
        if (job->question->from_console)
            say_result(session, job);
        dap_question_answer(job->question, compare_body(job), words);
    } else {
        dap_question_drop(job->question);
    }
    bsk_diff_free(job->diff);
    for (size_t i = 0; i < 2; i++)
        bsk_profile_free(job->sides[i].imported.profile);
    free(job);
}

/* One of the two as it was asked for: by its number, else by its file. */
struct named {
    unsigned number;
    const char *path;
};

static void compare(struct dap_question *question, const struct named named[2])
{
    const struct dap_profiling *profiling = question->commands->profiling;
    struct compare_job *job = calloc(1, sizeof(*job));
    if (!job) {
        dap_question_refuse_with(question, BSK_E_MEMORY, NULL, "out of memory");
        return;
    }
    job->work.data = job;
    job->question = question;
    job->debuggee = *dap_session_debuggee(question->commands->session);
    snprintf(job->folder, sizeof(job->folder), "%s", dap_profiling_folder(profiling));
    for (size_t i = 0; i < 2; i++) {
        job->sides[i].number = named[i].number;
        snprintf(job->sides[i].asked, sizeof(job->sides[i].asked), "%s", named[i].path);
    }
    uv_queue_work(question->commands->loop, &job->work, compare_on_worker, after_compare);
}

/* The last two that have samples: a snapshot of a moment's sleep is nothing to compare with. */
static void compare_newest(struct dap_question *question)
{
    const struct dap_profiling *profiling = question->commands->profiling;
    unsigned newest = dap_profiling_newest(profiling);
    struct named found[2] = { { 0, NULL }, { 0, NULL } };
    size_t missing = 2;
    const struct dap_written *written;
    for (unsigned number = newest;
         missing > 0 && (written = dap_profiling_written(profiling, number)) != NULL; number--) {
        if (written->has_samples)
            found[--missing] = (struct named){ number, written->path };
    }
    if (missing == 0)
        compare(question, found);
    else
        dap_question_refuse_with(
            question, BSK_E_STATE,
            "take another with /profile or /profsnapshot, or name two: /profdiff A B",
            newest == 0    ? "This session has written no profile yet"
            : newest == 1  ? "This session has written one profile only"
            : missing == 2 ? "No samples: none of this session's profiles has any"
                           : "Only one of this session's profiles has samples");
}

/* Fails with BSK_E_STATE. */
static int name_by_number(const struct dap_profiling *profiling, unsigned number, struct named *out,
                          struct bsk_error *err)
{
    const struct dap_written *written = dap_profiling_written(profiling, number);
    unsigned newest = dap_profiling_newest(profiling);
    char hint[160];
    if (written && written->has_samples) {
        *out = (struct named){ number, written->path };
        return BSK_OK;
    }
    if (written)
        return bsk_fail(err, BSK_E_STATE, "compare others, or profile it while it works",
                        "No samples in profile %u", number);
    unsigned oldest = newest > DAP_WRITTEN_MAX ? newest - DAP_WRITTEN_MAX + 1 : 1;
    if (newest == 0)
        snprintf(hint, sizeof(hint), "this session has written none yet");
    else if (oldest > 1)
        snprintf(hint, sizeof(hint),
                 "this session remembers %u to %u; older ones by the names of their files", oldest,
                 newest);
    else
        snprintf(hint, sizeof(hint), "this session has written %u to %u", oldest, newest);
    return bsk_fail(err, BSK_E_STATE, hint, "There is no profile %u", number);
}

/* What stands under `key`: neither number nor path when there is none. */
static int take_named(const struct dap_profiling *profiling, struct json_object *arguments,
                      const char *key, struct named *out, struct bsk_error *err)
{
    struct json_object *value = NULL;
    *out = (struct named){ 0, NULL };
    if (!arguments || !json_object_object_get_ex(arguments, key, &value))
        return BSK_OK;
    if (json_object_is_type(value, json_type_string) && json_object_get_string_len(value) > 0 &&
        json_object_get_string_len(value) < PATH_MAX) {
        out->path = json_object_get_string(value);
        return BSK_OK;
    }
    int64_t number = json_object_get_int64(value);
    if (json_object_is_type(value, json_type_int) && number > 0 && number <= UINT_MAX)
        return name_by_number(profiling, (unsigned)number, out, err);
    return bsk_fail(err, BSK_E_FORMAT, NULL,
                    "%s must be the path of a profile, or the number of one of this session's, not "
                    "%.60s",
                    key, json_object_to_json_string(value));
}

void dap_ask_compare(struct dap_question *question, struct json_object *arguments)
{
    const struct dap_profiling *profiling = question->commands->profiling;
    struct bsk_error err = { 0 };
    struct named named[2];
    if (take_named(profiling, arguments, "baseline", &named[0], &err) != BSK_OK ||
        take_named(profiling, arguments, "candidate", &named[1], &err) != BSK_OK) {
        dap_question_refuse(question, &err);
    } else if (!named[0].path != !named[1].path) {
        dap_question_refuse_with(question, BSK_E_FORMAT,
                                 "give both, or none for the last two of this session",
                                 "To compare takes two profiles: baseline and candidate");
    } else if (named[0].path) {
        compare(question, named);
    } else {
        compare_newest(question);
    }
}

/* The next word of `*text`, which may stand in quotes; "" at the end. */
static void next_word(const char **text, char out[PATH_MAX])
{
    const char *at = *text + strspn(*text, " \t\r\n");
    char quote = *at == '"' || *at == '\'' ? *at : '\0';
    size_t size;
    if (quote) {
        at++;
        const char *end = strchr(at, quote);
        size = end ? (size_t)(end - at) : strlen(at);
        *text = at + size + (end != NULL);
    } else {
        size = strcspn(at, " \t\r\n");
        *text = at + size;
    }
    snprintf(out, PATH_MAX, "%.*s", size < PATH_MAX ? (int)size : PATH_MAX - 1, at);
}

/* Digits alone are a number; ./7 is a file. */
static int read_named(const struct dap_profiling *profiling, const char *word, struct named *out,
                      struct bsk_error *err)
{
    enum { MOST_DIGITS = 9 };
    size_t digits = strspn(word, "0123456789");
    *out = (struct named){ 0, word };
    if (digits == 0 || word[digits] || digits > MOST_DIGITS)
        return BSK_OK;
    return name_by_number(profiling, (unsigned)strtoul(word, NULL, 10), out, err);
}

void dap_say_compare(struct dap_question *question, const char *rest)
{
    const struct dap_profiling *profiling = question->commands->profiling;
    struct bsk_error err = { 0 };
    struct named named[2];
    char words[3][PATH_MAX];
    for (size_t i = 0; i < 3; i++)
        next_word(&rest, words[i]);
    if (words[2][0] || (words[0][0] && !words[1][0]))
        dap_question_refuse_with(question, BSK_E_FORMAT,
                                 "by number (/profdiff 1 3) or file, names with blanks in quotes; "
                                 "alone: the last two of this session",
                                 "/profdiff takes two profiles, A and B");
    else if (!words[0][0])
        compare_newest(question);
    else if (read_named(profiling, words[0], &named[0], &err) != BSK_OK ||
             read_named(profiling, words[1], &named[1], &err) != BSK_OK)
        dap_question_refuse(question, &err);
    else
        compare(question, named);
}
