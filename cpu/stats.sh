#!/bin/sh
# Inference times on the CPU, both inputs, all targets, by rounds -> cpu/mobilenetv2_stats/
# Arguments are cpu/timer.py's.
wrapper=cpu/stats.sh
root=$(dirname -- "$0")/..
[ -e "$root/backbone/store.sh" ] || root=${SLURM_SUBMIT_DIR-}
[ -e "$root/backbone/store.sh" ] || {
  echo "$wrapper: in no checkout; in Slurm, sbatch it from the checkout's own folder" >&2
  exit 1
}
. "$root/backbone/store.sh"
prepare cpu/timer.py "$@"
store_in "cpu/${network}_stats"
time_targets cpu/timer.py "$@"
