#include "tests/engine/memory/look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs code as the module "app" of the file "/app/program.py". */
void app_does(struct debuggee *debuggee, const char *code)
{
    struct bsk_script_options literal = { { 0 } };
    struct bsk_buffer text = { 0 };
    bsk_script_option_text(&literal, "code", code);
    bsk_buffer_printf(&text,
                      "import sys\n"
                      "app = sys.modules.setdefault('app', type(sys)('app'))\n"
                      "exec(compile({%s}['code'], '/app/program.py', 'exec'), app.__dict__)\n"
                      "del app\n",
                      bsk_buffer_text(&literal.text));
    debuggee_does(debuggee, bsk_buffer_text(&text));
    bsk_buffer_free(&literal.text);
    bsk_buffer_free(&text);
}

struct bsk_graph *graph_of(struct debuggee *debuggee, const struct bsk_references_wish *wish)
{
    struct bsk_script_options options = { { 0 } };
    struct bsk_error err = { 0 };
    struct bsk_graph *graph = NULL;
    assert_int_equal(bsk_references_options(wish, &options, NULL), BSK_OK);
    struct bsk_memory_job *job = debuggee_job(debuggee, &bsk_script_references, &options, NULL);
    bsk_buffer_free(&options.text);
    const struct bsk_memory_job_result *result = result_of(job);
    bsk_graph_read(result->dump, result->dump_bytes, &graph, &err);
    assert_string_equal(err.message, "");
    bsk_memory_job_free(job);
    return graph;
}

void label_references(struct debuggee *debuggee, struct bsk_references *refs, bool repr)
{
    struct bsk_script_options options = { { 0 } };
    struct bsk_error err = { 0 };
    assert_int_equal(bsk_references_label_options(refs, repr, &options, NULL), BSK_OK);
    struct bsk_memory_job *job = debuggee_job(debuggee, &bsk_script_references, &options, NULL);
    bsk_buffer_free(&options.text);
    bsk_references_label(refs, result_of(job)->value, &err);
    assert_string_equal(err.message, "");
    bsk_memory_job_free(job);
}

struct look look_at(struct debuggee *debuggee, const char *type, bool repr)
{
    struct look look = { NULL, NULL, { 0 } };
    struct bsk_nodes nodes = { NULL, 0 };
    struct bsk_error err = { 0 };
    look.graph = graph_of(debuggee, &(struct bsk_references_wish){ 0 });
    bsk_graph_of_type(look.graph, type, &nodes, &err);
    assert_string_equal(err.message, "");
    bsk_references_make(look.graph, &nodes, type, 0, &look.refs, &err);
    assert_string_equal(err.message, "");
    bsk_nodes_free(&nodes);
    label_references(debuggee, look.refs, repr);
    bsk_references_text(look.refs, 200, &look.text);
    return look;
}

void end_look(struct look *look)
{
    bsk_graph_free(look->graph);
    bsk_references_free(look->refs);
    bsk_buffer_free(&look->text);
}
