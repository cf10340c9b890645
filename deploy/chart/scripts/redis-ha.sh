#!/bin/sh
# One of three nodes of Redis (or Valkey) with a Sentinel beside each, in the pods of the chart (redis.inChart.replicas: 3):
#   node, sentinel                     start the server, or the Sentinel
#   ready, alive, watches, has-quorum  the probes
#   step-down                          before a pod ends: another node becomes the primary
# From the pod: HOST (this node), NODES (all of them, by host name), DOWN_AFTER_MS, KEYS and COMMANDS (what the user of Portcullis may do).
set -eu
umask 077

GROUP=portcullis
STATE=/data/sentinel/sentinel.conf
kind=redis
command -v redis-server >/dev/null || kind=valkey

# An internal password goes into configuration files, in which other characters have a meaning.
secret() {
  value=$(cat "/ha/$1")
  case $value in
    '' | *[!A-Za-z0-9_-]*)
      echo "the key $1 of the Secret redis.inChart.haSecret must consist of letters, digits, - and _" >&2
      return 1
      ;;
  esac
  printf %s "$value"
}

hash_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }

others() { for node in $NODES; do [ "$node" = "$HOST" ] || echo "$node"; done; }

# Asks a server of Redis: HOST WORDS…
ask_node() {
  node=$1 && shift
  REDISCLI_AUTH=$(cat /auth/password) timeout 2 "$kind-cli" --user "$(cat /auth/username)" --tls --cacert /tls/ca.crt -h "$node" "$@"
}

# Asks a Sentinel: HOST WORDS…
ask_sentinel() {
  node=$1 && shift
  REDISCLI_AUTH=$(secret peer-password) timeout 2 "$kind-cli" --user peer --tls --cacert /tls/ca.crt -h "$node" -p 26379 "$@"
}

is_node() { case " $NODES " in *" $1 "*) true ;; *) false ;; esac; }

# The node that a Sentinel has for the primary; nothing where it does not answer: HOST
named_by() { ask_sentinel "$1" sentinel get-master-addr-by-name "$GROUP" 2>/dev/null | head -n 1; }

# Takes a Sentinel's word for the primary, if it is at least as new as that of those before: EPOCH HOST
consider() {
  is_node "${2:-none}" || return 0
  [ "${1:-0}" -ge "$newest" ] || return 0
  newest=${1:-0}
  leader=$2
}

# What this pod's Sentinel has written down: each failover has a higher epoch than the one before.
noted() { sed -n "s/^sentinel $1 $GROUP \([^ ]*\).*/\1/p" "$STATE" 2>/dev/null || true; }

# A node that knows of the latest failover is right, here or in another pod: one that was down does not know what happened since, and followers copy a
# primary's data, however old. Sets `leader`, and `answered` if another Sentinel did.
primary() {
  newest=0
  leader=${NODES%% *}
  answered=no
  consider "$(noted config-epoch)" "$(noted monitor)"
  for other in $(others); do
    # Before the host: should it change in between, what is new counts as old, not the other way round.
    epoch=$(ask_sentinel "$other" sentinel master "$GROUP" 2>/dev/null | sed -n '/^config-epoch$/{n;p;}')
    found=$(named_by "$other")
    # Half an answer is none: without the host, a node that missed a failover would lead on the word of any node that knows of it.
    [ -n "$epoch" ] && is_node "${found:-none}" || continue
    answered=yes
    consider "$epoch" "$found"
  done
}

# Whether another node says that it is empty, and none says that it is not. One that does not answer, or is loading its data, says nothing.
others_are_empty() {
  empty=no
  for other in $(others); do
    state=$(ask_node "$other" info 2>/dev/null) || continue
    ! printf '%s\n' "$state" | grep -q '^db' || return 1
    ! printf '%s\n' "$state" | grep -q '^loading:0' || empty=yes
  done
  [ "$empty" = yes ]
}

# A primary that missed a failover, or lost its data, would take the data of the others with it. One that no other answers loses nothing by waiting:
# alone it can confirm nothing.
may_lead() { [ "$answered" = yes ] && { [ -e /data/appendonlydir ] || others_are_empty; }; }

start_node() {
  replication=$(secret replication-password)
  sentinel=$(secret sentinel-password)
  # The user of Portcullis may do what it does, on its own keys. The followers may copy, and the Sentinels may change who follows whom; neither
  # can read or write a key. No other user may do anything. Passwords go in as their hashes.
  {
    echo "user default off"
    echo "user $(cat /auth/username) reset on #$(hash_of "$(cat /auth/password)") ~$KEYS &$KEYS $COMMANDS"
    echo "user replication reset on #$(hash_of "$replication") +psync +replconf +ping"
    echo "user sentinel reset on #$(hash_of "$sentinel") &__sentinel__:hello +ping +info +role +publish +subscribe +multi +exec +slaveof" \
      "+config|rewrite +client|setname +client|kill +script|kill"
  } >/run/redis/users.acl
  : >/run/redis/waiting
  primary
  while [ "$leader" = "$HOST" ] && ! may_lead; do
    echo "waiting until another node is the primary, or agrees that this one is, and is empty as well where this one's volume is empty"
    sleep 1
    primary
  done
  rm -f /run/redis/waiting
  {
    cat /etc/redis/redis.conf
    echo "replica-announce-ip $HOST"
    echo "masteruser replication"
    echo "masterauth $replication"
    [ "$leader" = "$HOST" ] || echo "replicaof $leader 6379"
  } >/run/redis/redis.conf
  exec "$kind-server" /run/redis/redis.conf
}

start_sentinel() {
  peer=$(secret peer-password)
  sentinel=$(secret sentinel-password)
  {
    echo "user default off"
    echo "user $(cat /ha/lookup-username) reset on #$(hash_of "$(cat /ha/lookup-password)") +client|setname +client|setinfo" \
      "+sentinel|get-master-addr-by-name"
    echo "user peer reset on #$(hash_of "$peer") &__sentinel__:hello +ping +publish +client|setname +sentinel|is-master-down-by-addr" \
      "+sentinel|get-master-addr-by-name +sentinel|master +sentinel|ckquorum +sentinel|failover"
  } >/run/redis/sentinel.acl
  mkdir -p "${STATE%/*}"
  [ -e "$STATE" ] || : >"$STATE"
  leader=$(noted monitor)
  # A volume that was copied from another namespace names the nodes there: they are none of ours.
  is_node "${leader:-none}" || { : >"$STATE" && primary; }
  known=$(grep -E "^sentinel (config-epoch|leader-epoch|known-replica|known-sentinel) $GROUP |^sentinel (myid|current-epoch) " "$STATE") || known=''
  # The settings and passwords of today, and what the Sentinel knew when it ended: who the primary is, and what it has voted for.
  {
    cat /etc/redis/sentinel.conf
    echo "sentinel announce-ip $HOST"
    echo "sentinel sentinel-user peer"
    echo "sentinel sentinel-pass $peer"
    echo "sentinel monitor $GROUP $leader 6379 2"
    echo "sentinel auth-user $GROUP sentinel"
    echo "sentinel auth-pass $GROUP $sentinel"
    echo "sentinel down-after-milliseconds $GROUP $DOWN_AFTER_MS"
    # Sentinels that voted for themselves at the same moment try again after twice that.
    echo "sentinel failover-timeout $GROUP 10000"
    echo "sentinel parallel-syncs $GROUP 2"
    printf '%s\n' "$known"
  } >"$STATE.new"
  mv "$STATE.new" "$STATE"
  exec "$kind-server" "$STATE" --sentinel
}

# In step with the primary: a rolling update, and a drain, go on only then.
ready() { ask_node localhost info replication | grep -Eq '^(role:master|master_link_status:up)'; }

# Whatever it answers: a server that loads its data, or is busy, is alive, and so is a node that waits for the others.
alive() { [ -e /run/redis/waiting ] || ask_node localhost ping >/dev/null; }

watches() { ask_sentinel localhost ping | grep -q PONG; }

# Together with the others it can put a follower in the primary's place, and it has the same primary as those that answer. One that has just
# started may still have a former one, and must not be all that is left when a rolling update ends the next pod.
has_quorum() {
  ask_sentinel localhost sentinel ckquorum "$GROUP" | grep -q '^OK' || return 1
  own=$(named_by localhost)
  for other in $(others); do
    found=$(named_by "$other")
    [ -z "$found" ] || [ "$found" = "$own" ] || return 1
  done
}

# Whether a Sentinel has another node for the primary than this one: HOST
names_another() {
  found=$(named_by "$1")
  [ "$found" != "$HOST" ] && is_node "${found:-none}"
}

# Until a Sentinel has another primary. This node is told so only seconds later, and by then it has ended.
step_down() {
  tries=0
  while [ "$tries" -lt 15 ] && ask_node localhost info replication | grep -q '^role:master'; do
    for other in $(others); do
      # One that has just started may still have a former primary, and would put another node in that one's place.
      [ "$(named_by "$other")" = "$HOST" ] || continue
      ask_sentinel "$other" sentinel failover "$GROUP" 2>/dev/null | grep -q OK || continue
      while [ "$tries" -lt 15 ] && ! names_another "$other"; do
        sleep 1
        tries=$((tries + 1))
      done
      return 0
    done
    sleep 1
    tries=$((tries + 1))
  done
}

case $1 in
  node) start_node ;;
  sentinel) start_sentinel ;;
  ready) ready ;;
  alive) alive ;;
  watches) watches ;;
  has-quorum) has_quorum ;;
  step-down) step_down ;;
esac
