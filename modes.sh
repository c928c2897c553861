#!/bin/sh
# Modes: the whole pass in each, both inputs, by rounds -> mobilenetv2_stats/modes/ on a CUDA GPU,
# else cpu/mobilenetv2_stats/modes/. Arguments are the timer's. A mode that fails is left out.
wrapper=modes.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

# A mode a line: the flags as one would type them. Stock twice, so that noise shows.
modes='stock
stock again
--channels-last
--fold
--channels-last --fold
--compile
--train'
cuda_modes='--dtype bfloat16
--dtype float16
--channels-last --fold --dtype float16
--channels-last --fold --dtype float16 --compile'
glibc_modes='--keep-memory
--keep-memory --channels-last
--keep-memory --fold
--keep-memory --channels-last --fold
--keep-memory --compile
--keep-memory --channels-last --fold --compile'
bfloat16_modes='--keep-memory --channels-last --fold --dtype bfloat16'

begin timer.py "--i --input --target --w --json --append --rounds \
--channels-last --fold --dtype --compile --train --keep-memory" "$@"
if has_cuda "measuring the CPU"; then
  script=timer.py folder=''
  modes="$modes
$cuda_modes"
else
  script=cpu/timer.py folder=cpu/
  if can_keep_memory; then
    modes="$modes
$glibc_modes"
    # Without the CPU's instructions for it, bfloat16 takes ten times as long as all others.
    ! grep -qs -e avx512_bf16 -e amx_bf16 -e ' bf16' /proc/cpuinfo || modes="$modes
$bfloat16_modes"
  fi
fi
name_results "$script" "$@"
stored_modes=$folder${network}_stats$conditions/modes
for input in cityscapes pascal; do
  case $input in
    cityscapes) passes='--iterations 30 --warmup 10' ;; # one turn a round
    pascal) passes='--iterations 150 --warmup 20' ;;
  esac
  while read -r mode; do
    case $mode in stock*) flags='' ;; *) flags=$mode ;; esac
    # shellcheck disable=SC2086 # words
    plan_run "$input" "$rounds" "$stored_modes/${network}_${input}_$(file_of_mode "$mode")" \
      "$script" --i "$input" $flags $passes "$@"
  done <<EOF
$modes
EOF
done
run_rounds --leave-out || [ "$status" -eq 3 ] || exit "$status"
store_results
show_stored
[ "$status" -eq 0 ] || fail "some modes have failed, and are not stored"
