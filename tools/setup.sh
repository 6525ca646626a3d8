#!/usr/bin/env bash
# Make .venv ready for one requirements file: tools/setup.sh requirements.txt | requirements-dev.txt
#
# .venv/installed-<file> records what was installed. It is written last, so a set-up that was interrupted starts again,
# and while it matches the requirement files there is nothing to do.
set -eu
cd "$(dirname "$0")/.."
wanted=${1:?usage: tools/setup.sh requirements.txt|requirements-dev.txt}

main() {
  if ready; then return; fi
  if ! usable; then
    find_python
    echo "Creating the environment in .venv with $("$python" --version) ..."
    if [ -L .venv ]; then rm .venv; fi # --clear would empty the environment that a link points to
    "$python" -m venv --clear .venv
  fi
  echo "Installing the libraries of $wanted into .venv (first time only: up to 7 GB, several minutes) ..."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$wanted"
  record "$wanted"
  if [ "$wanted" = requirements-dev.txt ]; then record requirements.txt; fi
  echo "The environment is ready."
}

# What a stamp must say: the place (an environment cannot be moved) and every requirement.
stamp() { pwd -P; cat requirements.txt; if [ "$1" = requirements-dev.txt ]; then cat requirements-dev.txt; fi; }
record() { stamp "$1" > ".venv/installed-$1"; }
ready() { [ -x .venv/bin/python ] && [ -f ".venv/installed-$wanted" ] && [ "$(stamp "$wanted")" = "$(cat ".venv/installed-$wanted")" ]; }

# An environment that runs, is new enough, has pip and stands where it was made.
usable() {
  [ -x .venv/bin/python ] && new_enough .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1 \
    && grep -qF "$(pwd -P)/.venv" .venv/bin/activate
}
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# Sets `python` to an interpreter that can make an environment.
find_python() {
  if pick_python; then return; fi
  if command -v apt-get >/dev/null 2>&1 && as_root true 2>/dev/null; then
    echo "Installing Python with its venv module (apt-get install python3 python3-venv) ..."
    as_root apt-get update -qq >/dev/null && as_root apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null || true
    if pick_python; then return; fi
  fi
  {
    echo "Python 3.11 or newer with its venv module is needed and was not found."
    echo "Debian and Ubuntu: sudo apt-get install python3 python3-venv. Others: https://www.python.org/downloads/"
  } >&2
  exit 1
}
pick_python() {
  for python in python3.13 python3.12 python3.11 python3; do
    if new_enough "$python" && "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then return 0; fi
  done
  return 1
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

main
