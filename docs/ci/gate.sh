#!/bin/sh
# Is this checkout's reference engine slower than BASE's?  Exit 0 no, 1 yes, 3 cannot tell, 4 no
# valid measurement.  Everything it starts ends with it; load stays on loopback.
#
#   sh docs/ci/gate.sh [BASE] [flags of harness run]      BASE: a git revision (default origin/main)
#   sh docs/ci/gate.sh HEAD~1 --on-inconclusive pass
#
# PYTHON: an interpreter with the harness and its engine installed (default .venv/bin/python).
set -eu
base=${1:-origin/main}
[ $# -gt 0 ] && shift
root=$(git rev-parse --show-toplevel)
python=${PYTHON:-$root/.venv/bin/python}
work=$(mktemp -d)
pids=""

cleanup() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    git -C "$root" worktree remove --force "$work/base" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# serve NAME CHECKOUT: the engine of that checkout on a free port; its URL goes to $work/NAME.url
serve() {
    (cd "$2" && PYTHONPATH=$2 exec "$python" -m engine_under_test serve --model tiny --port 0) \
        > "$work/$1.out" 2> "$work/$1.err" &
    pids="$pids $!"
    for _ in $(seq 1 120); do
        if grep -q '^ready ' "$work/$1.out"; then
            sed -n 's/^ready //p' "$work/$1.out" > "$work/$1.url"
            return 0
        fi
        sleep 0.5
    done
    echo "the engine of $1 did not start:" >&2
    tail -5 "$work/$1.err" >&2
    exit 5
}

git -C "$root" worktree add --quiet --detach "$work/base" "$base"
serve base "$work/base"
serve candidate "$root"
status=0
(cd "$root" && PYTHONPATH=$root "$python" -c 'from harness.cli import main; main()' run gate-reference \
    --set "targets.baseline={kind: openai, url: $(cat "$work/base.url"), model: tiny}" \
    --set "targets.candidate={kind: openai, url: $(cat "$work/candidate.url"), model: tiny}" \
    "$@") || status=$?
exit $status
