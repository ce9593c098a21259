#!/usr/bin/env bash
# Installs what a folder's package-lock.json names, where it is missing: deploy/npm.sh FOLDER
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../$1"

if cmp -s package-lock.json node_modules/installed-lock.json; then
  exit 0
fi
if ! command -v npm >/dev/null; then
  if [[ "$(id -u)" != 0 ]]; then
    echo "$1: npm is missing. As root: apt-get install npm" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
npm ci --ignore-scripts --no-audit --no-fund --silent
# Last, so that an interrupted set-up is done again.
cp package-lock.json node_modules/installed-lock.json
