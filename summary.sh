#!/bin/sh
# Model structures, both inputs -> model_structures/
# Arguments are mem.py's.
wrapper=summary.sh
root=$(dirname -- "$0")
. "$root/backbone/store.sh"
prepare mem.py "$@"
for dataset in cityscapes pascal; do
  store model_structures "mobilenetv2_$dataset" '' mem.py --struct True --i "$dataset" "$@"
done
