#!/bin/sh
# What to run first on a GPU, within a quarter of an hour, and to look at: FOLDER gets all of it.
#   sh tools/first_gpu.sh FOLDER
# It changes no setting of the GPU. PYTHON is the interpreter (python3), NAME the results' folder under
# devices/ (gpu).
set -u
out=${1:?usage: sh tools/first_gpu.sh FOLDER} root=$(dirname -- "$0")/..
mkdir -p "$out" && out=$(cd "$out" && pwd) && cd "$root" || exit
export PYTHON="${PYTHON:-python3}" PYTHONUNBUFFERED=1 RESULTS="devices/${NAME:-gpu}"
state() {
  nvidia-smi --format=csv --query-gpu=pstate,clocks.sm,clocks.mem,clocks_event_reasons.active,power.draw
}
set -x
{
  nvidia-smi --format=csv --query-gpu=name,driver_version,persistence_mode,compute_mode,power.limit
  nvidia-smi --format=csv --query-gpu=mig.mode.current,ecc.mode.current
  state
  # Rows in microseconds, none negative; a remark if the host is the bottleneck.
  for input in pascal cityscapes; do
    timeout 60 "$PYTHON" timer.py --i $input --target layer --json "$out/$input.json"
    timeout 60 "$PYTHON" timer.py --i $input --cuda-graph --json "$out/${input}_graph.json"
    timeout 30 "$PYTHON" mem.py --i $input | tail -9
  done
  timeout 60 "$PYTHON" tools/first_gpu.py
  timeout 110 "$PYTHON" -m pytest -q tests/test_cuda.py
  ROUNDS=2 timeout 180 sh stats.sh
  state
  INPUTS=pascal ROUNDS=1 timeout 240 sh modes.sh
  cp -R "$RESULTS" "$out/"
} >"$out/log" 2>&1
