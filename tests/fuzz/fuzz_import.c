/*
 * Whatever bytes come in: a profile whose sums hold together, or an error with a sentence in it.
 * What was read can be compared with itself, and then differs in nothing.
 */
#include "engine/import/import.h"
#include "engine/profile/diff.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bsk_imported imported;
    struct bsk_error err = { 0 };
    int rc = bsk_import_bytes("input", data, size, &imported, &err);
    if (rc < 0) {
        if (imported.profile || !err.message[0] || err.code != (enum bsk_code)rc)
            abort();
        return 0;
    }
    uint64_t sum_ns = 0;
    for (uint32_t i = 0; i < bsk_profile_node_count(imported.profile); i++)
        sum_ns += bsk_profile_node_at(imported.profile, i)->self_ns;
    if (sum_ns == 0 || sum_ns != bsk_profile_cpu_ns(imported.profile))
        abort();
    struct bsk_diff *diff =
        bsk_diff_new(imported.profile, imported.has_order, imported.profile, imported.has_order, 1);
    if (!diff || diff->significant)
        abort();
    double self = 0;
    for (size_t i = 0; i < diff->count; i++) {
        const struct bsk_diff_function *f = &diff->functions[i];
        if (f->self.delta != 0 || f->total.delta != 0 || !(f->total.after < 100.0001) ||
            f->self.after > f->total.after + 0.0001 || !isfinite(f->self.noise))
            abort();
        self += f->self.after;
    }
    if (!(self < 100.0001))
        abort();
    bsk_diff_free(diff);
    bsk_profile_free(imported.profile);
    return 0;
}
