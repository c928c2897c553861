#!/bin/sh
# Inference times on a CUDA GPU, both inputs, all targets, by rounds -> mobilenetv2_stats/
# Without a CUDA device it hands over to cpu/stats.sh. Arguments are the timer's.
wrapper=stats.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

begin timer.py "--i --input --target --w --json --append --rounds" "$@"
has_cuda "handing over to cpu/stats.sh, which measures the CPU" || hand_over cpu/stats.sh "$@"
name_results timer.py --target layer "$@"
stats=${network}_stats$conditions
shown=''
for input in $inputs; do
  for target in model block layer; do
    file=$(folder_of "$target")${network}_$input
    plan_run "$input" "$rounds" "$stats/$file" timer.py --i "$input" --target "$target" "$@"
  done
  shown="$shown $stats/${network}_$input"
done
run_rounds --need-all || exit
store_results
# shellcheck disable=SC2086 # words
show_stored $shown
