# shellcheck shell=sh
# One run at a time: on a machine, and in a folder of results. See shell/wrapper.sh.

machine_lock=/tmp/mobilenetv2-profile.lock

# one_at_a_time: two runs at once on a machine would disturb each other. File 8 holds the lock.
one_at_a_time() {
  [ -e "$machine_lock" ] || (umask 022 && : >>"$machine_lock")
  exec 8<"$machine_lock" || exit 1
  lock 8 "another run is at work on this machine; let it end first" || exit 1
}

# one_at_a_time_here RESULTS/: machines that share a checkout each have their own results. File 9
# holds the lock.
one_at_a_time_here() {
  mkdir -p "${1:-.}" && exec 9<>"${1}.lock" || exit 1
  lock 9 "a run on another machine writes the same results; name others with RESULTS=..." || exit 1
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
