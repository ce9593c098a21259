#!/usr/bin/env bash
# Installs Debian's PostgreSQL server, which tests start on clusters of their own, where it is missing.
set -euo pipefail

if command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
  exit 0
fi
if [[ "$(id -u)" != 0 ]]; then
  echo "postgresql: the server is missing. As root: apt-get install postgresql" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends postgresql >/dev/null
