#!/usr/bin/env bash
# A federation of real nodes on this machine: started, given jobs, looked at. The entry points beside this file and in
# scripts/ say how many nodes and jobs, and whether the nodes stay afterwards; icn-cli devnet does the work.
#
#     federation.sh NODES JOBS stay|end [DIR]
#
# Prints one JSON document, the verdict, with what was measured. Exit status 0 only if all nodes were ready, all jobs
# completed and all DAG roots were equal; otherwise that of the first step that failed. After a failure no node runs, and
# data and logs are left to look at.
set -euo pipefail

nodes=$1 jobs=$2 afterwards=$3
dir=${DEVNET_DIR:-${4:-}}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cli=$root/.venv/bin/icn-cli
if [ ! -x "$cli" ] && ! cli=$(command -v icn-cli); then
    echo "there is no icn-cli: run make setup in $root" >&2
    exit 69
fi

ours=""
if [ "$afterwards" = end ] && [ -z "$dir" ]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/icn-devnet.XXXXXX")
    ours=yes
fi

status=0
up=null load=null seen=null down=null
child=""
said=$(mktemp "${TMPDIR:-/tmp}/icn-devnet-said.XXXXXX")

# A step and the name of the variable for its answer. After a step that failed nothing but `down` is done.
step() {
    local name=$1 code=0
    shift
    # In the background, because a shell hears a signal only when it waits for such a one.
    "$cli" devnet "$@" ${dir:+--dir "$dir"} --output json >"$said" &
    child=$!
    wait "$child" || code=$?
    child=""
    [ ! -s "$said" ] || printf -v "$name" '%s' "$(cat "$said")"
    [ "$status" -ne 0 ] || status=$code
    return "$code"
}

# Ctrl-C, or an end that was asked for: the step under way ends, and then as after any other failure.
interrupted() {
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" || true
    fi
    exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

# Whatever happens: nodes that are not to stay do not.
finish() {
    local ended=$?
    trap - EXIT
    trap '' INT TERM
    [ "$status" -ne 0 ] || status=$ended
    if [ "$afterwards" = end ] || [ "$status" -ne 0 ]; then
        if [ "$status" -eq 0 ]; then step down down --purge || true; else step down down || true; fi
    fi
    [ -z "$ours" ] || rmdir "$dir" 2>/dev/null || true
    rm -f "$said"
    local ok=false
    [ "$status" -ne 0 ] || ok=true
    printf '{"ok": %s, "up": %s, "load": %s, "status": %s, "down": %s}\n' "$ok" "$up" "$load" "$seen" "$down"
    exit "$status"
}
trap finish EXIT

step up up --nodes "$nodes" &&
    step load load --jobs "$jobs" --concurrency "$nodes" &&
    step seen status || true
