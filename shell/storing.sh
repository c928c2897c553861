# shellcheck shell=sh
# Results that wait until all runs have ended, and then appear together. See shell/wrapper.sh.

# name_results SCRIPT FLAG...: set $network and $conditions, which results are named by.
name_results() {
  names_file=${results}.names
  attend "$python" shell/names.py "$@" >"$names_file" \
    || fail "$1 failed (exit status $?); what was stored before is as it was" $?
  names=$(cat "$names_file")
  rm -f "$names_file"
  [ -n "$names" ] || fail "$1 printed nothing; is $python a Python?"
  # shellcheck disable=SC2034 # wrappers use them
  network=${names%% *} conditions=${names#* }
}

# start_results: results will wait in $waiting, where they lie as they will among the stored ones.
start_results() {
  waiting=${results}.new
  rm -rf "$waiting" || exit 1 # of a wrapper that was killed: its runs are none of this one's
  mkdir -p "$waiting" || exit 1
}

# run_script FILE SCRIPT FLAG...: run a script once. Its stdout becomes FILE.txt among the results
# that wait, and its record FILE.json there. A run that fails is named on stderr; the function then
# returns its status.
run_script() {
  file=$1
  shift
  running="$*"
  say "$running -> $results$file.txt"
  text=$waiting/$file.txt
  mkdir -p "${text%/*}"
  attend "$python" "$@" --json "$waiting/$file.json" >"$text"
  status=$?
  [ "$status" -eq 0 ] \
    || say "$running failed (exit status $status); what was stored before is as it was"
  return "$status"
}

# plan_run INPUT ROUNDS FILE SCRIPT FLAG...: have a timer run in each round of an input, of which
# there are so many, the same for all that is planned for the input. What its runs print becomes
# FILE.txt among the results that wait, and their record FILE.json there.
plan_run() {
  planned_input=$1 planned_rounds=$2 planned_file=$3
  shift 3
  set -- "$@" --rounds "$planned_rounds"
  say "$* -> $results$planned_file.txt"
  mkdir -p "$waiting/${planned_file%/*}" || exit 1
  printf '%s\0' "$planned_input" "$planned_rounds" "$planned_file" $# "$@" >>"$waiting/plan" \
    || fail "cannot write in $waiting"
}

# run_rounds --need-all|--leave-out: run what is planned, by rounds. Where a run fails, it is named
# on stderr, and the function returns 1. With --leave-out it goes on without that one, and then
# returns 3; without the first of an input it does not go on.
run_rounds() {
  running='its rounds'
  attend "$python" shell/rounds.py "$wrapper" "$python" "$waiting" "$@"
  status=$?
  running=''
  return "$status"
}

# store_results: what waits takes the place of what stands, all together.
store_results() {
  trap '' INT QUIT TERM HUP
  for file in "$waiting"/*/*.* "$waiting"/*/*/*.* "$waiting"/*/*/*/*.*; do
    [ -e "$file" ] || continue
    place=$results${file#"$waiting"/}
    { mkdir -p "${place%/*}" && mv -f "$file" "$place"; } || fail "cannot store $place"
  done
}

# show_stored FILE...: print these texts, say where the results are, and how tables get them.
show_stored() {
  for file; do cat "$results$file.txt" >&3; done
  case $results in
    '' | devices/*) say "stored; '$python results.py --update' writes the tables" ;;
    *) say "stored in $results" ;; # of what stands elsewhere results.py knows nothing
  esac
}

# folder_of TARGET: the folder of a target's results, within that of the network's.
folder_of() {
  case $1 in
    model) ;;
    *) echo "$1s/" ;;
  esac
}

# file_of_mode MODE: as a part of a file's name: --dtype bfloat16 -> dtype_bfloat16
file_of_mode() { printf '%s\n' "$1" | sed -e 's/--//g' -e 's/[ =]/_/g'; }
