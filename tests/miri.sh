#!/usr/bin/env bash
# Executes the CPU executor's shared memory and WebAssembly's innermost loops in Miri, which sees every access to
# memory and every race: `bash tests/miri.sh`. Needs a nightly toolchain with Miri and the standard library's sources
# (rustup component add miri rust-src --toolchain nightly). Not part of tests/run.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
# Rayon's queues are not right by stacked borrows, nor does it end its threads.
export MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks ${MIRIFLAGS:-}"
# A quarter of a million values would take hours, and Miri's exponentials are wrong on purpose in the last bits.
exec cargo +nightly miri test --manifest-path tests/miri/Cargo.toml --target-dir target/miri -- --skip activations_know_their_limits --skip gelu_keeps_its_error_bound "$@"
