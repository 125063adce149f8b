#!/bin/sh
# Make .venv ready: `scripts/setup.sh run` for what the services need, `scripts/setup.sh dev` for tests and checks too.
# Packages are checked against the hashes in requirements*.txt; nothing happens when they are installed already.
set -eu
cd "$(dirname "$0")/.."
kind=${1:-run}
case $kind in
  run) pins=requirements.txt ;;
  dev) pins=requirements-dev.txt ;;
  *) echo "setup: expected run or dev, got $kind" >&2; exit 2 ;;
esac

say() { echo "setup: $*" >&2; }

fresh() { # whether what was installed for this kind is what is wanted now
  [ -x .venv/bin/python ] && [ -f ".venv/.$1" ] && cat "$2" pyproject.toml | cmp -s - ".venv/.$1"
}

compile() { # the kernels of the aggregator, once for their sources and this processor; an aggregator that finds none waits for them
  .venv/bin/python -c "from services.aggregator.compiled.kernels import KERNELS; KERNELS.warm(wait=True)" >>.venv/setup.log 2>&1 ||
    { tail -n 15 .venv/setup.log >&2; exit 1; }
  touch .venv/.kernels
}

stale() { # whether something that is compiled was changed since
  [ ! -e .venv/.kernels ] || [ -n "$(cd services/aggregator && find compiled kernels fusion -name '*.py' -newer ../../.venv/.kernels)" ]
}

if fresh dev requirements-dev.txt || { [ "$kind" = run ] && fresh run "$pins"; }; then
  # Tests compile what they need; who only runs it is told what takes half a minute.
  if [ "$kind" = run ] && stale; then
    say "compiling the kernels of the aggregator, which changed (half a minute)"
    compile
  fi
  exit 0
fi

if [ ! -x .venv/bin/python ]; then
  python=
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    say "Python 3.11 or newer is needed, and none was found."
    say "Debian, Ubuntu: apt install python3.11 python3.11-venv   macOS: brew install python@3.11   elsewhere: python.org"
    say "If it has another name or place: make setup PYTHON=/path/to/python3.11"
    exit 1
  fi
  say "1/3 virtual environment .venv with $("$python" --version)"
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    say "Python cannot make virtual environments here. Debian, Ubuntu: apt install python3.11-venv"
    exit 1
  fi
fi

free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ "$free_mb" -lt 2000 ]; then
  say "the disk of $(pwd) has $free_mb MB free, 2000 are needed; make room and run it again"
  exit 1
fi

total=$(grep -c '^[a-zA-Z0-9._-]*==' "$pins")
say "2/3 up to $total packages, each checked against its hash (some minutes the first time)"
.venv/bin/python -m pip install --disable-pip-version-check --no-input --require-hashes -r "$pins" >.venv/setup.log 2>&1 &
installer=$!
trap 'kill $installer 2>/dev/null || true' INT TERM
shown=
while kill -0 $installer 2>/dev/null; do
  line=$(grep -E '^(Collecting|Installing|Building)' .venv/setup.log 2>/dev/null | tail -n 1 | cut -c1-70 | sed 's/ (from.*//' || true)
  done_so_far=$(grep -c '^Collecting' .venv/setup.log 2>/dev/null || true)
  if [ -n "$line" ] && [ "$line" != "$shown" ]; then
    say "    ${done_so_far:-0}/$total  $line"
    shown=$line
  fi
  sleep 1
done
if ! wait $installer; then
  tail -n 15 .venv/setup.log >&2
  say "the packages could not be installed; the whole log is .venv/setup.log"
  exit 1
fi

say "3/3 the command parallax and its compiled parts (half a minute)"
.venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet --no-deps --no-build-isolation --editable . \
  >>.venv/setup.log 2>&1 || { tail -n 15 .venv/setup.log >&2; exit 1; }
compile
cat "$pins" pyproject.toml >".venv/.$kind"
say "ready: .venv/bin/parallax --help"
