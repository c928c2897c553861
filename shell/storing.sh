# shellcheck shell=sh
# Results that wait until all runs have ended, and then appear together. See shell/wrapper.sh.

# name_results SCRIPT FLAG...: set $network and $conditions, which results are named by.
name_results() {
  names_file=${results}.names
  attend "$python" shell/names.py "$@" >"$names_file" \
    || fail "$1 failed (exit status $?); what was stored before is as it was" $?
  names=$(cat "$names_file")
  rm -f "$names_file"
  # shellcheck disable=SC2034 # wrappers use them
  network=${names%% *} conditions=${names#* }
}

# open_results FOLDER: results go there, in the end.
open_results() {
  into=$results$1 waiting=$results$1/.new
  rm -rf "$waiting" || exit 1 # of a wrapper that was killed: its runs are none of this one's
}

# plan_runs ROUNDS RUNS: how many runs there will be, so many in each round; half of them are of
# Cityscapes. Where there are no rounds, ROUNDS is empty.
plan_runs() {
  planned_rounds=$1 runs_a_round=$2 begun=0 past=0 began=$(date +%s)
}

# count_to N: 1 2 3 ... N
count_to() {
  number=1
  while [ "$number" -le "$1" ]; do
    echo "$number"
    number=$((number + 1))
  done
}

# count_run INPUT: count a run as begun. Cityscapes has the pixels of 12 of VOC.
count_run() {
  begun=$((begun + 1))
  case $1 in cityscapes) past=$((past + 12)) ;; *) past=$((past + 1)) ;; esac
}

# announce INPUT FILE: say where the planned runs are, what is running and where it goes.
announce() {
  run="run $((begun % runs_a_round + 1)) of $runs_a_round"
  [ -z "$planned_rounds" ] || run="round $((begun / runs_a_round + 1)) of $planned_rounds, $run"
  if [ "$past" -gt 0 ]; then
    in_all=$((runs_a_round * ${planned_rounds:-1} * 13 / 2))
    left=$((($(date +%s) - began) * (in_all - past) / past))
    run="$run, about $((left / 60 + 1)) min to go"
  fi
  say "$run: $running -> $into/$2.txt"
  count_run "$1"
}

# run_script INPUT FILE RECORD_FLAG SCRIPT FLAG...: run a script on an input. Its stdout becomes
# FILE.txt among the results that wait, and RECORD_FLAG names it FILE.json there for its record. A
# run that fails is named on stderr; the function then returns its status.
run_script() {
  input=$1 file=$2 record_flag=$3
  shift 3
  running="$*"
  announce "$input" "$file"
  text=$waiting/$file.txt
  mkdir -p "${text%/*}"
  attend "$python" "$@" "$record_flag" "$waiting/$file.json" >"$text"
  status=$?
  reason="failed (exit status $status)"
  [ "$status" -ne 0 ] || [ -s "$text" ] || status=1 reason='printed nothing'
  [ "$status" -eq 0 ] || say "$running $reason; what was stored before is as it was"
  return "$status"
}

# store_results: what waits takes the place of what stands, all together.
store_results() {
  trap '' INT QUIT TERM HUP
  for file in "$waiting"/*.* "$waiting"/*/*.*; do
    [ -e "$file" ] || continue
    place=$into/${file#"$waiting"/}
    { mkdir -p "${place%/*}" && mv -f "$file" "$place"; } || fail "cannot store $place"
  done
}

# show_stored FILE...: print these texts, say where the results are, and how tables get them.
show_stored() {
  for file; do cat "$into/$file.txt" >&3; done
  case $results in
    '' | devices/*) say "stored in $into; '$python results.py --update' updates README.md" ;;
    *) say "stored in $into" ;; # of what stands elsewhere results.py knows nothing
  esac
}

# folder_of TARGET: the folder of a target's results, within that of the network's.
folder_of() {
  case $1 in
    model) ;;
    *) echo "$1s/" ;;
  esac
}

# file_of_mode MODE: its flags as a part of a file's name: --dtype bfloat16 -> dtype_bfloat16
file_of_mode() { printf '%s\n' "$1" | sed -e 's/--//g' -e 's/ /_/g'; }
