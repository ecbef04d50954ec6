/* What the files of the code table share: codes.c has the table and reads what is new to it,
 * codes_identity.c tells whether it is still the same, codes_lines.c where a frame stands in it. */
#ifndef BSK_PYTHON_CODES_INSIDE_H
#define BSK_PYTHON_CODES_INSIDE_H

#include "engine/python/codes.h"

#include <string.h>

enum {
    BSK_CODES_PATH_BYTES = 4096, /* longest file name kept; longer ones are cut and end in "..." */
    HEADER_MAX_BYTES = 512,      /* of a code object, without its bytecode */
    IDENTITY_HEADER = 8,         /* words of an identity that come from the code object itself */
    IDENTITY_WORDS = 12,         /* with length and digest of name and file name */
};

struct bsk_codes {
    struct bsk_process *process;
    const struct bsk_layout *layout;
    uint64_t code_type; /* address of PyCode_Type, learnt from the first code object */
    uint32_t next_id;
    struct bsk_known **slots; /* open addressing by address; a power of two */
    size_t slot_count, used;
    struct bsk_known **all; /* everything ever met, for bsk_codes_free() */
    size_t all_count, all_capacity;
    size_t jit_next; /* of `all`, to be looked at next */
    char cwd[BSK_CODES_PATH_BYTES], first_cwd[BSK_CODES_PATH_BYTES];
    struct bsk_known *reused, *unread; /* see bsk_codes_reused(), bsk_codes_unread() */
    uint64_t ran_ns;                   /* see bsk_codes_ran() */
    uint64_t met_ran_ns, lost_ran_ns;  /* what it was when code was met and lost last */
    uint64_t met_ns;                   /* CLOCK_MONOTONIC of the last */
    bool lost;                         /* any */
};

static inline uint64_t bsk_word_at(const uint8_t *bytes, size_t offset)
{
    uint64_t value;
    memcpy(&value, bytes + offset, sizeof(value));
    return value;
}

/* codes.c */
/* Forgets the address, not the code: samples that named it keep naming it. */
void bsk_codes_disown(struct bsk_codes *codes, struct bsk_known *known);

/* codes_identity.c */
void bsk_codes_met(struct bsk_codes *codes, struct bsk_known *known);
void bsk_codes_lost(struct bsk_codes *codes);
uint32_t bsk_codes_header_bytes(const struct bsk_layout *layout); /* at most HEADER_MAX_BYTES */
void bsk_codes_identify(const struct bsk_layout *layout, const uint8_t *header,
                        uint64_t identity[IDENTITY_HEADER]);
/* Adds what the header does not say; false when it cannot be read. */
bool bsk_codes_identify_texts(struct bsk_codes *codes, uint64_t identity[IDENTITY_WORDS]);

#endif
