#!/bin/sh
# Model structures, both inputs -> model_structures/. Arguments are mem.py's.
wrapper=summary.sh root=$(dirname -- "$0")
[ -e "$root/backbone" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/wrapper.sh" || exit

begin mem.py "--i --input --struct --json" "$@"
name_results mem.py --struct True "$@"
for input in $inputs; do
  run_script "model_structures$conditions/${network}_$input" mem.py --struct True --i "$input" "$@" || exit "$status"
done
store_results
show_stored
