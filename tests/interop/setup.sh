#!/bin/sh
# Installs the outside judges of our libp2p and of our CAR files, each as locked and each in a folder of its own:
# js-libp2p, @ipld/car and the Node.js 22 they want; go-libp2p, where there is a Go toolchain, and where there is none
# p2pd, an older one as a program that a wheel carries (for x86-64); py-libp2p, which has parts that a C compiler makes,
# and wants the headers of GMP. `setup.sh js`, `go`, `py` or `p2pd` installs one of them.
set -eu
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}

js() {
    (cd js && npm ci --ignore-scripts --no-audit --no-fund)
}

go_judge() {
    (cd go && go build -trimpath -ldflags=-s -mod=readonly -o judge .)
}

p2pd() {
    rm -rf p2pd/unpacked p2pd/part
    mkdir p2pd/part
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -d p2pd/part -r p2pd/requirements.lock
    "$PYTHON" - p2pd/part <<'END'
import pathlib, sys, zipfile
[wheel] = (folder := pathlib.Path(sys.argv[1])).glob("*.whl")
with zipfile.ZipFile(wheel) as opened:
    (folder / "p2pd").write_bytes(opened.read("hivemind/hivemind_cli/p2pd"))
wheel.unlink()
END
    chmod 755 p2pd/part/p2pd
    mv p2pd/part p2pd/unpacked
}

any_go() {
    if command -v go >/dev/null; then
        go_judge
    elif [ "$(uname -sm)" = "Linux x86_64" ]; then
        echo "no Go toolchain here: p2pd is tried instead of go-libp2p"
        p2pd
    else
        echo "no Go toolchain here, and p2pd is for Linux on x86-64: go-libp2p is not tried"
    fi
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
        go) any_go ;;
        py) py ;;
        p2pd) p2pd ;;
        *) echo "setup.sh knows js, go, py and p2pd, not '$what'" >&2; exit 2 ;;
    esac
done
