# shellcheck shell=sh
# What the wrappers share: the interpreter, one run at a time, and results that appear only whole.
# A wrapper sets $wrapper (its name) and $root (this checkout), and sources this.

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

# What functions share: the process that attend waits for, the run that an interrupt names, the
# folder in which its results wait, and how far the wrapper is.
child='' running='' new='' run=0 began=$(date +%s)

trap '[ -z "$new" ] || { rm -rf "$new"; rmdir "${new%/*}" 2>/dev/null; }' EXIT
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

# one_at_a_time: two runs at once would disturb each other. The lock is the kernel's, on this open
# file, which the running script inherits: it ends with the last of them, however they end. A
# wrapper that another has handed over to is the same process, and has the lock.
one_at_a_time() {
  [ "${LOCKED_BY-}" != $$ ] || return 0
  exec 9<>backbone/store.sh
  if [ -n "${PYTHON-}" ]; then set -- "$PYTHON"; else set -- .venv/bin/python python3; fi
  for base; do
    command -v "$base" >/dev/null || continue
    "$base" -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(75)
except OSError:
    pass  # a file system without locks'
    [ $? -ne 75 ] || fail "another run is at work in this checkout; let it end first"
    export LOCKED_BY=$$
    return
  done
  fail "no Python here: install Python 3.10 or later, or name one with PYTHON=..."
}

# can_import PYTHON MODULES: whether they can be imported; if not, its stderr says why, in one line.
can_import() {
  attend "$1" -c "
try:
    import $2
except ImportError as error:
    raise SystemExit(str(error).partition('\n')[0])" >/dev/null
}

# use_python MODULES REQUIREMENTS: set $python to $PYTHON; if none is named, to the first of .venv
# and python3 that can import the modules; failing that, make .venv here and install the
# requirements in it, once.
use_python() {
  python=${PYTHON-}
  if [ -n "$python" ]; then
    can_import "$python" "$1" \
      || fail "PYTHON=$python cannot import what is needed; install $2 there, or unset PYTHON"
    return
  fi
  for python in .venv/bin/python python3; do
    if [ "$python" != .venv/bin/python ] || ! [ -e .venv/unfinished ]; then
      can_import "$python" "$1" 2>/dev/null && return
    fi
  done
  if [ -e .venv/unfinished ]; then
    say "starting anew on .venv, whose set-up was interrupted"
    rm -rf .venv
  fi
  python=.venv/bin/python
  if ! [ -e .venv ]; then
    say "setting up: making .venv and installing $2 in it, which takes minutes, once"
    mkdir .venv && : >.venv/unfinished || fail "cannot make .venv here"
    attend python3 -m venv .venv >&2 || fail "python3 cannot make .venv"
  else
    say "setting up: installing $2 in .venv"
  fi
  attend "$python" -m pip install --quiet --disable-pip-version-check -r "$2" >&2 \
    || fail "cannot install $2; the next run tries again"
  can_import "$python" "$1" || fail "what $2 installs cannot be imported"
  rm -f .venv/unfinished
}

# prepare SCRIPT ARGUMENT...: what each wrapper does first; the arguments are for the script.
prepare() {
  for argument; do
    case ${argument%%=*} in
      -h | --help) exec "${PYTHON:-python3}" "$1" --help ;;
      --i | --input | --target | --w | --json | --struct)
        fail "${argument%%=*} is this wrapper's to set; to choose it, run $1 itself" 2
        ;;
    esac
  done
  one_at_a_time
  use_python 'backbone.networks, numpy, pyperf, pytorch_memlab, tqdm' requirements.txt
}

# progress RUNS DATASET: count this run, and say how far the wrapper is. A run of Cityscapes counts
# as long as 12 of VOC, which has a twelfth of the pixels.
progress() {
  run=$((run + 1))
  case $2 in cityscapes) weight=12 ;; *) weight=1 ;; esac
  where="$run of $1"
  if [ "$run" -gt 1 ]; then
    left=$((($(date +%s) - began) * ($1 * 13 / 2 - past) / past))
    where="$where, about $((left / 60 + 1)) min to go"
  else
    began=$(date +%s) past=0
  fi
  past=$((past + weight))
}

# store RUNS DATASET FOLDER RECORD SCRIPT FLAG...: run the script on a dataset, one of so many runs;
# its stdout becomes FOLDER/mobilenetv2_DATASET.txt and, if RECORD is not empty, its record the
# .json beside it, but only if the script succeeds.
store() {
  progress "$1" "$2"
  name=mobilenetv2_$2 into=$results$3 record=$4
  shift 4
  running=$*
  new=$into/.new
  say "$where: $running -> $into/$name.txt"
  rm -rf "$new" && mkdir -p "$new" || fail "cannot make $new"
  attend "$python" "$@" ${record:+--json "$new/$name.json"} >"$new/$name.txt" || {
    status=$?
    fail "$running failed (exit status $status); $into/$name.txt is as it was" "$status"
  }
  [ -s "$new/$name.txt" ] || fail "$running printed nothing; $into/$name.txt is as it was"
  ignore_signals # the text and its record change together
  mv -f "$new"/* "$into/" || fail "cannot store $into/$name.txt"
  rm -rf "$new"
  running=''
  catch_signals
}

# time_all SCRIPT FOLDER FLAG...: store a timer's runs over inputs x targets.
time_all() {
  timer=$1 stats=$2
  shift 2
  for dataset in cityscapes pascal; do
    store 6 "$dataset" "$stats" record "$timer" --i "$dataset" --target model "$@"
    for target in block layer; do
      store 6 "$dataset" "$stats/${target}s" record "$timer" --i "$dataset" --target "$target" "$@"
    done
  done
}
