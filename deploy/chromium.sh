#!/usr/bin/env bash
# Installs Debian's Chromium, in which tests look at pages, where it is missing.
set -euo pipefail

if command -v chromium >/dev/null; then
  exit 0
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "chromium: the browser is missing. As root: apt-get install chromium" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
