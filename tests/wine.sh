#!/usr/bin/env bash
# Builds foveate for Windows and runs it under Wine, on Linux on x86-64:
#   bash tests/wine.sh                 with the Wine that is installed
#   ROOT=FOLDER bash tests/wine.sh     in a Debian 13 that is made in FOLDER if it is not there (by root, 2.5 GB)
# Not part of tests/run.sh. It runs the CPU executor, commands that write files, and `verify` on the built-in network
# on Mesa's software driver through Vulkan, GL and DX12.
# DX12 needs Wine 10 or later (Debian 13 has that, Debian 12 has 8.0) and a shader compiler of Microsoft's, since
# Wine's own is not finished: FXC=…/d3dcompiler_47.dll of Windows 10 or later, and if wanted DXC=FOLDER with
# dxcompiler.dll and dxil.dll. With FETCH_TOOLS=1 both are taken out of packages of PyPI, which are other people's and
# held to their hashes. Wine's Direct3D 12 has no shader model 6, which is what DXC makes; VKD3D=FOLDER with a build of
# vkd3d-proton (d3d12.dll, d3d12core.dll) has.
# PARTS="cpu vulkan gl dx12 tests" is all of it; name fewer for less. `tests` builds tests that need no GPU for Windows
# and runs them: files, paths, errors, exit codes. TESTS="lib cli" names some of them.
# MODELS="repnext-m0 repvgg-a0" verifies these too, with random weights: minutes for each.
# What is not there is said and passed over.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-pc-windows-gnu
parts=" ${PARTS:-cpu vulkan gl dx12 tests} "
work=$PWD/target/wine
say() { printf '\n== %s\n' "$*"; }
give_up() { echo "$*" >&2; exit 1; }

# --- Inside: on this system, or in ROOT.

# foveate COMPILERS ARGUMENT…: the program in target/wine/COMPILERS, beside the DLLs that it is to find.
foveate() {
    local folder=$work/$1
    shift
    timeout "${LIMIT:-1500}" "$wine" "$folder/foveate.exe" "$@" 2>"$work/stderr"
}
# expect TEXT COMMAND…: runs it, shows what it prints, and wants the text in that. Wine's server kills a program that
# is not gone a second after its end; beside other work, and with a GPU's driver in it, one may not be.
expect() {
    local text=$1 printed code=0
    shift
    printed=$("$@") || code=$?
    echo "$printed" | tr -d '\r' | cut -c1-160
    case $code:$printed in
        0:*"$text"*) return ;;
        137:*"$text"*) [ -n "$text" ] && echo "(killed at its end, exit code 137)" && return ;;
    esac
    tail -n 5 "$work/stderr" >&2
    echo "exit code $code; expected was 0 and the text \"$text\"" >&2
    return 1
}

# refusal TEXT COMMAND…: for what cannot work there. Either it does, or it ends with exit code 1 and says the text.
refusal() {
    local text=$1 printed code=0
    shift
    printed=$("$@") || code=$?
    if [ $code = 0 ]; then echo "$printed" | tr -d '\r' | cut -c1-160; return; fi
    grep 'FXC D3DCompile error\|^error: ' "$work/stderr" | cut -c1-200 | head -n 3 || true
    [ $code = 1 ] && grep -q "$text" "$work/stderr" && return
    echo "exit code $code; expected was 0, or 1 and the text \"$text\"" >&2
    return 1
}

# verify COMPILERS ARGUMENT…: of the built-in network, in all number formats, and of MODELS.
verify() {
    local compilers=$1 model
    shift
    expect "the device computes what the CPU does" foveate "$compilers" verify --precision all "$@"
    for model in ${MODELS:-}; do
        expect "the device computes what the CPU does" \
            foveate "$compilers" verify --precision "${PRECISION:-f32,w8,w8a8}" --model "$model" --random "$@"
    done
}

# dx12 PREFIX COMPILERS OVERRIDES: the first adapter of DX12, if it is offered.
dx12() {
    WINEPREFIX=$1
    export WGPU_BACKEND=dx12 WINEDLLOVERRIDES="$3$overrides"
    expect "dx12" foveate "$2" adapters
    verify "$2" --device 0
}

inside() {
    for wine in /usr/lib/wine/wine64 wine64 wine; do command -v $wine >/dev/null && break; done
    command -v $wine >/dev/null || give_up "There is no Wine: install Debian's wine64, or give ROOT=FOLDER."
    command -v Xvfb >/dev/null || give_up "There is no Xvfb, without which Wine has no GPU: install Debian's xvfb."
    VK_DRIVER_FILES=$(compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' | head -n 1) ||
        give_up "There is no lavapipe: install Debian's mesa-vulkan-drivers."
    overrides='bcryptprimitives=n,b;mscoree,mshtml,winemenubuilder.exe='
    export LC_ALL=C.UTF-8 VK_DRIVER_FILES WINEDEBUG=-all
    export WINEDLLOVERRIDES=$overrides WINEPREFIX=$work/prefix$1 FOVEATE_LOG=0
    [ -n "${XDG_RUNTIME_DIR:-}" ] || export XDG_RUNTIME_DIR=/tmp
    mkdir -p "$work"
    Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp 3>"$work/display" 2>/dev/null &
    server=$!
    trap 'kill $server; wineserver_of "$WINEPREFIX"' EXIT
    for _ in $(seq 100); do [ -s "$work/display" ] && break || sleep 0.1; done
    DISPLAY=:$(tr -d '\n' <"$work/display")
    export DISPLAY

    # What an earlier run has left knows of another display.
    wineserver_of "$WINEPREFIX"
    say "$("$wine" --version), $(basename "$VK_DRIVER_FILES")"
    [ -d "$WINEPREFIX" ] || timeout 300 "$wine" wineboot -i >/dev/null 2>&1
    # Rust's programs want it; Wine 8 has none.
    [ -e "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" ] ||
        cp "$work/bcryptprimitives.dll" "$WINEPREFIX/drive_c/windows/system32/"

    local backend
    case $parts in *" cpu "*) cpu ;; esac
    for backend in vulkan gl; do
        case $parts in *" $backend "*) say "$backend" && WGPU_BACKEND=$backend verify plain --device llvmpipe ;; esac
    done
    case $parts in *" dx12 "*) dx12_everywhere ;; esac
    case $parts in *" tests "*) test_programs ;; esac
}

cpu() {
    say "the CPU executor, and files"
    expect "cat " foveate plain classify assets/cat.png --device cpu
    # Letters beyond ASCII; then the file is there, and is overwritten while it is read.
    local out="$work/fused für Ärger.safetensors"
    rm -f "$out"
    for force in "" --force; do
        # shellcheck disable=SC2086
        expect fused foveate plain fuse tests/data/cifar/S4.safetensors --arch qarepvgg-cifar -o "$out" $force
    done
    expect fused foveate plain fuse "$out" -o "$out" --force
    expect "cat " foveate plain classify assets/cat.png --model "$out" --device cpu
}

# Where there is no display Wine has no GPU, and tests that can use one pass over it.
test_programs() {
    local name program code failed=""
    wineserver_of "$WINEPREFIX"
    while read -r name program; do
        say "tests: $name"
        code=0
        env -u DISPLAY timeout "${LIMIT:-1500}" "$wine" "$program" </dev/null >"$work/stderr" 2>&1 || code=$?
        tr -d '\r' <"$work/stderr" | grep -v -e '\.\.\. ok$' -e '^$' || true
        [ $code = 0 ] || { echo "exit code $code" && failed="$failed $name"; }
    done <"$work/tests"
    [ -z "$failed" ] || give_up "tests failed:$failed"
}

dx12_everywhere() {
    say "DX12 with Wine's own shader compiler"
    WGPU_BACKEND=dx12 WINEDLLOVERRIDES="d3dcompiler_47=b;$overrides" FOVEATE_LOG=1 \
        refusal "refused to make a device" foveate plain classify assets/cat.png --device 0 --test-driver always
    if [ ! -e "$work/fxc/d3dcompiler_47.dll" ]; then
        say "skipped: DX12; name a shader compiler with FXC, or let one be fetched with FETCH_TOOLS=1"
        return
    fi
    case $("$wine" --version) in wine-[1-9].*)
        say "DX12 with FXC: Wine 8 binds no descriptors for wgpu, so a refusal is what is expected"
        WGPU_BACKEND=dx12 WINEDLLOVERRIDES="d3dcompiler_47=n;$overrides" refusal "this driver computes it wrongly" \
            foveate fxc classify assets/cat.png --device 0 --test-driver always
        return
        ;;
    esac
    say "DX12 with FXC, on Wine's Direct3D 12"
    dx12 "$WINEPREFIX" fxc "d3dcompiler_47=n;"
    if [ -e "$work/dxc/dxcompiler.dll" ]; then
        say "DX12 where DXC is found but of no use: FXC has to step in"
        # Told to take DXC, it finds no adapter, and does load it; left to itself, it computes.
        WGPU_BACKEND=dx12 WGPU_DX12_COMPILER=dxc WINEDLLOVERRIDES="d3dcompiler_47=n;$overrides" \
            WINEDEBUG=-all,+loaddll expect "" foveate dxc adapters
        grep -q 'Loaded .*dxcompiler.dll' "$work/stderr" && grep -q "no adapter found" "$work/stderr" ||
            give_up "DXC was not loaded, or did find an adapter: nothing has to step in for it"
        dx12 "$WINEPREFIX" dxc "d3dcompiler_47=n;"
    fi
    if [ ! -e "$work/vkd3d/d3d12core.dll" ]; then
        say "skipped: vkd3d-proton; name a folder with its DLLs with VKD3D"
        return
    fi
    [ -d "$WINEPREFIX-vkd3d" ] || cp -a "$WINEPREFIX" "$WINEPREFIX-vkd3d"
    cp "$work"/vkd3d/*.dll "$WINEPREFIX-vkd3d/drive_c/windows/system32/"
    for compilers in fxc dxc; do
        [ -e "$work/$compilers" ] || continue
        say "DX12 with ${compilers^^}, on vkd3d-proton"
        dx12 "$WINEPREFIX-vkd3d" $compilers "d3d12,d3d12core,d3dcompiler_47=n;"
    done
}
# Ends what Wine left running for a prefix, and nothing else.
wineserver_of() { WINEPREFIX=$1 timeout 20 /usr/lib/wine/wineserver -k >/dev/null 2>&1 || true; }

if [ "${1:-}" = --inside ]; then
    inside "${2:-}"
    say "all that could be run is right"
    exit
fi

# --- Outside: the program and what lies beside it.

command -v x86_64-w64-mingw32-gcc >/dev/null || give_up "There is no linker: install Debian's gcc-mingw-w64-x86-64."
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    timeout 300 rustup target add $target ||
        give_up "There is no standard library for $target: run \`rustup target add $target\`."
fi
say "building for Windows"
cargo build --release --locked --target $target
mkdir -p "$work"
case $parts in *" tests "*)
    say "building tests for Windows"
    options=$(for name in ${TESTS:-lib checkpoint cli features fuse models picture quant trust}; do
        if [ "$name" = lib ]; then echo --lib; else echo "--test $name"; fi
    done)
    # A name and a program in each line.
    # shellcheck disable=SC2086
    cargo test --release --locked --target $target --no-run $options --message-format json-render-diagnostics |
        python3 -c '
import json, sys
for made in map(json.loads, sys.stdin):
    if made.get("profile", {}).get("test") and made.get("executable"):
        print(made["target"]["name"], made["executable"])
' >"$work/tests"
    ;;
esac

# PACKAGE FILE HASH MEMBER… of PyPI, for Windows, into a folder.
unpack() {
    local folder=$1 package=$2 hash=$3
    shift 3
    mkdir -p "$work/wheels"
    echo "$package --hash=sha256:$hash" >"$work/wheels/package"
    timeout 300 python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: --dest "$work/wheels" \
        --platform win_amd64 --python-version 3.11 --implementation cp --abi cp311 -r "$work/wheels/package" \
        >"$work/wheels/log" 2>&1 || { tail -n 2 "$work/wheels/log"; return 1; }
    python3 - "$work/wheels/${package%%==*}"-*.whl "$folder" "$@" <<'PY'
import pathlib, sys, zipfile
wheel, folder, members = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
for member in members:
    (folder / member.rsplit("/")[-1]).write_bytes(wheel.read(member))
PY
}
mkdir -p "$work"/{plain,fxc}
x86_64-w64-mingw32-gcc -shared -O2 -o "$work/bcryptprimitives.dll" -x c - -ladvapi32 <<'C'
#include <windows.h>
#include <ntsecapi.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return RtlGenRandom(data, (ULONG)size); }
C
if [ -n "${FXC:-}" ]; then
    cp "$FXC" "$work/fxc/d3dcompiler_47.dll"
elif [ "${FETCH_TOOLS:-0}" = 1 ] && ! [ -e "$work/fxc/d3dcompiler_47.dll" ]; then
    unpack "$work/fxc" kivy_deps_angle==0.5.0 d16d68cc45a2a326a3f8f738c649bb00ae5d7c3e58cff70f415fa57bd1d28713 \
        kivy_deps_angle-0.5.0.data/data/share/angle/bin/d3dcompiler_47.dll || true
fi
if [ -n "${DXC:-}" ]; then
    mkdir -p "$work/dxc" && cp "$DXC"/{dxcompiler,dxil}.dll "$work/dxc/"
elif [ "${FETCH_TOOLS:-0}" = 1 ] && ! [ -e "$work/dxc/dxcompiler.dll" ]; then
    mkdir -p "$work/dxc"
    unpack "$work/dxc" slangpy==0.43.1 3da28207fa1f173c81b22efc1cd02e4804066b975a18749b1a7b09c0708018d6 \
        slangpy/dxcompiler.dll slangpy/dxil.dll || true
fi
if [ -n "${VKD3D:-}" ]; then mkdir -p "$work/vkd3d" && cp "$VKD3D"/d3d12{,core}.dll "$work/vkd3d/"; fi
for folder in plain fxc dxc; do
    [ ! -d "$work/$folder" ] || cp target/$target/release/foveate.exe "$work/$folder/"
done
[ ! -d "$work/dxc" ] || [ ! -e "$work/fxc/d3dcompiler_47.dll" ] || cp "$work/fxc/d3dcompiler_47.dll" "$work/dxc/"

if [ -z "${ROOT:-}" ]; then
    bash "$0" --inside
    exit
fi
[ "$(id -u)" = 0 ] || give_up "ROOT needs root, for debootstrap and chroot."
if ! [ -x "$ROOT/usr/lib/wine/wine64" ]; then
    command -v debootstrap >/dev/null || give_up "There is no debootstrap: install Debian's debootstrap."
    say "making a Debian 13 in $ROOT"
    mkdir -p "$work"
    [ -e "$ROOT/etc/debian_version" ] || debootstrap --variant=minbase trixie "$ROOT" >"$work/debootstrap.log"
    cp /etc/resolv.conf "$ROOT/etc/"
    chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        wine64 wine mesa-vulkan-drivers libgl1-mesa-dri libvulkan1 xvfb >>"$work/debootstrap.log" 2>&1 ||
        give_up "apt-get failed: see $work/debootstrap.log"
fi
mkdir -p "$ROOT$PWD"
# The mounts are this command's own, and go with it.
ROOT=$ROOT unshare --mount --propagation private bash -euc '
    mount -t proc proc "$ROOT/proc"
    mount --bind /dev "$ROOT/dev"
    mount --bind "$1" "$ROOT$1"
    exec chroot "$ROOT" env HOME=/root XDG_RUNTIME_DIR=/tmp bash "$1/tests/wine.sh" --inside 13
' - "$PWD"
