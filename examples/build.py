#!/usr/bin/env python3
"""Builds the example jobs: every `examples/<name>/<name>.c` or `.wat` becomes `<name>.wasm`, in FOLDER or beside it.

    python examples/build.py [FOLDER]

Text (.wat) needs nothing but this project's own dependencies. C needs clang with the WebAssembly target, its linker and
a C library for WASI; on Debian and Ubuntu:

    apt-get install --no-install-recommends clang lld wasi-libc libclang-rt-dev-wasm32 libstb-dev

The modules that were made from the C sources are kept beside them, so that nobody needs a compiler to run one.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from icn.adapters.wasm.text import compile_text

EXAMPLES = Path(__file__).resolve().parent
CLANG_FLAGS = ("--target=wasm32-wasi", "-O2", "-std=c17", "-Wall", "-Wextra", "-Werror", "-Wl,--strip-all")


def build_text(source: Path, target: Path) -> None:
    """The binary module of one text file."""
    target.write_bytes(compile_text(source.read_text(encoding="utf-8")))


def build_c(source: Path, target: Path) -> None:
    """A WASI command of one C file. Raises `CalledProcessError` when it does not compile."""
    # From its own folder, so that no path of this machine gets into the module.
    command = ["clang", *CLANG_FLAGS, "-o", str(target.resolve()), source.name]
    subprocess.run(command, check=True, cwd=source.parent)  # noqa: S603 - clang and our own sources


def main(arguments: list[str]) -> int:
    """Build all; say what was written, and what was not."""
    has_clang = shutil.which("clang") is not None
    for source in sorted((*EXAMPLES.glob("*/*.wat"), *EXAMPLES.glob("*/*.c"))):
        target = (Path(arguments[0]) if arguments else source.parent) / f"{source.stem}.wasm"
        if source.suffix == ".c" and not has_clang:
            sys.stderr.write(f"{source.name} was not built: there is no clang here; see the top of examples/build.py\n")
            return 1
        (build_c if source.suffix == ".c" else build_text)(source, target)
        sys.stdout.write(f"{target} ({target.stat().st_size} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
