#!/usr/bin/env bash
# Runs the functions of Kubernetes' own kubectl suite (test/cmd of its sources) against an API server that is there already, one after another.
#
# test-cmd.sh SOURCE FOLDER [PATTERN]: in FOLDER are bin/ (kubectl, kubectl-convert), root-ca.crt and home/.kube/config, whose context is called
# `test`. The port is in SECURE_API_PORT. Writes FOLDER/results/NAME.log and a line `NAME STATUS SECONDS` for each into FOLDER/results.txt. PATTERN chooses by name.
set -o errexit -o nounset -o pipefail

source=$1 folder=$2 pattern=${3:-.}
export HOME=$folder/home TMPDIR=$folder/tmp TERM=xterm KUBE_JUNIT_REPORT_DIR=$folder/junit
mkdir -p "$TMPDIR" "$KUBE_JUNIT_REPORT_DIR" "$folder/results" "$folder/cwd"
# Some certificate that the suite may write into a kubeconfig: its own API server would have left it here.
cp "$folder/root-ca.crt" "$TMPDIR/apiserver.crt"
# The suite writes into the folder that it runs in, and the sources are not ours to change.
ln -sfn "$source"/* "$folder/cwd"
cd "$folder/cwd"

source "$source/hack/lib/init.sh"
source "$source/hack/lib/test.sh"
export THIS_PLATFORM_BIN=$folder/bin
source "$source/test/cmd/legacy-script.sh"

# What hangs ends, with what it started.
LIMIT_SECONDS=${FUNCTION_LIMIT_SECONDS:-900}

# In place of the suite's own, which stops at nothing and writes XML.
record_command() {
  local name=$1 began=$SECONDS status=0
  [[ $name =~ $pattern ]] || return 0
  # No `||` and no `if` around it: bash would ignore `errexit` within.
  set +o errexit
  set -o monitor
  (
    set -o errexit -o nounset
    "$@"
  ) >"$folder/results/$name.log" 2>&1 </dev/null &
  local job=$!
  (sleep "$LIMIT_SECONDS" && kill -- "-$job") >/dev/null 2>&1 &
  local watchdog=$!
  wait "$job"
  status=$?
  kill -- "-$watchdog" 2>/dev/null
  # What it left in the background.
  kill -- "-$job" 2>/dev/null
  set +o monitor
  echo "$name $status $((SECONDS - began))" >>"$folder/results.txt"
  # The next functions expect to be alone with what they make.
  [[ $status == 0 ]] || kubectl delete customresourcedefinitions --all
  set -o errexit
}

cleanup() { stop-proxy; }
kube::util::ensure-gnu-sed
KUBE_TEMP=$TMPDIR
CONTEXT=test
export SUPPORTED_RESOURCES=('*')

# Without a kubelet nothing else makes it. The annotation keeps the managers of its fields.
kubectl get node 127.0.0.1 || kubectl create --filename - <<'END'
apiVersion: v1
kind: Node
metadata: { name: 127.0.0.1, annotations: { save-managers: 'true' } }
status: { capacity: { memory: 1Gi } }
END

runTests
