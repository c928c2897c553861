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
  if getconf GNU_LIBC_VERSION >/dev/null 2>&1; then # which alone keeps memory
    modes="$modes
$glibc_modes"
    # Without the CPU's instructions for it, bfloat16 takes ten times as long as all others.
    ! grep -qs -e avx512_bf16 -e amx_bf16 -e ' bf16' /proc/cpuinfo || modes="$modes
$bfloat16_modes"
  fi
fi
name_results "$script" "$@"
open_results "$folder${network}_stats$conditions/modes"
plan_runs "$rounds" $(($(printf '%s\n' "$modes" | wc -l) * 2))
failed=''
for _ in $(count_to "$rounds"); do
  for input in cityscapes pascal; do
    while read -r mode; do
      file=${network}_${input}_$(file_of_mode "$mode")
      case " $failed " in *" $file "*) # in an earlier round
        count_run "$input"
        continue
        ;;
      esac
      case $mode in stock*) flags='' ;; *) flags=$mode ;; esac
      # shellcheck disable=SC2086 # words
      run_script "$input" "$file" --append \
        "$script" --i "$input" $flags --iterations 30 --warmup 10 "$@" --rounds "$rounds" \
        && continue
      case $status,$mode in 2,* | *,stock*) exit "$status" ;; esac # of wrong flags, or without stock
      rm -f "$waiting/$file.txt" "$waiting/$file.json"
      failed="$failed${failed:+ }$file"
    done <<EOF
$modes
EOF
  done
  # None is always the first, when the system has yet to get back the memory that it needs.
  modes=$(printf '%s\n' "$modes" | sed -e '1{h;d;}' -e \$G)
done
store_results
show_stored
[ -z "$failed" ] || fail "failed, and not stored: $failed"
