#!/bin/sh
# Modes: the whole pass in each, both inputs, by rounds -> mobilenetv2_stats/modes/ on a CUDA GPU,
# else cpu/mobilenetv2_stats/modes/. Arguments are the timer's. A mode that fails is left out.
# A mode a line: the flags as one would type them. Stock twice, so that noise shows.
cpu_modes='stock
stock again
--channels-last
--fold
--channels-last --fold
--compile
--keep-memory
--keep-memory --channels-last
--keep-memory --fold
--keep-memory --channels-last --fold
--keep-memory --compile
--keep-memory --channels-last --fold --compile
--train'
# Without the CPU's instructions for it, bfloat16 takes ten times as long as all others.
! grep -qs -e avx512_bf16 -e amx_bf16 -e ' bf16' /proc/cpuinfo || cpu_modes="$cpu_modes
--keep-memory --channels-last --fold --dtype bfloat16"
# Only glibc keeps memory.
getconf GNU_LIBC_VERSION >/dev/null 2>&1 \
  || cpu_modes=$(printf '%s\n' "$cpu_modes" | grep -v -e --keep-memory)
gpu_modes='stock
stock again
--channels-last
--fold
--channels-last --fold
--dtype bfloat16
--dtype float16
--channels-last --fold --dtype float16
--compile
--channels-last --fold --dtype float16 --compile
--train'
wrapper=modes.sh
root=$(dirname -- "$0")
[ -e "$root/backbone/store.sh" ] || root=${SLURM_SUBMIT_DIR-}
[ -e "$root/backbone/store.sh" ] || {
  echo "$wrapper: in no checkout; in Slurm, sbatch it from the checkout's own folder" >&2
  exit 1
}
. "$root/backbone/store.sh"
prepare timer.py "$@"
if has_cuda "measuring the CPU"; then
  timer=timer.py modes=$gpu_modes
  store_in "${network}_stats/modes"
else
  timer=cpu/timer.py modes=$cpu_modes
  store_in "cpu/${network}_stats/modes"
fi
# A mode's files are named by its flags: --dtype bfloat16 -> %_dtype_bfloat16 --dtype bfloat16
cases=$(printf '%s\n' "$modes" \
  | sed 'h; s/--//g; s/ /_/g; s/^/%_/; x; s/^stock.*//; H; x; s/\n/ /')
failed=' '
time_all "$timer" 30 10 "$@"
say_stored
[ "$failed" = ' ' ] || fail "failed, and not stored:$failed"
