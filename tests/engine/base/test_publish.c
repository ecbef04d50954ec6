#include "engine/base/publish.h"

#include <limits.h>
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

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/bsk-publish-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static void a_file_appears_whole_and_private(void **state)
{
    (void)state;
    char path[128], draft_path[PATH_MAX], line[16] = "";
    struct bsk_error err = { 0 };
    struct stat status;
    FILE *draft;
    snprintf(path, sizeof(path), "%s/a.json", folder);
    assert_int_equal(bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, &err), BSK_OK);
    fputs("whole", draft);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(bsk_publish(draft, draft_path, path, &err), BSK_OK);
    assert_int_equal(access(draft_path, F_OK), -1);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, "whole");
    fclose(file);

    assert_int_equal(bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, &err), BSK_OK);
    bsk_draft_discard(draft, draft_path);
    assert_int_equal(access(draft_path, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0); /* what was there stays */
}

static void a_failure_says_why_and_leaves_nothing(void **state)
{
    (void)state;
    char path[128], draft_path[PATH_MAX];
    struct bsk_error err = { 0 };
    FILE *draft;
    assert_int_equal(bsk_draft_open("/nowhere/a", draft_path, sizeof(draft_path), &draft, &err),
                     BSK_E_IO);
    assert_non_null(strstr(err.message, "Output directory not writable: /nowhere/"));
    assert_int_equal(bsk_draft_open("/tmp/a", draft_path, 5, &draft, &err), BSK_E_LIMIT);
    snprintf(path, sizeof(path), "%s/a", folder);
    assert_int_equal(bsk_draft_open(path, draft_path, sizeof(draft_path), &draft, &err), BSK_OK);
    assert_int_equal(bsk_publish(draft, draft_path, folder, &err),
                     BSK_E_IO); /* a folder is there */
    assert_int_equal(access(draft_path, F_OK), -1);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    char path[128];
    struct bsk_error err = { 0 };
    snprintf(path, sizeof(path), "%s/a//b/c/", folder);
    assert_int_equal(bsk_make_folder(path, &err), BSK_OK);
    assert_int_equal(bsk_make_folder(path, &err), BSK_OK);
    assert_int_equal(access(path, W_OK), 0);
    snprintf(path, sizeof(path), "%s/file", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(bsk_make_folder(path, &err), BSK_E_IO);
    assert_int_equal(bsk_make_folder("", &err), BSK_E_LIMIT);
    snprintf(path, sizeof(path), "%s/file/below", folder);
    assert_int_equal(bsk_make_folder(path, &err), BSK_E_IO);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(a_file_appears_whole_and_private),
        WITH_FOLDER(a_failure_says_why_and_leaves_nothing),
        WITH_FOLDER(folders_are_made_with_their_parents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
