#!/bin/sh
# Inference times on a CUDA GPU, both inputs, all targets, by rounds -> mobilenetv2_stats/
# Without a CUDA device, those on the CPU. Arguments are timer.py's.
wrapper=stats.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/backbone/store.sh" || exit
prepare timer.py '' "$@"
choose_timer "handing over to cpu/stats.sh, which measures the CPU" || wrapper=cpu/stats.sh
time_targets "$@"
