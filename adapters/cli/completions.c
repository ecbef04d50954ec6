/*
 * Completions for bash, zsh and fish, made from the tables that parse the arguments: a new option
 * is completed without a line here. PIDs come from `basilisk completions pids`, which lists the
 * Pythons that run.
 */
#include "adapters/cli/commands.h"

#include "engine/base/strings.h"
#include "engine/python/python.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text inside single quotes, as a shell reads it; `fish` knows \' there, the others do not. */
static void quoted(const char *text, bool fish)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs(fish ? "\\'" : "'\\''", stdout);
        else if (fish && *text == '\\')
            fputs("\\\\", stdout);
        else
            putchar(*text);
    }
    putchar('\'');
}

static bool chooses(const struct cli_option *option, const char *what)
{
    return option->choices && strcmp(option->choices, what) == 0;
}

static bool takes_words(const struct cli_option *option)
{
    return option->choices && !chooses(option, "FILE") && !chooses(option, "PID");
}

/* What a command takes beside its options, by its synopsis: "bash|zsh|fish" is a choice of words,
 * "-- CMD" a program, another word a file. */
static bool plain_words(const struct cli_command *command, char *out, size_t size)
{
    size_t bytes = strcspn(command->synopsis, " ");
    snprintf(out, size, "%.*s", (int)bytes, command->synopsis);
    if (!islower((unsigned char)out[0]) || !strchr(out, '|'))
        return false;
    for (char *at = out; *at; at++)
        if (*at == '|')
            *at = ' ';
    return true;
}

static bool takes_program(const struct cli_command *command)
{
    return strstr(command->synopsis, "-- ") != NULL;
}

/* ---- bash -------------------------------------------------------------------------------------
 */

static void bash_answer(const struct cli_option *option)
{
    if (chooses(option, "PID"))
        puts("            COMPREPLY=($(compgen -W \"$(\"$1\" completions pids 2>/dev/null | cut -f "
             "1)\" "
             "-- \"$word\")) ;;");
    else if (chooses(option, "FILE"))
        puts("            compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\")) ;;");
    else if (option->choices) {
        fputs("            COMPREPLY=($(compgen -W ", stdout);
        quoted(option->choices, false);
        puts(" -- \"$word\")) ;;");
    } else {
        puts("            ;; # a value that only you know");
    }
}

static void bash_command(const struct cli_command *command)
{
    char words[128];
    printf("    %s)\n        options='", command->name);
    for (const struct cli_option *o = command->options; o->name; o++) {
        if (o->letter)
            printf("-%c ", o->letter);
        printf("--%s ", o->name);
    }
    puts("--help'\n        case $before in");
    for (const struct cli_option *o = command->options; o->name; o++) {
        if (!o->argument)
            continue;
        printf("        --%s", o->name);
        if (o->letter)
            printf(" | -%c", o->letter);
        puts(")");
        bash_answer(o);
    }
    puts("        *) plain=yes ;;\n        esac");
    if (plain_words(command, words, sizeof(words)))
        printf("        words='%s'\n", words);
    puts("        ;;");
}

static void print_bash(void)
{
    puts("# basilisk: completion for bash. In ~/.bashrc:  source <(basilisk completions bash)\n"
         "_basilisk() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} i\n"
         "    local options='' words='' plain=''\n"
         "    COMPREPLY=()\n"
         "    # Bash takes --name=value for three words.\n"
         "    if [ \"$word\" = = ]; then\n"
         "        word=''\n"
         "    elif [ \"$before\" = = ]; then\n"
         "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
         "    fi\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs("        COMPREPLY=($(compgen -W '", stdout);
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        printf("%s ", (*c)->name);
    puts("--help --version' -- \"$word\"))\n"
         "        return\n"
         "    fi\n"
         "    # Behind -- stands a program: its name first, then what is its own business.\n"
         "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
         "        if [ \"${COMP_WORDS[i]}\" = -- ]; then\n"
         "            compopt -o filenames\n"
         "            COMPREPLY=($(compgen -f -- \"$word\"))\n"
         "            [ \"$i\" -eq $((COMP_CWORD - 1)) ] && COMPREPLY+=($(compgen -c -- "
         "\"$word\"))\n"
         "            return\n"
         "        fi\n"
         "    done\n"
         "    case ${COMP_WORDS[1]} in");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        bash_command(*c);
    puts("    esac\n"
         "    [ -n \"$plain\" ] || return\n"
         "    if [[ $word == -* ]]; then\n"
         "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
         "    elif [ -n \"$words\" ]; then\n"
         "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "    else\n"
         "        compopt -o filenames\n"
         "        COMPREPLY=($(compgen -f -- \"$word\"))\n"
         "    fi\n"
         "}\n"
         "complete -F _basilisk basilisk");
}

/* ---- zsh --------------------------------------------------------------------------------------
 */

/* Inside [...] and around colons _arguments has a grammar of its own. */
static void zsh_escape(const char *text, char *out, size_t size)
{
    size_t used = 0;
    for (; *text && used + 3 < size; text++) {
        if (strchr("[]:\\", *text))
            out[used++] = '\\';
        out[used++] = *text;
    }
    out[used] = '\0';
}

static void zsh_option(const struct cli_option *option)
{
    char help[256], spec[512], action[128] = " ";
    zsh_escape(option->help, help, sizeof(help));
    if (chooses(option, "PID"))
        snprintf(action, sizeof(action), "_basilisk_pids");
    else if (chooses(option, "FILE"))
        snprintf(action, sizeof(action), "_files");
    else if (option->choices)
        snprintf(action, sizeof(action), "(%s)", option->choices);
    const char *forms[2] = { NULL, NULL };
    char letter[4], name[64];
    snprintf(letter, sizeof(letter), "-%c%s", option->letter, option->argument ? "+" : "");
    snprintf(name, sizeof(name), "--%s%s", option->name, option->argument ? "=" : "");
    forms[0] = option->letter ? letter : NULL;
    forms[1] = name;
    for (size_t i = 0; i < 2; i++) {
        if (!forms[i])
            continue;
        if (option->argument)
            snprintf(spec, sizeof(spec), "*%s[%s]:%s:%s", forms[i], help, option->argument, action);
        else
            snprintf(spec, sizeof(spec), "*%s[%s]", forms[i], help);
        fputs(" \\\n            ", stdout);
        quoted(spec, false);
    }
}

static void zsh_command(const struct cli_command *command)
{
    char words[128], spec[256];
    printf("    %s)\n        _arguments -s -S", command->name);
    for (const struct cli_option *o = command->options; o->name; o++)
        zsh_option(o);
    fputs(" \\\n            '(- *)--help[how it is used]' \\\n            ", stdout);
    if (plain_words(command, words, sizeof(words)))
        snprintf(spec, sizeof(spec), "1:what:(%s)", words);
    else
        snprintf(spec, sizeof(spec), "%s",
                 takes_program(command) ? "*:: :_normal" : "*:file:_files");
    quoted(spec, false);
    puts("\n        ;;");
}

static void print_zsh(void)
{
    puts("#compdef basilisk\n"
         "# basilisk: completion for zsh. As a file named _basilisk in a folder of $fpath, or in\n"
         "# ~/.zshrc, behind compinit:  source <(basilisk completions zsh)\n"
         "_basilisk_pids() {\n"
         "    local -a pids\n"
         "    local line\n"
         "    for line in ${(f)\"$($_basilisk_program completions pids 2>/dev/null)\"}; do\n"
         "        pids+=(\"${${line//:/\\\\:}/$'\\t'/:}\")\n"
         "    done\n"
         "    _describe -t processes 'Python process' pids\n"
         "}\n"
         "_basilisk() {\n"
         "    local _basilisk_program=${~words[1]}\n"
         "    local -a commands\n"
         "    if (( CURRENT == 2 )); then\n"
         "        commands=(");
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        char summary[256], item[300];
        zsh_escape((*c)->summary, summary, sizeof(summary));
        snprintf(item, sizeof(item), "%s:%s", (*c)->name, summary);
        fputs("            ", stdout);
        quoted(item, false);
        putchar('\n');
    }
    puts("        )\n"
         "        _describe -t commands 'command' commands\n"
         "        return\n"
         "    fi\n"
         "    shift words\n"
         "    (( CURRENT-- ))\n"
         "    case $words[1] in");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        zsh_command(*c);
    puts("    esac\n"
         "}\n"
         "if [ \"$funcstack[1]\" = _basilisk ]; then\n"
         "    _basilisk \"$@\"\n"
         "else\n"
         "    compdef _basilisk basilisk\n"
         "fi");
}

/* ---- fish -------------------------------------------------------------------------------------
 */

static void fish_option(const struct cli_command *command, const struct cli_option *option)
{
    printf("complete -c basilisk -n '__fish_seen_subcommand_from %s; and not "
           "__basilisk_program' -l %s",
           command->name, option->name);
    if (option->letter)
        printf(" -s %c", option->letter);
    if (chooses(option, "PID"))
        fputs(" -x -a '(__basilisk_pids)'", stdout);
    else if (chooses(option, "FILE"))
        fputs(" -r -F", stdout);
    else if (takes_words(option)) {
        fputs(" -x -a ", stdout);
        quoted(option->choices, true);
    } else if (option->argument) {
        fputs(" -x", stdout);
    }
    fputs(" -d ", stdout);
    quoted(option->help, true);
    putchar('\n');
}

static void print_fish(void)
{
    puts("# basilisk: completion for fish. As ~/.config/fish/completions/basilisk.fish, or:\n"
         "#   basilisk completions fish | source\n"
         "function __basilisk_pids\n"
         "    set -l program (commandline -opc)[1]\n"
         "    $program completions pids 2>/dev/null\n"
         "end\n"
         "function __basilisk_program\n"
         "    contains -- -- (commandline -opc)\n"
         "end\n"
         "complete -c basilisk -f\n"
         "complete -c basilisk -n __basilisk_program -F");
    for (const struct cli_command *const *c = cli_commands; *c; c++) {
        char words[128];
        printf("complete -c basilisk -n __fish_use_subcommand -a %s -d ", (*c)->name);
        quoted((*c)->summary, true);
        putchar('\n');
        for (const struct cli_option *o = (*c)->options; o->name; o++)
            fish_option(*c, o);
        printf("complete -c basilisk -n '__fish_seen_subcommand_from %s; and not "
               "__basilisk_program' -l help -d 'how it is used'\n",
               (*c)->name);
        if (plain_words(*c, words, sizeof(words)))
            printf("complete -c basilisk -n '__fish_seen_subcommand_from %s' -a '%s'\n", (*c)->name,
                   words);
        else if (!takes_program(*c) && (*c)->synopsis[0] && (*c)->synopsis[0] != '[')
            printf("complete -c basilisk -n '__fish_seen_subcommand_from %s' -F\n", (*c)->name);
    }
    puts("complete -c basilisk -n __fish_use_subcommand -l version -d 'print the version'\n"
         "complete -c basilisk -n __fish_use_subcommand -l help -d 'list the commands'");
}

/* ---- PIDs -------------------------------------------------------------------------------------
 */

static int print_pids(void)
{
    struct bsk_python_listing *items = NULL;
    size_t count = 0;
    struct bsk_error err = { 0 };
    if (bsk_python_list(&items, &count, &err) < 0) {
        fprintf(stderr, "basilisk: %s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        char line[64]; /* what a menu has room for, and no control characters */
        bsk_utf8_copy(line, sizeof(line), items[i].command);
        for (char *at = line; *at; at++)
            if ((unsigned char)*at < ' ')
                *at = ' ';
        printf("%d\t%s\n", (int)items[i].pid, line);
    }
    free(items);
    return 0;
}

static int take_none(void *user, const struct cli_option *option, const char *value)
{
    (void)user;
    (void)option;
    (void)value;
    return 0;
}

static int run_completions(const struct cli_command *command, int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };
    int plain = 0, rest = 0;
    int rc = cli_parse(command, argc, argv, take_none, NULL, &plain, &rest);
    if (rc)
        return rc;
    if (plain != 1 || rest != argc)
        return cli_usage("completions wants the name of one shell: bash, zsh or fish");
    if (strcmp(argv[0], "pids") == 0)
        return print_pids();
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(argv[0], shells[i].name) == 0) {
            shells[i].print();
            return 0;
        }
    }
    return cli_usage("there are completions for bash, zsh and fish, not for \"%s\"", argv[0]);
}

static const struct cli_option no_options[] = { { NULL, 0, NULL, NULL, NULL } };

const struct cli_command cli_completions = {
    "completions",
    "bash|zsh|fish",
    "print what makes a shell complete basilisk's commands and options",
    no_options,
    run_completions,
};
