#!/usr/bin/env bash
# Builds Helm from its Go module where it is missing, and prints where it is. `helm.sh 4` is Helm 4.
set -euo pipefail

# The minor release of Kubernetes that `helm template` renders for: in Helm's own builds that of
# its client library. Helm 4 finds it out itself.
case "${1:-3}" in
  3) version=3.21.4 kubernetes=36 ;;
  4) version=4.3.1 kubernetes=37 ;;
  *) echo "helm: 3 or 4 is needed, not $1" >&2 && exit 2 ;;
esac
module="helm.sh/helm/v${version%%.*}"
tools="${COUNTERMAND_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/countermand}/tools"
folder="$tools/helm-$version"

build() { # into a folder
  local values="-s -w -X $module/internal/version.version=v$version" package
  for package in chartutil lint/rules; do
    values+=" -X $module/pkg/$package.k8sVersionMajor=1"
    values+=" -X $module/pkg/$package.k8sVersionMinor=$kubernetes"
  done
  GOBIN="$1" CGO_ENABLED=0 go install -trimpath -ldflags "$values" "$module/cmd/helm@v$version"
}

mkdir -p "$tools"
exec 9>"$folder.lock"
flock 9 # several tests may ask at the same time
if [[ ! -x "$folder/helm" ]]; then
  if ! command -v go >/dev/null; then
    echo "helm: Go is missing (1.21 or later), with which Helm $version is built" >&2
    exit 1
  fi
  echo "helm: building Helm $version (once; some minutes)" >&2
  part="$(mktemp -d "$tools/helm.part.XXXXXX")"
  trap 'rm -rf "$part"' EXIT
  build "$part" >&2
  mv -T "$part" "$folder" # at the end, so that an interrupted set-up is done again
fi
echo "$folder/helm"
