#!/bin/sh
# Model structures, both inputs -> model_structures/. Arguments are passed on to mem.py.
wrapper=summary.sh root=$(dirname -- "$0")
[ -e "$root/shell/start.sh" ] || root=${SLURM_SUBMIT_DIR:?in no checkout; sbatch it from one}
. "$root/shell/start.sh" || exit

plan() {
  for input in $inputs; do
    printf '%s\n' "mem.py --struct True --i $input"
  done
}
exec "$python" "$root/shell/measure.py" "$wrapper" "$(plan)" "$@"
