/* What the process of a core file was started with: the note keeps 79 bytes of it, its stack all.
 */
#include "engine/process/linux/core.h"

#include <stdio.h>
#include <string.h>

static bool word_at(struct bsk_core *core, uint64_t address, uint64_t *out_word)
{
    return bsk_core_read(core, address, out_word, sizeof(*out_word));
}

/*
 * At the top of the stack lie, upwards: argc, argv, 0, the environment, 0, the auxiliary vector,
 * and some bytes further what AT_RANDOM points to. The auxiliary vector is known by its note; from
 * there the way goes downwards, until a word says how many were arguments.
 */
void bsk_core_find_arguments(struct bsk_core *core)
{
    enum { SEARCHED_BYTES = 1024, WORDS_MAX = 1 << 16 };
    char bytes[SEARCHED_BYTES];
    uint64_t from = core->random_at & ~7ULL, word = 0;
    if (from < SEARCHED_BYTES || !core->has_auxv ||
        !bsk_core_read(core, from - SEARCHED_BYTES, bytes, sizeof(bytes)))
        return;
    const char *hit = memmem(bytes, sizeof(bytes), core->auxv_begins, sizeof(core->auxv_begins));
    if (!hit)
        return;
    uint64_t at = from - SEARCHED_BYTES + (uint64_t)(hit - bytes) - 8, count = 0;
    if (!word_at(core, at, &word) || word != 0)
        return;
    while (word_at(core, at - 8, &word) && word != 0 && count < WORDS_MAX) {
        at -= 8;
        count++;
    }
    uint64_t environment = at;
    if (word != 0 || !word_at(core, at - 8, &word))
        return;
    at -= 8; /* the zero behind argv */
    for (uint64_t arguments = 0; word_at(core, at - 8, &word) && arguments < WORDS_MAX;
         arguments++, at -= 8) {
        if (word != arguments)
            continue;
        if (arguments > 0 && word_at(core, at, &core->first_argument) &&
            word_at(core, at + 8 * (arguments - 1), &core->last_argument)) {
            core->environment = environment;
            core->environment_count = (size_t)count;
        }
        return;
    }
}

/* A string, cut to fit; "" where there is none. Returns its bytes. */
static size_t text_at(struct bsk_core *core, uint64_t address, char *out, size_t size)
{
    enum { PAGE = 4096 };
    size_t done = 0;
    while (done < size - 1) {
        size_t part = PAGE - (size_t)((address + done) % PAGE);
        part = part < size - 1 - done ? part : size - 1 - done;
        if (!bsk_core_read(core, address + done, out + done, part))
            break;
        size_t length = strnlen(out + done, part);
        done += length;
        if (length < part)
            break;
    }
    out[done] = '\0';
    return done;
}

void bsk_core_command(struct bsk_core *core, char *out, size_t size)
{
    uint64_t before = core->last_argument - core->first_argument;
    if (core->first_argument == 0 || core->last_argument < core->first_argument) {
        snprintf(out, size, "%s", core->command);
        return;
    }
    bool cut = before >= size - 1;
    size_t kept = cut ? size - 1 : (size_t)before;
    if (!bsk_core_read(core, core->first_argument, out, kept)) {
        snprintf(out, size, "%s", core->command);
        return;
    }
    if (!cut)
        kept += text_at(core, core->last_argument, out + kept, size - kept);
    cut = kept >= size - 1;
    while (kept > 0 && out[kept - 1] == '\0')
        kept--;
    out[kept] = '\0';
    for (size_t i = 0; i < kept; i++)
        if (out[i] == '\0' || out[i] == '\n')
            out[i] = ' ';
    if (cut && size > 4)
        strcpy(out + size - 4, "...");
}

void bsk_core_first_cwd(struct bsk_core *core, char *out, size_t size)
{
    uint64_t variable;
    char name[sizeof("PWD=/")];
    out[0] = '\0';
    for (size_t i = 0; i < core->environment_count; i++)
        if (word_at(core, core->environment + 8 * i, &variable) &&
            text_at(core, variable, name, sizeof(name)) > 0 && strcmp(name, "PWD=/") == 0) {
            if (text_at(core, variable + 4, out, size) >= size - 1)
                out[0] = '\0';
            return;
        }
}
