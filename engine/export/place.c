/*
 * Where the files of a profile go, and which older ones leave.
 *
 * Two processes that ask at once cannot get the same stem: each claims it first by creating
 * ".STEM.claim" with O_EXCL, then looks whether files of that set exist. A claim stays for an hour;
 * by then the set's files hold the name, or nobody wants it any more.
 */
#include "engine/base/publish.h"
#include "engine/base/strings.h"
#include "engine/export/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SETS_MAX = 50,
    NAME_MAX_BYTES = 80,
    STEM_MAX_BYTES = 128,
    CLAIM_SECONDS = 3600,
    TRIES_MAX = 1000, /* sets begun in one second */
};

static const uint64_t SETS_MAX_BYTES = (uint64_t)500 << 20;

/* What Basilisk writes beside each other under one stem. */
static const char *const extensions[] = {
    ".speedscope.json", ".cpuprofile", ".heapprofile",      ".svg",   ".md",
    ".folded",          ".trace.json", ".chrometrace.json", ".pb.gz",
};

struct set {
    char stem[STEM_MAX_BYTES];
    char stamp[16]; /* "20261121-120450": as text, the newer is the greater */
    unsigned long number;
    uint64_t bytes;
};

struct sets {
    struct set *items;
    size_t count, capacity;
};

static bool digits(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return true;
}

/* Reads "NAME-YYYYMMDD-HHMMSS[-N]"; false when it is no stem of ours. */
static bool parse_stem(const char *stem, struct set *out)
{
    size_t bytes = strlen(stem), end = bytes;
    if (bytes >= sizeof(out->stem))
        return false;
    memcpy(out->stem, stem, bytes + 1);
    out->number = 1;
    while (end > 0 && digits(stem + end - 1, 1))
        end--;
    if (bytes - end < 6 && end < bytes && end > 0 && stem[end - 1] == '-') {
        out->number = strtoul(stem + end, NULL, 10);
        bytes = end - 1;
    }
    if (bytes < 17 || stem[bytes - 16] != '-' || stem[bytes - 7] != '-' ||
        !digits(stem + bytes - 15, 8) || !digits(stem + bytes - 6, 6))
        return false;
    memcpy(out->stamp, stem + bytes - 15, 15);
    out->stamp[15] = '\0';
    return true;
}

/* The set that a file belongs to; false when it is no file of ours. */
static bool parse_file(const char *file, struct set *out)
{
    char stem[STEM_MAX_BYTES];
    size_t bytes = strlen(file);
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        size_t kept = bytes - strlen(extensions[i]);
        if (!bsk_ends_with(file, extensions[i]) || kept >= sizeof(stem))
            continue;
        memcpy(stem, file, kept);
        stem[kept] = '\0';
        return parse_stem(stem, out);
    }
    return false;
}

static bool is_claim(const char *file)
{
    return file[0] == '.' && bsk_ends_with(file, ".claim");
}

static bool is_ours(const char *file)
{
    struct set set;
    return parse_file(file, &set) || is_claim(file) ||
           (file[0] == '.' && bsk_ends_with(file, ".draft"));
}

static int newest_first(const void *left, const void *right)
{
    const struct set *a = left, *b = right;
    int order = strcmp(b->stamp, a->stamp);
    if (order == 0)
        order = (b->number > a->number) - (b->number < a->number);
    return order ? order : strcmp(a->stem, b->stem);
}

static void add_file(struct sets *sets, const struct set *of, uint64_t bytes)
{
    for (size_t i = 0; i < sets->count; i++) {
        if (strcmp(sets->items[i].stem, of->stem) == 0) {
            sets->items[i].bytes += bytes;
            return;
        }
    }
    if (sets->count == sets->capacity) {
        size_t capacity = sets->capacity * 2 + 64;
        struct set *items = realloc(sets->items, capacity * sizeof(*items));
        if (!items)
            return; /* this set stays; the next time will do */
        sets->items = items;
        sets->capacity = capacity;
    }
    sets->items[sets->count] = *of;
    sets->items[sets->count++].bytes = bytes;
}

/* Removes the files of one set, and nothing else: whatever is no regular file stays as well. */
static void remove_set(int folder, const char *stem)
{
    char file[STEM_MAX_BYTES + 32];
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        struct stat status;
        snprintf(file, sizeof(file), "%s%s", stem, extensions[i]);
        if (fstatat(folder, file, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            unlinkat(folder, file, 0);
    }
}

/* Keeps what fits beside the set that is about to be written. What cannot be removed stays. */
static void retire_sets(int folder, DIR *listing, time_t now)
{
    struct sets sets = { 0 };
    rewinddir(listing);
    for (const struct dirent *entry; (entry = readdir(listing));) {
        struct stat status;
        struct set set;
        bool claim = is_claim(entry->d_name);
        if ((!claim && !parse_file(entry->d_name, &set)) ||
            fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode))
            continue;
        if (!claim)
            add_file(&sets, &set, (uint64_t)status.st_size);
        else if (status.st_size == 0 && status.st_mtim.tv_sec + CLAIM_SECONDS < now)
            unlinkat(folder, entry->d_name, 0);
    }
    if (sets.count > 0)
        qsort(sets.items, sets.count, sizeof(*sets.items), newest_first);
    uint64_t bytes = 0;
    for (size_t i = 0; i < sets.count; i++) {
        bytes += sets.items[i].bytes;
        if (i + 1 >= SETS_MAX || bytes > SETS_MAX_BYTES)
            remove_set(folder, sets.items[i].stem);
    }
    free(sets.items);
}

/* A folder that holds anything else, such as the user's project, must not vanish from git. */
static void ignore_in_git(int folder, DIR *listing)
{
    rewinddir(listing);
    for (const struct dirent *entry; (entry = readdir(listing));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !is_ours(entry->d_name))
            return;
    }
    int fd = openat(folder, ".gitignore", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return;
    if (write(fd, "*\n", 2) != 2)
        unlinkat(folder, ".gitignore", 0);
    close(fd);
}

/* Letters, digits, '.', '_', '-' and what is beyond ASCII stay; never hidden, never an option. */
static void safe_name(const char *name, char out[NAME_MAX_BYTES + 1])
{
    size_t size = strlen(name), bytes = 0;
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)name[i];
        size_t length = bsk_utf8_length(name + i, size - i);
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '_' || c == '-';
        size_t step = length ? length : 1;
        if (bytes + step > NAME_MAX_BYTES)
            break;
        if (length > 1)
            memcpy(out + bytes, name + i, length);
        else
            out[bytes] = plain && !(bytes == 0 && (c == '.' || c == '-')) ? (char)c : '_';
        bytes += step;
        i += step;
    }
    out[bytes] = '\0';
    if (bytes == 0)
        memcpy(out, "profile", sizeof("profile"));
}

static bool set_exists(int folder, const char *stem)
{
    char file[STEM_MAX_BYTES + 32];
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        snprintf(file, sizeof(file), "%s%s", stem, extensions[i]);
        if (faccessat(folder, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

/* BSK_OK, or an errno: EEXIST when somebody else has it. */
static int claim(int folder, const char *stem)
{
    char file[STEM_MAX_BYTES + 32];
    snprintf(file, sizeof(file), ".%s.claim", stem);
    int fd = openat(folder, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return set_exists(folder, stem) ? EEXIST : 0;
}

static int choose_stem(int folder, const char *name, time_t now, char stem[STEM_MAX_BYTES])
{
    char safe[NAME_MAX_BYTES + 1], stamp[32] = "19700101-000000";
    struct tm parts;
    safe_name(name, safe);
    if (localtime_r(&now, &parts))
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &parts);
    for (unsigned number = 1; number <= TRIES_MAX; number++) {
        if (number == 1)
            snprintf(stem, STEM_MAX_BYTES, "%s-%s", safe, stamp);
        else
            snprintf(stem, STEM_MAX_BYTES, "%s-%s-%u", safe, stamp, number);
        int reason = claim(folder, stem);
        if (reason != EEXIST)
            return reason;
    }
    return EEXIST;
}

int bsk_export_place(const char *folder_path, const char *name, char *out_stem,
                     size_t out_stem_bytes, struct bsk_error *err)
{
    int rc = bsk_make_folder(folder_path, err);
    if (rc < 0)
        return rc;
    char stem[STEM_MAX_BYTES];
    time_t now = time(NULL);
    int reason = 0;
    DIR *listing = opendir(folder_path);
    if (!listing) {
        reason = errno;
        goto out;
    }
    int folder = dirfd(listing);
    ignore_in_git(folder, listing);
    reason = choose_stem(folder, name, now, stem);
    if (reason)
        goto out;
    retire_sets(folder, listing, now);
    int needed = snprintf(out_stem, out_stem_bytes, "%s/%s", folder_path, stem);
    if (needed < 0 || (size_t)needed >= out_stem_bytes)
        rc = bsk_fail(err, BSK_E_LIMIT, "choose a shorter output directory",
                      "the path %.200s… is too long", folder_path);
out:
    if (listing)
        closedir(listing);
    if (reason)
        rc = bsk_fail(err, BSK_E_IO, "choose another one, or make it writable",
                      "Output directory not writable: %s (%s)", folder_path, strerror(reason));
    return rc;
}
