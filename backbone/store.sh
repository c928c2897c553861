# shellcheck shell=sh
# What the wrappers share: one run at a time, their interpreter, rounds, and results that appear
# only whole. A wrapper sets $wrapper (its name) and $root (this checkout), and sources this.
: "${wrapper:?}" "${root:?}"

machine_lock=/tmp/mobilenetv2-profile.lock
exec 3>&2 # a signal's message gets out where a command's stderr does not
say() { printf '%s: %s\n' "$wrapper" "$1" >&3; }
fail() { say "$1"; exit "${2:-1}"; }

case ${PYTHON-} in [!/]*/*) PYTHON=$PWD/$PYTHON ;; esac # from the caller's folder, which is left
CDPATH='' cd -- "$root" || exit 1
export PYTHONDONTWRITEBYTECODE=1 # on a full disk its cache could be cut short, and break later runs
results=${RESULTS:+${RESULTS%/}/}
base=$(command -v "${PYTHON:-.venv/bin/python}" || command -v "${PYTHON:-python3}") \
  || fail "PYTHON=${PYTHON:-python3} is no program; name another, of Python 3.10 or later"

# What is run on each input; in how many rounds, if it is timed; the run that an interrupt names;
# the files whose runs failed, where some may; where results go, and where they wait until then.
cases=% rounds='' running='' failed='' into='' new=''

trap 'rm -rf "$new"; rmdir -p "$into" 2>/dev/null' EXIT
trap 'interrupted INT 130' INT
trap 'interrupted QUIT 131' QUIT
trap 'interrupted TERM 143' TERM
trap 'interrupted HUP 129' HUP
trap 'interrupted PIPE 141' PIPE # nobody reads stderr any longer
interrupted() {
  trap '' INT QUIT TERM HUP PIPE
  { kill "$!" && wait "$!"; } 2>/dev/null
  fail "interrupted by SIG$1${running:+ in $running; what was stored before is as it was}" "$2"
}

# attend COMMAND...: run it, ending it at once when a signal comes. Its stdin is not this shell's,
# where $cases may be waiting.
attend() {
  "$@" </dev/null &
  wait "$!"
}

# lock FD [REFUSAL]: the kernel's lock on an open file, waited for, or refused with these words if
# another process has it. What a wrapper starts inherits the file: the lock ends with the last of
# them, however they end.
lock() {
  attend "$base" -c 'import fcntl, sys
try:
    fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[2:] else 0))
except BlockingIOError:
    sys.exit(sys.argv[2])
except OSError as error:
    print("no lock can be had here:", error.strerror, file=sys.stderr)' "$1" ${2:+"$wrapper: $2"}
}

# one_at_a_time: two runs at once on a machine would disturb each other.
one_at_a_time() {
  [ -e "$machine_lock" ] || (umask 022 && : >>"$machine_lock")
  exec 8<"$machine_lock" || exit 1
  lock 8 "another run is at work on this machine; let it end first" || exit 1
}

# can_import PYTHON MODULES: whether they can be imported; if not, its stderr says why, in a line.
can_import() { attend "$1" -c "import sys; sys.tracebacklimit = 0; import $2" >/dev/null; }

# find_python MODULES: set $python to the first of .venv and python3 that can import them.
find_python() {
  python=.venv/bin/python
  [ -e .venv.unfinished ] || ! can_import "$python" "$1" || return 0
  python=python3; can_import "$python" "$1"
} 2>/dev/null

# use_python MODULES REQUIREMENTS: set $python to $PYTHON; if none is named, to the one that can
# import the modules; failing that, to that of a .venv which is made here, once.
use_python() {
  if [ -n "${PYTHON-}" ]; then
    python=$PYTHON
    can_import "$python" "$1" \
      || fail "PYTHON=$python cannot import what is needed; install $2 there, or unset PYTHON"
  elif ! find_python "$1"; then
    exec 7<>.venv.lock || exit 1 # open for writing, which a lock on a network file system needs
    lock 7 "waiting for another machine, which sets up .venv here" || lock 7
    find_python "$1" || set_up "$1" "$2"
    exec 7<&-
  fi
}

# set_up MODULES REQUIREMENTS: make .venv, unless there is one, and install the requirements in it.
set_up() {
  python=.venv/bin/python
  [ ! -e .venv.unfinished ] || say "starting anew on .venv, whose set-up was interrupted"
  if [ -e .venv.unfinished ] || ! [ -e .venv ]; then
    say "setting up: making .venv"
    : >.venv.unfinished
    attend python3 -m venv --clear .venv >&2 || fail "python3 cannot make .venv"
  fi
  say "setting up: installing $2 in .venv, which takes minutes"
  attend "$python" -m pip install --quiet --disable-pip-version-check -r "$2" >&2 \
    || fail "cannot install $2 in .venv; the next run tries again, anew if you remove .venv"
  can_import "$python" "$1" || fail "what $2 installs cannot be imported"
  rm -f .venv.unfinished
}

# prepare SCRIPT OWN ARGUMENT...: what each wrapper does first. The arguments are the script's, but
# none of the OWN flags or, of a timer, of all wrappers'. Sets $script and $network, files' name.
prepare() {
  script=$1 own=" --i --input $2 " model=mobilenet_v2 stride=32 before=''
  case $1 in *timer.py) own="$own--target --w --json --append --rounds " ;; esac
  shift 2
  for argument; do
    case $before,$argument in
      *,-h | *,--help) exec "$base" "$script" --help ;;
      --model,* | *,--model=*) model=${argument#--model=} ;;
      --output-stride,* | *,--output-stride=*) stride=${argument#--output-stride=} ;;
    esac
    before=$argument flag=${argument%%=*}
    case $own in
      *" $flag "*) fail "$flag is this wrapper's to set; to choose it, run $script itself" 2 ;;
    esac
  done
  case ${ROUNDS:-5} in 0* | *[!0-9]*) fail "ROUNDS=$ROUNDS is no whole number from 1 up" 2 ;; esac
  network=$(printf %s "$model" | tr -cd a-z0-9) # what is no network, the script refuses
  [ "$stride" = 32 ] || network=${network}_os$(printf %s "$stride" | tr -cd 0-9)
  one_at_a_time
  mkdir -p "${results:-.}" && exec 9<>"${results}.lock" || exit 1
  lock 9 "a run on another machine writes the same results; name others with RESULTS=..." || exit 1
  use_python 'backbone.networks, numpy, pyperf, pytorch_memlab, tqdm' requirements.txt
}

# choose_timer OTHERWISE: whether torch finds a CUDA device; if not, $script becomes cpu/timer.py.
choose_timer() {
  attend "$python" -c 'import sys; from backbone.machine import why_no_cuda
if reason := why_no_cuda():
    print(f"{sys.argv[1]}: {reason}: {sys.argv[2]}", file=sys.stderr)
    sys.exit(3)' "$wrapper" "$1" && return
  [ $? -eq 3 ] || fail "cannot ask torch for a CUDA device"
  script=cpu/timer.py; return 1
}

# time_targets FLAG...: the full protocol, all targets.
time_targets() {
  cases='% --target model
blocks/% --target block
layers/% --target layer'
  time_all '' "$@"
}

# time_all FOLDER FLAG...: the timer's runs, by rounds, which share its passes.
time_all() {
  rounds=${ROUNDS:-5} folder=$1
  shift
  measure_all "${script%timer.py}${network}_stats$folder" "$@" --rounds "$rounds"
  [ -n "$failed" ] || cat "$into/${network}_cityscapes.txt" "$into/${network}_pascal.txt" >&3
  update="; '$python results.py --update' updates README.md"
  case $results in '' | devices/*) ;; *) update='' ;; esac # of what stands elsewhere it knows nothing
  say "stored in $into$update"
}

# measure_all FOLDER FLAG...: the script's runs over rounds x inputs x $cases, each a line: a file's
# name in the folder, in which % stands for network and input, and flags.
measure_all() {
  into=$results$1 new=$results$1/.new began=$(date +%s) round=0 past=0
  shift
  runs=$(($(printf '%s\n' "$cases" | wc -l) * 2))
  rm -rf "$new" || exit 1 # of a wrapper that was killed: its runs are none of this one's
  while [ "$round" -lt "${rounds:-1}" ]; do
    round=$((round + 1)) run=0
    for dataset in cityscapes pascal; do
      while read -r name flags; do
        # shellcheck disable=SC2086 # words
        measure "${name%\%*}${network}_$dataset${name#*%}" $script --i "$dataset" $flags "$@"
      done <<EOF || exit 1
$cases
EOF
    done
    # Of many, none always comes first, when the system has yet to get back the memory it needs.
    [ -z "$failed" ] || cases=$(printf '%s\n' "$cases" | sed -e '1{h;d;}' -e \$G)
  done
  # The waiting results take the place of those that stand, all together.
  trap '' INT QUIT TERM HUP
  for folder in '' blocks/ layers/; do
    [ -d "$new/$folder" ] || continue
    mkdir -p "$into/$folder"
    mv -f "$new/$folder"*.* "$into/$folder" || fail "cannot store $into/$folder"
  done
}

# measure FILE SCRIPT FLAG...: run the script; its stdout becomes FILE.txt among the waiting results
# and, where there are rounds, the run is added to the record beside it. A run that fails ends the
# wrapper, or, where $failed says so, is noted there and has no results.
measure() {
  file=$1 text=$new/$1.txt run=$((run + 1)) left=''
  shift
  if [ "$past" -gt 0 ]; then
    left=$((($(date +%s) - began) * (runs * ${rounds:-1} * 13 / 2 - past) / past))
    left=", about $((left / 60 + 1)) min to go"
  fi
  # Cityscapes has the pixels of 12 of VOC.
  case $dataset in cityscapes) past=$((past + 12)) ;; *) past=$((past + 1)) ;; esac
  case $failed in *" $file "*) return ;; esac # in an earlier round
  running=$*
  say "${rounds:+round $round of $rounds, }run $run of $runs$left: $running -> $into/$file.txt"
  mkdir -p "${text%/*}"
  attend "$python" "$@" ${rounds:+--append "$new/$file.json"} >"$text"
  status=$? why="failed (exit status $?)"
  [ "$status" -ne 0 ] || [ -s "$text" ] || status=1 why='printed nothing'
  [ "$status" -ne 0 ] || return 0
  why="$running $why; what was stored before is as it was"
  # Of wrong flags, without stock, or where none may fail, all ends.
  case $status,$file,$failed in 2,* | *_stock,* | *,) fail "$why" "$status" ;; esac
  say "$why"
  rm -f "$text" "$new/$file.json"
  failed="$failed$file "
}
