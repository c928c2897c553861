#!/bin/sh
# Memory reports, both inputs -> memory_reports/. Arguments are mem.py's.
wrapper=mem_report.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR-}
[ -e "$root/backbone" ] || { echo "$wrapper: in no checkout; sbatch it from one" >&2; exit 1; }
. "$root/backbone/store.sh"
prepare mem.py --struct "$@"
measure_all memory_reports "$@"
