#!/usr/bin/env bash
# node.sh RUN PROGRAMS HELM VERSION COMMAND...: a Kubernetes of one node, and when it is ready, the command. Run it in network,
# mount and process namespaces of its own (run.sh): everything ends with them. Logs and data are in the folder RUN, which
# has archives of images in `images`; Countermand's is known to the node as of VERSION and VERSION-next.
set -euo pipefail
here="$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
run="$1" programs="$2" helm="$3" version="$4"
shift 4
address=172.30.0.1 # the node's, which its DNS, Kafka and PostgreSQL have too
api="https://$address:6443"
token="$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"

background() { # name, command...
  local name="$1"
  shift
  "$@" >"$run/$name.log" 2>&1 </dev/null &
}

within() { # seconds, command...: until it succeeds
  local tries=$(($1 * 5))
  shift
  until "$@" >"$run/waiting.log" 2>&1; do
    if ((tries-- == 0)); then
      cat "$run/waiting.log" >&2
      echo "node: gave up waiting for: $*; logs are in $run" >&2
      return 1
    fi
    sleep 0.2
  done
}

user() { # name, its groups: how it reaches the API server
  echo "$token-${1##*:},$1,${1##*:},$2" >>"$run/tokens.csv"
  cat >"$run/${1##*:}.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "$api", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: $token-${1##*:}}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
YAML
}

network() {
  ip link set lo up
  ip link add node0 type bridge
  ip address add "$address/24" dev node0
  ip link set node0 up
  ip route add default via "$address" # leads nowhere; programs that look for a default route find one
  sysctl -qw net.ipv4.ip_forward=1
  # The command finds names as pods do, and nothing finds others.
  printf 'nameserver %s\n' "$address" >"$run/names.conf"
  printf 'search countermand.svc.cluster.local\n' >>"$run/names.conf"
  mount --bind "$run/names.conf" /etc/resolv.conf
}

control_plane() {
  user admin system:masters
  user system:kube-controller-manager ""
  user system:kube-scheduler ""
  user system:kube-proxy ""
  user system:node:node system:nodes
  openssl genrsa -out "$run/service-account.key" 2048 2>/dev/null
  # A test may lose what it wrote: without fsync a write takes a fraction of the time.
  background etcd "$programs/kube" etcd --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn
  background kube-apiserver "$programs/kube" kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$address" --kubelet-preferred-address-types InternalIP \
    --cert-dir "$run/apiserver" --token-auth-file "$run/tokens.csv" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --service-cluster-ip-range 10.96.0.0/16 --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$run/service-account.key" \
    --service-account-signing-key-file "$run/service-account.key"
  within 120 kubectl get --raw /readyz
  background kube-controller-manager "$programs/kube" kube-controller-manager \
    --kubeconfig "$run/kube-controller-manager.kubeconfig" --use-service-account-credentials \
    --root-ca-file "$run/apiserver/apiserver.crt" \
    --service-account-private-key-file "$run/service-account.key" --leader-elect=false
  background kube-scheduler "$programs/kube" kube-scheduler \
    --kubeconfig "$run/kube-scheduler.kubeconfig" --leader-elect=false
}

images() {
  local ctr=(ctr --address "$run/containerd.sock" --namespace k8s.io images) file name
  within 30 "${ctr[@]}" list
  for file in "$run"/images/*.tar; do "${ctr[@]}" import "$file" >/dev/null; done
  name="docker.io/library/countermand:$version" # as a node understands `countermand:VERSION`
  "${ctr[@]}" tag "$name" "$name-next" >/dev/null
}

commands() { # what a user has on the path
  mkdir "$run/bin"
  ln -s "$helm" "$run/bin/helm"
  printf '#!/bin/sh\nexec "%s" kubectl "$@"\n' "$programs/kube" >"$run/bin/kubectl"
  chmod +x "$run/bin/kubectl"
}

node() {
  local file
  mkdir "$run/cni"
  for file in containerd.toml kubelet.yaml Corefile cni/pods.conflist; do
    sed -e "s|@RUN@|$run|g" -e "s|@ADDRESS@|$address|g" "$here/node/${file##*/}" >"$run/$file"
  done
  : >"$run/resolv.conf" # no name servers but the cluster's own
  background containerd containerd --config "$run/containerd.toml"
  images
  background kubelet "$programs/kube" kubelet --config "$run/kubelet.yaml" --kubeconfig "$run/node.kubeconfig" \
    --hostname-override node --node-ip "$address" --root-dir "$run/kubelet" --cert-dir "$run/kubelet/pki"
  # Its oom score and the limits of connections are the machine's to set.
  background kube-proxy "$programs/kube" kube-proxy --kubeconfig "$run/kube-proxy.kubeconfig" \
    --proxy-mode nftables --hostname-override node --cluster-cidr 10.244.0.0/24 \
    --conntrack-max-per-core 0 --oom-score-adj 0
  background coredns "$programs/dns" -conf "$run/Corefile"
  within 120 kubectl wait --for condition=Ready node/node --timeout 1s
}

kubectl() { "$programs/kube" kubectl --kubeconfig "$run/admin.kubeconfig" "$@"; }

network
control_plane
node
commands
"$@"
