#!/usr/bin/env bash
# Builds the browser package: ES modules, wasm, types, and the built-in network.
#   bash examples/web/build.sh [OUT]      OUT: examples/web/pkg if not given
# Needs Rust alone. Where npm is there too, Binaryen's wasm-opt makes the wasm a sixth smaller.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-examples/web/pkg}
target=wasm32-unknown-unknown
folder=target/web

say() { printf '%s\n' "$*" >&2; }

say "compiling"
bash tests/wasm.sh package
say "making bindings"
cargo build --quiet --locked --release -p foveate-bindgen --target-dir $folder
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
$folder/release/foveate-bindgen $folder/$target/web/foveate.wasm "$made"

# wasm-opt from where it is, else from npm, kept beside what was compiled.
optimiser() {
    command -v wasm-opt && return
    local tools=$folder/node
    if ! [ -x $tools/node_modules/.bin/wasm-opt ]; then
        command -v npm >/dev/null || return 1
        npm install --silent --no-fund --no-audit --prefix $tools binaryen@132.0.0 >/dev/null 2>&1 || return 1
    fi
    echo $tools/node_modules/.bin/wasm-opt
}
wasm=$made/foveate_bg.wasm
if opt=$(optimiser); then
    say "optimising"
    "$opt" -O3 --strip-debug --strip-producers --enable-simd --enable-bulk-memory --enable-nontrapping-float-to-int \
        --enable-sign-ext --enable-mutable-globals --enable-reference-types --enable-multivalue \
        --enable-bulk-memory-opt "$wasm" -o "$made/small.wasm"
    mv "$made/small.wasm" "$wasm"
else
    say "without wasm-opt: neither it nor npm is here"
fi

mkdir -p "$out"
cp "$made"/foveate.js "$wasm" examples/web/package/* examples/web/README.md \
    LICENSE-MIT LICENSE-APACHE assets/cifar10-qarepvgg.safetensors "$out"/
size() { for file in "$@"; do gzip -9 -c "$file"; done | wc -c; }
say "$out: $(size "$out"/*.wasm) bytes of wasm and $(size "$out"/*.js) of scripts, gzipped"
