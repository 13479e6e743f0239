#!/usr/bin/env bash
# Three nodes, which stay: icn-cli devnet status looks at them, icn-cli devnet down ends them. NUM_JOBS jobs are tried.
exec "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)/federation.sh" 3 "${NUM_JOBS:-6}" stay
