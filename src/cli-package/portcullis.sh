#!/bin/sh
# The command `portcullis` where there is a POSIX shell and /proc (Linux): serves kubectl from a ready file in a few
# milliseconds, and starts the full program for everything else. Elsewhere, and whenever anything is not exactly as the
# full program leaves it, the full program runs: this script prints no message and makes no decision of its own.
#
# src/cli/plugin/ready-file.ts writes the file that is read here; test/integration/cli-front.test.ts runs one table of
# cases through both.
#
# An attacker may control arguments, environment and cache. So this script has no eval, no unquoted expansion except the
# two that split on purpose, only absolute commands (never those of $PATH), and no data where the shell would read it as
# a pattern or an option.
set -fu +xv

# A bash that is called sh imports functions from the environment; an attacker's function could replace a builtin.
unset -f command read true test cd

newline='
'

# Prints the cached credential, if the arguments have the form of our kubeconfigs. Returns 1 where the full program has
# to run; nothing was printed then.
serve_cached() {
  case $# in
    5) kind=ready ;;
    7) kind=ready-ca ;;
    *) return 1 ;;
  esac
  [ "$1" = get-token ] && [ "$2" = --server ] && [ "$4" = --cluster ] || return 1
  [ -z "${PORTCULLIS_TOKEN_FILE-}" ] || return 1
  # A ready file holds the credential for v1. A client that knows only v1beta1 announces it here.
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
  print_credential <"$file"
}

# Start time of the parent in clock ticks after boot (proc_pid_stat(5), field 22), because process ids are reused.
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

# The folder as environment.ts finds it. A path that needs to be normalised first is left to the full program.
cache_dir() {
  dir=${PORTCULLIS_DELEGATED_DIR:-${PORTCULLIS_CACHE_DIR-}}
  if [ -z "$dir" ]; then
    dir=${XDG_CACHE_HOME-}
    [ -n "$dir" ] || dir=${HOME:+$HOME/.cache}
    [ -n "$dir" ] || return 1
    dir=$dir/portcullis
  fi
  case $dir in /*) ;; *) return 1 ;; esac
  case $dir/ in *//* | */./* | */../* | *"$newline"*) return 1 ;; esac
}

# The one ready file for this server and cluster. The name of its folder is a hash that a shell cannot compute, so it is
# searched for.
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

# Checks for folders 0700 and files 0600, owned by this user, plain, no links. No builtin shows a mode, so this costs
# one process. The session of the credential must exist, and must not be newer than it: written by an older program, or
# manually.
private_and_sized() {
  session=$entry/session.json
  [ -O "$dir" ] && [ -O "$entry" ] && [ -O "$session" ] && [ -O "$file" ] || return 1
  [ ! "$session" -nt "$file" ] || return 1
  list=$(command -p ls -ldn "$dir" "$entry" "$file" "$session" 2>/dev/null) || return 1
  # In the order of their names, as ls prints them; another order fails the check.
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

# Reads the ready file on standard input. Ends this process where the credential is valid.
print_credential() {
  IFS= read -r head && IFS= read -r for_server && IFS= read -r for_cluster && IFS= read -r not_before &&
    IFS= read -r fresh_until && IFS= read -r token_id || return 1
  [ "$head" = "portcullis-ready 1 $size $session_size" ] || return 1
  [ "$for_server" = "$server" ] && [ "$for_cluster" = "$cluster" ] || return 1
  case $token_id in '' | *[!A-Za-z0-9_-]*) return 1 ;; esac
  fresh && same_ca || return 1
  # A parent that asks again for the same token was rejected with it. The existence of the marker records it; O_EXCL
  # creates it once.
  marker=$entry/served/$token_id/$PPID-$ticks
  [ ! -e "$marker" ] && [ ! -L "$marker" ] && [ -x /bin/cat ] || return 1
  set -C
  { true >"$marker"; } 2>/dev/null || return 1
  exec /bin/cat
}

# In whole seconds, so up to one second earlier than the full program. A time before NOT-BEFORE means that the clock was
# set back.
fresh() {
  now=$(command -p date +%s) || return 1
  for number in "$now" "$not_before" "$fresh_until"; do
    case $number in '' | *[!0-9]* | ????????????*) return 1 ;; esac
  done
  [ "$now" -ge "$not_before" ] && [ "$now" -lt "$fresh_until" ]
}

# A session belongs to one CA: another CA under the same path is another entry.
same_ca() {
  [ $kind = ready ] || command -p cmp -s "$ca" "$entry/ca.pem"
}

# Replaces this process by the full program, so that kubectl stays its parent. It is next to this script, with links
# followed.
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

serve_cached "$@"
program "$@"
