#!/bin/sh
# Inference time on the CPU, both inputs, all targets -> cpu/mobilenetv2_stats/, and with memory kept
# -> cpu/mobilenetv2_stats_keep-memory/. Arguments are passed on to cpu/timer.py.
wrapper=cpu/stats.sh root=$(dirname -- "$0")/..
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/start.sh" || exit

plan() {
  for input in $inputs; do
    # Stock processes differ in their heap state; at the smaller size there is time for more of them.
    case $input in pascal) least=12+ ;; *) least= ;; esac
    for target in model block layer; do
      timer="$least cpu/timer.py --i $input --target $target --warmup 2"
      printf '%s\n' "$timer"
      ! can_keep_memory || printf '%s\n' "$timer --keep-memory"
    done
  done
}
exec "$python" "$root/shell/measure.py" "$wrapper" "$(plan)" "$@"
