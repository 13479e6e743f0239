#!/usr/bin/env python3
"""Builds the example jobs: every `examples/<name>/<name>.wat` becomes `<name>.wasm` in the folder given, or beside it.

    python examples/build.py [FOLDER]

Needs nothing but this project's own dependencies.
"""

import sys
from pathlib import Path

from icn.adapters.wasm.text import compile_text

EXAMPLES = Path(__file__).resolve().parent


def build(source: Path) -> bytes:
    """The binary module of one text file."""
    return compile_text(source.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Build all; say what was written."""
    for source in sorted(EXAMPLES.glob("*/*.wat")):
        target = (Path(arguments[0]) if arguments else source.parent) / f"{source.stem}.wasm"
        target.write_bytes(build(source))
        sys.stdout.write(f"{target} ({target.stat().st_size} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
