# shellcheck shell=sh
# Which Python runs the scripts, and how it is made where there is none. See shell/wrapper.sh.

base=$(command -v "${PYTHON:-.venv/bin/python}" || command -v "${PYTHON:-python3}") \
  || fail "${PYTHON:+PYTHON=}${PYTHON:-python3} is no program; name another in PYTHON, of 3.10 or later"

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

# find_python MODULES: set $python to the first of .venv and python3 that can import them.
find_python() {
  python=.venv/bin/python
  [ -e .venv.unfinished ] || ! can_import "$python" "$1" || return 0
  python=python3
  can_import "$python" "$1"
} 2>/dev/null

# can_import PYTHON MODULES: whether they can be imported; if not, its stderr says why, in a line.
can_import() { attend "$1" -c "import sys; sys.tracebacklimit = 0; import $2" >/dev/null; }

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
