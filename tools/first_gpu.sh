#!/bin/sh
# A first session on a GPU, in two parts of at most ten minutes each; their output goes to FOLDER.
#   sh tools/first_gpu.sh FOLDER 1     checks, and first times
#   sh tools/first_gpu.sh FOLDER 2     some modes
# It changes no setting of the GPU. PYTHON is the interpreter (default: python3), NAME the folder for
# the results under devices/ (default: gpu).
set -u
usage='usage: sh tools/first_gpu.sh FOLDER 1|2'
out=${1:?$usage} part=${2:?$usage} root=$(dirname -- "$0")/..
mkdir -p "$out" && out=$(cd "$out" && pwd) && cd "$root" || exit
export PYTHON="${PYTHON:-python3}" PYTHONUNBUFFERED=1 RESULTS="devices/${NAME:-gpu}"
query() { nvidia-smi --format=csv --query-gpu="$1"; }
state() { query pstate,clocks.sm,clocks.mem,clocks_event_reasons.active,power.draw; }
first_part() {
  query name,driver_version,persistence_mode,compute_mode,power.limit,mig.mode.current
  state
  # Rows in microseconds, none negative; a line on stderr if the host is the bottleneck.
  for input in pascal cityscapes; do
    timeout 45 "$PYTHON" timer.py --i $input --target layer --json "$out/$input.json"
    timeout 45 "$PYTHON" timer.py --i $input --cuda-graph --json "$out/${input}_graph.json"
    timeout 30 "$PYTHON" mem.py --i $input | tail -9
  done
  timeout 60 "$PYTHON" tools/first_gpu.py
  timeout 180 "$PYTHON" -m pytest -q tests/test_cuda.py
  ROUNDS=2 timeout 240 sh stats.sh --iterations 300
  state
}
# A round of all modes takes several minutes: a turn lasts a second or more.
second_part() {
  INPUTS=pascal ROUNDS=1 timeout 580 sh modes.sh --iterations 300
  state
}
set -x
case $part in
  1) first_part >"$out/log1" 2>&1 ;;
  2) second_part >"$out/log2" 2>&1 ;;
  *) printf '%s\n' "$usage" >&2 && exit 2 ;;
esac
cp -R "$RESULTS" "$out/"
