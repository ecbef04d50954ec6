#include "adapters/cli/dump_print.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static void put(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            printf("\\x%02x", (unsigned char)*text);
        else
            putchar(*text);
    }
}

static void print_locals(const struct bsk_locals *locals)
{
    for (size_t i = 0; i < locals->count; i++) {
        const struct bsk_local *local = &locals->items[i];
        if (i == 0 || local->argument != locals->items[i - 1].argument)
            puts(local->argument ? "        Arguments:" : "        Locals:");
        fputs("            ", stdout);
        put(local->name);
        fputs(": ", stdout);
        put(local->text);
        putchar('\n');
    }
}

static void print_thread(const struct cli_dump_thread *thread,
                         const struct cli_dump_options *options)
{
    bool is_core = options->core != NULL;
    char state[64];
    cli_dump_state(thread, state, sizeof(state));
    printf("Thread %d (%s)", (int)thread->tid, state);
    if (thread->name[0]) {
        fputs(": \"", stdout);
        put(thread->name);
        putchar('"');
    }
    putchar('\n');
    if (!thread->has_stack) {
        puts("    (its stack could not be read)");
        return;
    }
    if (thread->unread)
        puts("    (unread)");
    for (size_t i = 0; i < thread->depth; i++) {
        const struct cli_dump_frame *frame = &thread->frames[i];
        fputs("    ", stdout);
        put(frame->code->qualname);
        fputs(" (", stdout);
        put(frame->shown);
        if (frame->line)
            printf(":%u", frame->line);
        puts(")");
        if (frame->has_locals)
            print_locals(&frame->locals);
        else if (options->locals)
            puts(is_core ? "        (its variables are not in the core file)"
                         : "        (went on while its variables were read)");
    }
    if (thread->truncated)
        puts("    (deeper: the outermost frames are left out)");
}

/* Of the signals that make a core; "" for others. */
static const char *signal_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        { SIGABRT, "SIGABRT" }, { SIGSEGV, "SIGSEGV" }, { SIGBUS, "SIGBUS" },
        { SIGILL, "SIGILL" },   { SIGFPE, "SIGFPE" },   { SIGQUIT, "SIGQUIT" },
        { SIGTRAP, "SIGTRAP" }, { SIGSYS, "SIGSYS" },   { SIGXCPU, "SIGXCPU" },
        { SIGXFSZ, "SIGXFSZ" },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].number == number)
            return names[i].name;
    return "";
}

static void print_core(const struct bsk_core_facts *core)
{
    if (core->signal > 0)
        printf("Signal %d %s in thread %d\n", core->signal, signal_name(core->signal),
               (int)core->signal_tid);
    if (core->bytes < core->claimed_bytes)
        printf("The core file is cut short: %" PRIu64 " of %" PRIu64 " bytes\n", core->bytes,
               core->claimed_bytes);
}

void cli_dump_print_text(const struct cli_dump *dump, const struct cli_dump_options *options)
{
    printf("Process %d: ", (int)dump->pid);
    put(dump->command);
    putchar('\n');
    if (dump->python) {
        printf("Python v%s (", dump->python->version);
        put(dump->python->executable);
        puts(")");
    }
    if (dump->parent)
        printf("Parent Process %d\n", (int)dump->parent);
    if (dump->is_core)
        print_core(&dump->core);
    putchar('\n');
    if (dump->error.code) {
        put(dump->error.message);
        putchar('\n');
    }
    for (size_t i = 0; i < dump->count; i++)
        print_thread(&dump->threads[i], options);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void write_null(struct bsk_json *json, const char *key)
{
    bsk_json_key(json, key);
    bsk_json_raw(json, "null", 4);
}

static void write_locals(const struct bsk_locals *locals, struct bsk_json *json)
{
    bsk_json_key(json, "locals");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < locals->count; i++) {
        const struct bsk_local *local = &locals->items[i];
        bsk_json_begin(json, '{');
        bsk_json_field_text(json, "name", local->name);
        bsk_json_field_uint(json, "addr", local->address);
        bsk_json_field_bool(json, "arg", local->argument);
        bsk_json_field_text(json, "repr", local->text);
        bsk_json_end(json, '}');
    }
    bsk_json_end(json, ']');
}

static void write_frame(const struct cli_dump_frame *frame, bool outermost,
                        const struct cli_dump_options *options, struct bsk_json *json)
{
    bsk_json_begin(json, '{');
    bsk_json_field_text(json, "name", frame->code->qualname);
    bsk_json_field_text(json, "filename", frame->code->path);
    write_null(json, "module");
    bsk_json_field_text(json, "short_filename", frame->shown);
    bsk_json_field_uint(json, "line", frame->line);
    if (frame->column) {
        bsk_json_field_uint(json, "column", frame->column);
        bsk_json_field_uint(json, "end_line", frame->end_line);
        bsk_json_field_uint(json, "end_column", frame->end_column);
    }
    if (options->locals && frame->has_locals)
        write_locals(&frame->locals, json);
    else
        write_null(json, "locals");
    bsk_json_field_bool(json, "is_entry", outermost);
    bsk_json_field_bool(json, "is_shim_entry", false);
    bsk_json_end(json, '}');
}

static void write_process_info(const struct cli_dump *dump, struct bsk_json *json)
{
    bsk_json_key(json, "process_info");
    if (!dump->parent) {
        bsk_json_raw(json, "null", 4);
        return;
    }
    bsk_json_begin(json, '{');
    bsk_json_field_int(json, "pid", dump->pid);
    bsk_json_field_text(json, "command_line", dump->command);
    write_null(json, "parent");
    bsk_json_end(json, '}');
}

static void write_thread(const struct cli_dump *dump, const struct cli_dump_thread *thread,
                         const struct cli_dump_options *options, struct bsk_json *json)
{
    char state[64];
    cli_dump_state(thread, state, sizeof(state));
    bsk_json_begin(json, '{');
    bsk_json_field_int(json, "pid", dump->pid);
    bsk_json_field_uint(json, "thread_id", thread->ident);
    if (thread->name[0])
        bsk_json_field_text(json, "thread_name", thread->name);
    else
        write_null(json, "thread_name");
    bsk_json_field_int(json, "os_thread_id", thread->tid);
    bsk_json_field_bool(json, "active", thread->state == BSK_THREAD_RUNNING);
    bsk_json_field_bool(json, "owns_gil", thread->holds_gil);
    if (dump->is_core && dump->core.signal > 0 && thread->tid == dump->core.signal_tid)
        bsk_json_field_int(json, "signal", dump->core.signal);
    bsk_json_key(json, "frames");
    bsk_json_begin(json, '[');
    for (size_t i = 0; i < thread->depth; i++)
        write_frame(&thread->frames[i], i + 1 == thread->depth, options, json);
    bsk_json_end(json, ']');
    write_process_info(dump, json);
    bsk_json_field_text(json, "state", state);
    if (bsk_call_name(thread->call)[0])
        bsk_json_field_text(json, "system_call", bsk_call_name(thread->call));
    else
        write_null(json, "system_call");
    bsk_json_field_bool(json, "complete",
                        thread->has_stack && !thread->torn && !thread->unread &&
                            !thread->truncated);
    bsk_json_end(json, '}');
}

void cli_dump_write_threads(const struct cli_dump *dump, const struct cli_dump_options *options,
                            struct bsk_json *json)
{
    for (size_t i = 0; i < dump->count; i++)
        write_thread(dump, &dump->threads[i], options, json);
}

void cli_dump_write_process(const struct cli_dump *dump, const struct cli_dump_options *options,
                            struct bsk_json *json)
{
    bsk_json_begin(json, '{');
    bsk_json_field_int(json, "pid", dump->pid);
    if (dump->parent)
        bsk_json_field_int(json, "parent", dump->parent);
    else
        write_null(json, "parent");
    bsk_json_field_text(json, "command_line", dump->command);
    if (dump->python) {
        bsk_json_field_text(json, "python", dump->python->version);
        bsk_json_field_text(json, "executable", dump->python->executable);
    }
    if (dump->error.code)
        bsk_json_field_text(json, "error", dump->error.message);
    bsk_json_key(json, "threads");
    bsk_json_begin(json, '[');
    cli_dump_write_threads(dump, options, json);
    bsk_json_end(json, ']');
    bsk_json_end(json, '}');
}
