#!/bin/sh
# Installs the outside judges of our libp2p and of our CAR files, each as locked and each in a folder of its own:
# js-libp2p, @ipld/car and the Node.js 22 they want; go-libp2p, where there is a Go toolchain; py-libp2p, which has
# parts that a C compiler makes, and wants the headers of GMP. `setup.sh js`, `go` or `py` installs one of them.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}

js() {
    (cd js && npm ci --ignore-scripts --no-audit --no-fund)
}

go_judge() {
    (cd go && go build -trimpath -ldflags=-s -mod=readonly -o judge .)
}

py() {
    rm -rf py/.venv
    "$PYTHON" -m venv py/.venv
    install="py/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes"
    $install --only-binary :all: -r py/requirements-build.lock
    # Three packages have no wheels.
    $install --only-binary :all: --no-binary fastecdsa,python-baseconv,varint --no-build-isolation -r py/requirements.lock
    touch py/.venv/.ready
}

for what in ${*:-js go py}; do
    case "$what" in
        js) js ;;
        go) if command -v go >/dev/null; then go_judge; else echo "no Go toolchain here: go-libp2p is not built"; fi ;;
        py) py ;;
        *) echo "setup.sh knows js, go and py, not '$what'" >&2; exit 2 ;;
    esac
done
