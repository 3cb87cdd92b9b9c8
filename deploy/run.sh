#!/usr/bin/env bash
# Starts the cloud (on the CPU), then the edge with one camera, and stops both on Ctrl-C. Called by `make run`.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}
source_url=${SOURCE:-sim:}
cloud_port=${CLOUD_PORT:-5001}
edge_port=${EDGE_PORT:-5000}
export EMBERLINK_EDGE__LOG__DECISIONS=${EMBERLINK_EDGE__LOG__DECISIONS:-true}

cloud_pid='' edge_pid=''
stop() {
    trap '' INT TERM
    for pid in $edge_pid $cloud_pid; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in $edge_pid $cloud_pid; do wait "$pid" 2>/dev/null || true; done
    echo "Both services have stopped."
}
trap 'exit 0' INT TERM
trap stop EXIT

# A group of their own: Ctrl-C reaches this script alone, which stops the edge first and the cloud after it.
set -m
"$bin/emberlink-cloud" run --port "$cloud_port" </dev/null &
cloud_pid=$!
for _ in $(seq 100); do
    if "$bin/python" - "$cloud_port" <<'PY' 2>/dev/null; then break; fi
import sys, urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/readyz", timeout=1)
PY
    kill -0 "$cloud_pid" 2>/dev/null || { echo "The cloud service did not start." >&2; exit 1; }
    sleep 0.2
done
"$bin/emberlink-edge" run --port "$edge_port" --cloud "http://127.0.0.1:$cloud_port" --source "camera=$source_url" </dev/null &
edge_pid=$!
set +m

cat <<TEXT

  edge   http://127.0.0.1:$edge_port    health /readyz · metrics /metrics · cameras /cameras
  cloud  http://127.0.0.1:$cloud_port
  camera $source_url

  In another terminal:
    $bin/emberlink-edge sample fire.jpg
    curl -s -H 'Content-Type: image/jpeg' --data-binary @fire.jpg http://127.0.0.1:$edge_port/joint_predict

  One line per decision follows. Ctrl-C stops both.

TEXT
wait -n "$cloud_pid" "$edge_pid" || { echo "A service ended by itself; its last lines above say why." >&2; exit 1; }
