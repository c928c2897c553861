# shellcheck shell=sh
# Common start of all wrappers, which set $wrapper (their name) and $root (their checkout). Sets
#   $python   the interpreter that runs everything
#   $cuda     "cuda" if its PyTorch finds a CUDA device; otherwise a sentence that says why not
#   $inputs   INPUTS, or the default inputs
# ROUNDS and PRECISION are for the driver, but checked here, before anything is set up.
# The working directory is not changed, so relative paths in arguments stay valid.
: "${wrapper:?}" "${root:?}"
set -f                           # INPUTS holds words, not patterns
export PYTHONDONTWRITEBYTECODE=1 # on a full disk a cache may be cut short, and break later runs

say() { printf '%s: %s\n' "$wrapper" "$1" >&2; }
# fail MESSAGE [STATUS]
fail() {
  say "$1"
  exit "${2:-1}"
}

# use_python REQUIREMENTS ARGUMENT...: find the interpreter: $PYTHON or, if that is not set, the first
# of .venv and python3 that can import these requirements. If neither can, set up .venv and start the
# wrapper again with its arguments.
use_python() {
  requirements=$1
  shift
  if [ -n "${PYTHON-}" ]; then
    python=$PYTHON
    command -v "$python" >/dev/null || fail "PYTHON=$PYTHON is not a program"
    cuda=$("$python" "$root/shell/check.py" "$requirements") \
      || fail "PYTHON=$PYTHON cannot import the requirements; install $requirements there, or unset PYTHON"
    [ -n "$cuda" ] || fail "PYTHON=$PYTHON is not Python"
    return
  fi
  for python in "$root/.venv/bin/python" python3; do
    [ "$python" = python3 ] || [ ! -e "$root/.venv.unfinished" ] || continue
    cuda=$("$python" "$root/shell/check.py" "$requirements" 2>/dev/null) && return
  done
  exec python3 "$root/shell/setup.py" "$requirements" "$wrapper" "$0" "$@"
}

# has_cuda OTHERWISE: whether there is a CUDA device; if not, say why, and what happens instead.
has_cuda() {
  case $cuda in
    cuda) return 0 ;;
    'no CUDA device'*) say "$cuda: $1" ;;
    *) fail "$cuda" ;;
  esac
  return 1
}

# can_keep_memory: whether the C library supports --keep-memory; only glibc does.
can_keep_memory() { getconf GNU_LIBC_VERSION >/dev/null 2>&1; }

# shellcheck disable=SC2034 # wrappers use it
inputs=${INPUTS:-pascal cityscapes}
case ${ROUNDS:-1} in
  0* | *[!0-9]*) fail "ROUNDS=$ROUNDS is not a positive whole number" 2 ;;
esac
case ${PRECISION:-1} in
  . | *[!0-9.]* | *.*.*) fail "PRECISION=$PRECISION is not a non-negative number (percent)" 2 ;;
esac
case " $* " in
  *' -h '* | *' --help '*) # needs no library
    python=${PYTHON:-python3} cuda='no CUDA device here'
    [ ! -e /dev/nvidiactl ] || cuda=cuda
    ;;
  *) use_python requirements.txt "$@" ;;
esac
