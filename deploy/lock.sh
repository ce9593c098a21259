#!/usr/bin/env bash
# Writes the locked, hashed requirements from pyproject.toml, for every Python that it allows.
# Versions already locked stay; UPGRADE=1 takes the newest ones.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -z "${SSL_CERT_FILE:-}" && -n "${PIP_CERT:-}" ]]; then
  export SSL_CERT_FILE="$PIP_CERT"
fi
uv=.venv/bin/uv
[[ -x "$uv" ]] || { echo "lock: $uv is missing: run 'make setup'" >&2; exit 1; }

resolve() { # output file, further options
  local output="$1"
  shift
  # No index address, no machine path and no account of the command: the file is the same anywhere.
  "$uv" pip compile pyproject.toml --quiet --output-file "$output" \
    --universal --python-version 3.11 --generate-hashes --group build --extra local \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    ${UPGRADE:+--upgrade} "$@"
  sed -i '1i # Written by make lock; pip install --require-hashes -r reads it.' "$output"
}

# The runtime is a subset of what is tested: same versions, so the larger file is resolved first.
resolve deploy/image/requirements-dev.lock --extra dev --extra bench
resolve deploy/image/requirements.lock --constraint deploy/image/requirements-dev.lock
