#!/usr/bin/env bash
# Measures ironhouse among the contenders of a peer benchmark harness, in the same run.
#
#   benches/peers.sh HARNESS [--quick] [section ...]      sections of ours: latency rate denied flood zap store
#
# HARNESS is the harness's folder; results go to target/peers, certificates and programs to $BENCH_TMP (target/peers/tmp unless set).
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,7p' "$0"; exit 2; }
harness=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
export BENCH_TMP=${BENCH_TMP:-$PWD/target/peers/tmp} BENCH_OUT=$PWD/target/peers BENCH_CONTENDERS=$PWD/target/peers/contenders.json
mkdir -p "$BENCH_TMP/build" "$BENCH_OUT"
# build NAME [option ...]
build() {
  local name=$1
  shift
  install -m 755 "$(cargo bench "$@" --no-run --bench peers --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')" \
    "$BENCH_TMP/build/$name"
}
build ironhouse
build ironhouse-full --features metrics
python3 - "$harness/contenders.json" "$BENCH_CONTENDERS" <<'P'
import json, sys

contenders = json.load(open(sys.argv[1]))
ours = ["{build}/ironhouse"]
contenders["zapd"] += [
    {"name": "ironhouse-any", "cmd": ours + ["zapd", "*", "{certs}"]},
    {"name": "ironhouse", "max": 1000000, "cmd": ours + ["zapd", "{certs}/{n}", "{certs}"]},
    {"name": "ironhouse-full", "cmd": ["{build}/ironhouse-full", "zapd", "--full", "{certs}/{n}", "{certs}"]},
]
contenders["authd"] += [
    {"name": "ironhouse-any", "cmd": ours + ["authd", "*", "{certs}/server.txt"]},
    {"name": "ironhouse", "max": 1000000, "cmd": ours + ["authd", "{certs}/{n}", "{certs}/server.txt"]},
]
contenders["store"] += [
    {"name": "ironhouse", "max": 1000000, "cmd": ours + ["store", "{certs}/{n}", "{certs}/keys.txt", "{n}", "2"]},
]
json.dump(contenders, open(sys.argv[2], "w"), indent=1)
P
exec "$harness/run" "$@"
