#!/bin/sh
# Memory reports, both inputs -> memory_reports/. Arguments are mem.py's.
wrapper=mem_report.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

begin mem.py "--i --input --struct --json" "$@"
name_results mem.py "$@"
for input in $inputs; do
  run_script "memory_reports$conditions/${network}_$input" mem.py --i "$input" "$@" || exit "$status"
done
store_results
show_stored
