#!/bin/sh
# Model structures, both inputs -> model_structures/
# Arguments are mem.py's.
wrapper=summary.sh
root=$(dirname -- "$0")
. "$root/backbone/store.sh"
prepare mem.py "$@"
for dataset in cityscapes pascal; do
  store 2 "$dataset" model_structures '' mem.py --struct True --i "$dataset" "$@"
done
