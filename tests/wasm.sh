#!/usr/bin/env bash
# Compiles the library for the browser: `bash tests/wasm.sh check`, or `module NAME` as examples/web/build.sh wants it.
# With rustup the target is added; where rustup cannot fetch it, Debian's rustc-web and its
# sources build the standard library.
#   module gpu | cpu | cpu-relaxed | import      target/web/wasm32-unknown-unknown/web/foveate.wasm
set -euo pipefail
cd "$(dirname "$0")/.."
command=${1:-check}
target=wasm32-unknown-unknown
# Of the library alone: what it stands on is compiled once for all modules.
own=()
case $command:${2:-} in
check:) common=(check --locked --lib --features web --target "$target" --target-dir target/wasm) ;;
# Small: what they compute is computed once.
module:gpu | module:import) own=(-- --cfg "foveate_module=\"$2\"" -Copt-level=z) ;;
# As written, products leave their operands in registers, and places of pixels are offsets of loads; as LLVM would have
# it, they do not and are not.
module:cpu | module:cpu-relaxed) own=(-- --cfg 'foveate_module="cpu"' -Copt-level=3 -Cllvm-args='-pre-RA-sched=source -disable-lsr') ;;
*) echo "usage: bash tests/wasm.sh [check | module gpu | cpu | cpu-relaxed | import]" >&2 && exit 2 ;;
esac
# Products and sums in one instruction, which Chromium and Firefox have and Safari has not everywhere.
[ "${2:-}" != cpu-relaxed ] || own+=(-Ctarget-feature=+simd128,+relaxed-simd)
if [ "$command" = module ]; then
    common=(rustc --locked --lib --crate-type cdylib --profile web --no-default-features --features web
        --target "$target" --target-dir target/web)
    # Every browser with WebGPU has these instructions, and every other of today.
    export RUSTFLAGS="-Ctarget-feature=+simd128"
fi

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }
if ! has_target && command -v rustup >/dev/null; then
    timeout 120 rustup target add "$target" >/dev/null 2>&1 || true
fi
if has_target; then
    exec cargo "${common[@]}" "${own[@]}"
fi

echo "no $target from rustup here; building the standard library with Debian's rustc-web"
if ! [ -d /usr/lib/rustlib/src/rust/library ] && ! ls -d /usr/lib/rust-*/lib/rustlib/src/rust/library >/dev/null 2>&1; then
    command -v apt-get >/dev/null || { echo "run: rustup target add $target"; exit 1; }
    apt-get install -y -qq rustc-web rust-web-src >/dev/null 2>&1 || {
        apt-get update -qq
        apt-get install -y -qq rustc-web rust-web-src >/dev/null
    }
fi
lld=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/host: //p')/bin
RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH="$lld:$PATH" exec cargo "${common[@]}" \
    -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size "${own[@]}"
