#!/bin/sh
# All tests: pytest, ruff, shellcheck. Sets up .venv where they are missing. Arguments are pytest's.
wrapper=tests/run.sh
root=$(dirname -- "$0")/..
. "$root/shell/wrapper.sh"
one_at_a_time
use_python 'backbone.network.library, calmsize, matplotlib, numpy, onnxruntime, onnxscript, openvino, pyperf, pytest, pytorch_memlab, ruff, scipy, torchsummary, tqdm, xdist' \
  tests/requirements.txt
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
"$python" -m ruff check || exit
"$python" -m ruff format --check || exit
"$scripts/shellcheck" -a -x ./*.sh cpu/*.sh tests/*.sh .ci/run || exit
"$python" -m pytest -n 2 --dist worksteal "$@" tests
