/*
 * Where the profile of `basilisk record` goes, and that it survives us.
 *
 * While the recording goes on the whole file is written anew every half second or so, beside its
 * name, and put in place in one step. So SIGKILL at any moment leaves a valid file that misses at
 * most the last second, and no one has to put anything together afterwards. Those early files have
 * every stack with its exact weight; past EARLY_RUNS changes of stack the order in time inside
 * short windows is left out of them, so that their cost does not grow with the recording. The last
 * one has it all.
 *
 * What is no regular file (/dev/stdout, a FIFO) is written once, at the end, as it is.
 */
#ifndef BSK_CLI_RECORD_OUTPUT_H
#define BSK_CLI_RECORD_OUTPUT_H

#include "adapters/cli/record_options.h"
#include "engine/profile/reshape.h"

struct cli_output;

/* Tries whether `options->output` can be written, before anything is started; `options` outlive the
 * output. Without a name, one in basilisk-profiles/ here is chosen by cli_output_name(). */
int cli_output_open(const struct cli_record_options *options, struct cli_output **out_output,
                    struct bsk_error *err);
void cli_output_close(struct cli_output *output); /* accepts NULL */

/* `program`: "app.py"; for a file that has no name yet. */
int cli_output_name(struct cli_output *output, const char *program, struct bsk_error *err);

const char *cli_output_path(const struct cli_output *output); /* "" while it has none */

/* False: a FIFO, /dev/stdout, /dev/null: nothing can lie beside it under a name like its own. */
bool cli_output_is_file(const struct cli_output *output);

/* What a person does with the file next: "open it in a browser". */
const char *cli_output_how_to_look(const struct cli_output *output);

/* The three below write `profile` as the options say; it stays the caller's, and its meta learns
 * how its paths are to be shown. */

/* The profile so far; its timeline may be coarser afterwards. A failure is no end: the next may
 * work. Writes nothing without samples. */
int cli_output_early(struct cli_output *output, struct bsk_profile *profile, struct bsk_error *err);
bool cli_output_has_early(const struct cli_output *output);

/* A file of its own for the `number`th stretch, of what `profile` has more than `since` (which may
 * be NULL); only beside a file, see cli_output_is_file(). Writes nothing where nothing was sampled.
 */
int cli_output_stretch(struct cli_output *output, struct bsk_profile *profile,
                       const struct bsk_profile *since, unsigned number, struct bsk_error *err);

/* The whole profile, on the disk when it returns. Fails with BSK_E_STATE ("No samples…") without
 * touching the file when there is nothing in it. */
int cli_output_final(struct cli_output *output, struct bsk_profile *profile,
                     struct bsk_reshape_loss *out_loss, struct bsk_error *err);

#endif
