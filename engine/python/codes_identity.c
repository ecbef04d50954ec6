/* Whether a code object is still the one that was met: what identifies it, read again and compared.
 */
#include "engine/base/clock.h"
#include "engine/python/codes_inside.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHECK_BATCH = 256,
    TEXT_HEADER_MAX = 64, /* of a str, from its length to its characters */
    TEXT_COMPARED = 128,
    WATCHED_NS = 1000000000, /* for so long after code came or went; see bsk_codes_ran() */
};

uint32_t bsk_codes_header_bytes(const struct bsk_layout *layout)
{
    uint32_t size = layout->code.bytecode ? layout->code.bytecode : layout->code.size;
    return size > HEADER_MAX_BYTES ? HEADER_MAX_BYTES : size;
}

/* Never the reference count, the bytecode or what the interpreter changes while it runs. */
void bsk_codes_identify(const struct bsk_layout *layout, const uint8_t *header,
                        uint64_t identity[IDENTITY_HEADER])
{
    identity[0] = bsk_word_at(header, layout->object.type);
    identity[1] = bsk_word_at(header, layout->code.filename);
    identity[2] = bsk_word_at(header, layout->code.name);
    identity[3] = layout->code.qualname ? bsk_word_at(header, layout->code.qualname) : 0;
    identity[4] = bsk_word_at(header, layout->code.linetable);
    identity[5] = bsk_word_at(header, layout->code.firstlineno) & UINT32_MAX;
    identity[6] = layout->code.bytecode ? bsk_word_at(header, layout->object.bytes_size) : 0;
    identity[7] = layout->code.version ? bsk_word_at(header, layout->code.version) & UINT32_MAX : 0;
}

/* Where the text that is a name or a file name lies, and how much of it is compared. */
static struct bsk_piece text_piece(const struct bsk_layout *layout, uint64_t text, uint64_t length,
                                   void *dst)
{
    uint32_t header = layout->object.text_ascii_data - layout->object.text_length;
    uint64_t part = length < TEXT_COMPARED ? length : TEXT_COMPARED;
    return (struct bsk_piece){ text + layout->object.text_length, dst, header + (uint32_t)part,
                               false };
}

/* Of its length and its characters, as far as compared; not of the hash, which is set when it is
 * first asked for. FNV-1a. */
static uint64_t digest(const struct bsk_layout *layout, const struct bsk_piece *piece)
{
    const uint8_t *bytes = piece->dst;
    uint32_t header = layout->object.text_ascii_data - layout->object.text_length;
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < piece->size; i++)
        if (i < 8 || i >= header)
            sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* Texts are freed and made again at the same address as well; where code has a version it says
 * enough. `identity` gets length and digest of name and file name. */
bool bsk_codes_identify_texts(struct bsk_codes *codes, uint64_t identity[IDENTITY_WORDS])
{
    const struct bsk_layout *layout = codes->layout;
    const uint64_t texts[] = { identity[2], identity[1] };
    memset(identity + IDENTITY_HEADER, 0, (IDENTITY_WORDS - IDENTITY_HEADER) * 8);
    for (size_t i = 0; i < 2 && layout->code.version == 0; i++) {
        uint64_t *of = identity + IDENTITY_HEADER + 2 * i;
        uint8_t bytes[TEXT_HEADER_MAX + TEXT_COMPARED];
        if (bsk_process_read(codes->process, texts[i] + layout->object.text_length, &of[0], 8,
                             NULL) < 0)
            return false;
        struct bsk_piece piece = text_piece(layout, texts[i], of[0], bytes);
        if (bsk_process_read(codes->process, piece.address, bytes, piece.size, NULL) < 0)
            return false;
        of[1] = digest(layout, &piece);
    }
    return true;
}

void bsk_codes_ran(struct bsk_codes *codes, uint64_t ns)
{
    codes->ran_ns += ns;
}

void bsk_codes_met(struct bsk_codes *codes, struct bsk_known *known)
{
    known->met_ran_ns = codes->met_ran_ns = codes->ran_ns;
    codes->met_ns = bsk_now_ns();
}

bool bsk_codes_met_lately(const struct bsk_codes *codes, uint64_t now_ns)
{
    return now_ns < codes->met_ns + WATCHED_NS; /* it may be later than the sample's own instant */
}

void bsk_codes_lost(struct bsk_codes *codes)
{
    codes->lost = true;
    codes->lost_ran_ns = codes->ran_ns;
}

bool bsk_codes_churn(const struct bsk_codes *codes)
{
    return codes->lost && codes->ran_ns - codes->lost_ran_ns < WATCHED_NS;
}

static bool check_batch(struct bsk_codes *codes, struct bsk_known *const *known, size_t count)
{
    enum { PIECES_EACH = 3, TEXT_BYTES = TEXT_HEADER_MAX + TEXT_COMPARED };
    const struct bsk_layout *layout = codes->layout;
    uint32_t size = bsk_codes_header_bytes(layout), each = layout->code.version ? 1 : PIECES_EACH;
    uint32_t stride = size + 2 * TEXT_BYTES;
    struct bsk_piece pieces[CHECK_BATCH * PIECES_EACH];
    uint8_t *bytes = malloc((size_t)stride * count);
    bool same = true;
    if (!bytes)
        return true;
    for (size_t i = 0; i < count; i++) {
        struct bsk_piece *piece = &pieces[i * each];
        const uint64_t *identity = known[i]->identity;
        uint8_t *dst = bytes + i * (size_t)stride;
        piece[0] = (struct bsk_piece){ known[i]->address, dst, size, false };
        if (each == 1)
            continue;
        piece[1] = text_piece(layout, identity[2], identity[IDENTITY_HEADER], dst + size);
        piece[2] =
            text_piece(layout, identity[1], identity[IDENTITY_HEADER + 2], dst + size + TEXT_BYTES);
    }
    if (bsk_process_read_pieces(codes->process, pieces, count * each, NULL) == BSK_OK) {
        for (size_t i = 0; i < count; i++) {
            const struct bsk_piece *piece = &pieces[i * each];
            uint64_t identity[IDENTITY_WORDS];
            bool ok = piece[0].ok && (each == 1 || (piece[1].ok && piece[2].ok));
            if (ok) {
                memcpy(identity, known[i]->identity, sizeof(identity));
                bsk_codes_identify(layout, piece[0].dst, identity);
                for (uint32_t k = 1; k < each; k++)
                    identity[IDENTITY_HEADER + 2 * (k - 1) + 1] = digest(layout, &piece[k]);
            }
            if (ok && memcmp(identity, known[i]->identity, sizeof(identity)) == 0)
                continue;
            bsk_codes_disown(codes, known[i]);
            same = false;
        }
    }
    free(bytes);
    return same;
}

bool bsk_codes_look(struct bsk_codes *codes, struct bsk_known *const *known, size_t count)
{
    bool same = true;
    for (size_t i = 0; i < count; i += CHECK_BATCH)
        same = check_batch(codes, known + i, count - i < CHECK_BATCH ? count - i : CHECK_BATCH) &&
               same;
    return same;
}

bool bsk_codes_check(struct bsk_codes *codes, struct bsk_known *const *known, size_t count,
                     uint64_t at_ns, uint64_t epoch)
{
    struct bsk_known *due[CHECK_BATCH];
    size_t due_count = 0;
    bool same = true;
    bool watched = codes->ran_ns - codes->met_ran_ns < WATCHED_NS || bsk_codes_churn(codes);
    for (size_t i = 0; i < count; i++) {
        bool lately =
            known[i]->settled && !watched && at_ns - known[i]->checked_ns < BSK_CODES_BELIEVED_NS;
        bool believed =
            epoch != 0 ? known[i]->epoch == epoch : lately || known[i]->checked_ns == at_ns;
        if (believed || known[i]->gone || known[i]->address == 1)
            continue;
        known[i]->settled = codes->ran_ns - known[i]->met_ran_ns >= WATCHED_NS;
        known[i]->checked_ns = at_ns; /* once, however often it is on the stack */
        known[i]->epoch = epoch;
        due[due_count++] = known[i];
        if (due_count == CHECK_BATCH) {
            same = check_batch(codes, due, due_count) && same;
            due_count = 0;
        }
    }
    if (due_count > 0)
        same = check_batch(codes, due, due_count) && same;
    return same;
}
