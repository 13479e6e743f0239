"""Finds the WASI test-suite's prebuilt modules, and reads what docs/sandbox.md says of each.

`tests/interop/wasi/setup.sh` fetches the modules from a package, locked; `wasi` among the published vectors may hold
them too, laid out as their own repository has them. They are never copied into the project.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.skips import VECTORS_ABSENT
from support.vectors import vectors_root

_REPOSITORY = Path(__file__).resolve().parents[2]
FETCHED = _REPOSITORY / "tests" / "interop" / "wasi" / "modules"
PAGE = _REPOSITORY / "docs" / "sandbox.md"
PASSES = "passes"


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One module, and what its author expects of a host."""

    module: bytes
    arguments: tuple[str, ...]
    exit_code: int
    stdout: str | None


def said_of_each() -> dict[str, str]:
    """What the page's table says of each test: that it passes, or why it cannot."""
    rows = (line.split("|")[1:3] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `"))
    return {name.strip().strip("`"): said.strip() for name, said in rows if "/" in name}


def suite_folder() -> Path:
    """Where the modules are; skips the calling test where they are nowhere."""
    for folder in (FETCHED, vectors_root() / "wasi"):
        if folder.is_dir():
            return folder
    pytest.skip(f"{VECTORS_ABSENT}: run tests/interop/wasi/setup.sh, or put the suite into {vectors_root() / 'wasi'}")


def suite_tests(folder: Path) -> dict[str, SuiteTest]:
    """Every preview 1 test by `language/name`."""
    found = {}
    for path in sorted(folder.glob("*/testsuite/wasm32-wasip1/*.wasm")):
        described = path.with_suffix(".json")
        asked = json.loads(described.read_text(encoding="utf-8")) if described.exists() else {}
        found[f"{path.parents[2].name}/{path.stem}"] = SuiteTest(
            module=path.read_bytes(),
            arguments=tuple(asked.get("args", ())),
            exit_code=asked.get("exit_code", 0),
            stdout=asked.get("stdout"),
        )
    return found
