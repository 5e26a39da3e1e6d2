#!/usr/bin/env bash
# Builds the container image as an OCI archive, without a container engine: static binaries and a packer.
#
#   scripts/image.sh [[PACKAGE:]BINARY…]
#
# A program is of the package of the same name unless one is given (default: ropeway-operator ropeway-worker). Each is
# put at /BINARY, and the first one is what the image runs when nothing else is said.
#
#   PROFILE   cargo profile (release; `dev` is much faster to build)
#   IMAGE     name and tag of the image (ropeway.dev/ropeway:<version of the workspace>)
#   OUTPUT    the archive (target/ropeway-image.tar)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
profile=${PROFILE:-release}
image=${IMAGE:-ropeway.dev/ropeway:$version}
target=${CARGO_TARGET_DIR:-target}
output=${OUTPUT:-$target/ropeway-image.tar}
certificates=/etc/ssl/certs/ca-certificates.crt
[[ $# -gt 0 ]] || set -- ropeway-operator ropeway-worker

case $profile in
  dev) folder=$target/debug ;;
  *) folder=$target/$profile ;;
esac

# From Debian's libc.a: since version 2.34 it looks names up by itself, without loading anything. Only the last step
# is a static link, so everything else is shared with an ordinary build of the same profile.
link_statically() {
  cargo rustc --quiet --package "$1" --bin "$2" --profile "$profile" -- -C target-feature=+crt-static -C strip=symbols
  if readelf --program-headers "$folder/$2" | grep -q INTERP; then
    echo "image: $2 is not static" >&2
    exit 1
  fi
}

scripts/tools.sh image link
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
files=()
for program in "$@"; do
  binary=${program#*:}
  link_statically "${program%%:*}" "$binary"
  # The next ordinary build overwrites it.
  install -m 0755 "$folder/$binary" "$staging/$binary"
  files+=("$staging/$binary:/$binary")
done
if [[ -f $certificates ]]; then
  files+=("$certificates:$certificates")
else
  echo "image: $certificates is missing (Debian package ca-certificates); the image can't verify public servers" >&2
fi

mkdir -p "$(dirname "$output")"
.tools/image/pack -output "$output" -tag "$image" -entrypoint "/${1#*:}" -user 65532:65532 \
  -label "org.opencontainers.image.title=ropeway" \
  -label "org.opencontainers.image.version=$version" \
  -label "org.opencontainers.image.licenses=Apache-2.0 OR MIT" \
  -label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  "${files[@]}"
echo "image: $image in $output ($(du -h "$output" | cut -f1))"
