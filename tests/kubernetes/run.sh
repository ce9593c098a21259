#!/usr/bin/env bash
# run.sh PYTHON [OPTION...]: starts a Kubernetes of one node in namespaces of its own, and `python -m tests.kubernetes` in
# them; builds what is missing first. What ends this ends all of it. Needs root.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."
python="$1"
shift
run="${TMPDIR:-/tmp}/countermand-kubernetes"
version="$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)"

refuse() {
  echo "test-kubernetes: $1" >&2
  exit 1
}

[[ "$(id -u)" == 0 ]] || refuse "a node makes namespaces, mounts and control groups: run this as root"
((${#run} <= 40)) || refuse "$run is too long for the paths of sockets: set TMPDIR to a short one"
exec 9>"$run.lock"
flock --nonblock 9 || refuse "another one runs: both would have the same control groups"
rm -rf "$run"
mkdir -p "$run/images"

programs="$(bash deploy/kube.sh)"
helm="$(bash deploy/helm.sh)"
"$python" -m streams.broker
"$python" -m tests.kubernetes.archive "$programs/pause" localhost/pause:test "$run/images/pause.tar"
ARCHIVE="$run/images/countermand.tar" TAG="countermand:$version" bash deploy/image/build.sh >/dev/null

# The broker is young: what Java's second compiler would cost, it doesn't get back.
export JDK_JAVA_OPTIONS="${JDK_JAVA_OPTIONS:--XX:TieredStopAtLevel=1}"

code=0
# As on other nodes, all that is no pod has one share of the processors together. Elsewhere Kafka and those who use it
# have their own: here they give way.
beside=/sys/fs/cgroup/cpu/countermand-kubernetes
[[ -d "${beside%/*}" ]] || beside="/sys/fs/cgroup/${beside##*/}"
mkdir -p "$beside"
echo $$ >"$beside/cgroup.procs"
# No network but its own: nothing is fetched from here on.
unshare --net --mount --pid --fork --kill-child --mount-proc \
  bash tests/kubernetes/node.sh "$run" "$programs" "$helm" "$version" \
  nice -n 5 "$python" -m tests.kubernetes "$run" "$version-next" "$@" 9>&- || code=$?
find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
echo $$ >"${beside%/*}/cgroup.procs"
rmdir "$beside"
if ((code == 0)); then
  rm -rf "$run"
else
  echo "test-kubernetes: logs are in $run" >&2
fi
exit "$code"
