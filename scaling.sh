#!/bin/sh
# Inference time of the whole pass, stock and with memory kept, over image sizes and, at VOC size,
# over batch sizes and threads, in 5 or ROUNDS rounds -> mobilenetv2_stats/scaling/ on a CUDA GPU
# (where memory is always kept and threads do not matter), otherwise cpu/mobilenetv2_stats/scaling/.
# Arguments are passed on to the timer.
wrapper=scaling.sh root=$(dirname -- "$0")
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
export ROUNDS="${ROUNDS:-5}"
[ -n "${INPUTS-}" ] || INPUTS='224x224 256x512 pascal 512x1024 768x1536 cityscapes'
. "$root/shell/start.sh" || exit

# point INPUT FLAG...: print the lines of a pass with these flags, stock and with memory kept.
point() {
  input=$1
  shift
  for kept in '' $keeps; do
    flags="$*"
    [ -z "$kept" ] || flags="${flags:+$flags }$kept"
    printf '%s\n' "$script --i $input $flags $warmup -> scaling/${flags:-stock}"
  done
}
# threads: powers of two below the number of processors.
threads() {
  all=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) number=1
  while [ "$number" -lt "$all" ]; do
    echo "$number"
    number=$((2 * number))
  done
}
if has_cuda "measuring the CPU"; then
  script=timer.py warmup='' batches='2 4 8 16 32 64' keeps=''
else
  script=cpu/timer.py warmup='--warmup 1' batches='2 4 8' keeps=''
  ! can_keep_memory || keeps=--keep-memory
fi
case " $inputs " in
  *' pascal '*) ;;
  *) say "batch sizes and threads are measured at the size of pascal, which is not in INPUTS" ;;
esac
plan() {
  for input in $inputs; do
    point "$input"
    [ "$input" = pascal ] || continue
    for batch in $batches; do point pascal --s "$batch"; done
    [ "$script" = timer.py ] || for number in $(threads); do point pascal --threads "$number"; done
  done
}
exec "$python" "$root/shell/measure.py" --leave-out-failed "$wrapper" "$(plan)" "$@"
