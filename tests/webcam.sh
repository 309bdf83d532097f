#!/usr/bin/env bash
# Builds the live window (feature webcam) and tests it on Mesa's lavapipe: `bash tests/webcam.sh`. Without a window, and
# with one where there are Xvfb and xdotool. tests/run.sh runs it where it can be built.
# WEBCAM_FRAMES=10000: how many frames the test of growing memory takes. WEBCAM_DEVICE: another device.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
children=
clean() {
    for child in $children; do kill "$child" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap clean EXIT
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$scratch}
export WEBCAM_DEVICE=${WEBCAM_DEVICE:-llvmpipe}
device=$WEBCAM_DEVICE
frames=${WEBCAM_FRAMES:-1000}
REQUIRE_GPU=1 cargo test --locked --features webcam --example webcam
cargo build --locked --features webcam --example webcam
webcam=${CARGO_TARGET_DIR:-target}/debug/examples/webcam
fail() { echo "FAILED: $*"; exit 1; }
# field NAME FILE: the values of that name in a line of JSON, one a line.
field() { grep -oE "\"$1\":(\{[^}]*\}|\"[^\"]*\"|[^,}]*)" "$2" | sed "s/^\"$1\"://"; }

# Known pictures, each classified in its turn: by GPU and CPU the same.
pictures=$scratch/pictures
mkdir "$pictures"
for class in cat horse ship; do cp tests/data/cifar10/$class/0000.png "$pictures/$class.png"; done
cp assets/cat.png "$pictures/large.png"
echo "no picture" >"$pictures/notes.txt"
for on in "$device" cpu; do
    "$webcam" --source "$pictures" --frames 8 --json --device "$on" >"$scratch/labels.json"
    found=$(paste -d ' ' <(field picture "$scratch/labels.json") <(field label "$scratch/labels.json") | tr -d '"')
    echo "$on: ${found//$'\n'/, }"
    for line in "cat.png cat" "horse.png horse" "ship.png ship" "large.png cat"; do
        grep -qx "$line" <<<"$found" || fail "$on does not say $line"
    done
done

# What is held after a fifth of the frames, and at the end: the same objects on the GPU, and no more memory.
"$webcam" --source synthetic --frames "$frames" --json --device "$device" >"$scratch/soak.json"
[ "$(field frames "$scratch/soak.json" | head -n 1)" = "$frames" ] || fail "not all frames were classified"
early() { field "$1" "$scratch/soak.json" | head -n 1; }
late() { field "$1" "$scratch/soak.json" | sed -n 2p; }
resident=$(early resident_bytes)
echo "$frames frames: $resident bytes resident after a fifth of them, $(late resident_bytes) at the end; $(late gpu_objects)"
early gpu_objects | grep -q '"buffers":[1-9]' || fail "GPU objects were not counted"
[ "$(early gpu_objects)" = "$(late gpu_objects)" ] || fail "GPU objects are made and kept; before, $(early gpu_objects)"
if [ "$resident" != null ]; then
    [ "$(late resident_bytes)" -le $((resident + resident / 50)) ] || fail "memory grew"
fi

# What cannot be opened is said, and is no success.
mkdir "$scratch/empty"
mkfifo "$scratch/pipe"
for wrong in "--source /nonexistent" "--source README.md" "--source camera:99" "--source $scratch/empty" \
    "--source $scratch/pipe" "--model README.md --source synthetic" "--model $scratch/pipe --source synthetic" \
    "--source synthetic --device nonesuch" "--source synthetic --precision f64" "--frames 0"; do
    # shellcheck disable=SC2086
    if timeout 60 "$webcam" --frames 1 $wrong 2>"$scratch/error"; then fail "$wrong succeeded"; fi
    grep -q '^error: ' "$scratch/error" || fail "$wrong: no error was said"
done

# A window that is used: keys, a screenshot, a lost GPU, and its end.
if [ "$(uname -s)" = Linux ] && command -v Xvfb >/dev/null && command -v xdotool >/dev/null; then
    Xvfb -displayfd 3 -screen 0 1280x800x24 3>"$scratch/display" >/dev/null 2>&1 &
    children="$children $!"
    for _ in $(seq 60); do [ -s "$scratch/display" ] && break || sleep 0.5; done
    DISPLAY=:$(cat "$scratch/display")
    export DISPLAY
    "$webcam" --source "$pictures" --rate 5 --device "$device" --screenshots "$scratch" --lose-device-after 6 \
        2>"$scratch/error" &
    window=$!
    children="$children $window"
    id=$(timeout 60 xdotool search --sync --name '^foveate$' | head -n 1) || fail "no window: $(cat "$scratch/error")"
    xdotool windowfocus "$id"
    for key in f p question x space space s; do
        sleep 1
        xdotool key --window "$id" "$key"
    done
    xdotool windowsize "$id" 200 150 && sleep 1 && xdotool windowsize "$id" 900 600
    sleep 5
    xdotool key --window "$id" s
    for _ in $(seq 60); do [ -e "$scratch/foveate-0002.png" ] && break || sleep 0.5; done
    for shot in 1 2; do
        [ "$(head -c 4 "$scratch/foveate-000$shot.png" | tail -c 3)" = PNG ] || fail "screenshot $shot is no PNG"
    done
    xdotool key --window "$id" q
    wait "$window" || fail "the window ended with $?: $(cat "$scratch/error")"
    ! grep -i 'panicked' "$scratch/error" || fail "the window panicked"
    echo "a window: keys, screenshots, sizes and a lost GPU passed"
else
    echo "a window: not tested, because there is no Xvfb or no xdotool"
fi
echo "the live window: all passed"
