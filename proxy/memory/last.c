/* The last snapshot: taken while the program can still be asked, or left by it in a file of ours
 * that has no name (scripts/at_exit.py). */
#include "proxy/memory/inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOOTER_BYTES = 32, LOOK_MS = 20, LOOKS = 50 };

void dap_last_open(struct tracking *tracking)
{
    tracking->last_fd = memfd_create("basilisk", MFD_CLOEXEC);
}

void dap_last_close(struct tracking *tracking)
{
    if (tracking->last_fd >= 0)
        close(tracking->last_fd);
    tracking->last_fd = -1;
}

void dap_last_options(const struct tracking *tracking, struct bsk_script_options *options)
{
    struct stat status;
    struct bsk_buffer source = { 0 };
    char path[64] = "";
    memset(&status, 0, sizeof(status));
    if (tracking->last_fd >= 0 && fstat(tracking->last_fd, &status) == 0)
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), tracking->last_fd);
    bsk_script_option_text(options, "path", path);
    bsk_script_option_int(options, "device", (int64_t)status.st_dev);
    bsk_script_option_int(options, "inode", (int64_t)status.st_ino);
    if (bsk_script_snapshot.library)
        bsk_buffer_text_append(&source, bsk_script_snapshot.library);
    bsk_buffer_text_append(&source, "\n");
    bsk_buffer_text_append(&source, bsk_script_snapshot.source);
    bsk_script_option_text(options, "source", bsk_buffer_text(&source));
    if (source.failed)
        options->text.failed = true;
    bsk_buffer_free(&source);
}

/* The file is whole when its footer fits it. */
static bool lengths_of(int fd, uint64_t *out_dump, uint64_t *out_result)
{
    char footer[FOOTER_BYTES + 1] = "", number[17];
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size < FOOTER_BYTES ||
        pread(fd, footer, FOOTER_BYTES, status.st_size - FOOTER_BYTES) != FOOTER_BYTES)
        return false;
    snprintf(number, sizeof(number), "%.16s", footer);
    *out_dump = strtoull(number, NULL, 16);
    snprintf(number, sizeof(number), "%.16s", footer + 16);
    *out_result = strtoull(number, NULL, 16);
    uint64_t size = (uint64_t)status.st_size - FOOTER_BYTES;
    return *out_result > 0 && *out_dump <= size && *out_result == size - *out_dump;
}

/* On a worker. */
static void read_last(struct op *op)
{
    struct tracking *tracking = op->tracking;
    uint64_t dump = 0, result = 0;
    struct bsk_value_tree tree = { 0 };
    if (!lengths_of(tracking->last_fd, &dump, &result)) {
        op->rc = bsk_fail(&op->err, BSK_E_GONE, NULL, "The program left no last snapshot");
        return;
    }
    unsigned char *bytes = mmap(NULL, dump + result, PROT_READ, MAP_PRIVATE, tracking->last_fd, 0);
    if (bytes == MAP_FAILED) {
        op->rc = bsk_fail(&op->err, BSK_E_IO, NULL, "cannot read the last snapshot: %s",
                          strerror(errno));
        return;
    }
    op->rc = bsk_marshal_read(bytes + dump, result, 0, &tree, &op->err);
    if (op->rc == BSK_OK) {
        struct bsk_memory_job_result left = { .value = tree.root,
                                              .dump = dump ? bytes : NULL,
                                              .dump_bytes = dump };
        dap_understand_snapshot(op, &left);
    }
    bsk_value_tree_free(&tree);
    munmap(bytes, dump + result);
}

static void told(struct op *op)
{
    op->tracking->last_number = op->result.snapshot->number;
    dap_tell_snapshot(op);
    dap_op_end(op);
}

static void have_profile(struct op *op)
{
    dap_op_work(op, read_last, told);
}

static void look(struct op *op)
{
    uint64_t dump = 0, result = 0;
    const struct tracking *tracking = op->tracking;
    bool whole = lengths_of(tracking->last_fd, &dump, &result);
    bool alive = tracking->pid > 0 && kill(tracking->pid, 0) == 0;
    /* The adapter may say that it has ended while it is still at it. */
    if (!whole && alive && tracking->leaves_last && op->looks++ < LOOKS)
        dap_op_wait(op, LOOK_MS, look);
    else
        dap_op_profile(op, have_profile);
}

/* The program may go on without us (a disconnect that keeps it): nothing of ours stays in it. */
static void asked(struct op *op)
{
    dap_tell_snapshot(op);
    dap_begin_stop(op);
}

void dap_begin_last(struct op *op)
{
    struct member *member = op->tracking->member;
    if (member && !dap_session_debuggee(member->session)->ended)
        dap_take_snapshot(op, asked);
    else
        look(op);
}
