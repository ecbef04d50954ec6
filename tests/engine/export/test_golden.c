#include "engine/export/export.h"
#include "tests/engine/export/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Each small sample in each format, as it is kept in golden/ with a line break where a person would
 * want one. BASILISK_GOLDEN=write writes the files anew (the build's target `golden`). */

/* Takes out what lies between `begin` and `end`: the style and the script of a flame graph have
 * their own files. */
static void leave_out(char *text, const char *begin, const char *end)
{
    char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
    if (to)
        memmove(from + strlen(begin), to, strlen(to) + 1);
}

static char *exported(const struct bsk_exporter *exporter, const struct bsk_profile *profile)
{
    char *text = NULL, *lines;
    size_t size = 0, out = 0;
    struct bsk_error err = { 0 };
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    int rc = exporter->write(profile, file, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, BSK_OK);
    fclose(file);
    lines = malloc(size * 2 + 1);
    assert_non_null(lines);
    for (size_t i = 0; i < size; i++) {
        bool joint = i > 0 && text[i] == ',' && (text[i - 1] == '}' || text[i - 1] == ']');
        bool opens = text[i] == '[' && i + 1 < size && text[i + 1] == '{';
        lines[out++] = text[i];
        if (joint || opens)
            lines[out++] = '\n';
    }
    lines[out] = '\0';
    leave_out(lines, "<style>", "</style>");
    leave_out(lines, "<script>", "</script>");
    free(text);
    return lines;
}

static void compare(const char *path, const char *text)
{
    const char *mode = getenv("BASILISK_GOLDEN");
    bool write = mode && strcmp(mode, "write") == 0;
    FILE *file = fopen(path, write ? "we" : "re");
    print_message("  %s\n", path);
    assert_non_null(file);
    if (write) {
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
        return;
    }
    char *kept = malloc(1 << 20);
    assert_non_null(kept);
    size_t size = fread(kept, 1, (1 << 20) - 1, file);
    kept[size] = '\0';
    fclose(file);
    assert_string_equal(text, kept);
    free(kept);
}

static void exports_are_as_they_were(void **state)
{
    (void)state;
    static const char *const formats[] = { "speedscope", "cpuprofile", "flamegraph", "raw",
                                           "chrometrace" }; /* pprof: validate.py */
    for (size_t i = 0; i < sample_profile_count; i++) {
        struct bsk_profile *profile = sample_profiles[i].golden ? sample_profiles[i].make() : NULL;
        for (size_t f = 0; profile && f < sizeof(formats) / sizeof(formats[0]); f++) {
            const struct bsk_exporter *exporter = bsk_exporter_named(formats[f]);
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s%s", GOLDEN_FOLDER, sample_profiles[i].name,
                     exporter->extension);
            char *text = exported(exporter, profile);
            compare(path, text);
            free(text);
        }
        bsk_profile_free(profile);
    }
    assert_null(bsk_exporter_named("no such format"));
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    struct bsk_profile *profile = sample_profiles[0].make();
    static const struct bsk_exporter *const exporters[] = {
        &bsk_export_speedscope, &bsk_export_cpuprofile,  &bsk_export_flamegraph,
        &bsk_export_raw,        &bsk_export_chrometrace, &bsk_export_pprof,
    };
    struct bsk_error err = { 0 };
    for (size_t i = 0; i < sizeof(exporters) / sizeof(exporters[0]); i++) {
        FILE *full = fopen("/dev/full", "we");
        assert_non_null(full);
        setvbuf(full, NULL, _IONBF, 0);
        err = (struct bsk_error){ 0 };
        assert_int_equal(exporters[i]->write(profile, full, &err), BSK_E_IO);
        assert_string_equal(err.hint, "is the disk full?");
        fclose(full);
    }
    assert_int_equal(bsk_export_file(&bsk_export_speedscope, profile, "/nowhere/at/all", &err),
                     BSK_E_IO);
    bsk_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exports_are_as_they_were),
        cmocka_unit_test(a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
