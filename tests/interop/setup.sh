#!/bin/sh
# Installs the outside judges of our libp2p subset: js-libp2p and the Node.js 22 it wants, from npm, as locked.
set -eu
cd "$(dirname "$0")/js"
npm ci --ignore-scripts --no-audit --no-fund
