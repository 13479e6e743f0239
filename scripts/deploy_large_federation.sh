#!/usr/bin/env bash
# Twenty nodes, which stay, in a folder of their own: icn-cli devnet status --dir and devnet down --dir take its name,
# which the verdict says. NUM_JOBS jobs are tried.
exec "$(cd "$(dirname "${BASH_SOURCE[0]}")/../icn-devnet" && pwd -P)/federation.sh" 20 "${NUM_JOBS:-20}" stay \
    "${XDG_STATE_HOME:-$HOME/.local/state}/icn/devnet-large"
