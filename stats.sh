#!/bin/sh
# Inference times on a CUDA GPU, both inputs, all targets, by rounds -> mobilenetv2_stats/
# Without a CUDA device, cpu/stats.sh takes over. Arguments are timer.py's.
wrapper=stats.sh
root=$(dirname -- "$0")
[ -e "$root/backbone/store.sh" ] || root=${SLURM_SUBMIT_DIR-}
[ -e "$root/backbone/store.sh" ] || {
  echo "$wrapper: in no checkout; in Slurm, sbatch it from the checkout's own folder" >&2
  exit 1
}
. "$root/backbone/store.sh"
prepare timer.py "$@"
has_cuda "handing over to cpu/stats.sh, which measures the CPU" || exec sh cpu/stats.sh "$@"
store_in "${network}_stats"
time_targets timer.py "$@"
