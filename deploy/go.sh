#!/usr/bin/env bash
# Prints the path of a Go that is new enough for tests/inngest/apps/go_app. Where there is none it brings one,
# through an older Go, from the module proxy: Debian's may be older than Inngest's SDK wants.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

version="$(sed -n 's/^go //p' tests/inngest/apps/go_app/go.mod)"
tools="${COUNTERMAND_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/countermand}/tools"
folder="$tools/go-$version"

is_new_enough() { printf '%s\n' "$version" "$(go env GOVERSION | tr -d 'a-z')" | sort --check --version-sort 2>/dev/null; }

if [[ -x "$folder/bin/go" ]]; then
  echo "$folder/bin/go"
  exit 0
fi
if ! command -v go >/dev/null; then
  if [[ "$(id -u)" != 0 ]]; then
    echo "go: Go is missing ($version or later). As root: apt-get install golang-go" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends golang-go >&2
fi
if is_new_enough; then
  command -v go
  exit 0
fi
mkdir -p "$tools"
echo "go: bringing $version (once)" >&2
part="$(mktemp -d "$tools/go.part.XXXXXX")"
trap 'rm -rf "$part"' EXIT
cd "$part" # outside of any module
module="golang.org/toolchain@v0.0.1-go$version.linux-$(go env GOARCH)"
found="$(GOFLAGS=-modcacherw go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')"
cp -r "$found" "$part/go"
# Modules have no executable files.
chmod -R u+w "$part/go"
chmod +x "$part/go/bin/"* "$part/go/pkg/tool/"*/*
rm -rf "$folder"
mv "$part/go" "$folder" # at the end, so that an interrupted set-up is done again
echo "$folder/bin/go"
