#include "engine/memory/evidence.h"
#pragma GCC diagnostic ignored "-Wunused-parameter"
int bsk_hold_look(const struct bsk_graph *graph, const struct bsk_nodes *objects,
                  struct bsk_hold *hold, struct bsk_evidence *out_evidence, struct bsk_error *err)
{
    return bsk_fail(err, BSK_E_UNSUPPORTED, NULL, "not yet");
}
