#include "engine/inject/channel.h"

#include "engine/base/strings.h"
#include "engine/inject/prelude.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct bsk_answer *bsk_answer_new(const struct bsk_job_report *report)
{
    struct bsk_answer *answer = calloc(1, sizeof(*answer));
    char *text = malloc(report->text_bytes + 1);
    if (!answer || !text) {
        free(answer);
        free(text);
        return NULL;
    }
    memcpy(text, report->text_bytes ? report->text : "", report->text_bytes);
    text[report->text_bytes] = '\0';
    *answer = (struct bsk_answer){
        .text = text,
        .text_bytes = report->text_bytes,
        .dump_fd = -1,
        .wall_ns = report->wall_ns,
        .cpu_ns = report->cpu_ns,
    };
    return answer;
}

int bsk_answer_dump(struct bsk_answer *answer, const unsigned char **out_bytes, size_t *out_size,
                    struct bsk_error *err)
{
    *out_bytes = NULL;
    *out_size = 0;
    if (answer->dump_bytes == 0)
        return BSK_OK;
    if (!answer->dump_memory && !answer->mapped) {
        /* A private mapping of a file that is cut short behind our back would kill us: it is looked
         * at once, and nobody else has its name. */
        struct stat status;
        if (fstat(answer->dump_fd, &status) != 0 || (uint64_t)status.st_size < answer->dump_bytes)
            return bsk_fail(err, BSK_E_IO, NULL, "the target's dump is shorter than it said");
        void *mapped = mmap(NULL, answer->dump_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE,
                            answer->dump_fd, 0);
        if (mapped == MAP_FAILED)
            return bsk_fail(err, BSK_E_IO, NULL, "cannot read the target's dump: %s",
                            strerror(errno));
        answer->mapped = mapped;
    }
    *out_bytes = answer->dump_memory ? answer->dump_memory : answer->mapped;
    *out_size = answer->dump_bytes;
    return BSK_OK;
}

void bsk_answer_free(struct bsk_answer *answer)
{
    if (!answer)
        return;
    if (answer->mapped)
        munmap(answer->mapped, answer->dump_bytes);
    if (answer->dump_fd >= 0)
        close(answer->dump_fd);
    free(answer->dump_memory);
    free(answer->text);
    free(answer);
}

void bsk_python_literal(struct bsk_buffer *out, const char *text)
{
    bsk_buffer_append(out, "'", 1);
    const unsigned char *at = (const unsigned char *)text, *plain = at;
    const unsigned char *end = at + strlen(text);
    while (at < end) {
        size_t bytes = bsk_utf8_length((const char *)at, (size_t)(end - at));
        if (bytes > 0 && *at >= 0x20 && *at != 0x7f && *at != '\'' && *at != '\\') {
            at += bytes;
            continue;
        }
        bsk_buffer_append(out, plain, (size_t)(at - plain));
        if (*at == '\n')
            bsk_buffer_append(out, "\\n", 2);
        else if (*at == '\'' || *at == '\\')
            bsk_buffer_printf(out, "\\%c", *at);
        else if (bytes == 0)
            bsk_buffer_printf(out, "\\udc%02x", *at);
        else
            bsk_buffer_printf(out, "\\x%02x", *at);
        plain = ++at;
    }
    bsk_buffer_append(out, plain, (size_t)(at - plain));
    bsk_buffer_append(out, "'", 1);
}
