#!/bin/sh
# Inference times on a CUDA GPU, both inputs, all targets -> mobilenetv2_stats/
# Without a CUDA device, cpu/stats.sh takes over. Arguments are timer.py's.
wrapper=stats.sh
root=$(dirname -- "$0")
. "$root/backbone/store.sh"
prepare timer.py "$@"
attend "$python" -c 'import sys
from backbone.machine import why_no_cuda
if reason := why_no_cuda():
    print(f"stats.sh: {reason}: handing over to cpu/stats.sh, which measures the CPU", file=sys.stderr)
    sys.exit(3)'
case $? in
  0) time_all timer.py mobilenetv2_stats "$@" ;;
  3) exec sh cpu/stats.sh "$@" ;;
  *) fail "cannot ask torch for a CUDA device" ;;
esac
