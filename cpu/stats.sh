#!/bin/sh
# Inference times on the CPU, both inputs, all targets -> cpu/mobilenetv2_stats/
# Arguments are cpu/timer.py's.
wrapper=cpu/stats.sh
root=$(dirname -- "$0")/..
. "$root/backbone/store.sh"
prepare cpu/timer.py "$@"
time_all cpu/timer.py cpu/mobilenetv2_stats "$@"
