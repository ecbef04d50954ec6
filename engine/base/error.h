/*
 * What went wrong, for programs and for people.
 *
 * An error is a code, a fact and a hint: the code is for programs, the message states the fact with
 * its numbers, the hint is the one next step for a person. Whoever sees a failure first fills it
 * in; everyone above passes it on untouched. Library code never prints.
 */
#ifndef BSK_BASE_ERROR_H
#define BSK_BASE_ERROR_H

enum bsk_code {
    BSK_OK = 0,
    BSK_E_PERMISSION = -1, /* the kernel said no; trying again cannot help */
    BSK_E_GONE = -2,       /* the target has exited */
    BSK_E_TORN = -3,       /* memory changed or vanished under us; the next sample may work */
    BSK_E_LIMIT = -4,      /* a length or a depth passed a ceiling that we chose */
    BSK_E_FORMAT = -5,     /* input is not what its format promises */
    BSK_E_IO = -6,         /* a file or a pipe failed */
    BSK_E_MEMORY = -7,     /* out of memory */
    BSK_E_STATE = -8,      /* not now: the request does not fit what is going on */
    BSK_E_UNSUPPORTED = -9 /* understood, and not in this build or for this target */
};

struct bsk_error {
    enum bsk_code code;
    char message[512]; /* one line, no final newline: "cannot read process 4711" */
    char hint[512];    /* one line, or "": "run `sudo sysctl kernel.yama.ptrace_scope=0`" */
};

/* Returns `code`, so callers write `return bsk_fail(err, ...)`. `err` and `hint` may be NULL. */
int bsk_fail(struct bsk_error *err, enum bsk_code code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "message: hint", or the message alone, as one sentence for a person; cut to fit `size`. */
void bsk_error_sentence(const struct bsk_error *err, char *out, unsigned long size);

#endif
