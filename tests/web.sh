#!/usr/bin/env bash
# Builds the browser package and tests it in Chromium: `bash tests/web.sh`.
# DRIVERS="FILE FILE" puts these checkpoints, or fused networks, into the table of drivers: minutes for a large one.
# `cargo run --release --example times -- --save FOLDER mobileone-s0 repvgg-a0` makes some with random weights.
# TESTS="drivers page" runs some of the files of tests/web alone.
# Needs node, npm and Chromium; without one of them it says so and does nothing, unless REQUIRE_WEB=1.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/web/node
pkg=examples/web/pkg

missing() {
    echo "browser tests skipped: $1"
    [ "${REQUIRE_WEB:-0}" != 1 ] || exit 1
    exit 0
}
command -v node >/dev/null && command -v npm >/dev/null || missing "install node (20 or later) and npm"
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || missing "install Chromium (Debian: apt-get install chromium), or set CHROMIUM"
# Some distributions' package is a stub that wants another installer.
timeout 60 "$CHROMIUM" --version >/dev/null 2>&1 || missing "$CHROMIUM does not start"
if ! [ -d $tools/node_modules/playwright-core ] || ! [ -d $tools/node_modules/typescript ]; then
    npm install --silent --no-fund --no-audit --prefix $tools playwright-core typescript >/dev/null ||
        missing "playwright-core and typescript cannot be had from npm"
fi

bash examples/web/build.sh $pkg

# What the native program says of the same pictures.
# shellcheck disable=SC2086
cargo test --quiet --locked ${TEST_FEATURES:-} --test cli --no-run
foveate=${CARGO_TARGET_DIR:-target}/debug/foveate
made=target/web/made
mkdir -p $made
pictures=(assets/cat.png assets/horse.png assets/coffee.jpg tests/data/cifar10/ship/000[0-2].png)
$foveate quantize tests/data/cifar/S4.safetensors --arch qarepvgg-cifar --calib tests/data/cifar10 \
    -o $made/int8.safetensors --force >/dev/null 2>&1
for precision in f32 w8; do
    $foveate classify "${pictures[@]}" --device cpu --json --logits --precision $precision >$made/$precision.jsonl
done
$foveate classify "${pictures[@]}" --model $made/int8.safetensors --device cpu --json --logits >$made/w8a8.jsonl
node tests/web/expected.mjs $made >$made/expected.json

# Small networks of every family, for the table of drivers, and those that are asked for.
drivers=$made/drivers
rm -rf $drivers
mkdir -p $drivers
small=(tests/data/cifar10/{ship,cat,frog}/0000.png)
for network in repvgg_tiny qarepvgg_tiny_S4 mobileone_tiny repnext_tiny; do
    cp tests/data/golden/$network.train.safetensors $drivers/$network.safetensors
done
for file in ${DRIVERS:-}; do
    cp "$file" $drivers/
done
for file in "$drivers"/*.safetensors; do
    network=${file%.safetensors}
    $foveate quantize "$file" --calib tests/data/cifar10 -o "$network-w8a8.safetensors" >/dev/null 2>&1
    for precision in f32 w8 w8a8; do
        [ $precision != w8a8 ] || file=$network-w8a8.safetensors
        $foveate classify "${small[@]}" --model "$file" --precision $precision --device cpu --json --logits \
            >"${file%.safetensors}.$precision.jsonl"
    done
done

bash tests/shaders.sh write
export WEB_SHADERS=$PWD/target/shaders
export CHROMIUM WEB_FOVEATE=$PWD/$foveate WEB_NODE=$PWD/$tools WEB_PKG=$PWD/$pkg WEB_MADE=$PWD/$made WEB_EXPECTED=$PWD/$made/expected.json
# Longer where the long soak is asked for, which took 14 minutes on two loaded cores.
files=()
for name in ${TESTS:-'*'}; do
    # A pattern, if none is named.
    # shellcheck disable=SC2206
    files+=(tests/web/$name.test.mjs)
done
node --test --test-concurrency=1 --test-timeout=$((600000 + ${SOAK_FRAMES:-0} * 500)) "${files[@]}"
