# Steps of a script that a person watches: sourced by ./try, ./check and tests/support/setup (bash).
#
#   step TEXT COMMAND...   runs COMMAND with its output in a log; says TEXT, how long it takes while it runs, and
#                          how long it took. Returns COMMAND's status; a failure shows the end of the log.
#   say TEXT               a line of text
#   die SENTENCE           one clear sentence on stderr, and out

steps_log_folder=${steps_log_folder:-/tmp}
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
    steps_live=yes bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
    steps_live=no bold='' dim='' red='' green='' yellow='' plain=''
fi

say() { printf '%s\n' "$*"; }

die() {
    printf '%s%s%s\n' "$red" "$*" "$plain" >&2
    exit 1
}

steps_pid=
# Ctrl-C must not leave the step's command behind; it runs in a process group of its own.
steps_stop() {
    if [ -n "$steps_pid" ]; then
        kill -TERM -- "-$steps_pid" 2>/dev/null || true
        wait "$steps_pid" 2>/dev/null || true
    fi
}
trap 'steps_stop; exit 130' INT
trap 'steps_stop; exit 143' TERM

steps_seconds() { printf '%d s' "$((SECONDS - steps_began))"; }

step() {
    local text=$1 rc=0 line shown=0
    shift
    steps_began=$SECONDS
    steps_log=$steps_log_folder/$(printf '%s' "$text" | tr -cs 'a-zA-Z0-9' '-' | cut -c 1-60).log
    mkdir -p "$steps_log_folder"
    set -m
    # No standard input: what would ask a question fails instead of waiting for ever.
    "$@" >"$steps_log" 2>&1 </dev/null &
    steps_pid=$!
    set +m
    [ "$steps_live" = yes ] || printf '  %s ...\n' "$text"
    while kill -0 "$steps_pid" 2>/dev/null; do
        if [ "$steps_live" = yes ]; then
            line=$(tail -c 300 "$steps_log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-60 || true)
            printf '\r\e[K  %s %s%s  %s%s' "$text" "$dim" "$(steps_seconds)" "$line" "$plain"
        elif [ "$((SECONDS - steps_began - shown))" -ge 300 ]; then
            shown=$((SECONDS - steps_began))
            printf '  %s ... %s\n' "$text" "$(steps_seconds)"
        fi
        # A turn of the display, ended early when the command ends.
        read -r -t 0.2 <> <(:) || true
    done
    wait "$steps_pid" || rc=$?
    steps_pid=
    [ "$steps_live" = yes ] && printf '\r\e[K'
    if [ "$rc" = 0 ]; then
        printf '  %sok%s  %s %s(%s)%s\n' "$green" "$plain" "$text" "$dim" "$(steps_seconds)" "$plain"
    else
        printf '  %sFAILED%s  %s (%s); the end of %s:\n' "$red" "$plain" "$text" "$(steps_seconds)" "$steps_log"
        tail -n "${steps_tail:-25}" "$steps_log" | sed 's/^/      /'
    fi
    return "$rc"
}
