#!/usr/bin/env bash
# Builds the programs of a Kubernetes node from their Go modules where they are missing, for the tests that install the
# chart; installs what a node needs of Debian; and prints the folder of the programs.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../tests/kubernetes/programs"

version="$(sed -n 's|^\tk8s.io/kubernetes v||p' go.mod)"
sources="$(find . -type f | sort | xargs cat | sha256sum | cut -c 1-12)"
tools="${COUNTERMAND_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/countermand}/tools"
folder="$tools/kube-$version-$sources"

build() { # into a folder
  local package=k8s.io/component-base/version minor="${version#*.}"
  local values="-s -w -X $package.gitVersion=v$version -X $package.gitTreeState=clean"
  values+=" -X $package.gitMajor=${version%%.*} -X $package.gitMinor=${minor%%.*}"
  CGO_ENABLED=0 go build -trimpath -ldflags "$values" -o "$1/" ./...
}

install_packages() {
  local program missing=""
  for program in containerd:containerd runc:runc ip:iproute2 nft:nftables iptables:iptables \
    conntrack:conntrack openssl:openssl /usr/lib/cni/bridge:containernetworking-plugins; do
    command -v "${program%:*}" >/dev/null || missing+=" ${program#*:}"
  done
  [[ -n "$missing" ]] || return 0
  if [[ "$(id -u)" != 0 ]]; then
    echo "kube: packages are missing. As root: apt-get install$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  # shellcheck disable=SC2086  # several words
  apt-get install -y -qq --no-install-recommends $missing >&2
}

install_packages
mkdir -p "$tools"
exec 9>"$folder.lock"
flock 9 # another test may ask at the same time
if [[ ! -x "$folder/kube" ]]; then
  if ! command -v go >/dev/null; then
    echo "kube: Go is missing (1.24 or later), with which Kubernetes $version is built" >&2
    exit 1
  fi
  echo "kube: building Kubernetes $version (once; 10 to 20 minutes)" >&2
  rm -rf "$folder.part"
  build "$folder.part" >&2
  # Last, so that an interrupted build is done again.
  mv "$folder.part" "$folder"
fi
echo "$folder"
