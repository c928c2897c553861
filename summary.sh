#!/bin/sh
# Model structures, both inputs -> model_structures/
# Arguments are mem.py's.
wrapper=summary.sh
root=$(dirname -- "$0")
[ -e "$root/backbone/store.sh" ] || root=${SLURM_SUBMIT_DIR-}
[ -e "$root/backbone/store.sh" ] || {
  echo "$wrapper: in no checkout; in Slurm, sbatch it from the checkout's own folder" >&2
  exit 1
}
. "$root/backbone/store.sh"
prepare mem.py "$@"
store_in model_structures
for dataset in cityscapes pascal; do
  measure 2 "$dataset" "${network}_$dataset" '' mem.py --struct True --i "$dataset" "$@"
done
keep_results
