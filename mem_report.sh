#!/bin/sh
# Memory reports, both inputs -> memory_reports/. Arguments are passed on to mem.py.
wrapper=mem_report.sh root=$(dirname -- "$0")
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/start.sh" || exit

plan() {
  for input in $inputs; do
    printf '%s\n' "mem.py --i $input"
  done
}
exec "$python" "$root/shell/measure.py" "$wrapper" "$(plan)" "$@"
