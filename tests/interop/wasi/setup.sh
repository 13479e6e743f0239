#!/bin/sh
# Fetches the prebuilt preview 1 modules of the WASI test-suite into modules/. They come inside a package of the Rust
# registry, the source of another runtime's command line, which carries them for its own tests: locked by version and
# by the hash of the package. `cargo info` (Rust 1.82 or later) downloads that one package and builds nothing.
set -eu
cd "$(dirname "$0")"

package=wasmtime-cli
version=46.0.1
sha256=ecbb7ede0fb533d605674047f066936ee535a62946f0bcdb7d117bfcf7f6d838

cargo info --quiet "$package@$version" >/dev/null
archive=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "$package-$version.crate" | head -n 1)
printf '%s  %s\n' "$sha256" "$archive" | sha256sum --check --quiet
rm -rf modules modules.part
mkdir modules.part
tar -xzf "$archive" -C modules.part --strip-components=5 --wildcards \
    "$package-$version/tests/wasi_testsuite/wasi-common/tests/*/testsuite/wasm32-wasip1/*.wasm" \
    "$package-$version/tests/wasi_testsuite/wasi-common/tests/*/testsuite/wasm32-wasip1/*.json"
mv modules.part modules
