#include "proxy/commands/near.h"

#include "engine/base/strings.h"
#include "proxy/commands/family.h"

#include <stdio.h>
#include <string.h>

static const char spaces[] = " \t\r\n";

enum {
    NAME_MAX_LETTERS = 24,
    SHORT_LETTERS = 5, /* words so short have one slip at most, longer ones two */
    PART_LETTERS = 3,  /* a beginning or an end of a name has at least so many */
};

/* What newcomers type that is like no name. */
static const struct {
    const char *word, *name;
} others[] = { { "help", "/basilisk" }, { "memory", "/memleak" }, { "profiling", "/profile" } };

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Appends the letters and digits of `word`, in lower case. False: it has something else, or is too
 * long. */
static bool fold(const char *word, size_t bytes, char out[NAME_MAX_LETTERS + 1])
{
    size_t used = strlen(out);
    for (size_t i = 0; i < bytes; i++) {
        char c = word[i];
        if (c == '-' || c == '_')
            continue;
        if ((!is_letter(c) && !is_digit(c)) || used == NAME_MAX_LETTERS)
            return false;
        out[used++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    out[used] = '\0';
    return true;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Slips between two words: a letter too many, too few, another one, or two that changed places. */
static size_t slips(const char *a, const char *b)
{
    size_t rows[3][NAME_MAX_LETTERS + 1], a_size = strlen(a), b_size = strlen(b);
    if (a_size > NAME_MAX_LETTERS || b_size > NAME_MAX_LETTERS)
        return NAME_MAX_LETTERS;
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *free_row = before;
        before = above;
        above = row;
        row = free_row;
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return row[b_size];
}

/* How far `name` (without its slash) is from what was typed, the nearest first. */
enum distance {
    SAME,     /* but for case, '-' and '_', or a blank inside */
    ONE_SLIP, /* then two */
    PART = ONE_SLIP + 2,
    FAR
};

static size_t distance(const char *name, const char *word, const char *joined)
{
    size_t letters = strlen(word), slip_count = slips(word, name);
    if (slip_count == 0 || strcmp(joined, name) == 0)
        return SAME;
    if (slip_count <= (letters > SHORT_LETTERS ? 2 : 1) && letters >= PART_LETTERS)
        return ONE_SLIP + slip_count - 1;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(word, others[i].word) == 0 && strcmp(name, others[i].name + 1) == 0)
            return ONE_SLIP;
    }
    bool part =
        letters >= PART_LETTERS &&
        (bsk_starts_with(name, word) || bsk_ends_with(name, word) || bsk_starts_with(word, name));
    return part ? PART : FAR;
}

size_t dap_near_find(const char *text, struct dap_near *out)
{
    struct dap_near near = { .count = 0 };
    char word[NAME_MAX_LETTERS + 1] = "", joined[NAME_MAX_LETTERS + 1] = "";
    text += strspn(text, spaces);
    size_t bytes = strcspn(text, spaces);
    if (bytes < 2 || bytes >= sizeof(near.word) || text[0] != '/' || !is_letter(text[1]) ||
        !fold(text + 1, bytes - 1, word))
        return 0;
    snprintf(near.word, sizeof(near.word), "%.*s", (int)bytes, text);
    const char *second = text + bytes + strspn(text + bytes, spaces);
    memcpy(joined, word, sizeof(joined));
    if (!fold(second, strcspn(second, spaces), joined))
        memcpy(joined, word, sizeof(joined));

    size_t nearest = FAR;
    for (size_t i = 0; i < dap_command_count; i++) {
        const char *name = dap_command_table[i].console;
        if (!name)
            continue;
        if (strcmp(name, near.word) == 0)
            return 0;
        size_t far = distance(name + 1, word, joined);
        if (far < nearest)
            near.count = 0;
        nearest = least(nearest, far);
        if (far == nearest && far < FAR && near.count < DAP_NEAR_MAX)
            near.names[near.count++] = name;
    }
    if (out)
        *out = near;
    return near.count;
}

void dap_near_sentence(const struct dap_near *near, char *out, size_t size)
{
    int used = snprintf(out, size, "There is no %s; did you mean ", near->word);
    for (size_t i = 0; i < near->count && used > 0 && (size_t)used < size; i++)
        used += snprintf(out + used, size - (size_t)used, "%s%s",
                         i == 0                ? ""
                         : i + 1 < near->count ? ", "
                                               : " or ",
                         near->names[i]);
    if (used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, "? /basilisk lists the commands");
}
