#!/bin/sh
# Inference times on the CPU, both inputs, all targets, by rounds -> cpu/mobilenetv2_stats/
# Arguments are cpu/timer.py's.
wrapper=cpu/stats.sh root=$(dirname -- "$0")/..
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/backbone/store.sh" || exit
prepare cpu/timer.py '' "$@"
time_targets "$@"
