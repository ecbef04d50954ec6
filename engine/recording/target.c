#include "engine/recording/target.h"

#include "engine/base/clock.h"
#include "engine/process/process.h"
#include "engine/recording/account.h"
#include "engine/recording/target_ticks.h"
#include "engine/sampling/fold.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A thread of the target that we met. */
struct member {
    pid_t tid;
    uint32_t track;
    uint32_t seen_in;    /* the sweep that saw it last */
    bool ignored;        /* the debugger's */
    bool named;          /* by the debug session or by threading itself */
    int64_t interpreter; /* that `track` is of */
    int32_t call;        /* as the track was told; BSK_CALL_UNKNOWN: none */
    uint32_t stack;      /* the number of the stack that `nodes` is of; 0: of none */
    uint32_t *nodes;     /* of its frames, outermost first */
    size_t node_count, node_capacity;
    bool in_call, gil_wait; /* how it slept when it was seen last */
    struct bsk_account account;
};

struct bsk_target {
    struct bsk_target_context *context;
    struct bsk_sampler *sampler;
    struct bsk_fold *fold;
    pid_t pid;
    bool is_child;
    struct bsk_target_ticks *ticks; /* NULL: it is sampled by sweeps */
    bool tried_ticks;
    struct member ticking;   /* scratch of bsk_target_node() */
    uint64_t used_before_ns; /* by its first thread, as another program */
    bool held, rebase;       /* rebase: the next look begins anew */
    char name[256];
    uint32_t sweep;

    bool asleep;       /* no thread of it ran at the last sweep */
    uint64_t cpu_ns;   /* of the whole process, asked before that sweep */
    uint64_t slept_ns; /* CLOCK_MONOTONIC: until then it is known to have slept on; 0: not beyond */
    uint64_t awake_ns; /* when it is swept at the latest */

    struct member *members;
    size_t member_count, member_capacity;
    uint32_t *functions; /* by code id: the profile's function + 1, or 0 */
    size_t function_capacity;
    uint32_t debugger_function, native_function, collector_function, unread_function;
};

/* "app.py" of "/usr/bin/python3 -X dev /src/app.py arg", "python -m app" and "python -c" likewise.
 */
static void name_from_command(pid_t pid, char *out, size_t size)
{
    char command[1024], *rest = command, *word;
    bsk_process_command(pid, command, sizeof(command));
    strtok_r(command, " ", &rest);
    snprintf(out, size, "python");
    while ((word = strtok_r(NULL, " ", &rest))) {
        const char *slash = strrchr(word, '/');
        size_t bytes = strlen(word);
        if (bytes > 3 && strcmp(word + bytes - 3, ".py") == 0) {
            snprintf(out, size, "%s", slash ? slash + 1 : word);
            return;
        }
        if (strcmp(word, "-c") == 0) {
            snprintf(out, size, "python -c");
            return;
        }
        if (strcmp(word, "-m") == 0 && (word = strtok_r(NULL, " ", &rest))) {
            snprintf(out, size, "python -m %s", word);
            return;
        }
    }
}

int bsk_target_open(struct bsk_target_context *context, pid_t pid, const char *name, bool is_child,
                    struct bsk_target **out_target, struct bsk_error *err)
{
    struct bsk_target *target = calloc(1, sizeof(*target));
    if (!target)
        return bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
    target->context = context;
    const struct bsk_sampler_options options = { .idle_stacks = context->idle_stacks,
                                                 .stop_threads = context->blocking };
    int rc = bsk_sampler_open(pid, &options, &target->sampler, err);
    if (rc != BSK_OK)
        goto fail;
    target->pid = pid;
    target->is_child = is_child;
    target->fold = bsk_fold_new(context->folders, context->folder_count);
    target->debugger_function =
        bsk_profile_function(context->profile, "(debugger)", "", 0, BSK_FUNCTION_SPECIAL);
    target->native_function =
        bsk_profile_function(context->profile, "(no Python frame)", "", 0, BSK_FUNCTION_SPECIAL);
    target->collector_function =
        bsk_profile_function(context->profile, "(garbage collector)", "", 0, BSK_FUNCTION_SPECIAL);
    target->unread_function =
        bsk_profile_function(context->profile, "(unread)", "", 0, BSK_FUNCTION_SPECIAL);
    if (name)
        snprintf(target->name, sizeof(target->name), "%s", name);
    else
        name_from_command(pid, target->name, sizeof(target->name));
    if (!target->fold) {
        rc = bsk_fail(err, BSK_E_MEMORY, NULL, "out of memory");
        goto fail;
    }
    *out_target = target;
    return BSK_OK;
fail:
    bsk_target_close(target, 0);
    return rc;
}

void bsk_target_used_before(struct bsk_target *target, uint64_t first_thread_ns)
{
    target->used_before_ns = first_thread_ns;
}

uint64_t bsk_target_used_before_by(const struct bsk_target *target, pid_t tid)
{
    return tid == target->pid ? target->used_before_ns : 0;
}

static void free_member(struct member *member)
{
    bsk_account_free(&member->account);
    free(member->nodes);
}

static void end_member(struct bsk_target *target, struct member *member, uint64_t now_ns)
{
    target->context->samples +=
        bsk_account_close(&member->account, target->context->profile, now_ns);
    free_member(member);
}

/* What was not looked at while all slept on. */
static void settle_sleep(struct bsk_target *target)
{
    struct bsk_target_context *context = target->context;
    for (size_t i = 0; i < target->member_count && target->slept_ns > 0; i++) {
        struct member *member = &target->members[i];
        const struct bsk_sight sight = {
            .now_ns = target->slept_ns - context->start_ns,
            .node = BSK_NO_NODE,
            .gil_wait = member->gil_wait,
            .in_call = member->in_call,
        };
        if (!member->ignored)
            context->samples += bsk_account_look(&member->account, context->profile, &sight);
    }
    target->slept_ns = 0;
}

void bsk_target_close(struct bsk_target *target, uint64_t now_ns)
{
    if (!target)
        return;
    bsk_target_ticks_stop(target->ticks, now_ns);
    settle_sleep(target);
    free_member(&target->ticking);
    for (size_t i = 0; i < target->member_count; i++)
        end_member(target, &target->members[i], now_ns - target->context->start_ns);
    if (target->sampler) {
        struct bsk_pause_cost cost = bsk_target_stop_cost(target);
        struct bsk_target_context *context = target->context;
        context->stops += cost.stops;
        context->stopped_ns += cost.stopped_ns;
        if (cost.longest_ns > context->longest_stop_ns)
            context->longest_stop_ns = cost.longest_ns;
    }
    bsk_sampler_close(target->sampler);
    bsk_fold_free(target->fold);
    free(target->members);
    free(target->functions);
    free(target);
}

pid_t bsk_target_pid(const struct bsk_target *target)
{
    return target->pid;
}

const struct bsk_python_info *bsk_target_python(const struct bsk_target *target)
{
    return bsk_sampler_info(target->sampler);
}

int bsk_target_prove(struct bsk_target *target, const struct bsk_identity *identity,
                     struct bsk_error *err)
{
    unsigned char bytes[sizeof(identity->bytes)];
    if (bsk_sampler_read(target->sampler, identity->address, bytes, sizeof(bytes), NULL) ==
            BSK_OK &&
        memcmp(bytes, identity->bytes, sizeof(bytes)) == 0)
        return BSK_OK;
    return bsk_fail(err, BSK_E_STATE,
                    "the debugged program runs on another machine or in a container that this one "
                    "cannot see",
                    "Process not found: %d is not the program that is debugged", (int)target->pid);
}

void bsk_target_hold(struct bsk_target *target, bool hold)
{
    if (target->held && !hold)
        target->rebase = true;
    target->held = hold;
    if (target->ticks)
        bsk_target_ticks_hold(target->ticks, hold);
}

bool bsk_target_ticking(const struct bsk_target *target)
{
    return target->ticks != NULL;
}

struct bsk_pause_cost bsk_target_stop_cost(const struct bsk_target *target)
{
    return bsk_sampler_stop_cost(target->sampler);
}

bool bsk_target_let_go(struct bsk_target *target)
{
    return bsk_sampler_let_go(target->sampler);
}

bool bsk_target_held(const struct bsk_target *target)
{
    return target->held;
}

/* ---- Threads -----------------------------------------------------------------------------------
 */

/* What the debug session said of this thread, or NULL. */
static const struct bsk_known_thread *known_thread(const struct bsk_target *target, pid_t tid)
{
    const struct bsk_target_context *context = target->context;
    struct bsk_process_facts facts;
    if (context->threads_pid != target->pid || context->thread_count == 0)
        return NULL;
    if (bsk_process_facts(tid, &facts, NULL) == BSK_OK && facts.pid_inside > 0)
        tid = facts.pid_inside; /* it spoke in the numbers of its own namespace */
    for (size_t i = 0; i < context->thread_count; i++) {
        if (context->threads[i].tid == tid)
            return &context->threads[i];
    }
    return NULL;
}

static void read_comm(pid_t pid, pid_t tid, char out[32])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? 0 : read(fd, out, 31);
    if (fd >= 0)
        close(fd);
    out[bytes > 0 ? bytes : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

static void name_thread(const struct bsk_target *target, pid_t tid, char *out, size_t size)
{
    char own[32], main_thread[32];
    read_comm(target->pid, tid, own);
    read_comm(target->pid, target->pid, main_thread);
    if (tid == 0)
        snprintf(out, size, "Short threads");
    else if (tid == target->pid)
        snprintf(out, size, "MainThread");
    else if (own[0] && strcmp(own, main_thread) != 0)
        snprintf(out, size, "%s", own);
    else
        snprintf(out, size, "Thread %d", (int)tid);
}

/* A subinterpreter's stacks have a track of their own, whichever thread runs them. */
static void add_interpreter(char *name, size_t size, int64_t interpreter)
{
    size_t used = strlen(name);
    if (interpreter > 0)
        snprintf(name + used, size - used, " (interpreter %lld)", (long long)interpreter);
    else if (interpreter < 0)
        snprintf(name + used, size - used, " (short interpreters)");
}

void bsk_target_follow_name(struct bsk_target *target, uint32_t track, int64_t interpreter,
                            const char *name)
{
    char whole[600];
    if (!name || !name[0] || track == UINT32_MAX)
        return;
    struct bsk_track known = bsk_profile_track_at(target->context->profile, track);
    snprintf(whole, sizeof(whole) - 40, "%s", name);
    add_interpreter(whole, sizeof(whole), interpreter);
    if (strcmp(known.thread, whole) != 0)
        bsk_profile_name_track(target->context->profile, track, whole);
}

uint32_t bsk_target_track(struct bsk_target *target, pid_t tid, int64_t interpreter,
                          bool *out_ignored, bool *out_named)
{
    const struct bsk_known_thread *known = known_thread(target, tid);
    char name[192];
    name_thread(target, tid, name, sizeof(name));
    *out_ignored = known && known->debugger;
    *out_named = known && known->name[0];
    if (*out_ignored)
        return UINT32_MAX;
    if (*out_named)
        snprintf(name, sizeof(name) - 40, "%s", known->name);
    add_interpreter(name, sizeof(name), interpreter);
    return bsk_profile_track(target->context->profile, target->pid, tid, target->name, name);
}

static struct member *member_of(struct bsk_target *target, pid_t tid)
{
    for (size_t i = 0; i < target->member_count; i++) {
        if (target->members[i].tid == tid)
            return &target->members[i];
    }
    if (target->member_count == target->member_capacity) {
        size_t capacity = target->member_capacity ? target->member_capacity * 2 : 8;
        struct member *grown = realloc(target->members, capacity * sizeof(*grown));
        if (!grown)
            return NULL;
        target->members = grown;
        target->member_capacity = capacity;
    }
    struct member *member = &target->members[target->member_count];
    memset(member, 0, sizeof(*member));
    member->tid = tid;
    member->call = BSK_CALL_UNKNOWN;
    member->account.clock = target->context->clock;
    member->track = bsk_target_track(target, tid, 0, &member->ignored, &member->named);
    target->member_count++;
    return member;
}

/* The thread goes on in another interpreter: its time is one, its tracks are not. */
static void enter(struct bsk_target *target, struct member *member, int64_t interpreter)
{
    bool ignored, named;
    if (member->interpreter == interpreter || member->ignored)
        return;
    uint32_t track = bsk_target_track(target, member->tid, interpreter, &ignored, &named);
    if (track == UINT32_MAX)
        return;
    member->track = track;
    member->interpreter = interpreter;
    member->stack = 0; /* no stack has anything to do with the one before */
}

/* Threads that this sweep did not see have ended: what they are owed is paid, and their place is
 * free for a thread of the same number. */
static void drop_ended(struct bsk_target *target, uint64_t now_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < target->member_count; i++) {
        struct member *member = &target->members[i];
        if (member->seen_in != target->sweep)
            end_member(target, member, now_ns);
        else
            target->members[kept++] = *member;
    }
    target->member_count = kept;
}

/* ---- Stacks ------------------------------------------------------------------------------------
 */

static uint32_t function_of(struct bsk_target *target, const struct bsk_code_object *code)
{
    if (code->id >= target->function_capacity) {
        size_t capacity = target->function_capacity ? target->function_capacity : 256;
        while (capacity <= code->id)
            capacity *= 2;
        uint32_t *grown = realloc(target->functions, capacity * sizeof(*grown));
        if (!grown)
            return UINT32_MAX;
        memset(grown + target->function_capacity, 0,
               (capacity - target->function_capacity) * sizeof(*grown));
        target->functions = grown;
        target->function_capacity = capacity;
    }
    if (target->functions[code->id] == 0) {
        /* Only "(unread)" in the middle of a stack has no path: it is no code of the program. */
        uint32_t function =
            code->path[0] == '\0'
                ? target->unread_function
                : bsk_profile_function(target->context->profile, code->qualname, code->path,
                                       code->first_line, BSK_FUNCTION_PYTHON);
        if (function == UINT32_MAX)
            return function;
        target->functions[code->id] = function + 1;
    }
    return target->functions[code->id] - 1;
}

/* Where there is no debugger to fold away, only what has changed since the stack before is looked
 * up: the outer frames are mostly the same. */
static uint32_t walk_nodes(struct bsk_target *target, struct member *member,
                           const struct bsk_thread_sample *thread)
{
    struct bsk_profile *profile = target->context->profile;
    size_t at = member->stack != 0 && thread->stack == member->stack + 1 ? thread->kept : 0;
    if (at > member->node_count)
        at = member->node_count;
    if (thread->depth > member->node_capacity) {
        size_t capacity = thread->depth * 2;
        uint32_t *grown = realloc(member->nodes, capacity * sizeof(*grown));
        if (!grown)
            return BSK_NO_NODE;
        member->nodes = grown;
        member->node_capacity = capacity;
    }
    for (; at < thread->depth; at++) {
        const struct bsk_frame *frame = &thread->frames[thread->depth - 1 - at];
        uint32_t parent =
            at > 0 ? member->nodes[at - 1] : bsk_profile_track_root(profile, member->track);
        member->nodes[at] =
            bsk_profile_step(profile, parent, function_of(target, frame->code), frame->line);
        if (at > 0)
            bsk_profile_called_from(profile, member->nodes[at], frame[1].column);
    }
    member->node_count = thread->depth;
    member->stack = thread->stack;
    return thread->depth > 0 ? member->nodes[thread->depth - 1] : BSK_NO_NODE;
}

/* The same with the debugger's frames folded away: `*out_is_debuggers` when nothing of the user's
 * is in it (the program has not begun yet, or is over). */
static uint32_t fold_nodes(struct bsk_target *target, struct member *member,
                           const struct bsk_thread_sample *thread, bool *out_is_debuggers,
                           uint32_t *out_column)
{
    struct bsk_folded folded = { 0 };
    if (!bsk_fold_stack(target->fold, thread->frames, thread->depth, thread->tid == target->pid,
                        &folded))
        return BSK_NO_NODE;
    /* A thread that is the debugger's by its stack may be one of the user's that it only just
     * starts. */
    *out_is_debuggers = folded.debugger_thread || (folded.depth == 0 && folded.debugger_leaf);
    if (*out_is_debuggers)
        return BSK_NO_NODE;
    struct bsk_profile *profile = target->context->profile;
    uint32_t node = bsk_profile_track_root(profile, member->track), column = 0;
    for (size_t i = folded.depth; i > 0; i--) {
        const struct bsk_frame *frame = &folded.frames[i - 1];
        uint32_t function = function_of(target, frame->code);
        if (function == UINT32_MAX)
            continue;
        node = bsk_profile_step(profile, node, function, frame->line);
        bsk_profile_called_from(profile, node, column);
        column = frame->column;
    }
    if (folded.debugger_leaf || folded.depth == 0) {
        node = bsk_profile_step(
            profile, node,
            folded.debugger_leaf ? target->debugger_function : target->native_function, 0);
        bsk_profile_called_from(profile, node, column);
        column = 0;
    }
    *out_column = column;
    return node;
}

/* The node of what the thread does, or BSK_NO_NODE. */
static uint32_t node_of(struct bsk_target *target, struct member *member,
                        const struct bsk_thread_sample *thread, bool *out_is_debuggers)
{
    struct bsk_profile *profile = target->context->profile;
    uint32_t column = thread->depth > 0 ? thread->frames[0].column : 0;
    uint32_t node = target->context->folder_count == 0
                        ? walk_nodes(target, member, thread)
                        : fold_nodes(target, member, thread, out_is_debuggers, &column);
    if (thread->unread || thread->collects) {
        if (thread->unread)
            node = bsk_profile_step(profile, node, target->unread_function, 0);
        if (thread->collects)
            node = bsk_profile_step(profile, node, target->collector_function, 0);
        bsk_profile_called_from(profile, node, thread->unread && thread->collects ? 0 : column);
    } else if (thread->state != BSK_THREAD_IDLE || target->context->clock == BSK_CLOCK_WALL) {
        bsk_profile_saw_column(profile, node, column, 1);
    }
    return node;
}

uint32_t bsk_target_node(struct bsk_target *target, uint32_t track,
                         const struct bsk_thread_sample *thread, bool *out_is_debuggers)
{
    target->ticking.track = track;
    target->ticking.stack = 0; /* no stack has anything to do with the one before */
    uint32_t node = node_of(target, &target->ticking, thread, out_is_debuggers);
    if (node == BSK_NO_NODE && thread->depth == 0 && !*out_is_debuggers)
        node = bsk_profile_step(target->context->profile,
                                bsk_profile_track_root(target->context->profile, track),
                                target->native_function, 0);
    return node;
}

static void look(struct bsk_target *target, const struct bsk_thread_sample *thread, uint64_t now_ns)
{
    struct bsk_target_context *context = target->context;
    struct member *member = thread->elsewhere ? NULL : member_of(target, thread->tid);
    if (!member)
        return;
    bool is_new = member->seen_in == 0;
    member->seen_in = target->sweep;
    if (member->ignored) {
        bsk_sampler_ignore(target->sampler, thread->tid);
        return;
    }
    if (target->rebase || (is_new && target->sweep == 1 && !target->is_child)) {
        bsk_account_rebase(&member->account, context->profile, thread->cpu_ns, now_ns);
        return;
    }
    if (is_new)
        bsk_account_rebase(&member->account, context->profile,
                           bsk_target_used_before_by(target, thread->tid),
                           now_ns > context->period_ns ? now_ns - context->period_ns : 0);
    uint32_t node = BSK_NO_NODE;
    bool is_debuggers = false;
    enter(target, member, thread->interpreter_id);
    if (!member->named)
        bsk_target_follow_name(target, member->track, member->interpreter, thread->name);
    bool runs = thread->state == BSK_THREAD_RUNNING;
    if (thread->has_stack)
        node = node_of(target, member, thread, &is_debuggers);
    else if (runs && !thread->torn)
        node = bsk_profile_step(context->profile,
                                bsk_profile_track_root(context->profile, member->track),
                                target->native_function, 0);
    int32_t call = thread->state == BSK_THREAD_CALL ? thread->call : BSK_CALL_UNKNOWN;
    member->in_call = thread->state == BSK_THREAD_CALL;
    member->gil_wait = thread->state == BSK_THREAD_GIL_WAIT;
    if (call != member->call) {
        bsk_profile_note_call(context->profile, member->track, bsk_call_name(call));
        member->call = call;
    }
    context->torn += thread->torn;
    context->filled += thread->has_stack && thread->filled;
    context->unread += thread->has_stack && thread->unread;
    const struct bsk_sight sight = {
        .now_ns = now_ns,
        .node = node,
        .runs = runs,
        .gil = thread->holds_gil,
        .gil_wait = thread->state == BSK_THREAD_GIL_WAIT,
        .in_call = thread->state == BSK_THREAD_CALL,
        .counted = thread->counted,
        .cpu_ns = thread->cpu_ns,
    };
    if (is_debuggers && thread->counted)
        bsk_account_rebase(&member->account, context->profile, thread->cpu_ns, now_ns);
    else if (!is_debuggers)
        context->samples += bsk_account_look(&member->account, context->profile, &sight);
}

/* The kernel checks the program that samples at ticks anew for each process, which takes it some
 * hundredths of a second: with many children they would be the most that is done. The first process
 * has it always, others as long as that takes a twentieth of the time. */
static bool can_afford_ticks(const struct bsk_target *target)
{
    enum { SHARE = 20 };
    const struct bsk_target_context *context = target->context;
    const uint64_t start_with_ns = 200000000;
    return !target->is_child || context->ticks_spent_ns + context->ticks_last_ns <=
                                    start_with_ns + (bsk_now_ns() - context->start_ns) / SHARE;
}

static void try_ticks(struct bsk_target *target)
{
    struct bsk_target_context *context = target->context;
    target->tried_ticks = true; /* where the kernel does not let us, sweeps are as good */
    if (context->tick_hz == 0 || !can_afford_ticks(target))
        return;
    uint64_t begin = bsk_now_ns();
    (void)bsk_target_ticks_start(target, context, target->sampler, target->is_child, &target->ticks,
                                 NULL);
    context->ticks_last_ns = bsk_now_ns() - begin;
    context->ticks_spent_ns += context->ticks_last_ns;
}

/* Whether it has slept on since the last sweep: then that would tell nothing new. Where many
 * processes sleep, this one small question for each is all that they cost. */
static bool sleeps_on(struct bsk_target *target, uint64_t now)
{
    const uint64_t sweep_at_least_ns = 250000000; /* for what is shown of its sleep, and its end */
    uint64_t cpu_ns = 0, before_ns = target->cpu_ns;
    target->cpu_ns = 0;
    if (!target->asleep || target->context->clock == BSK_CLOCK_WALL ||
        !bsk_process_cpu_ns(target->pid, &cpu_ns))
        return false; /* who works is asked nothing more; with the wall's clock each sample counts
                       */
    target->cpu_ns = cpu_ns;
    if (cpu_ns == before_ns && !target->rebase && now < target->awake_ns) {
        target->slept_ns = now;
        return true;
    }
    target->awake_ns = now + sweep_at_least_ns;
    return false;
}

int bsk_target_sweep(struct bsk_target *target)
{
    const struct bsk_sample *sample = NULL;
    if (target->held)
        return BSK_OK;
    if (!target->tried_ticks)
        try_ticks(target);
    if (target->ticks)
        return bsk_target_ticks_sweep(target->ticks);
    target->context->swept = true;
    if (sleeps_on(target, bsk_now_ns()))
        return BSK_OK;
    settle_sleep(target);
    int rc = bsk_sampler_take(target->sampler, &sample, NULL);
    if (rc != BSK_OK) {
        target->context->errors += rc != BSK_E_GONE;
        return rc;
    }
    uint64_t now_ns = sample->time_ns - target->context->start_ns;
    target->sweep++;
    target->asleep = true;
    for (size_t i = 0; i < sample->thread_count; i++) {
        look(target, &sample->threads[i], now_ns);
        target->asleep = target->asleep && sample->threads[i].state != BSK_THREAD_RUNNING;
    }
    target->rebase = false;
    drop_ended(target, now_ns);
    return BSK_OK;
}
