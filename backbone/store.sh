# shellcheck shell=sh
# What the wrappers share: the interpreter, one run at a time, rounds, and results that appear only
# whole. A wrapper sets $wrapper (its name) and $root (this checkout), and sources this.
: "${wrapper:?}" "${root:?}"

(: >&2) 2>/dev/null || exec 2>/dev/null # the caller has closed it
exec 3>&2 # a signal's message gets out where a command's stderr does not
say() { printf '%s: %s\n' "$wrapper" "$1" >&3; }
fail() { say "$1"; exit "${2:-1}"; }

case ${PYTHON-} in
  /*) ;;
  */*) PYTHON=$PWD/$PYTHON ;; # named from the caller's folder, which is left here
esac
CDPATH='' cd -- "$root" || exit 1
export PYTHONDONTWRITEBYTECODE=1 # on a full disk its cache could be cut short, and break later runs
results=${RESULTS:+${RESULTS%/}/}
[ -z "${PYTHON-}" ] || command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is no program"
for base in "${PYTHON-}" .venv/bin/python python3 ''; do # for small things, whatever it can import
  [ -z "$base" ] || ! command -v "$base" >/dev/null || break
done
[ -n "$base" ] || fail "no Python here: install Python 3.10 or later, or name one with PYTHON=..."

# What functions share: the process that attend waits for, the run that an interrupt names, the files
# whose runs failed (where empty, none may), where results go and where they wait until then, and how
# far the wrapper is.
child='' running='' failed='' network='' into='' new='' round=0 rounds=0 run=0 began=0 past=0

trap '[ -z "$new" ] || { rm -rf "$new"; rmdir -p "$into" 2>/dev/null; }' EXIT
trap 'exit 141' PIPE
catch_signals() {
  trap 'interrupted INT 130' INT
  trap 'interrupted QUIT 131' QUIT
  trap 'interrupted TERM 143' TERM
  trap 'interrupted HUP 129' HUP
}
ignore_signals() { trap '' INT QUIT TERM HUP; }
catch_signals

interrupted() {
  ignore_signals
  [ "$child" != starting ] || child=$!
  [ -z "$child" ] || kill "$child" 2>/dev/null
  [ -z "$child" ] || wait "$child" 2>/dev/null
  fail "interrupted by SIG$1${running:+ in $running; what was stored before is as it was}" "$2"
}

# attend COMMAND...: run it, ending it at once when a signal comes; returns its exit status.
attend() {
  child=starting
  "$@" &
  child=$!
  wait "$child"
  set -- "$?"
  child=''
  return "$1"
}

# shellcheck source=backbone/locks.sh
. backbone/locks.sh
# shellcheck source=backbone/python.sh
. backbone/python.sh

# prepare SCRIPT ARGUMENT...: what each wrapper does first; the arguments are for the script. Sets
# $network, which folders and files are named by.
prepare() {
  case $1,${ROUNDS:-5} in
    mem.py,*) ;;
    *,*[!0-9]* | *,0*) fail "ROUNDS=$ROUNDS is no whole number from 1 up" 2 ;;
  esac
  model='' output_stride='' flag=''
  for argument; do
    case $flag$argument in
      --model=*) model=${model:+$model and }${argument#--model=} ;;
      --output-stride=*) output_stride=${argument#--output-stride=} ;;
      --model | --output-stride)
        flag=$argument=
        continue
        ;;
    esac
    flag=''
    case $wrapper,${argument%%=*} in
      *,-h | *,--help) exec "$base" "$1" --help ;;
      *,--i | *,--input | summary.sh,--struct | mem_report.sh,--struct | *s.sh,--target | *s.sh,--w \
        | *s.sh,--json | *s.sh,--append | modes.sh,--channels-last | modes.sh,--fold \
        | modes.sh,--dtype | modes.sh,--compile | modes.sh,--train | modes.sh,--keep-memory)
        fail "${argument%%=*} is this wrapper's to set; to choose it, run $1 itself" 2
        ;;
    esac
  done
  case $model,$output_stride in # they name folders and files
    *' and '*) fail "one network at a time, not $model" 2 ;;
    *[!a-z0-9_,]*) fail "no network or output stride goes by $model $output_stride" 2 ;;
  esac
  [ "$output_stride" != 32 ] || output_stride=''
  network=$(printf %s "${model:-mobilenet_v2}" | tr -d _)${output_stride:+_os$output_stride}
  # A wrapper that another has handed over to is the same process, and has the locks.
  [ "${LOCKED_BY-}" = $$ ] || { one_at_a_time && one_writer; }
  export LOCKED_BY=$$
  use_python 'backbone.networks, numpy, pyperf, pytorch_memlab, tqdm' requirements.txt
}

# store_in FOLDER: where results go.
store_in() { into=$results$1 new=$results$1/.new; }

# progress RUNS DATASET: count this run of so many, and set $where to how far the wrapper is. A run
# of Cityscapes counts as 12 of VOC, which has a twelfth of the pixels.
progress() {
  run=$((run + 1))
  where="run $(((run - 1) % $1 + 1)) of $1"
  [ "$rounds" -eq 0 ] || where="round $round of $rounds, $where"
  if [ "$run" -gt 1 ]; then
    left=$((($(date +%s) - began) * ($1 * (rounds > 0 ? rounds : 1) * 13 / 2 - past) / past))
    where="$where, about $((left / 60 + 1)) min to go"
  else
    began=$(date +%s)
  fi
  case $2 in cityscapes) past=$((past + 12)) ;; *) past=$((past + 1)) ;; esac
}

# measure RUNS DATASET FILE RECORD SCRIPT FLAG...: run the script on a dataset, one of so many runs;
# its stdout becomes FILE.txt among the waiting results and, if RECORD is not empty, the run is added
# to the record beside it. A run that fails ends the wrapper, or, where $failed says so, is noted
# there and has no results.
measure() {
  progress "$1" "$2"
  file=$3 text=$3.txt record=${4:+$new/$3.json}
  shift 4
  case $failed in *" $file "*) return ;; esac # in an earlier round
  running=$*
  say "$where: $running -> $into/$text"
  [ "$run" -gt 1 ] || rm -rf "$new" # of a wrapper that was killed
  mkdir -p "$(dirname -- "$new/$text")" || fail "cannot make $new"
  attend "$python" "$@" ${record:+--append "$record"} >"$new/$text"
  status=$?
  if [ "$status" -ne 0 ]; then
    why="failed (exit status $status)"
  elif ! [ -s "$new/$text" ]; then
    why='printed nothing' status=1
  else
    return
  fi
  as_it_was="$running $why; what was stored before is as it was"
  case $status,$file,$failed in # of wrong flags, without stock, or where none may, all ends
    2,* | *_stock,* | *,) fail "$as_it_was" "$status" ;;
  esac
  say "$as_it_was"
  rm -f "$new/$text" "$new/$file.json"
  failed="$failed$file "
}

# keep_results: the waiting results take the place of those that stand, all together.
keep_results() {
  ignore_signals
  for waiting in "$new"/*.txt "$new"/*/*.txt; do
    [ -e "$waiting" ] || continue
    place=$into${waiting#"$new"}
    mkdir -p "${place%/*}"
    mv -f "${waiting%.txt}".* "${place%/*}/" || fail "cannot store $place"
  done
  rm -rf "$new"
  new='' running=''
  catch_signals
}

# share TOTAL: the whole number of passes that is each round's, rounded up; what is no number is the
# script's to refuse.
share() {
  case $1 in
    '' | *[!0-9]* | 0?* | ????????????????*) printf %s "$1" ;;
    *) printf %s $((($1 + rounds - 1) / rounds)) ;;
  esac
}

# has_cuda: whether torch finds a CUDA device; if not, it is said why, and that what follows happens.
has_cuda() {
  attend "$python" -c 'import sys
from backbone.machine import why_no_cuda
if reason := why_no_cuda():
    print(f"{sys.argv[1]}: {reason}: {sys.argv[2]}", file=sys.stderr)
    sys.exit(3)' "$wrapper" "$1"
  case $? in
    0) ;;
    3) return 1 ;;
    *) fail "cannot ask torch for a CUDA device" ;;
  esac
}

# time_all TIMER ITERATIONS WARMUP FLAG...: a timer's runs over rounds x inputs x $cases, each a line
# of a file's name, in which % stands for network and input, and flags. The timed passes, so many
# unless a flag says another number, are shared out among the rounds; on a CPU the warm-up passes
# too, whereas a GPU's clocks rise in each process.
time_all() {
  timer=$1 iterations=$2 warmup=$3 rounds=${ROUNDS:-5} flag='' line='
'
  shift 3
  for argument; do
    shift
    case $flag,$argument in
      --iterations,*) iterations=$argument flag='' ;;
      --warmup,*) warmup=$argument flag='' ;;
      ,--iterations | ,--warmup) flag=$argument ;;
      ,--iterations=*) iterations=${argument#*=} ;;
      ,--warmup=*) warmup=${argument#*=} ;;
      *) set -- "$@" "$argument" ;;
    esac
  done
  iterations=$(share "$iterations")
  [ "$timer" != cpu/timer.py ] || warmup=$(share "$warmup")
  set -- "$@" ${flag:+"$flag"} --iterations "$iterations" --warmup "$warmup"
  runs=$(($(printf '%s\n' "$cases" | wc -l) * 2))
  while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    for dataset in cityscapes pascal; do
      IFS=$line
      for case in $cases; do
        unset IFS
        name=${case%% *} flags=${case#"${case%% *}"}
        # shellcheck disable=SC2086 # each word a flag
        measure "$runs" "$dataset" "${name%\%*}${network}_$dataset${name#*%}" record \
          "$timer" --i "$dataset" $flags "$@"
      done
    done
    # Of many, none always comes first, when the system has yet to get back the memory that it needs.
    [ -z "$failed" ] || cases=$(printf '%s\n' "$cases" | sed -e '1{h;d;}' -e \$G)
  done
  keep_results
}

say_stored() { say "stored in $into; '$python results.py --update' brings README.md up to date"; }

# time_targets TIMER FLAG...: the full protocol, all targets.
time_targets() {
  timer=$1
  shift
  cases='% --target model
blocks/% --target block
layers/% --target layer'
  time_all "$timer" 300 25 "$@"
  cat "$into/${network}_cityscapes.txt" "$into/${network}_pascal.txt" >&3
  say_stored
}
