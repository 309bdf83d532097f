#!/usr/bin/env bash
# Measures a machine: writes NAME-*.json beside this file, and draws picture.svg of all that lie here.
#   bash assets/benchmarks/measure.sh NAME DEVICE…
# NAME is the machine's; a device is what --device takes. FOVEATE is the program (a release build of this checkout
# if not given), NOTE is kept in the records, FORCE=1 overwrites. Half an hour on software drivers, minutes elsewhere.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
machine=$1
shift
if [ -z "${FOVEATE:-}" ]; then
    (cd "$here/../.." && cargo build --release --bin foveate)
    FOVEATE=$here/../../target/release/foveate
fi
force=()
[ "${FORCE:-}" != 1 ] || force=(--force)

bench() { # FILE ARGUMENT…
    "$FOVEATE" bench --random "${@:2}" ${NOTE:+--note "$NOTE"} -o "$here/$1.json" "${force[@]}" >&2
}

for device in "$@"; do
    name=$machine-${device// /-}
    # The seed's three networks in every number format, and each family in f32.
    bench "$name-formats" --model repvgg-a0,repnext-m1,mobileone-s0 --precision f32,f16,w8,w8a8 --device "$device"
    bench "$name-families" --model repvgg-a1,repvgg-a2,repnext-m0,repnext-m2,repnext-m3,repnext-m4,mobileone-s1,mobileone-s2 --device "$device"
    for network in repvgg-a0 repnext-m1 mobileone-s0; do
        for format in f32 w8a8; do
            "$FOVEATE" profile --model $network --random --precision $format --device "$device" \
                -o "$here/$name-$network-$format.profile.json" "${force[@]}" >/dev/null
        done
    done
done
"$FOVEATE" report "$here"/*.json --picture "$here/picture.svg" --force
