#!/usr/bin/env bash
# Runs fuzz targets, each for so many seconds. What is made up on the way is kept in fuzz/corpus/, findings in
# fuzz/artifacts/; see fuzz/README.md.
#
#   scripts/fuzz.sh SECONDS [TARGET]…
set -euo pipefail

seconds=${1:?how many seconds for each target}
shift
cd "$(dirname "$0")/.."
export PATH=$PWD/.tools/bin:$PATH

rustup toolchain list | grep -q ^nightly || { echo "fuzz: nightly Rust is missing; run: rustup toolchain install nightly --profile minimal" >&2; exit 1; }

# There is no unsafe code in what is fuzzed, so no sanitizer looks for its faults: the build is faster, and so are the
# targets. Dependencies must not know that they are fuzzed, since some of them then leave checks out.
flags=(--fuzz-dir fuzz --sanitizer none --codegen-units 16 --no-cfg-fuzzing)
# cargo-fuzz's flags stand in the place of those in .cargo/config.toml.
export RUSTFLAGS=-Clink-arg=-fuse-ld=mold

[[ $# -gt 0 ]] || set -- $(basename --suffix .rs fuzz/fuzz_targets/*.rs)
cargo +nightly fuzz build "${flags[@]}"
failed=()
for target in "$@"; do
  echo "fuzz: $target for $seconds seconds"
  mkdir -p "fuzz/corpus/$target"
  cargo +nightly fuzz run "${flags[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 || failed+=("$target")
done
[[ ${#failed[@]} -eq 0 ]] || { echo "fuzz: there are findings in: ${failed[*]}" >&2; exit 1; }
