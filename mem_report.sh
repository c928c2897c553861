#!/bin/sh
# Memory reports, both inputs -> memory_reports/. Arguments are mem.py's.
wrapper=mem_report.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/backbone/store.sh" || exit
prepare mem.py --struct "$@"
measure_all memory_reports "$@"
