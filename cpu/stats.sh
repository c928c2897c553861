#!/bin/sh
# Inference times on the CPU, both inputs, all targets, by rounds -> cpu/mobilenetv2_stats/, and with
# memory kept -> cpu/mobilenetv2_stats_keep-memory/. Arguments are cpu/timer.py's.
wrapper=cpu/stats.sh root=$(dirname -- "$0")/..
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/start.sh" || exit

plan() {
  for input in $inputs; do
    case $input in
      # Cheap: more rounds and more passes make its intervals narrower.
      pascal) times=2 passes='--iterations 50 --warmup 2' kept_passes=$passes ;;
      # Two turns a process at Cityscapes size, and three of the faster ones.
      *) times=1 passes='--iterations 16 --warmup 2' kept_passes='--iterations 24 --warmup 2' ;;
    esac
    for target in model block layer; do
      timer="$((times * rounds)) cpu/timer.py --i $input --target $target"
      printf '%s\n' "$timer $passes"
      ! can_keep_memory || printf '%s\n' "$timer --keep-memory $kept_passes"
    done
  done
}
exec "$python" "$root/shell/measure.py" "$wrapper" "$(plan)" "$@"
