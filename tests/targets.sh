#!/usr/bin/env bash
# Type-checks the library for phones and other desktops, and the live window for Windows and macOS, from Linux:
#   bash tests/targets.sh [--library] [TARGET…]     --library: not the live window; part of .ci/run
# Not part of tests/run.sh: everything is compiled anew for each, some minutes. Nothing is linked or run.
# With rustup the targets are added; where rustup cannot fetch them, Debian's rustc-web and its sources build the
# standard library.
set -euo pipefail
cd "$(dirname "$0")/.."
window=1
[ "${1:-}" != --library ] || { window=0 && shift; }
[ $# -gt 0 ] || set -- x86_64-pc-windows-msvc aarch64-apple-darwin aarch64-apple-ios aarch64-linux-android
folder=target/targets
mkdir -p $folder

# The camera's crate on macOS compiles a file of Objective-C, which only Apple's compiler can: type-checking needs
# no more of it than that there is an object.
cat >$folder/cc <<'SH'
#!/bin/sh
last=
for argument; do
    [ "$last" != -o ] || : >"$argument"
    last=$argument
done
SH
cat >$folder/ar <<'SH'
#!/bin/sh
for argument; do
    case $argument in *.a) printf '!<arch>\n' >"$argument" ;; esac
done
SH
chmod +x $folder/cc $folder/ar
export CC_aarch64_apple_darwin=$PWD/$folder/cc AR_aarch64_apple_darwin=$PWD/$folder/ar

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }
debian() { [ -x /usr/bin/rustc ] && compgen -G '/usr/lib/rustlib/src/rust/library' >/dev/null; }
# Whether there is a standard library for that target, or can be.
obtain() {
    has_target "$1" || ! command -v rustup >/dev/null || timeout 120 rustup target add "$1" >/dev/null 2>&1 || true
    has_target "$1" || debian
}
check() {
    local target=$1
    shift
    local command=(cargo check --quiet --locked --no-default-features --target "$target" --target-dir $folder "$@")
    if has_target "$target"; then
        "${command[@]}"
    else
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 "${command[@]}" -Zbuild-std=std,panic_abort
    fi
}

for target in "$@"; do
    if ! obtain "$target"; then
        echo "no standard library for $target: run \`rustup target add $target\`, or install Debian's rustc-web and rust-web-src"
        [ $window = 0 ] || exit 1
        echo "skipped: $target"
        continue
    fi
    check "$target" --lib --features decode,builtin,workshop
    echo "$target: the library is right"
    case $window$target in 1*windows* | 1*-darwin)
        check "$target" --example webcam --features webcam
        echo "$target: the live window is right"
        ;;
    esac
done
