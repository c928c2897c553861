#!/bin/sh
# Inference times on the CPU, both inputs, all targets, by rounds -> cpu/mobilenetv2_stats/, and with
# memory kept -> cpu/mobilenetv2_stats_keep-memory/. Arguments are cpu/timer.py's.
wrapper=cpu/stats.sh root=$(dirname -- "$0")/..
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

begin cpu/timer.py "--i --input --target --w --json --append --rounds --keep-memory" "$@"
name_results cpu/timer.py --target layer "$@"
stock=cpu/${network}_stats$conditions
name_results cpu/timer.py --target layer --keep-memory "$@"
kept=cpu/${network}_stats$conditions
shown=''
for input in $inputs; do
  case $input in
    pascal) # cheap: more rounds and more passes make its intervals narrower
      times=2 passes='--iterations 1000 --warmup 40' kept_passes=$passes
      ;;
    *) # two turns a process at Cityscapes size, and three of the faster ones
      times=1 passes='--iterations 160 --warmup 20' kept_passes='--iterations 240 --warmup 20'
      ;;
  esac
  for target in model block layer; do
    file=$(folder_of "$target")${network}_$input
    flags="--i $input --target $target"
    # shellcheck disable=SC2086 # words
    plan_run "$input" $((times * rounds)) "$stock/$file" cpu/timer.py $flags $passes "$@"
    # shellcheck disable=SC2086 # words
    ! can_keep_memory || plan_run "$input" $((times * rounds)) "$kept/$file" \
      cpu/timer.py $flags --keep-memory $kept_passes "$@"
  done
  shown="$shown $stock/${network}_$input"
done
run_rounds --need-all || exit
store_results
# shellcheck disable=SC2086 # words
show_stored $shown
