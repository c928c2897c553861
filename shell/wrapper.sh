# shellcheck shell=sh
# What every wrapper does and shares. A wrapper sets $wrapper (its name) and $root (this checkout),
# and sources this, which goes to the checkout.
: "${wrapper:?}" "${root:?}"

# Set here:
#   modules   what scripts import
#   results   what stands before a folder of results: nothing, or $RESULTS/
# By functions:
#   base      an interpreter that need not have any library (shell/interpreter.sh)
#   python    the one that runs the scripts (use_python)
#   inputs, rounds  which inputs, and how many rounds, are wanted (begin)
#   network   what the network's files are named by (name_results)
#   conditions  what a folder's name says of the conditions: _keep-memory, or nothing (name_results)
#   planned_input, planned_file, planned_rounds  what is planned just now (plan_run)
#   waiting   the folder where results wait until all are there (start_results)
#   names_file  where names are on their way (name_results)
#   running   what is under way, for an interrupt to name (run_script, run_rounds)
#   status    how that ended

exec 3>&2 # a signal's message gets out where a command's stderr does not
say() { printf '%s: %s\n' "$wrapper" "$1" >&3; }
# fail MESSAGE [STATUS]
fail() {
  say "$1"
  exit "${2:-1}"
}

# The caller's folder is left, and what is relative to it is named from there.
[ -n "${HANDED_OVER-}" ] || CALLERS_FOLDER=$PWD
export CALLERS_FOLDER
case ${PYTHON-} in [!/]*/*) PYTHON=$PWD/$PYTHON ;; esac
CDPATH='' cd -- "$root" || exit 1
export PYTHONDONTWRITEBYTECODE=1 # on a full disk its cache could be cut short, and break later runs
results=${RESULTS:+${RESULTS%/}/}
waiting='' running='' names_file=''

trap 'rm -rf "$waiting" "$names_file"' EXIT
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
# where the wrapper's list of runs may be waiting.
attend() {
  "$@" </dev/null &
  wait "$!"
}

. shell/interpreter.sh
. shell/locks.sh
. shell/storing.sh

# What scripts import, of this project and of requirements.txt.
modules='backbone.network.library, calmsize, numpy, pyperf, psutil, pytorch_memlab, tqdm'

# begin SCRIPT OWN ARGUMENT...: what a wrapper does first. The arguments are the script's, but none
# of the OWN flags, which the wrapper sets itself.
begin() {
  refuse_own_flags "$@"
  rounds=${ROUNDS:-10}
  # shellcheck disable=SC2034 # wrappers use it
  inputs=${INPUTS:-cityscapes pascal}
  case $rounds in 0* | *[!0-9]*) fail "ROUNDS=$rounds is no whole number from 1 up" 2 ;; esac
  [ -n "${HANDED_OVER-}" ] || { one_at_a_time && one_at_a_time_here "$results"; }
  use_python "$modules" requirements.txt
  start_results
}

# refuse_own_flags SCRIPT OWN ARGUMENT...
refuse_own_flags() {
  script=$1 own=" $2 "
  shift 2
  for argument; do
    case $argument in -h | --help) show_help ;; esac
    flag=${argument%%=*}
    case $own in
      *" $flag "*) fail "$flag is this wrapper's to set; to choose it, run $script itself" 2 ;;
    esac
  done
}

# show_help: the script's flags, and what a wrapper makes of them.
show_help() {
  say "takes the flags below, but sets these itself:$own; variables: INPUTS, ROUNDS, RESULTS, PYTHON"
  exec "$base" "$script" --help
}

# has_cuda OTHERWISE: whether torch finds a CUDA device; if not, say why, and what is done instead.
has_cuda() {
  attend "$python" -c 'import sys; from backbone.measure.machine import why_no_cuda
if reason := why_no_cuda():
    print(f"{sys.argv[1]}: {reason}: {sys.argv[2]}", file=sys.stderr)
    sys.exit(3)' "$wrapper" "$1" && return
  [ $? -eq 3 ] || fail "cannot ask torch for a CUDA device"
  return 1
}

# hand_over WRAPPER ARGUMENT...: become another wrapper, which inherits the locks.
hand_over() {
  rm -rf "$waiting"
  HANDED_OVER=1 exec sh "$@"
}

# can_keep_memory: whether the C library here can, which is glibc alone.
can_keep_memory() { getconf GNU_LIBC_VERSION >/dev/null 2>&1; }
