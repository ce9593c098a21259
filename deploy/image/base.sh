#!/usr/bin/env bash
# Writes a base for the image from Debian's packages, where no registry answers: base.sh FILE.tar
# Debian 13 has the Python of the Dockerfile's own base; libstdc++ is what wheels expect of any system.
set -euo pipefail

mmdebstrap --quiet --variant=essential --include=python3,python3-venv,libstdc++6,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  trixie "$1" >&2
