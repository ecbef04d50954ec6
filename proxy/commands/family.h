/* What the families of commands share; private to this room. */
#ifndef DAP_COMMANDS_FAMILY_H
#define DAP_COMMANDS_FAMILY_H

#include "proxy/memory/memory.h"
#include "proxy/profiling/profiling.h"
#include "proxy/session/session.h"

#include <uv.h>

/* What a root session and its children share. */
struct dap_group {
    struct dap_profiling *profiling;
    struct dap_memory *memory;
    unsigned sessions;
};

/* The state of one session. It outlives the session while answers are under way. */
struct dap_commands {
    struct dap_session *session; /* NULL once it has closed */
    struct dap_group *group;
    struct dap_profiling *profiling; /* the group's, as the next one */
    struct dap_memory *memory;
    uv_loop_t *loop;
    unsigned references;
};

/* A question under way, from a request or from the console; owned by whoever must answer it. */
struct dap_question {
    struct dap_commands *commands;
    struct dap_request request;
    bool from_console;
};

struct dap_command {
    const char *request; /* "basilisk.profiler.start" */
    const char *console; /* "/profile"; NULL with `usage`: not asked for in the console */
    const char *usage;   /* "/profile [preset or Hz]" */
    const char *does;    /* one line */
    /* `arguments` may be NULL; each takes over `question`. */
    void (*on_request)(struct dap_question *question, struct json_object *arguments);
    /* `rest`: after the first word. NULL: the console command takes nothing, and is the request. */
    void (*on_console)(struct dap_question *question, const char *rest);
};

extern const struct dap_command dap_command_table[];
extern const size_t dap_command_count;

/* Text of other processes need not be UTF-8, and json-c writes what it is given. */
void dap_add_text(struct json_object *object, const char *key, const char *text);

/* Parts of arguments that families share; each fails with BSK_E_FORMAT and says what is wanted. */
int dap_wrong_type(const char *key, const char *wanted, struct json_object *value,
                   struct bsk_error *err);
bool dap_is_number(struct json_object *value);
int dap_apply_bool(const char *key, struct json_object *value, bool *out, struct bsk_error *err);
int dap_apply_folder(const char *key, struct json_object *value, char *out, size_t room,
                     struct bsk_error *err);

/* A sentence for the console. */
void dap_warn(struct dap_session *session, const char *text);
/* A path as short as it can be and still be understood: below the launch cwd, else its last name.
 */
const char *dap_short_path(struct dap_session *session, const char *path);

/* NULL when out of memory. */
struct dap_question *dap_question_new(struct dap_commands *commands,
                                      const struct dap_request *request, bool from_console);
void dap_question_drop(struct dap_question *question); /* frees it; nobody is answered */

/* These answer, and free the question. `body` is taken over; `words` is what the console shows.
 * They do nothing but free when the session has closed. */
void dap_question_answer(struct dap_question *question, struct json_object *body,
                         const char *words);
void dap_question_refuse(struct dap_question *question, const struct bsk_error *err);
void dap_question_refuse_with(struct dap_question *question, enum bsk_code code, const char *hint,
                              const char *message);

/* Nobody asked, so nobody is answered: a failure is said in the console. Frees it. */
void dap_question_close(struct dap_question *question, int rc, const struct bsk_error *err);

/* profiler.c */
void dap_ask_start(struct dap_question *question, struct json_object *arguments);
void dap_ask_snapshot(struct dap_question *question, struct json_object *arguments);
void dap_ask_stop(struct dap_question *question, struct json_object *arguments);
void dap_say_start(struct dap_question *question, const char *rest);
void dap_configure(struct dap_commands *commands, struct json_object *key);
extern const struct dap_profiling_listener dap_profiler_listener;

/* compare.c */
void dap_ask_compare(struct dap_question *question, struct json_object *arguments);
void dap_say_compare(struct dap_question *question, const char *rest);

/* memory.c */
void dap_ask_memory_start(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_snapshot(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_stop(struct dap_question *question, struct json_object *arguments);
void dap_say_memory_start(struct dap_question *question, const char *rest);
/* NULL when there is none; false, and refused, when it is no text. */
bool dap_memory_session_of(struct dap_question *question, struct json_object *arguments,
                           const char **out_id);
/* Asks `ask` of the tracking that `arguments` name; `done` gets the question. */
typedef void dap_memory_ask_fn(struct dap_memory *memory, struct dap_session *session,
                               const char *session_id, dap_memory_fn *done, void *user);
void dap_memory_ask(struct dap_question *question, struct json_object *arguments,
                    dap_memory_ask_fn *ask, dap_memory_fn *done);

/* memory_asks.c */
void dap_ask_memory_diff(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_references(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_inspect(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_collect(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_objects(struct dap_question *question, struct json_object *arguments);
void dap_ask_memory_ingest(struct dap_question *question, struct json_object *arguments);
/* What the program printed behind a marker. */
void dap_hear_marker(struct dap_commands *commands, const char *marker, const char *payload,
                     size_t bytes);
void dap_say_memory_diff(struct dap_question *question, const char *rest);
void dap_say_memory_references(struct dap_question *question, const char *rest);

/* The key `memory` of the configuration: true, or the arguments of start. */
void dap_configure_memory(struct dap_commands *commands, struct json_object *value);
/* Where it is not tracked yet; why it cannot be is said in the console. */
void dap_track_memory_too(struct dap_commands *commands);
extern const struct dap_memory_listener dap_memory_listener;

/* status.c */
void dap_ask_status(struct dap_question *question, struct json_object *arguments);
void dap_ask_processes(struct dap_question *question, struct json_object *arguments);
void dap_send_status(struct dap_session *session, const struct dap_group *group);

#endif
