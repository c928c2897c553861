#!/bin/sh
# Model structures, both inputs -> model_structures/. Arguments are mem.py's.
wrapper=summary.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR-}
[ -e "$root/backbone" ] || { echo "$wrapper: in no checkout; sbatch it from one" >&2; exit 1; }
. "$root/backbone/store.sh"
prepare mem.py --struct "$@"
script='mem.py --struct True'
measure_all model_structures "$@"
