#!/bin/sh
# Model structures, both inputs -> model_structures/. Arguments are mem.py's.
wrapper=summary.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/backbone/store.sh" || exit
prepare mem.py --struct "$@"
script='mem.py --struct True'
measure_all model_structures "$@"
