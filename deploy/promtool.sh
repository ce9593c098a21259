#!/usr/bin/env bash
# Puts Debian's promtool, with its prometheus beside it, where no service starts; prints promtool's path.
set -euo pipefail

if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
  command -v promtool
  exit 0
fi
tools="${COUNTERMAND_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/countermand}/tools"
folder="$tools/prometheus-debian"
mkdir -p "$tools"
exec 9>"$tools/prometheus.lock"
flock 9 # several tests may ask at the same time
if [[ ! -x "$folder/promtool" ]]; then
  if ! command -v apt-get >/dev/null; then
    echo "promtool: not a Debian. Put promtool and prometheus on the PATH" >&2
    exit 1
  fi
  part="$(mktemp -d "$tools/prometheus.part.XXXXXX")"
  trap 'rm -rf "$part"' EXIT
  cd "$part"
  # The package would start a server when it is installed, so it is only unpacked.
  if ! apt-get download -qq prometheus &>/dev/null; then
    if [[ "$(id -u)" != 0 ]]; then
      echo "promtool: Debian's lists of packages are missing or old. As root: apt-get update" >&2
      exit 1
    fi
    apt-get update -qq >&2
    apt-get download -qq prometheus >&2
  fi
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin
  rm -rf "$folder"
  mv usr/bin "$folder" # at the end, so that an interrupted set-up is done again
fi
echo "$folder/promtool"
