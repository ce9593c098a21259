#!/usr/bin/env bash
# Builds the image with docker, podman or buildah, whichever works, and writes its bill of materials.
# Without a registry its base is made of Debian's packages. The last line is the image's name.
#   TAG=name:tag   BASE=image   ARCHIVE=file.tar (docker-archive)   SBOM=file.json   BUILDER=podman
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/../.."

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)"
tag="${TAG:-countermand:$version}"
sbom="${SBOM:-dist/countermand-$version.cdx.json}"
default_base="$(sed -n 's/^ARG BASE=//p' deploy/image/Dockerfile)"
# Some machines let nobody raise limits, as a container of a build step would.
export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# As in sysexits.h: not a mistake of the image, but of this machine.
unavailable=69

say() { printf 'image: %s\n' "$@" >&2; }

install_packages() { # from Debian
  if [[ "$(id -u)" != 0 ]]; then
    say "$1 is missing. As root: apt-get install $*"
    exit "$unavailable"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "$@" >&2
}

find_builder() {
  local candidate
  for candidate in ${BUILDER:-docker podman buildah}; do
    if "$candidate" info >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
}

has_image() { [[ -n "$("$builder" images --quiet "$1" 2>/dev/null)" ]]; }

make_base() { # name
  command -v mmdebstrap >/dev/null || install_packages mmdebstrap debian-archive-keyring
  mkdir "$work/base"
  bash deploy/image/base.sh "$work/base/base.tar"
  "$builder" build --quiet --tag "$1" --file - "$work/base" >&2 <<'FILE'
FROM scratch
ADD base.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
FILE
}

find_base() {
  if [[ -n "${BASE:-}" ]]; then
    printf '%s\n' "$BASE"
  elif has_image "$default_base" || timeout 300 "$builder" pull --quiet "$default_base" >/dev/null 2>&1; then
    printf '%s\n' "$default_base"
  else
    # Made anew each week, with Debian's fixes, and when base.sh says something else.
    local own
    own="countermand-base:$(date +%G-%V)-$(cksum <deploy/image/base.sh | cut -d ' ' -f 1)"
    if ! has_image "$own"; then
      say "no registry has answered: making a base of Debian's packages"
      make_base "$own"
    fi
    printf '%s\n' "$own"
  fi
}

build() {
  local options=(--build-arg "BASE=$1" --build-arg "VERSION=$version")
  options+=(--build-arg "REVISION=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || true)")
  local pip="${PIP_CONFIG_FILE:-$HOME/.config/pip/pip.conf}"
  local certificates="${PIP_CERT:-${SSL_CERT_FILE:-}}"
  [[ ! -f "$pip" ]] || options+=(--secret "id=pip,src=$pip")
  [[ ! -f "$certificates" ]] || options+=(--secret "id=certificates,src=$certificates")
  # docker finds that file by its name.
  [[ "$builder" == docker ]] || options+=(--ignorefile deploy/image/Dockerfile.dockerignore --layers)
  "$builder" build --quiet --tag "$tag" "${options[@]}" --file deploy/image/Dockerfile . >&2
}

write_sbom() {
  mkdir -p "$work/sbom" "$(dirname "$sbom")"
  "$builder" build --quiet --tag countermand-sbom --output "type=local,dest=$work/sbom" --file - "$work/sbom" >&2 <<FILE
FROM scratch
COPY --from=$tag /opt/countermand/sbom.cdx.json /
FILE
  cp "$work/sbom/sbom.cdx.json" "$sbom"
  # podman and buildah keep an image of it too.
  "$builder" rmi countermand-sbom >/dev/null 2>&1 || true
}

save() { # under the name that a node gives to what is asked for without a registry's, too
  rm -f "$ARCHIVE"
  if [[ "$builder" == docker ]]; then
    docker save --output "$ARCHIVE" "$tag"
  else
    "$builder" push --quiet "$tag" "docker-archive:$ARCHIVE:$tag" >&2
  fi
}

tools="${COUNTERMAND_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/countermand}/tools"
mkdir -p "$tools"
exec 9>"$tools/image.lock"
flock 9 # several tests may ask at the same time
builder="$(find_builder)"
if [[ -z "$builder" && -z "${BUILDER:-}" ]]; then
  install_packages podman runc containernetworking-plugins
  builder="$(find_builder)"
fi
if [[ -z "$builder" ]]; then
  say "no builder works here, asked were: ${BUILDER:-docker podman buildah}"
  exit "$unavailable"
fi
base="$(find_base)"
say "building $tag on $base with $builder"
build "$base"
write_sbom
[[ -z "${ARCHIVE:-}" ]] || save
printf '%s\n' "$tag"
