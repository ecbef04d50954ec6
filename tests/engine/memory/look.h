/* Graphs of a debuggee, as a console would show them. What fails, fails the test. */
#ifndef TEST_ENGINE_MEMORY_LOOK_H
#define TEST_ENGINE_MEMORY_LOOK_H

#include "engine/memory/references.h"
#include "tests/engine/memory/debuggee.h"

/* Runs code as the module "app" of the file "/app/program.py". */
void app_does(struct debuggee *debuggee, const char *code);

struct bsk_graph *graph_of(struct debuggee *debuggee, const struct bsk_references_wish *wish);
void label_references(struct debuggee *debuggee, struct bsk_references *refs, bool repr);

/* A graph and what is shown of it for a type, as a console would. The caller frees all three. */
struct look {
    struct bsk_graph *graph;
    struct bsk_references *refs;
    struct bsk_buffer text;
};

struct look look_at(struct debuggee *debuggee, const char *type, bool repr);
void end_look(struct look *look);

#endif
