#!/bin/sh
# Modes: the whole pass in each, both inputs, by rounds -> mobilenetv2_stats/modes/ on a CUDA GPU,
# else cpu/mobilenetv2_stats/modes/. Arguments are the timer's. A mode that fails is left out.
wrapper=modes.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/backbone/store.sh" || exit
prepare timer.py '--channels-last --fold --dtype --compile --train --keep-memory' "$@"
# A mode a line: the flags as one would type them. Stock twice, so that noise shows.
modes='stock
stock again
--channels-last
--fold
--channels-last --fold
--compile
--train'
if choose_timer "measuring the CPU"; then
  modes="$modes
--dtype bfloat16
--dtype float16
--channels-last --fold --dtype float16
--channels-last --fold --dtype float16 --compile"
elif getconf GNU_LIBC_VERSION >/dev/null 2>&1; then # which alone keeps memory
  modes="$modes
--keep-memory
--keep-memory --channels-last
--keep-memory --fold
--keep-memory --channels-last --fold
--keep-memory --compile
--keep-memory --channels-last --fold --compile"
  # Without the CPU's instructions for it, bfloat16 takes ten times as long as all others.
  ! grep -qs -e avx512_bf16 -e amx_bf16 -e ' bf16' /proc/cpuinfo || modes="$modes
--keep-memory --channels-last --fold --dtype bfloat16"
fi
# A mode's files are named by its flags: --dtype bfloat16 -> %_dtype_bfloat16 --dtype bfloat16
cases=$(printf '%s\n' "$modes" \
  | awk '{ flags = /^stock/ ? "" : $0; gsub("--", ""); gsub(" ", "_"); print "%_" $0, flags }')
failed=' '
time_all /modes --iterations 30 --warmup 10 "$@"
[ "$failed" = ' ' ] || fail "failed, and not stored:$failed"
