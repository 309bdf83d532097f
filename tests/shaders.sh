#!/usr/bin/env bash
# Has compilers that are not naga read every kernel:
#   bash tests/shaders.sh          of shaders that differ in sizes alone one; part of tests/run.sh
#   bash tests/shaders.sh all      all shaders of the test graphs, with all tiles: minutes
#   bash tests/shaders.sh write    only the files
# SPIR-V: Khronos' validator (spirv-val, Debian's spirv-tools). HLSL: Microsoft's compiler with its validator, a
# library: name yours with DXC=…/libdxcompiler.so; with FETCH_TOOLS=1 it is taken out of a package of PyPI, which is
# other people's and held to its hash. WGSL: Chromium's Tint, in tests/web.sh, from the folder that this leaves behind.
# What is not there is said and passed over, but with REQUIRE_COMPILERS=1 fails.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$PWD/target/shaders
rm -rf "$folder"
# shellcheck disable=SC2086
SHADERS_TO=$folder SHADERS=${1:-some} cargo test --quiet --locked ${TEST_FEATURES:-} --test shaders -- \
    --ignored --nocapture every_shader_is_written_for_other_compilers
[ "${1:-}" != write ] || exit 0

missing() {
    echo "skipped: $1"
    [ "${REQUIRE_COMPILERS:-0}" != 1 ] || exit 1
}
# files FOLDER ENDING: how many there are; there have to be.
files() {
    local count
    count=$(find "$folder/$1" -name "*.$2" | wc -l)
    [ "$count" -gt 100 ] || { echo "only $count files in $1" >&2; exit 1; }
    echo "$count"
}

if command -v spirv-val >/dev/null; then
    for version in 1.1 1.3; do
        count=$(files vulkan$version spv)
        find "$folder/vulkan$version" -name '*.spv' -print0 |
            xargs -0 -P "$(nproc)" -I {} sh -c 'spirv-val --target-env vulkan'$version' "$1" || { echo "$1" >&2; exit 1; }' - {}
        echo "SPIR-V: $count of $count shaders for Vulkan $version"
    done
else
    missing "there is no spirv-val; install Debian's spirv-tools"
fi

# For Linux on x86-64; this one, and no other, is loaded.
dxc=${DXC:-target/dxc/libdxcompiler.so}
if ! [ -e "$dxc" ] && [ -z "${DXC:-}" ] && [ "${FETCH_TOOLS:-0}" = 1 ] && [ "$(uname -sm)" = "Linux x86_64" ] && command -v python3 >/dev/null; then
    mkdir -p target/dxc
    echo "compushady-lrtu==0.18.0 --hash=sha256:b76371972f2543a1e83034a86c83cfad678dabf66be0b50b7d78edbcb1c98243" \
        >target/dxc/package
    timeout 180 python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: --dest target/dxc \
        --platform manylinux_2_28_x86_64 --python-version 3.11 --implementation cp --abi cp311 -r target/dxc/package \
        >target/dxc/log 2>&1 &&
        python3 -c 'import sys, zipfile; open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[3]))' \
            target/dxc/*.whl "$dxc.part" compushady/backends/libdxcompiler_x86_64.so &&
        mv "$dxc.part" "$dxc" || true
fi
if [ -e "$dxc" ]; then
    # Products of four bytes are an instruction from 6.4 on. naga writes the same for 5.1, which is for the compiler
    # before this one and for Windows alone, as for 6.0.
    pids=()
    for model in 6.0:6_0 6.4:6_7; do
        files "hlsl-${model%:*}" hlsl >/dev/null
        python3 tests/shaders/dxc.py "$dxc" "cs_${model#*:}" "$folder/hlsl-${model%:*}" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
else
    missing "Microsoft's HLSL compiler is not here; name one with DXC, or let one be fetched with FETCH_TOOLS=1"
fi
