#!/bin/sh
# Inference times on a CUDA GPU, both inputs, all targets, by rounds -> mobilenetv2_stats/
# Without a CUDA device, those on the CPU, as cpu/stats.sh. Arguments are the timer's.
wrapper=stats.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

begin timer.py "--i --input --target --w --json --append --rounds" "$@"
if has_cuda "handing over to cpu/stats.sh, which measures the CPU"; then
  script=timer.py folder=''
else
  script=cpu/timer.py folder=cpu/ wrapper=cpu/stats.sh
fi
name_results "$script" --target layer "$@"
open_results "$folder${network}_stats$conditions"
plan_runs "$rounds" 6
for _ in $(count_to "$rounds"); do
  for input in cityscapes pascal; do
    for target in model block layer; do
      run_script "$input" "$(folder_of "$target")${network}_$input" --append \
        "$script" --i "$input" --target "$target" "$@" --rounds "$rounds" || exit
    done
  done
done
store_results
show_stored "${network}_cityscapes" "${network}_pascal"
