#!/bin/sh
# All tests: pytest, ruff, shellcheck. Sets up .venv if needed. Arguments are passed on to pytest.
wrapper=tests/run.sh root=$(dirname -- "$0")/..
. "$root/shell/start.sh"
use_python tests/requirements.txt "$@"
cd -- "$root" || exit
set +f # the patterns below name files
case $python in "$root"/*) python=.venv/bin/python ;; esac
scripts=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')
"$python" -m ruff check || exit
"$python" -m ruff format --check || exit
"$scripts/shellcheck" -a -x ./*.sh cpu/*.sh tests/*.sh tools/*.sh .ci/run || exit
"$python" -m pytest -n 2 --dist worksteal "$@" tests
