# shellcheck shell=sh
# The interpreter of the wrappers, and its set-up. store.sh sources this.

# can_import PYTHON MODULES: whether they can be imported; if not, its stderr says why, in one line.
can_import() {
  attend "$1" -c "
try:
    import $2
except ImportError as error:
    raise SystemExit(str(error).partition('\n')[0])" >/dev/null
}

# find_python MODULES: set $python to the first of .venv and python3 that can import them.
find_python() {
  for python in .venv/bin/python python3; do
    if [ "$python" != .venv/bin/python ] || ! [ -e .venv.unfinished ]; then
      can_import "$python" "$1" 2>/dev/null && return
    fi
  done
  return 1
}

# use_python MODULES REQUIREMENTS: set $python to $PYTHON; if none is named, to the one that can
# import the modules; failing that, make .venv here and install the requirements in it, once.
use_python() {
  if [ -n "${PYTHON-}" ]; then
    python=$PYTHON
    can_import "$python" "$1" \
      || fail "PYTHON=$python cannot import what is needed; install $2 there, or unset PYTHON"
    return
  fi
  find_python "$1" && return
  (: >>.venv.lock) 2>/dev/null || fail "cannot make .venv here"
  exec 7<>.venv.lock # open for writing, which a lock on a network file system needs
  if lock 7; [ $? -eq 75 ]; then
    say "waiting for another machine, which sets up .venv here"
    lock 7 wait
    find_python "$1" && { exec 7<&-; return; }
  fi
  if [ -e .venv.unfinished ]; then
    say "starting anew on .venv, whose set-up was interrupted"
    rm -rf .venv || fail "cannot remove .venv"
  fi
  python=.venv/bin/python
  if ! [ -e .venv ]; then
    say "setting up: making .venv and installing $2 in it, which takes minutes, once"
    (: >.venv.unfinished) 2>/dev/null || fail "cannot make .venv here"
    attend python3 -m venv .venv >&2 || fail "python3 cannot make .venv"
  else
    "$python" -c '' || fail ".venv has no Python that works; remove it"
    say "setting up: installing $2 in .venv"
  fi
  attend "$python" -m pip install --quiet --disable-pip-version-check -r "$2" >&2 \
    || fail "cannot install $2; the next run tries again"
  can_import "$python" "$1" || fail "what $2 installs cannot be imported"
  rm -f .venv.unfinished
  exec 7<&-
}
