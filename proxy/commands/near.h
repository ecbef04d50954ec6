/*
 * Console text that is nearly a command of ours: "/profil", "/Profile", "/prof start", "/mem-snap".
 * Nothing that Python could evaluate begins with '/', so no expression is ever taken for one.
 */
#ifndef DAP_COMMANDS_NEAR_H
#define DAP_COMMANDS_NEAR_H

#include <stddef.h>

enum { DAP_NEAR_MAX = 4, DAP_NEAR_WORD_BYTES = 25 };

struct dap_near {
    char word[DAP_NEAR_WORD_BYTES];  /* as it was written: "/profil" */
    const char *names[DAP_NEAR_MAX]; /* of the table, in its order: "/profile" */
    size_t count;
};

/* Returns how many commands `text` may have meant; 0 when it is a command, or nothing like one: a
 * word begins with '/' and a letter, and has letters, digits, '-' and '_' only. `out` may be NULL.
 */
size_t dap_near_find(const char *text, struct dap_near *out);

/* "There is no /profil; did you mean /profile? /basilisk lists the commands" */
void dap_near_sentence(const struct dap_near *near, char *out, size_t size);

#endif
