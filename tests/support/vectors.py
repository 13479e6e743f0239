"""Finds test vectors that others have published. They are read where they lie and never copied into the project.

`VECTORS_DIR` names the folder; otherwise it is `../shared/vectors` beside the repository. Where it is absent, a test
that asks for one skips, and the end of the run says loudly how many did (`support.skips`).
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.skips import VECTORS_ABSENT

_REPOSITORY = Path(__file__).resolve().parents[2]


def vectors_root() -> Path:
    """Where the vectors are, whether or not anything is there."""
    return Path(os.environ.get("VECTORS_DIR") or _REPOSITORY.parent / "shared" / "vectors")


def vector_path(relative: str) -> Path:
    """The file or folder `relative` of the vectors; skips the calling test when it is absent."""
    path = vectors_root() / relative
    if not path.exists():
        pytest.skip(f"{VECTORS_ABSENT}: {path}")
    return path


def vector_text(relative: str) -> str:
    """The text of one vector file; skips when absent."""
    return vector_path(relative).read_text(encoding="utf-8")


def vector_json(relative: str) -> Any:
    """One vector file as JSON; skips when absent."""
    return json.loads(vector_text(relative))


def vector_lines(relative: str) -> list[str]:
    """The cases of a list with one case per line: no comments, no empty lines, spaces kept."""
    return [line for line in vector_text(relative).split("\n") if line and not line.startswith("#")]
