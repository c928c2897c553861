#!/bin/sh
# Inference time on a CUDA GPU, both inputs, all targets -> mobilenetv2_stats/
# Without a CUDA device, cpu/stats.sh runs instead. Arguments are passed on to the timer.
wrapper=stats.sh root=$(dirname -- "$0")
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/start.sh" || exit

has_cuda "handing over to cpu/stats.sh, which measures the CPU" || exec sh "$root/cpu/stats.sh" "$@"
plan() {
  for input in $inputs; do
    for target in model block layer; do
      printf '%s\n' "timer.py --i $input --target $target"
    done
  done
}
exec "$python" "$root/shell/measure.py" "$wrapper" "$(plan)" "$@"
