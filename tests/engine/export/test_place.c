#include "engine/export/about.h"
#include "engine/export/export.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/bsk-place-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command);
}

static void touch(const char *name, off_t size)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), size), 0);
    fclose(file);
}

static bool there(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return access(path, F_OK) == 0;
}

static void names_are_safe(void **state)
{
    (void)state;
    const struct {
        const char *why, *name, *begins;
    } cases[] = {
        { "a plain name stays", "app.py", "app.py-2" },
        { "no way out of the folder", "../../etc/passwd", "_.._.._etc_passwd-2" },
        { "no hidden file, no option", "-rf", "_rf-2" },
        { "letters of any script", "gr\xc3\xbc\xc3\x9f.py", "gr\xc3\xbc\xc3\x9f.py-2" },
        { "bytes that are none", "a\xff\nb c", "a__b_c-2" },
        { "no name", "", "profile-2" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char stem[512];
        print_message("  %s\n", cases[i].why);
        assert_int_equal(bsk_export_place(root, cases[i].name, stem, sizeof(stem), NULL), BSK_OK);
        const char *file = stem + strlen(root) + 1;
        if (i == 1) {
            assert_null(strchr(file, '/'));
            assert_int_not_equal(file[0], '.');
        } else {
            assert_memory_equal(file, cases[i].begins, strlen(cases[i].begins));
        }
    }
    char *longer = malloc(5000), stem[512];
    memset(longer, 'x', 4999);
    longer[4999] = '\0';
    assert_int_equal(bsk_export_place(root, longer, stem, sizeof(stem), NULL), BSK_OK);
    assert_int_equal(bsk_export_place(root, "a", stem, 10, NULL), BSK_E_LIMIT);
    free(longer);
}

static void two_processes_never_get_the_same_place(void **state)
{
    (void)state;
    enum { CHILDREN = 8, EACH = 20 };
    int answers[2];
    assert_int_equal(pipe(answers), 0);
    for (int c = 0; c < CHILDREN; c++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int i = 0; i < EACH; i++) {
                char stem[256] = { 0 };
                if (bsk_export_place(root, "app.py", stem, sizeof(stem), NULL) < 0 ||
                    write(answers[1], stem, sizeof(stem)) != sizeof(stem))
                    _exit(1);
            }
            _exit(0);
        }
    }
    close(answers[1]);
    static char stems[CHILDREN * EACH][256];
    size_t count = 0;
    while (count < CHILDREN * EACH && read(answers[0], stems[count], 256) == 256)
        count++;
    close(answers[0]);
    while (wait(NULL) > 0)
        ;
    assert_int_equal(count, CHILDREN * EACH);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(stems[i], stems[j]);
    }
}

static void old_sets_leave_and_strangers_stay(void **state)
{
    (void)state;
    char name[128], stem[256];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "app.py-20200101-0000%02d.speedscope.json", i);
        touch(name, 10);
        snprintf(name, sizeof(name), "app.py-20200101-0000%02d.cpuprofile", i);
        touch(name, 10);
        snprintf(name, sizeof(name), "app.py-20200101-0000%02d.svg", i);
        touch(name, 10);
        snprintf(name, sizeof(name), "app.py-20200101-0000%02d.md", i);
        touch(name, 10);
    }
    static const char *const strangers[] = {
        "notes.md",
        "app.svg",
        "20190101-000000.svg",
        "app-20190101-000000.svg.bak",
        "app-20190101-00000.cpuprofile",
        "app-2019010a-000000.cpuprofile",
        "app-20190101-000000.py",
    };
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        touch(strangers[i], 10);
    assert_int_equal(bsk_export_place(root, "app.py", stem, sizeof(stem), NULL), BSK_OK);
    assert_false(there(".gitignore")); /* somebody else's files are here */
    assert_false(there("app.py-20200101-000010.speedscope.json"));
    assert_false(there("app.py-20200101-000010.cpuprofile"));
    assert_false(there("app.py-20200101-000010.svg"));
    assert_false(there("app.py-20200101-000010.md"));
    assert_true(there("app.py-20200101-000011.md"));         /* four files, one set */
    assert_true(there("app.py-20200101-000011.cpuprofile")); /* 49, and the new one */
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        assert_true(there(strangers[i]));

    touch("app.py-20210101-000000-2.svg", 300 << 20); /* sparse */
    touch("app.py-20210101-000000.svg", 150 << 20);
    touch("app.py-20200101-000040.cpuprofile", 100 << 20);
    assert_int_equal(bsk_export_place(root, "app.py", stem, sizeof(stem), NULL), BSK_OK);
    assert_true(there("app.py-20210101-000000-2.svg"));
    assert_true(there("app.py-20210101-000000.svg"));
    assert_true(there("app.py-20200101-000041.cpuprofile"));
    assert_false(there("app.py-20200101-000040.cpuprofile"));
    assert_false(there("app.py-20200101-000040.speedscope.json"));
    assert_false(there("app.py-20200101-000039.cpuprofile"));
}

static void the_folder_is_made_and_ignored(void **state)
{
    (void)state;
    char folder[128], path[160], stem[256], line[8] = "";
    struct bsk_error err = { 0 };
    snprintf(folder, sizeof(folder), "%s/a/basilisk-profiles", root);
    assert_int_equal(bsk_export_place(folder, "app.py", stem, sizeof(stem), &err), BSK_OK);
    snprintf(path, sizeof(path), "%s/.gitignore", folder);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_string_equal(line, "*\n");
    assert_int_equal(bsk_export_place("/proc/none", "app.py", stem, sizeof(stem), &err), BSK_E_IO);
    assert_non_null(strstr(err.message, "Output directory not writable"));
}

static void the_commit_is_found(void **state)
{
    (void)state;
    static const char id[] = "0123456789abcdef0123456789abcdef01234567";
    const struct {
        const char *why, *script, *path, *expected;
    } cases[] = {
        { "no repository at all", "true", "x.py", "" },
        { "a branch",
          "mkdir -p .git/refs/heads; echo 'ref: refs/heads/main' >.git/HEAD; "
          "echo $ID >.git/refs/heads/main",
          "x.py", id },
        { "from deep below", "mkdir -p a/b", "a/b/x.py", id },
        { "packed",
          "rm .git/refs/heads/main; echo \"# pack-refs\" >.git/packed-refs; "
          "echo $ID refs/heads/main >>.git/packed-refs",
          "x.py", id },
        { "detached", "echo $ID >.git/HEAD", "x.py", id },
        { "a worktree",
          "mkdir -p w .git/worktrees/w; echo 'gitdir: ../.git/worktrees/w' >w/.git; "
          "echo 'ref: refs/heads/main' >.git/worktrees/w/HEAD; "
          "echo ../.. >.git/worktrees/w/commondir",
          "w/x.py", id },
        { "broken", "echo nonsense >.git/HEAD", "x.py", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char command[1024], path[256], commit[BSK_COMMIT_BYTES];
        print_message("  %s\n", cases[i].why);
        snprintf(command, sizeof(command), "cd '%s' && ID=%s && %s", root, id, cases[i].script);
        assert_int_equal(system(command), 0);
        snprintf(path, sizeof(path), "%s/%s", root, cases[i].path);
        bsk_git_commit(path, commit);
        assert_string_equal(commit, cases[i].expected);
    }
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROOT(names_are_safe),
        WITH_ROOT(two_processes_never_get_the_same_place),
        WITH_ROOT(old_sets_leave_and_strangers_stay),
        WITH_ROOT(the_folder_is_made_and_ignored),
        WITH_ROOT(the_commit_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
