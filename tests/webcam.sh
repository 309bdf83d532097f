#!/usr/bin/env bash
# Builds the live window (feature webcam) and tests it without one, on Mesa's lavapipe: `bash tests/webcam.sh`.
# Not part of tests/run.sh: it compiles two hundred crates more, and the camera's needs libclang.
set -euo pipefail
cd "$(dirname "$0")/.."
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
device=${WEBCAM_DEVICE:-llvmpipe}
REQUIRE_GPU=1 cargo test --locked --features webcam --example webcam
cargo build --locked --features webcam --example webcam
webcam=${CARGO_TARGET_DIR:-target}/debug/examples/webcam
fail() { echo "FAILED: $*"; exit 1; }

# Known pictures, each classified in its turn: by GPU and CPU the same.
labels() { python3 -c 'import json,sys
for l in json.load(sys.stdin)["labels"]: print(l["picture"], l["label"])'; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for class in cat horse ship; do cp tests/data/cifar10/$class/0000.png "$folder/$class.png"; done
cp assets/cat.png "$folder/large.png"
echo "no picture" >"$folder/notes.txt"
for on in "$device" cpu; do
    found=$($webcam --source "$folder" --frames 8 --json --device "$on" | labels)
    echo "$on: ${found//$'\n'/, }"
    for line in "cat.png cat" "horse.png horse" "ship.png ship" "large.png cat"; do
        grep -qx "$line" <<<"$found" || fail "$on does not say $line"
    done
done

# Memory after 2,000 frames and after 10,000.
resident() { awk '/VmRSS/ {print $2}' /proc/"$1"/status; }
if [ -r /proc/self/status ]; then
    $webcam --source synthetic --frames 10000 --json --device "$device" >"$folder/soak.json" &
    pid=$!
    # A fifth of the way, by the time that it takes: the figures come at the end.
    sleep 15
    early=$(resident $pid)
    late=$early
    while kill -0 $pid 2>/dev/null; do
        late=$(resident $pid 2>/dev/null || echo "$late")
        late=${late:-$early}
        sleep 1
    done
    wait $pid
    echo "10,000 frames: $early KiB resident after 15 s, $late at the end"
    [ "$late" -le $((early + early / 50)) ] || fail "memory grew"
    grep -q '"frames":10000' "$folder/soak.json" || fail "not all frames were classified"
fi

# What cannot be opened is said, and is no success.
for wrong in "--source /nonexistent" "--source README.md" "--source camera:99" "--model README.md --source synthetic" \
    "--source synthetic --device nonesuch"; do
    # shellcheck disable=SC2086
    if $webcam --frames 1 $wrong 2>"$folder/error"; then fail "$wrong succeeded"; fi
    grep -q '^error: ' "$folder/error" || fail "$wrong: no error was said"
done
echo "the live window: all passed"
