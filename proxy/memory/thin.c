/* Until the rooms below are whole. */
#include "engine/export/heapprofile.h"
#include "engine/memory/budget.h"
#include "engine/memory/evidence.h"
#include "engine/memory/references.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
int bsk_hold_look(const struct bsk_graph *graph, const struct bsk_nodes *objects,
                  struct bsk_hold *hold, struct bsk_evidence *out_evidence, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
const struct bsk_script bsk_script_references = { "references", "", "" };
int bsk_references_arguments(const struct bsk_references_wish *wish, struct bsk_buffer *out,
                             struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
int bsk_references_make(const struct bsk_graph *graph, const struct bsk_nodes *targets,
                        const char *title, uint32_t max_nodes, struct bsk_references **out_refs,
                        struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
void bsk_references_free(struct bsk_references *refs)
{
}
int bsk_references_label_arguments(const struct bsk_references *refs, bool repr,
                                   struct bsk_buffer *out, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
int bsk_references_label(struct bsk_references *refs, const char *answer, size_t size,
                         struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
int bsk_references_inspect_arguments(const struct bsk_references *refs, uint64_t id, bool repr,
                                     struct bsk_buffer *out, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
int bsk_references_inspect_json(const struct bsk_references *refs, uint64_t id, const char *answer,
                                size_t size, struct bsk_json *json, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
void bsk_references_json(const struct bsk_references *refs, uint32_t number, struct bsk_json *json)
{
}
void bsk_references_text(const struct bsk_references *refs, uint32_t width, struct bsk_buffer *out)
{
}
