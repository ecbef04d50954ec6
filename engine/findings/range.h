/* What all diagnostics begin with. */
#ifndef BSK_FINDINGS_RANGE_H
#define BSK_FINDINGS_RANGE_H

#include "engine/base/json.h"
#include "engine/findings/source.h"

/* Writes "range": the text of `line` (from 1) without the blanks around it, in UTF-16 columns; the
 * whole line where `source` is NULL or has no such line. */
void bsk_finding_range(struct bsk_json *out, const struct bsk_source *source, uint32_t line);

#endif
