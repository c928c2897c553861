# shellcheck shell=sh
# One run at a time on a machine, one writer of a folder. store.sh sources this.

: "${base:?}" # a Python, for small things
machine_lock=/tmp/mobilenetv2-profile.lock

# lock FD [wait]: the kernel's lock on an open file; status 75 where another process has it. What a
# wrapper starts inherits the file: the lock ends with the last of them, however they end.
lock() {
  attend "$base" -c 'import fcntl, sys
try:
    fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX | (0 if sys.argv[2:] else fcntl.LOCK_NB))
except BlockingIOError:
    sys.exit(75)
except OSError as error:
    print("no lock can be had here:", error.strerror, file=sys.stderr)' "$@"
}

# one_at_a_time: two runs at once on a machine would disturb each other.
one_at_a_time() {
  [ -e "$machine_lock" ] || (umask 022 && : >>"$machine_lock") 2>/dev/null
  if [ -r "$machine_lock" ]; then
    exec 8<"$machine_lock"
    lock 8
    [ $? -ne 75 ] || fail "another run is at work on this machine; let it end first"
  fi
}

# one_writer: two machines must not write the same results.
one_writer() {
  mkdir -p "${results:-.}" 2>/dev/null
  (: >>"${results}.lock") 2>/dev/null || fail "cannot write in ${results:-this checkout}"
  exec 9<>"${results}.lock"
  lock 9
  [ $? -ne 75 ] || fail "a run on another machine writes the same results; name others with RESULTS=..."
}
