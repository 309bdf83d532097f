#!/usr/bin/env bash
# Compiles the library for the browser: `bash tests/wasm.sh check`, or `package` as examples/web/build.sh wants it.
# With rustup the target is added; where rustup cannot fetch it, Debian's rustc-web and its
# sources build the standard library.
set -euo pipefail
cd "$(dirname "$0")/.."
command=${1:-check}
target=wasm32-unknown-unknown
case $command in
check) common=(check --locked --lib --features web --target "$target" --target-dir target/wasm) ;;
package)
    common=(rustc --locked --lib --crate-type cdylib --profile web --no-default-features --features web
        --target "$target" --target-dir target/web)
    # Every browser with WebGPU has these instructions, and every other of today.
    export RUSTFLAGS="-Ctarget-feature=+simd128"
    ;;
*) echo "usage: bash tests/wasm.sh [check | package]" >&2 && exit 2 ;;
esac

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; }
if ! has_target && command -v rustup >/dev/null; then
    timeout 120 rustup target add "$target" >/dev/null 2>&1 || true
fi
if has_target; then
    exec cargo "${common[@]}"
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
RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 PATH="$lld:$PATH" exec cargo "${common[@]}" -Zbuild-std=std,panic_abort
