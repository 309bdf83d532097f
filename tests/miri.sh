#!/usr/bin/env bash
# Executes the CPU executor's shared memory and WebAssembly's innermost loops in Miri, which sees every access to
# memory and every race: `bash tests/miri.sh`. Needs a nightly toolchain with Miri and the standard library's sources
# (rustup component add miri rust-src --toolchain nightly); takes a minute.
# `bash tests/miri.sh natively` runs the same as it is, with no more than cargo: that is part of tests/run.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=(cargo +nightly miri)
skip=()
if [ "${1:-}" = natively ]; then
    shift
    cargo=(cargo)
else
    # A quarter of a million values would take hours, and Miri's exponentials are wrong on purpose in the last bits.
    skip=(--skip=activations_know_their_limits --skip=gelu_keeps_its_error_bound --skip=both_forms_keep_the_error_bound)
fi
export RUSTFLAGS="--cfg wasm_loops ${RUSTFLAGS:-}"
# Rayon's queues are not right by stacked borrows, nor does it end its threads.
export MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks ${MIRIFLAGS:-}"
exec "${cargo[@]}" test --locked --manifest-path tests/miri/Cargo.toml --target-dir target/miri --lib -- "${skip[@]}" "$@"
