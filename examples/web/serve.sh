#!/usr/bin/env bash
# Serves examples/web on this machine, building the package first if it is not there:
#   bash examples/web/serve.sh [PORT]     PORT: 8000 if not given
# http://localhost is a secure context, so that WebGPU, camera and caches work.
set -euo pipefail
cd "$(dirname "$0")"
port=${1:-8000}
[ -f pkg/import_bg.wasm ] || bash build.sh
url="http://localhost:$port/"
if command -v python3 >/dev/null; then
    echo "serving $url (Ctrl-C ends)"
    exec python3 -m http.server --bind 127.0.0.1 "$port"
elif command -v npx >/dev/null; then
    echo "serving $url (Ctrl-C ends)"
    exec npx --yes http-server -a 127.0.0.1 -p "$port" .
fi
echo "Needs Python 3 or npm; any static web server does: serve $(pwd)" >&2
exit 1
