#!/bin/sh
# Inference time of the whole pass in each mode, both inputs -> mobilenetv2_stats/modes/ on a CUDA
# GPU, otherwise cpu/mobilenetv2_stats/modes/. Arguments are passed on to the timer. A mode that
# fails is left out.
wrapper=modes.sh root=$(dirname -- "$0")
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/start.sh" || exit

# One mode per line: an environment variable, if any, and flags, as typed on a command line. Stock is
# measured twice to show the noise.
modes='stock
stock again
--channels-last --fold
--train'
cuda_modes='--channels-last
--fold
--cuda-graph
--compile
--compile --cuda-graph
--dtype bfloat16
--dtype float16
--channels-last --fold --dtype float16
--channels-last --fold --dtype float16 --cuda-graph
--channels-last --fold --dtype float16 --compile
--channels-last --fold --dtype float16 --compile --cuda-graph'
runtime_modes='--runtime onnxruntime
--runtime onnxruntime --dtype int8
--runtime openvino
--runtime openvino --dtype int8'
glibc_modes='THP_MEM_ALLOC_ENABLE=1
--keep-memory
--keep-memory --channels-last
--keep-memory --fold
--keep-memory --channels-last --fold
--keep-memory --compile
--keep-memory --compile --freeze
--keep-memory --channels-last --fold --compile'
bfloat16_modes='--runtime openvino --dtype bfloat16'
glibc_bfloat16_modes='--keep-memory --channels-last --fold --dtype bfloat16
--keep-memory --channels-last --fold --compile --freeze --dtype bfloat16'
huge_pages='GLIBC_TUNABLES=glibc.malloc.hugetlb=1'
tcmalloc='LD_PRELOAD=libtcmalloc_minimal.so.4'
jemalloc='LD_PRELOAD=libjemalloc.so.2'
all_together='--channels-last --fold --compile --freeze'

# add MODE...: append modes to the list, one per line.
add() {
  for mode; do
    modes="$modes
$mode"
  done
}

# can_preload VARIABLE=LIBRARY: whether the loader finds the library; it warns on stderr if not.
can_preload() { [ -z "$(env "$1" sh -c : 2>&1)" ]; }

# has_bfloat16: whether the CPU has bfloat16 instructions; without them bfloat16 takes ten times as
# long as all other modes.
has_bfloat16() { grep -qs -e avx512_bf16 -e amx_bf16 -e ' bf16' /proc/cpuinfo; }

# add_cpu_modes: add the modes that this CPU, this C library and the installed libraries support.
add_cpu_modes() {
  add "$runtime_modes"
  ! can_keep_memory || add "$glibc_modes"
  if has_bfloat16; then
    add "$bfloat16_modes"
    ! can_keep_memory || add "$glibc_bfloat16_modes"
    all_together="$all_together --dtype bfloat16"
  fi
  case $(getconf GNU_LIBC_VERSION 2>/dev/null) in
    'glibc 2.3'[5-9] | 'glibc 2.'[4-9]?) add "$huge_pages" ;;
  esac
  ! can_preload "$jemalloc" || add "$jemalloc"
  ! can_preload "$tcmalloc" || add "$tcmalloc" "$tcmalloc $all_together"
}

if has_cuda "measuring the CPU"; then
  script=timer.py warmup=
  add "$cuda_modes"
else
  script=cpu/timer.py warmup='--warmup 1'
  # The user's interpreter may lack a runtime, whose modes then fail and are left out.
  [ -n "${PYTHON-}" ] || use_python requirements-modes.txt "$@"
  add_cpu_modes
fi
plan() {
  for input in $inputs; do
    printf '%s\n' "$modes" | while read -r mode; do
      case $mode in
        stock*) variable='' flags='' ;;
        *=*) variable=${mode%% *} flags=${mode#"$variable"} ;;
        *) variable='' flags=$mode ;;
      esac
      printf '%s\n' "$variable $script --i $input $flags $warmup -> modes/$mode"
    done
  done
}
exec "$python" "$root/shell/measure.py" --leave-out-failed "$wrapper" "$(plan)" "$@"
