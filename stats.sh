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
prepare mobilenetv2_stats timer.py "$@"
attend "$python" -c 'import sys
from backbone.machine import why_no_cuda
if reason := why_no_cuda():
    print(f"stats.sh: {reason}: handing over to cpu/stats.sh, which measures the CPU", file=sys.stderr)
    sys.exit(3)'
case $? in
  0) time_all timer.py "$@" ;;
  3) exec sh cpu/stats.sh "$@" ;;
  *) fail "cannot ask torch for a CUDA device" ;;
esac
