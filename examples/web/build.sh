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

say "compiling the tool that makes bindings"
cargo build --quiet --locked --release -p foveate-bindgen --target-dir $folder
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

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
opt=$(optimiser) || say "without wasm-opt: neither it nor npm is here"

# What was made before and is newer than all that it is made of.
fresh() {
    [ -d "$1" ] && [ -z "$(find Cargo.toml Cargo.lock src shaders assets tests/wasm.sh examples/web/bindgen examples/web/build.sh \
        -type f -newer "$1" -print -quit)" ]
}

# The modules that a page fetches one or two of: tests/wasm.sh says what is compiled how. Cargo keeps only the last.
tools=$(rustc -V && echo "$opt")
modules=$folder/modules/$(cksum <<<"$tools" | cut -d' ' -f1)
mkdir -p "$modules"
for module in gpu cpu cpu-relaxed import; do
    name=${module/-/_}
    if ! fresh "$modules/$name"; then
        say "compiling: $module"
        touch "$made/started"
        bash tests/wasm.sh module $module
        # Both of the CPU's modules have the same bindings.
        bindings=${name%_relaxed}
        $folder/release/foveate-bindgen $folder/$target/web/foveate.wasm "$made/$name" $bindings
        if [ -n "$opt" ]; then
            # What computes on the CPU is for speed, the rest for size. The first KiB of memory is the stack's last, where
            # it has overflowed before.
            case $module in cpu*) level=-O3 ;; *) level="-Oz --low-memory-unused" ;; esac
            # shellcheck disable=SC2086
            "$opt" $level --strip-debug --strip-producers --enable-simd --enable-relaxed-simd --enable-bulk-memory \
                --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals --enable-reference-types \
                --enable-multivalue --enable-bulk-memory-opt "$made/$name/${bindings}_bg.wasm" -o "$made/small.wasm"
            mv "$made/small.wasm" "$made/$name/${bindings}_bg.wasm"
        fi
        rm -rf "${modules:?}/$name"
        mv "$made/$name" "$modules/$name"
        # As old as what it was made of: what was changed meanwhile is newer.
        touch -r "$made/started" "$modules/$name"
    fi
    cp "$modules/$name/${name%_relaxed}_bg.wasm" "$made/${name}_bg.wasm"
done
cmp "$modules"/cpu/cpu.js "$modules"/cpu_relaxed/cpu.js
cp "$modules"/{gpu/gpu,cpu/cpu,import/import}.js "$made"
cat >>"$made/import.js" <<'JS'

// Gives its memory back; it can be started again.
export function release() {
    wasm = wasmModule = wasmInstance = __wbg_init_promise = undefined;
    cachedDataViewMemory0 = cachedUint8ArrayMemory0 = null;
}
JS

mkdir -p "$out"
rm -f "$out"/*.wasm "$out"/*.js
cp "$made"/*.js "$made"/*.wasm examples/web/package/* examples/web/README.md \
    LICENSE-MIT LICENSE-APACHE assets/cifar10-qarepvgg.safetensors "$out"/
size() { for file in "$@"; do gzip -9 -c "$file"; done | wc -c; }
# Comments and indentation, a seventh of the scripts, are for who reads the repository.
sed -E -i '/^[[:space:]]*\/\*\*.*\*\/[[:space:]]*$/d; /^[[:space:]]*\/\*\*/,/\*\/[[:space:]]*$/d; /^[[:space:]]*\/\//d; s/^[[:space:]]+//; /^$/d' "$out"/*.js
shared=$(cd examples/web/package && ls ./*.js)
for module in gpu cpu cpu_relaxed import; do
    say "$out/${module}_bg.wasm: $(size "$out/${module}_bg.wasm" "$out/${module%_relaxed}.js") bytes gzipped, with its bindings"
done
say "$out: $(cd "$out" && size $shared) bytes of other scripts, gzipped"
