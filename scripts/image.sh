#!/usr/bin/env bash
# Builds a container image as an OCI archive, without a container engine: static binaries and a packer.
#
#   scripts/image.sh [ropeway]   /ropeway-operator, /ropeway-worker and /ropeway
#   scripts/image.sh nats        /nats-server, for a trial where no image registry is at hand
#
#   PROFILE   cargo profile (release; `dev` is much faster to build)
#   IMAGE     name and tag of the image (ropeway.dev/ropeway:<version of the workspace>; ropeway.dev/ropeway-nats
#             alike)
#   OUTPUT    the archive (target/ropeway-image.tar, target/ropeway-nats-image.tar)
#
# An archive that is of these sources already is left alone.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

kind=${1:-ropeway}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
certificates=/etc/ssl/certs/ca-certificates.crt
programs=(ropeway-operator ropeway-worker ropeway-cli:ropeway)

case $kind in
  ropeway) name=ropeway ;;
  nats) name=ropeway-nats ;;
  *) echo "image: unknown image '$kind'; one of ropeway, nats" >&2; exit 2 ;;
esac
image=${IMAGE:-ropeway.dev/$name:$version}
output=${OUTPUT:-$target/$name-image.tar}

case $profile in
  dev) folder=$target/debug ;;
  *) folder=$target/$profile ;;
esac

fail() { echo "image: $*" >&2; exit 1; }

# What an archive is made of, as one hash. The folder is part of it: worktrees may share a target folder.
stamp() {
  {
    echo "$root $kind $image $profile"
    if [[ $kind == nats ]]; then
      cat .tools/stamps/nats
    else
      find crds mapping nats operator worker cli .cargo Cargo.toml Cargo.lock rust-toolchain.toml -type f |
        LC_ALL=C sort | xargs cat
    fi
    cat "$0" .tools/stamps/image
  } | sha256sum | cut -d' ' -f1
}

# From Debian's libc.a: since version 2.34 it looks names up by itself, without loading anything. Only the last step
# is a static link, so everything else is shared with an ordinary build of the same profile.
link_statically() {
  cargo rustc --quiet --package "$1" --bin "$2" --profile "$profile" -- -C target-feature=+crt-static -C strip=symbols
  # The next ordinary build overwrites it.
  install -m 0755 "$folder/$2" "$staging/$2"
}

# pack TITLE ENTRYPOINT FILE:PATH…
pack() {
  local title=$1 entrypoint=$2
  shift 2
  .tools/image/pack -output "$output.new" -tag "$image" -entrypoint "$entrypoint" -user 65532:65532 \
    -label "org.opencontainers.image.title=$title" \
    -label "org.opencontainers.image.version=$version" \
    -label "org.opencontainers.image.licenses=Apache-2.0 OR MIT" \
    -label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    "$@"
  mv "$output.new" "$output"
}

if [[ $kind == nats ]]; then scripts/tools.sh image nats; else scripts/tools.sh image link; fi
now=$(stamp)
if [[ -f $output && -f $output.stamp && $(cat "$output.stamp") == "$now" ]]; then
  echo "image: $image in $output is up to date"
  exit
fi

mkdir -p "$(dirname "$output")"
rm -f "$output.stamp"
staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
files=()
if [[ $kind == nats ]]; then
  files=("$PWD/.tools/nats-server:/nats-server")
else
  for program in "${programs[@]}"; do
    binary=${program#*:}
    link_statically "${program%%:*}" "$binary"
    files+=("$staging/$binary:/$binary")
  done
fi
for file in "${files[@]}"; do
  if readelf --program-headers "${file%%:*}" | grep -q INTERP; then fail "${file#*:} is not static"; fi
done
entrypoint=${files[0]#*:}
if [[ -f $certificates ]]; then
  files+=("$certificates:$certificates")
else
  echo "image: $certificates is missing (Debian package ca-certificates); the image can't verify public servers" >&2
fi
pack "$name" "$entrypoint" "${files[@]}"
echo "$now" >"$output.stamp"
echo "image: $image in $output ($(du -h "$output" | cut -f1))"
