#!/usr/bin/env bash
# Ten nodes and NUM_JOBS jobs; afterwards nothing is left of them, unless something was wrong.
exec "$(cd "$(dirname "${BASH_SOURCE[0]}")/../icn-devnet" && pwd -P)/federation.sh" 10 "${NUM_JOBS:-20}" end
