#!/usr/bin/env bash
# Creates .venv in the checkout from the locked requirements. Does nothing, and needs no network,
# while the lock, the checkout's place and pyproject.toml are what they were.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

lock=deploy/image/requirements-dev.lock
venv=.venv
py="$venv/bin/python"
fits='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'

refuse() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

find_python() { # PYTHON if given, else the first on the PATH that fits
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c "$fits" 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
}

require_python() {
  python="$(find_python)"
  if [[ -z "$python" ]]; then
    local found
    found="$("${PYTHON:-python3}" -c 'import platform; print(platform.python_version())' 2>/dev/null ||
      echo 'none')"
    refuse "Python 3.11 to 3.14 is missing (found as ${PYTHON:-python3}: $found)." \
      "On Debian 12 or later: apt-get install python3 python3-venv" \
      "Another one can be named: make setup PYTHON=/path/to/python3.12"
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    local version
    version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    refuse "$python ($version) lacks the modules venv and ensurepip." \
      "On Debian: apt-get install python$version-venv"
  fi
}

digest() { cksum "$@" | tr -s ' \n' ' '; }

usable() { # an environment of another place, or of a Python that is gone, can only be made anew
  "$py" -c "$fits" 2>/dev/null && grep -qF "$PWD/$venv" "$venv/bin/activate"
}

wanted() { printf '%s %s\n' "$("$py" --version)" "$(digest "$lock")"; }

install_requirements() {
  local stamp="$venv/requirements.stamp"
  if usable && [[ "$(cat "$stamp" 2>/dev/null)" == "$(wanted)" ]]; then
    return
  fi
  require_python
  if ! usable; then
    echo "setup: creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
  fi
  rm -f "$stamp" "$venv/project.stamp"
  echo "setup: installing the locked requirements into $venv (once; a few minutes without a cache)"
  "$py" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  wanted >"$stamp"
}

install_project() { # the checkout itself, editable; its metadata and command come from pyproject.toml
  local stamp="$venv/project.stamp" want packages
  packages="$(find streams topology -maxdepth 0 -type d 2>/dev/null | tr '\n' ' ' || true)"
  want="$(digest pyproject.toml)$packages"
  if [[ "$(cat "$stamp" 2>/dev/null)" == "$want" ]]; then
    return
  fi
  "$py" -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
    --no-build-isolation --editable .
  printf '%s\n' "$want" >"$stamp"
}

install_requirements
install_project
