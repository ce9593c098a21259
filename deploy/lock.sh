#!/usr/bin/env bash
# Writes the locked, hashed requirements, for every Python that pyproject.toml allows.
# Versions already locked stay; UPGRADE=1 takes the newest ones.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -z "${SSL_CERT_FILE:-}" && -n "${PIP_CERT:-}" ]]; then
  export SSL_CERT_FILE="$PIP_CERT"
fi
uv=.venv/bin/uv
[[ -x "$uv" ]] || { echo "lock: $uv is missing: run 'make setup'" >&2; exit 1; }

resolve() { # source file, output file, further options
  local source="$1" output="$2"
  shift 2
  # No index address, no machine path and no account of the command: the file is the same anywhere.
  "$uv" pip compile "$source" --quiet --output-file "$output" \
    --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    ${UPGRADE:+--upgrade} "$@"
  sed -i '1i # Written by make lock; pip install --require-hashes -r reads it.' "$output"
}

# The runtime is a subset of what is tested: same versions, so the larger file is resolved first.
resolve pyproject.toml deploy/image/requirements-dev.lock --group build --extra local --extra examples --extra dev
resolve pyproject.toml deploy/image/requirements.lock --group build \
  --constraint deploy/image/requirements-dev.lock
# What the benchmarks compare with wants older clients than ours: an environment of its own.
resolve tests/bench/peers/requirements.in tests/bench/peers/requirements.lock
# The older of the SDKs that apps are tested with, beside the newer one of .venv.
resolve tests/inngest/apps/python_old/requirements.in tests/inngest/apps/python_old/requirements.lock
