#!/bin/sh
# Memory reports, both inputs -> memory_reports/
# Arguments are mem.py's.
wrapper=mem_report.sh
root=$(dirname -- "$0")
. "$root/backbone/store.sh"
prepare mem.py "$@"
for dataset in cityscapes pascal; do
  store 2 "$dataset" memory_reports '' mem.py --i "$dataset" "$@"
done
