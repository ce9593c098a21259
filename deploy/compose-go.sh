#!/usr/bin/env bash
# Builds the reader of compose files that Docker Compose is made with, where it is missing, and prints
# where it is: `compose-go FILE...` checks the files and prints what they come to.
set -euo pipefail

version=2.16.2
tools="${COUNTERMAND_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/countermand}/tools"
folder="$tools/compose-go-$version"

mkdir -p "$tools"
exec 9>"$tools/compose-go.lock"
flock 9 # several tests may ask at the same time
if [[ ! -x "$folder/compose-go" ]]; then
  if ! command -v go >/dev/null; then
    echo "compose-go: Go is missing (1.21 or later), with which it is built" >&2
    exit 1
  fi
  echo "compose-go: building $version (once)" >&2
  part="$(mktemp -d "$tools/compose-go.part.XXXXXX")"
  trap 'rm -rf "$part"' EXIT
  GOBIN="$part" CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' \
    "github.com/compose-spec/compose-go/v2/cmd@v$version" >&2
  mv "$part/cmd" "$part/compose-go"
  mv -T "$part" "$folder" # at the end, so that an interrupted set-up is done again
fi
echo "$folder/compose-go"
