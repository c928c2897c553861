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

child='' running='' new=''
trap '[ -z "$new" ] || { rm -rf "$new"; rmdir "$folder" 2>/dev/null; }' EXIT
trap 'exit 141' PIPE
catch_signals() {
  trap 'interrupted INT 130' INT
  trap 'interrupted TERM 143' TERM
  trap 'interrupted HUP 129' HUP
}
catch_signals

interrupted() {
  trap '' INT TERM HUP
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
# file, which the running script inherits: it ends with the last of them, however they end.
one_at_a_time() {
  exec 9<>backbone/store.sh
  for base in ${PYTHON:+"$PYTHON"} .venv/bin/python python3; do
    command -v "$base" >/dev/null || continue
    "$base" -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(75)
except OSError:
    pass  # a file system without locks'
    [ $? -ne 75 ] || fail "another run is at work in this checkout; let it end first"
    return
  done
  fail "no Python here: install Python 3.10 or later, or name one with PYTHON=..."
}

# use_python MODULES REQUIREMENTS: set $python to the first of $PYTHON, .venv and python3 that can
# import the modules; failing that, make .venv here and install the requirements in it, once.
use_python() {
  for python in ${PYTHON:+"$PYTHON"} .venv/bin/python python3; do
    if [ "$python" != .venv/bin/python ] || ! [ -e .venv/unfinished ]; then
      attend "$python" -c "import $1" >/dev/null 2>&1 && return
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
    attend "${PYTHON:-python3}" -m venv .venv >&2 || fail "${PYTHON:-python3} cannot make .venv"
  else
    say "setting up: installing $2 in .venv"
  fi
  attend "$python" -m pip install --quiet --disable-pip-version-check -r "$2" >&2 \
    || fail "cannot install $2; the next run tries again"
  attend "$python" -c "import $1" >/dev/null || fail "what $2 installs cannot be imported"
  rm -f .venv/unfinished
}

# prepare SCRIPT ARGUMENT...: what each wrapper does first; the arguments are for the script.
prepare() {
  script=$1
  shift
  for argument; do
    case ${argument%%=*} in
      -h | --help) exec "${PYTHON:-python3}" "$script" --help ;;
      --i | --input | --target | --w | --json | --struct)
        fail "${argument%%=*} is this wrapper's to set; to choose it, run $script itself" 2
        ;;
    esac
  done
  one_at_a_time
  use_python 'backbone.mobilenetv2, numpy, pyperf, pytorch_memlab, tqdm' requirements.txt
}

# store FOLDER NAME RECORD SCRIPT FLAG...: run the script; its stdout becomes FOLDER/NAME.txt and,
# if RECORD is not empty, its record FOLDER/NAME.json, but only if the script succeeds.
store() {
  folder=$results$1 name=$2 record=$3
  shift 3
  running=$*
  new=$folder/.new
  say "$running -> $folder/$name.txt"
  rm -rf "$new" && mkdir -p "$new" || fail "cannot make $new"
  attend "$python" "$@" ${record:+--json "$new/$name.json"} >"$new/$name.txt" || {
    status=$?
    fail "$running failed (exit status $status); $folder/$name.txt is as it was" "$status"
  }
  trap '' INT TERM HUP # the text and its record change together
  mv -f "$new"/* "$folder/" || fail "cannot store $folder/$name.txt"
  rm -rf "$new"
  running=''
  catch_signals
}

# time_all SCRIPT FOLDER FLAG...: store a timer's runs over inputs x targets.
time_all() {
  script=$1 stats=$2
  shift 2
  for dataset in cityscapes pascal; do
    for target in model block layer; do
      case $target in
        model) folder=$stats ;;
        *) folder=$stats/${target}s ;;
      esac
      store "$folder" "mobilenetv2_$dataset" record "$script" --i "$dataset" --target "$target" "$@"
    done
  done
}
