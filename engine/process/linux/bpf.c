#include "engine/process/linux/bpf.h"

#include <linux/btf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int call(enum bpf_cmd command, union bpf_attr *attr)
{
    return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int bsk_bpf_map(uint32_t type, uint32_t key_bytes, uint32_t value_bytes, uint32_t entries,
                uint32_t flags)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.map_type = type;
    attr.key_size = key_bytes;
    attr.value_size = value_bytes;
    attr.max_entries = entries;
    attr.map_flags = flags;
    return call(BPF_MAP_CREATE, &attr);
}

int bsk_bpf_set(int map_fd, const void *key, const void *value)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)map_fd;
    attr.key = (uintptr_t)key;
    attr.value = (uintptr_t)value;
    attr.flags = BPF_ANY;
    return call(BPF_MAP_UPDATE_ELEM, &attr);
}

int bsk_bpf_delete(int map_fd, const void *key)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.map_fd = (uint32_t)map_fd;
    attr.key = (uintptr_t)key;
    return call(BPF_MAP_DELETE_ELEM, &attr);
}

/* The kernel wants a type for a function whose address is taken (bpf_loop's), and nothing else: two
 * functions, each int(void). */
static int load_types(void)
{
    static const char names[] = "\0int\0tick\0step";
    struct {
        struct btf_header header;
        struct btf_type number;
        uint32_t number_bits;
        struct btf_type prototype, tick, step;
        char names[sizeof(names)];
    } __attribute__((packed)) types = {
        .header = { .magic = BTF_MAGIC,
                    .version = BTF_VERSION,
                    .hdr_len = sizeof(struct btf_header),
                    .type_len = 4 * sizeof(struct btf_type) + 4,
                    .str_off = 4 * sizeof(struct btf_type) + 4,
                    .str_len = sizeof(names) },
        .number = { .name_off = 1, .info = BTF_KIND_INT << 24, .size = 4 },
        .number_bits = BTF_INT_SIGNED << 24 | 32,
        .prototype = { .info = BTF_KIND_FUNC_PROTO << 24, .type = 1 },
        .tick = { .name_off = 5, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, .type = 2 },
        .step = { .name_off = 10, .info = BTF_KIND_FUNC << 24 | BTF_FUNC_STATIC, .type = 2 },
    };
    memcpy(types.names, names, sizeof(names));
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.btf = (uintptr_t)&types;
    attr.btf_size = sizeof(types);
    return call(BPF_BTF_LOAD, &attr);
}

int bsk_bpf_load(const struct bsk_bytecode *code, uint32_t function_at)
{
    const struct bpf_func_info functions[] = { { .insn_off = 0, .type_id = 3 },
                                               { .insn_off = function_at, .type_id = 4 } };
    union bpf_attr attr;
    int types_fd = load_types();
    if (types_fd < 0)
        return -1;
    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_PERF_EVENT;
    attr.insns = (uintptr_t)code->at;
    attr.insn_cnt = code->count;
    /* Ours is MIT; reading a program's memory is a GPL-only service of the kernel's. */
    attr.license = (uintptr_t) "Dual MIT/GPL";
    memcpy(attr.prog_name, "basilisk_tick", sizeof("basilisk_tick"));
    attr.prog_btf_fd = (uint32_t)types_fd;
    attr.func_info = (uintptr_t)functions;
    attr.func_info_cnt = 2;
    attr.func_info_rec_size = sizeof(functions[0]);
    int program_fd = call(BPF_PROG_LOAD, &attr);
    close(types_fd);
    return program_fd;
}
