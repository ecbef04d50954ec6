#include "tests/engine/memory/dump.h"

#include <string.h>

enum {
    OBJECT_TYPE = 0x1000,
    TEXT_TYPE = 0x1010,
    MODULE_TYPE = 0x1020,
    PYDEVD_TYPE = 0x1030,
    FRAME_TYPE = 0x1040
};
enum { MARK = 0x2000 };

uint64_t dump_id(uint32_t node)
{
    return UINT64_C(0x7f0000000000) + (uint64_t)node * 48 + (uint64_t)(node / 50) * 4096;
}

static void word(struct bsk_buffer *out, uint64_t value)
{
    bsk_buffer_append(out, &value, 8);
}

static void text(struct bsk_buffer *out, const char *value)
{
    uint32_t size = (uint32_t)strlen(value);
    bsk_buffer_append(out, &size, 4);
    bsk_buffer_append(out, value, size);
}

static void section(struct bsk_buffer *out, const char *tag, struct bsk_buffer *content)
{
    bsk_buffer_append(out, tag, 4);
    bsk_buffer_append(out, "\0\0\0\0", 4);
    word(out, content->size);
    bsk_buffer_append(out, content->data, content->size);
    bsk_buffer_clear(content);
}

static void type(struct bsk_buffer *out, uint64_t id, bool hidden, const char *module,
                 const char *name)
{
    word(out, id);
    word(out, 64);
    word(out, hidden);
    text(out, module);
    text(out, name);
}

static int kind_of(const struct dump_plan *plan, uint32_t node)
{
    return plan->kinds ? plan->kinds[node] : DUMP_OBJECT;
}

static bool tracked(int kind)
{
    return kind != DUMP_TEXT && kind != DUMP_FRAME;
}

void dump_write(const struct dump_plan *plan, struct bsk_buffer *out)
{
    static const uint64_t type_ids[] = { OBJECT_TYPE, TEXT_TYPE,   MODULE_TYPE,
                                         MODULE_TYPE, PYDEVD_TYPE, FRAME_TYPE };
    struct bsk_buffer part = { 0 }, sizes = { 0 }, types = { 0 };
    bsk_buffer_append(out, "bskrefs1", 8);
    const uint64_t facts[] = { 0, 13, MARK, TEXT_TYPE, 0, 0 };
    bsk_buffer_append(&part, facts, sizeof(facts));
    section(out, "fact", &part);
    type(&part, OBJECT_TYPE, false, "app", "Node");
    type(&part, TEXT_TYPE, false, "builtins", "str");
    type(&part, MODULE_TYPE, false, "builtins", "module");
    type(&part, PYDEVD_TYPE, true, "pydevd", "PyDB");
    type(&part, FRAME_TYPE, false, "builtins", "frame");
    section(out, "type", &part);

    for (uint32_t node = 0; node < plan->count; node++) {
        if (!tracked(kind_of(plan, node)))
            continue;
        word(&part, dump_id(node));
        word(&types, type_ids[kind_of(plan, node)]);
        word(&sizes, plan->sizes ? plan->sizes[node] : 64);
    }
    section(out, "objs", &part);
    section(out, "otyp", &types);
    section(out, "osiz", &sizes);
    for (uint32_t node = 0; node < plan->count; node++) {
        if (!tracked(kind_of(plan, node)))
            continue;
        for (size_t i = 0; i < plan->edge_count; i++)
            if (plan->edges[i].from == node)
                word(&part, dump_id(plan->edges[i].to));
        word(&part, MARK);
    }
    section(out, "edge", &part);
    for (uint32_t node = 0; node < plan->count; node++) {
        if (kind_of(plan, node) != DUMP_TEXT)
            continue;
        word(&part, dump_id(node));
        word(&sizes, plan->sizes ? plan->sizes[node] : 64);
    }
    section(out, "text", &part);
    section(out, "tsiz", &sizes);
    for (uint32_t node = 0; node < plan->count; node++) {
        int kind = kind_of(plan, node);
        if (kind != DUMP_MODULE && kind != DUMP_DEBUGGER_MODULE)
            continue;
        word(&part, dump_id(node));
        word(&part, 0);
        word(&part, kind == DUMP_DEBUGGER_MODULE);
        text(&part, kind == DUMP_MODULE ? "app" : "pydevd");
    }
    section(out, "modu", &part);
    for (uint32_t node = 0; node < plan->count; node++) {
        if (kind_of(plan, node) != DUMP_FRAME)
            continue;
        uint64_t locals = 0;
        for (size_t i = 0; i < plan->edge_count; i++)
            locals += plan->edges[i].from == node;
        const uint64_t head[] = { dump_id(node), FRAME_TYPE, 1, 12, 64, 0, locals };
        bsk_buffer_append(&part, head, sizeof(head));
        text(&part, "main");
        text(&part, "/app.py");
        for (size_t i = 0; i < plan->edge_count; i++) {
            if (plan->edges[i].from != node)
                continue;
            text(&part, "batch");
            word(&part, dump_id(plan->edges[i].to));
        }
    }
    section(out, "fram", &part);
    if (plan->limit > 0) {
        word(&part, dump_id(plan->limited));
        word(&part, plan->limit);
        section(out, "limi", &part);
    }
    if (plan->group) {
        word(&part, 0);
        for (size_t i = 0; i < plan->group_count; i++)
            word(&part, dump_id(plan->group[i]));
        section(out, "grou", &part);
    }
    section(out, "end!", &part);
    bsk_buffer_free(&part);
    bsk_buffer_free(&sizes);
    bsk_buffer_free(&types);
}
