/*
 * What reading one thread's stack remembers, from sample to sample and within one: for the files
 * of this folder that take part in it.
 *
 *   stack.c   plans one reading, and collects what came of it
 *   judge.c, judge_objects.c  what of it is believed
 *   chunks.c  the data stack's chunks, and their copies
 *   walk.c    follows a stack from the top: needs the top and the frames to be of one instant
 *   upward.c  follows it from below: the data stack alone is of one instant
 *   crossing.c  where it leaves the data stack: generators, coroutines
 *   witness.c  what is believed of calls there
 *   hot.c     reads their frames ahead
 *   instructions.c  what a frame at its place can have called
 *   path.c    gives the frames their names, and says what of them is proven
 *   states.c  the interpreter's own words: GIL, collector, lists of threads
 */
#ifndef BSK_PYTHON_MEMORY_H
#define BSK_PYTHON_MEMORY_H

#include "engine/base/room.h"
#include "engine/python/instructions.h"
#include "engine/python/internal.h"

enum {
    THREAD_MAX_BYTES = 1024,    /* of a thread state: what we need lies in its first half */
    FRAME_MAX_BYTES = 512,      /* of a frame without its locals */
    CHUNK_MAX_BYTES = 16 << 20, /* one chunk; CPython makes them of 16 KiB, bigger for big frames */
    CHUNKS_MAX = 65536,
    CHUNK_HEADER_BYTES = 24, /* previous, size in bytes, top in words */
    AHEAD_SLACK_BYTES = 512, /* read past the last known top: a call or three deeper */
    PROVE_AHEAD_MAX = 256,   /* frames elsewhere that are read twice */
    SHIMS_MAX = 65536,
    TRIES = 8, /* readings of one stack, where they come out as garbage */
    CFRAME_BYTES = 24,
    STATE_BYTES = 8,     /* before a generator's frame: one of them is the generator's state */
    BACK_PIECES_MAX = 8, /* of a second reading that goes back from the top */
    STATES_BELIEVED_NS = 50000, /* the GIL is looked at this often: at faster rates not each time */
    HEADS_BELIEVED_NS = 1000000, /* the lists of threads are looked at this often */
    STUDY_EVERY_NS = 5000000,    /* how often a new path is studied, at most */
    LOOKS_EVERY_NS = 1000000,    /* and a call to or from outside of the data stack is looked at */
    LEARN_FIRST = 1000,    /* samples of a thread that are read twice at once, to learn from */
    LEARN_EVERY = 16,      /* and then one in so many */
    LEARN_SETTLED = 20000, /* from then on */
    LEARN_SELDOM = 64,     /* one in so many */
    HEAP_LASTS = 64,       /* so many samples after a frame on the heap was met, it is looked for */
    HOT_MAX = 64,          /* such frames that are remembered by their addresses */
    HOT_RANGES_MAX = 12,   /* pieces to read of them */
    HOT_GAP_BYTES = 1024,  /* between two of one piece */
    HOT_BYTES = 16 << 10,  /* of all pieces */
    TOP_COUNTS = 64,       /* places on the data stack that are counted as tops */
    TOP_MISSING_MAX = 1000,
    MOVES_ALL = 1 << 16,
    CHAIN_MAX = 64,      /* frames outside the data stack, one behind the other */
    CHAIN_READS_MAX = 4, /* that are read one by one */
};

/* A frame outside the data stack, and in which of the last samples it was met. */
struct hot {
    uint64_t address;
    uint16_t history; /* bit 0: the newest */
};
struct hot_range {
    uint64_t begin;
    uint32_t bytes, offset; /* in hot_bytes */
};

struct chunk {
    uint64_t base;
    uint32_t bytes; /* its whole size in the target */
    uint32_t want;  /* how much to read next time */
    uint32_t have;  /* how much of `copy` is of this sample */
    uint32_t room;  /* of the copies */
    uint8_t *copy;
    uint8_t *last;      /* the copy of the reading before */
    uint32_t last_have; /* how much of it there is */
    uint8_t *again;     /* the newest chunk's second reading; NULL in the others */
};

/* A frame as it was read. */
struct raw {
    uint64_t address;
    uint64_t code;
    uint64_t lasti;
    uint64_t place; /* the same, from the code object's start */
    int32_t tlbc_index;
    bool stood;              /* the same in both readings, its caller's place too */
    bool after_shim;         /* C code stands between it and its caller */
    bool calls;              /* bsk_layout_calls() */
    bool runs;               /* it has begun, and does not say so */
    bool told;               /* that it is there was settled before it was pushed */
    bool emptied;            /* as a frame is that has been popped, or that has no locals */
    struct bsk_known *known; /* NULL: not looked up yet */
};

/* A frame of the path: a stack, outermost first. */
struct step {
    struct raw raw;
    uint64_t hash; /* of the path up to here: all codes, and where each but the last calls */
};

/* A place on the data stack: how often the top that was read first has named it, less how often it
 * was told to be the innermost frame's. */
struct top_count {
    uint64_t address;
    int32_t missing;
};

struct bsk_stack_memory {
    uint8_t thread[THREAD_MAX_BYTES];
    uint64_t cframe; /* 3.11, 3.12: where the sample before found it */
    uint8_t cframe_bytes[CFRAME_BYTES], cframe_again[CFRAME_BYTES];
    uint64_t top_again, top_between;
    struct chunk *chunks; /* newest first */
    size_t chunk_count, chunk_capacity;

    uint64_t *ahead; /* addresses of frames outside the chunks, innermost first */
    uint8_t *ahead_bytes, *ahead_again;
    size_t ahead_count, ahead_capacity;
    uint32_t *ahead_slots; /* index + 1 by address */
    size_t ahead_slot_count;
    struct hot hot[HOT_MAX]; /* by address */
    size_t hot_count;
    struct hot_range hot_ranges[HOT_RANGES_MAX]; /* of this reading */
    size_t hot_range_count;
    uint8_t *hot_bytes;
    uint64_t *met; /* those of the walk that is going on */
    size_t met_count, met_capacity;

    struct raw *raw; /* of a walk from the top: innermost first */
    size_t raw_count, raw_capacity;
    struct step *path; /* of this sample; what was there before it is of the one before */
    size_t path_count, path_capacity;
    uint64_t reading;         /* counts them */
    uint64_t path_reading;    /* the one that the path was found in from below; 0: in none */
    size_t path_valid;        /* so many of its first steps may be compared with */
    size_t path_same;         /* so many of them are those of the sample before */
    bool had_shims;           /* frames and steps do not go side by side */
    size_t codes_seen;        /* so many of the path's first steps were held against their codes */
    uint64_t refused_reading; /* whose codes were met too late to be believed */
    uint64_t codes_due_ns;    /* when the identities of codes are looked at again, at the latest */
    uint64_t codes_epoch;     /* of the last look */
    size_t codes_count;       /* how many codes were known then */
    struct bsk_frame *frames; /* innermost first; ends at the end of the array */
    size_t frame_capacity, frames_valid;
    uint32_t columns_answer; /* that their columns are of; see columns.c */

    /* places in python->pieces of the reading that is going on; SIZE_MAX: not asked for */
    size_t piece_thread, piece_cframe, piece_chunks, piece_ahead, piece_chunk_again;
    size_t piece_ahead_again, piece_cframe_again, piece_top_again, piece_top_near, piece_hot;
    size_t again_pieces;                     /* of the newest chunk's second reading */
    uint32_t again_have;                     /* how much of it there is */
    uint64_t top, top_after;                 /* of this reading: before and after all the rest */
    uint64_t top_near;                       /* right after the chunks */
    struct top_count top_counts[TOP_COUNTS]; /* by address */
    uint64_t base_code;                      /* 3.10 and older: see reaches_base() */
    size_t base_depth;
    uint32_t base_misses, base_looks;
    uint32_t moves;        /* of MOVES_ALL: how many readings moved lately */
    uint32_t readings;     /* how many so far */
    uint32_t lessons;      /* readings that only taught */
    uint32_t looks;        /* and those of witness.c */
    uint64_t study_due_ns; /* when new paths may be studied again */
    uint64_t looks_due_ns; /* when witness.c may look often */
    uint32_t heap_left;    /* so many samples are still read as if frames were on the heap */
    bool twice;            /* this reading holds everything twice */
    bool moved;            /* the two readings differ */
    bool unproven;         /* something was read only once */
    bool bridged;          /* steps of the path were not read, but told by bridges.h */
};

static inline bool bsk_piece_ok(const struct bsk_python *python, size_t index)
{
    return index < python->piece_count && python->pieces[index].ok;
}

/* Of a generator's frame with what lies before it: whether it is on the stack, resumed and not yet
 * suspended or ended. */
bool bsk_frame_on_stack(const struct bsk_layout *layout, const uint8_t *frame_with_state);
/* The part of a frame that is read: without its locals. */
static inline uint32_t bsk_frame_bytes(const struct bsk_layout *layout)
{
    return layout->frame.size < FRAME_MAX_BYTES ? layout->frame.size : FRAME_MAX_BYTES;
}
uint64_t bsk_frame_lasti(const struct bsk_layout *layout, const uint8_t *frame);
/* It is one of the interpreter's own, 3.12 and later: C code that was called from `caller` enters
 * Python there. */
static inline bool bsk_frame_enters(const struct bsk_layout *layout, const uint8_t *frame,
                                    uint64_t caller)
{
    unsigned owner = frame[layout->frame.owner];
    return owner <= 31 && layout->shim_owners & 1u << owner &&
           bsk_u64(frame, layout->frame.previous) == caller;
}
void bsk_frame_raw(const struct bsk_layout *layout, const uint8_t *frame, uint64_t address,
                   struct raw *out);

/* instructions.c. Of the place of a frame whose code is known; UNKNOWN where it has not begun, and
 * in a thread's own copy of the bytecode. */
enum bsk_instruction bsk_instruction_at(struct bsk_python *python, const struct raw *raw);
/* Of what stands at its place just now: read anew, as the interpreter changes instructions while it
 * runs. BSK_PUSHES up to 3.12, where a frame says for itself that it has called; UNKNOWN in a
 * thread's own copy of the bytecode. */
enum bsk_pushes bsk_instruction_pushes_now(struct bsk_python *python, const struct raw *raw);
/* Whether C code at this place may run a generator only to close it: one that is dropped there, or
 * where an exception passes. That runs it, and not all of what it runs at other times. */
bool bsk_instruction_may_close(struct bsk_python *python, const struct raw *raw);
/* A frame on the data stack that a generator was made of: it is dead. */
bool bsk_instruction_made(struct bsk_python *python, const struct raw *raw);

/* chunks.c. Brings the list of chunks in line with what this sample's thread state says is the
 * newest one: dropped where the stack has shrunk, read now where it has grown. `top` is
 * datastack_top. False: it cannot be told. */
bool bsk_chunks_follow(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t newest,
                       uint64_t top);
void bsk_chunk_free(struct chunk *chunk);
static inline bool bsk_chunk_holds(const struct chunk *chunk, uint64_t address)
{
    return address >= chunk->base && address - chunk->base < chunk->bytes;
}
/* The chunk that `address` lies in; NULL: it is on the heap, or nowhere. */
const struct chunk *bsk_chunks_find(const struct bsk_stack_memory *memory, uint64_t address);
void bsk_chunks_turn(struct bsk_stack_memory *memory); /* before each reading */
/* How many of the first steps of the path of the reading before are still what is in the chunks. */
size_t bsk_chunks_same_steps(const struct bsk_stack_memory *memory, uint32_t frame_bytes);
/* Reads the part of the chunk up to `until` that is still missing. */
bool bsk_chunk_extend(struct bsk_python *python, struct chunk *chunk, uint32_t until);
/* The address of the first frame that this thread ever pushed; 0: it has none now. */
uint64_t bsk_chunks_first_frame(const struct bsk_stack_memory *memory, uint64_t top);

/* walk.c. Fills memory->raw from `top` to the outermost frame; false: garbage. */
bool bsk_stack_walk(struct bsk_python *python, struct bsk_stack_memory *memory, uint64_t top,
                    uint64_t datastack_top, bool *out_truncated);
/* What the walk met becomes what the next reading reads ahead. */
void bsk_stack_remember_met(struct bsk_stack_memory *memory, uint32_t frame_bytes);

/* upward.c. Fills memory->path from below. */
enum bsk_upward {
    BSK_UPWARD_WHOLE,   /* to the frame that executes */
    BSK_UPWARD_CALLS,   /* the last one has called something that could not be told */
    BSK_UPWARD_HEAP,    /* it goes on outside the data stack */
    BSK_UPWARD_GARBAGE, /* nothing fits */
};
enum bsk_upward bsk_stack_upward(struct bsk_python *python, struct bsk_stack_memory *memory);

/* crossing.c. What the data stack has above a frame that has called something elsewhere. */
struct bsk_above {
    uint64_t slot; /* where it would begin */
    size_t chunk;
    struct bsk_known *known; /* its code; NULL: none that is known */
    bool dead;               /* its call is over */
    bool begun;              /* to run */
    bool direct;             /* called from right below, without C code between */
    bool shim;
    bool entered;     /* 3.11, which has no frames for that: C code called it */
    uint64_t outside; /* the frame elsewhere that called it, or 0 */
};
enum bsk_cross {
    BSK_CROSS_LEAF,   /* the last step of the path is the innermost frame */
    BSK_CROSS_CALLEE, /* what is above comes next */
    BSK_CROSS_UNKNOWN,
};
/* Puts on the path what stands between its last step and what is above. `*out_shim`: C code stands
 * before what comes next. */
enum bsk_cross bsk_cross(struct bsk_python *python, struct bsk_stack_memory *memory,
                         const struct bsk_above *above, bool *out_shim);
/* The last step of the path does not seem to have called a generator: but does one run for it? True
 * where a top outside leads down to it, as far as can be read. */
bool bsk_cross_learn(struct bsk_python *python, struct bsk_stack_memory *memory);
/* Notes the chains of a path that was proven. */
void bsk_bridges_note(struct bsk_python *python, const struct bsk_stack_memory *memory);

/* witness.c. True where `caller`, at its place, was seen to call the other, or where both lie on
 * the data stack. Where that is not known yet it is looked at, so many times at most. */
bool bsk_witness_call(struct bsk_python *python, struct bsk_stack_memory *memory,
                      const struct raw *caller, const struct raw *callee, int looks);
/* How many times in this sample each call may be looked at. */
int bsk_witness_looks(const struct bsk_python *python, struct bsk_stack_memory *memory);

/* hot.c. Notes a frame outside that was met; plans to read those that were met twice; one that was
 * read, from STATE_BYTES before it on, or NULL. */
void bsk_hot_note(struct bsk_stack_memory *memory, uint64_t address);
void bsk_hot_plan(struct bsk_python *python, struct bsk_stack_memory *memory);
const uint8_t *bsk_hot_find(const struct bsk_python *python, const struct bsk_stack_memory *memory,
                            uint64_t address);

/* states.c: planned before the stacks; taken after the reading: true when the lists of threads have
 * changed; told of one thread. */
void bsk_states_plan(struct bsk_python *python);
void bsk_states_plan_epoch(struct bsk_python *python); /* after the stacks */
void bsk_states_note_epoch(struct bsk_python *python); /* from that; bsk_states_take() does it */
bool bsk_states_take(struct bsk_python *python);
void bsk_states_of(const struct bsk_python *python, struct bsk_python_thread *thread);

/* stack.c: one more piece of the reading that is planned; SIZE_MAX when out of memory. */
size_t bsk_add_piece(struct bsk_python *python, uint64_t address, void *dst, uint32_t size);
/* Brings the pieces of one reading into the thread's memory; `*out_datastack_top` is 0 where there
 * is no data stack. False: they do not fit each other. */
bool bsk_stack_collect(struct bsk_python *python, const struct bsk_python_thread *thread,
                       uint64_t *out_datastack_top);
/* One more reading of one thread, everything twice, and what bsk_stack_collect() says of it. */
bool bsk_stack_read_again(struct bsk_python *python, const struct bsk_python_thread *thread,
                          uint64_t *out_datastack_top);

/* judge.c, judge_objects.c: from a reading to the thread's answer. */
enum bsk_stack_outcome {
    BSK_STACK_READ,
    BSK_STACK_MOVED,   /* and nothing of it is proven */
    BSK_STACK_GARBAGE, /* to be read again */
};
enum bsk_stack_outcome bsk_judge_chunks(struct bsk_python *python,
                                        struct bsk_python_thread *thread);
enum bsk_stack_outcome bsk_judge_objects(struct bsk_python *python,
                                         struct bsk_python_thread *thread);
/* What is not proven yet is read once more: steps that are still there, called from the same
 * places, are real. The first reading stays the sample. */
void bsk_stack_prove(struct bsk_python *python, const struct bsk_python_thread *thread);

/* path.c */
void bsk_path_begin(struct bsk_stack_memory *memory, size_t keep); /* keeps the first so many */
/* Appends one frame; false when its code cannot be read or memory is out. */
bool bsk_path_push(struct bsk_python *python, struct bsk_stack_memory *memory,
                   const struct raw *raw);
bool bsk_path_from_raw(struct bsk_python *python, struct bsk_stack_memory *memory);
/* Whether the instruction at the caller's place can have led to the callee; where it is not known,
 * it can. */
bool bsk_path_can_call(struct bsk_python *python, const struct bsk_stack_memory *memory,
                       const struct raw *caller, const struct raw *callee);
/* A loop that takes as long as a reading looks as if it stood still. But frames tell by themselves
 * whether they are dead, and whether they called: what those of this step and of its caller say. */
bool bsk_path_is_plausible(struct bsk_python *python, const struct bsk_stack_memory *memory,
                           size_t step);
/* How many of the first steps are proven: by what was learnt, or because they stood still. */
size_t bsk_path_proven(const struct bsk_python *python, const struct bsk_stack_memory *memory);
void bsk_path_learn(struct bsk_python *python, const struct bsk_stack_memory *memory);
/* The caller of this step can call what lies where that does, whatever it is. */
void bsk_path_mark(struct bsk_python *python, const struct bsk_stack_memory *memory, size_t step);
/* The place of `caller` was seen to call this often enough to be no mixture of two stacks: three
 * times and one time in eight, or twelve times and one in 32. */
bool bsk_path_often(const struct bsk_python *python, const struct raw *caller, uint32_t callee_id);
/* Of the calls that this place was seen to make, this is one in sixteen at least. Now and then two
 * readings agree upon a call that never was. */
bool bsk_path_is_no_chance(const struct bsk_python *python, const struct raw *caller,
                           uint32_t callee_id);
/* Notes the calls of a path that was found from below, proven or not: mixtures are rare. */
void bsk_path_note(struct bsk_python *python, const struct bsk_stack_memory *memory);
/* 3.10 and older, where two wrong readings agree too often for proof: each call is one that its
 * place makes at least one time in eight, as far as is known. */
bool bsk_path_likely(const struct bsk_python *python, const struct bsk_stack_memory *memory);
/* Among what was learnt with it one of its frames is rarer than one in sixteen. */
bool bsk_path_is_rare(const struct bsk_python *python, const struct bsk_stack_memory *memory);
/* Puts the path's callee that was proven most likely on top of it; false: none is known. */
bool bsk_path_fill(struct bsk_python *python, struct bsk_stack_memory *memory);
/* From the path to thread->frames. False: it was a mixture after all. */
bool bsk_path_resolve(struct bsk_python *python, struct bsk_python_thread *thread);
uint64_t bsk_path_next_hash(const struct step *caller, uint32_t callee_id);

#endif
