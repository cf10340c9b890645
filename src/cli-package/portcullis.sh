#!/bin/sh
# The command `portcullis` where there is a POSIX shell and /proc (Linux): answers kubectl from a ready file in a few milliseconds, and starts
# the full program for everything else. Elsewhere, and whenever anything is not exactly as the full program leaves it, the full program runs:
# this script says nothing and decides nothing of its own.
#
# src/cli/plugin/ready-file.ts writes what is read here; test/integration/cli-front.test.ts runs one table of cases through both.
#
# Threat: arguments, environment and cache may come from somebody else. So no eval, no unquoted expansion outside the two places that split on
# purpose, absolute commands (never those of $PATH), and no data in a place where the shell would read it as a pattern or an option.
set -fu +xv

# A bash that is called sh takes functions from the environment; one named like a builtin would stand in for it.
unset -f command read true test cd

newline='
'

# The cached answer, if this is the form that our kubeconfigs have. Returns 1 where the full program is to run; nothing was printed then.
answer() {
  case $# in
    5) kind=ready ;;
    7) kind=ready-ca ;;
    *) return 1 ;;
  esac
  [ "$1" = get-token ] && [ "$2" = --server ] && [ "$4" = --cluster ] || return 1
  [ -z "${PORTCULLIS_TOKEN_FILE-}" ] || return 1
  # A ready file holds the answer for v1. A client that knows v1beta1 only says so here.
  case ${KUBERNETES_EXEC_INFO-} in *v1beta1*) return 1 ;; esac
  server=$3 cluster=$5 ca=''
  if [ $kind = ready-ca ]; then
    [ "$6" = --ca-file ] || return 1
    ca=$7
    case $ca in /*) ;; *) return 1 ;; esac
  fi
  case $cluster in '' | *[!A-Za-z0-9._-]*) return 1 ;; esac
  parent_start && cache_dir && ready_file || return 1
  private_and_sized || return 1
  hand_out <"$file"
}

# Start time of the parent in clock ticks after boot (proc_pid_stat(5), field 22), because process ids come back.
parent_start() {
  [ -r "/proc/$PPID/stat" ] && IFS= read -r stat <"/proc/$PPID/stat" || return 1
  # The second field, the program's name, may hold blanks and brackets.
  stat=${stat##*') '}
  IFS=' '
  # shellcheck disable=SC2086
  set -- $stat
  [ $# -ge 20 ] || return 1
  ticks=${20}
  case $ticks in '' | *[!0-9]*) return 1 ;; esac
}

# As environment.ts finds it. What would have to be normalised first is left to the full program.
cache_dir() {
  dir=${PORTCULLIS_CACHE_DIR-}
  if [ -z "$dir" ]; then
    dir=${XDG_CACHE_HOME-}
    [ -n "$dir" ] || dir=${HOME:+$HOME/.cache}
    [ -n "$dir" ] || return 1
    dir=$dir/portcullis
  fi
  case $dir in /*) ;; *) return 1 ;; esac
  case $dir/ in *//* | */./* | */../* | *"$newline"*) return 1 ;; esac
}

# The one ready file for this server and cluster; the name of its folder is a hash that a shell cannot make, so it is looked for.
ready_file() {
  case $server in *"$newline"*) return 1 ;; esac
  IFS=/
  # shellcheck disable=SC2086
  set -- $server
  IFS=,
  name="$kind,$*,$cluster"
  set +f
  set -- "$dir"/????????????????????????????????/"$name"
  set -f
  [ $# -eq 1 ] || return 1
  file=$1 entry=${1%/*}
  case ${entry##*/} in *[!0-9a-f]*) return 1 ;; esac
}

# Folders 0700 and files 0600, ours, plain, no links. No builtin tells a mode, so this is one process. The session that the answer is from must be
# there, and not have been written after it: by an older program, or by hand.
private_and_sized() {
  session=$entry/session.json
  [ -O "$dir" ] && [ -O "$entry" ] && [ -O "$session" ] && [ -O "$file" ] || return 1
  [ ! "$session" -nt "$file" ] || return 1
  list=$(command -p ls -ldn "$dir" "$entry" "$file" "$session" 2>/dev/null) || return 1
  # In the order of their names, as ls has it; another order would not pass.
  of_session=${list##*"$newline"}
  list=${list%"$newline"*}
  of_file=${list##*"$newline"}
  list=${list%"$newline"*}
  of_entry=${list##*"$newline"}
  of_dir=${list%"$newline"*}
  case $of_dir in *"$newline"*) return 1 ;; d???------*) ;; *) return 1 ;; esac
  case $of_entry in d???------*) ;; *) return 1 ;; esac
  case $of_file in -???------*) ;; *) return 1 ;; esac
  case $of_session in -???------*) ;; *) return 1 ;; esac
  IFS=' '
  # shellcheck disable=SC2086
  set -- $of_file
  size=${5-}
  # shellcheck disable=SC2086
  set -- $of_session
  session_size=${5-}
}

# The ready file on standard input. Ends this process where the answer is good.
hand_out() {
  IFS= read -r head && IFS= read -r for_server && IFS= read -r for_cluster && IFS= read -r not_before &&
    IFS= read -r fresh_until && IFS= read -r token_id || return 1
  [ "$head" = "portcullis-ready 1 $size $session_size" ] || return 1
  [ "$for_server" = "$server" ] && [ "$for_cluster" = "$cluster" ] || return 1
  case $token_id in '' | *[!A-Za-z0-9_-]*) return 1 ;; esac
  fresh && same_ca || return 1
  # The same parent asking again for the same token was refused with it. The marker's existence is the note; O_EXCL makes it once.
  marker=$entry/served/$token_id/$PPID-$ticks
  [ ! -e "$marker" ] && [ ! -L "$marker" ] && [ -x /bin/cat ] || return 1
  set -C
  { true >"$marker"; } 2>/dev/null || return 1
  exec /bin/cat
}

# Seconds, so up to one second less than what the full program would still hand out. Before NOT-BEFORE the clock was set back.
fresh() {
  now=$(command -p date +%s) || return 1
  for number in "$now" "$not_before" "$fresh_until"; do
    case $number in '' | *[!0-9]* | ????????????*) return 1 ;; esac
  done
  [ "$now" -ge "$not_before" ] && [ "$now" -lt "$fresh_until" ]
}

# A session is of one authority: another one under the same path is another entry.
same_ca() {
  [ $kind = ready ] || command -p cmp -s "$ca" "$entry/ca.pem"
}

# The full program, in the place of this process: kubectl stays its parent. It lies beside this script, links followed.
program() {
  self=$0
  case $self in */*) ;; *) self=./$self ;; esac
  while [ -L "$self" ]; do
    target=$(command -p readlink "$self") || break
    case $target in
      /*) self=$target ;;
      *) self=${self%/*}/$target ;;
    esac
  done
  lib=${self%/*}/../lib/portcullis
  [ ! -x "$lib/portcullis" ] || exec "$lib/portcullis" "$@"
  command -v node >/dev/null || {
    printf 'portcullis: Node is not on the PATH of this program.\n  Next: install Node 24 or newer, or the portcullis that brings its own\n' >&2
    exit 1
  }
  exec node "$lib/portcullis.cjs" "$@"
}

answer "$@"
program "$@"
