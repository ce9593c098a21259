#!/usr/bin/env bash
# Installs Debian's Redis server, which tests start on ports of their own, where it is missing.
set -euo pipefail

if command -v redis-server >/dev/null; then
  exit 0
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "redis: the server is missing. As root: apt-get install redis-server" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends redis-server >/dev/null
