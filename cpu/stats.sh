#!/bin/sh
# Inference times on the CPU, both inputs, all targets, by rounds -> cpu/mobilenetv2_stats/
# Arguments are cpu/timer.py's.
wrapper=cpu/stats.sh root=$(dirname -- "$0")/..
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

begin cpu/timer.py "--i --input --target --w --json --append --rounds" "$@"
name_results cpu/timer.py --target layer "$@"
open_results "cpu/${network}_stats$conditions"
plan_runs "$rounds" 6
for _ in $(count_to "$rounds"); do
  for input in cityscapes pascal; do
    for target in model block layer; do
      run_script "$input" "$(folder_of "$target")${network}_$input" --append \
        cpu/timer.py --i "$input" --target "$target" "$@" --rounds "$rounds" || exit
    done
  done
done
store_results
show_stored "${network}_cityscapes" "${network}_pascal"
