#!/bin/sh
# Installs the outside judges of our libp2p subset and our CAR files: js-libp2p, @ipld/car and the Node.js 22 they want,
# from npm, as locked.
set -eu
cd "$(dirname "$0")/js"
npm ci --ignore-scripts --no-audit --no-fund
