#include "engine/recording/target_inside.h"

#include "engine/base/clock.h"
#include "engine/base/room.h"
#include "engine/process/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        bsk_profile_function(context->profile, BSK_FUNCTION_UNREAD, "", 0, BSK_FUNCTION_SPECIAL);
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

static bool begins_as_said(const struct bsk_python_thread *thread,
                           const struct bsk_identity *identity)
{
    if (thread->depth < identity->frame_count)
        return false;
    for (size_t i = 0; i < identity->frame_count; i++)
        if (strcmp(thread->frames[thread->depth - 1 - i].code->name, identity->frames[i]) != 0)
            return false;
    return true;
}

/* Its outermost frames stand as long as the thread lives. */
static int prove_stack(struct bsk_target *target, const struct bsk_identity *identity,
                       struct bsk_error *err)
{
    enum { TRIES = 8 };
    struct bsk_python *python = bsk_sampler_python(target->sampler);
    const char *outermost = NULL;
    const struct bsk_sample *sample;
    if (identity->frame_count == 0)
        return BSK_OK;
    (void)bsk_sampler_take(target->sampler, &sample, NULL); /* it finds the threads */
    for (size_t i = 0; i < bsk_python_thread_count(python); i++) {
        struct bsk_python_thread *thread = bsk_python_thread(python, i);
        bool changed;
        for (int try = 0; try < TRIES && thread->ident == identity->ident; try++) {
            if (bsk_python_read_stacks(python, &thread, 1, &changed, NULL) != BSK_OK ||
                !thread->has_stack || thread->truncated)
                continue;
            if (begins_as_said(thread, identity))
                return BSK_OK;
            outermost = thread->frames[thread->depth - 1].code->name;
        }
    }
    if (!outermost)
        return BSK_OK;
    return bsk_fail(err, BSK_E_UNSUPPORTED,
                    "this build of Python is laid out in a way that we do not know: tell us how it "
                    "was built, or run the program with a usual build",
                    "CPython %s: a thread that says it began in %s() is read as if in %s()",
                    bsk_sampler_info(target->sampler)->version, identity->frames[0], outermost);
}

int bsk_target_prove(struct bsk_target *target, const struct bsk_identity *identity,
                     struct bsk_error *err)
{
    unsigned char bytes[sizeof(identity->bytes)];
    if (bsk_sampler_read(target->sampler, identity->address, bytes, sizeof(bytes), NULL) ==
            BSK_OK &&
        memcmp(bytes, identity->bytes, sizeof(bytes)) == 0)
        return prove_stack(target, identity, err);
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

size_t bsk_target_look_for_jit(struct bsk_target *target)
{
    return bsk_python_look_for_jit(bsk_sampler_python(target->sampler));
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

static struct member *member_of(struct bsk_target *target, pid_t tid)
{
    for (size_t i = 0; i < target->member_count; i++) {
        if (target->members[i].tid == tid)
            return &target->members[i];
    }
    if (!bsk_room_for_one(&target->members, target->member_count, &target->member_capacity,
                          sizeof(*target->members)))
        return NULL;
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

/* ---- Sweeps ------------------------------------------------------------------------------------
 */

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
        node = bsk_target_node_of(target, member, thread, &is_debuggers);
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
