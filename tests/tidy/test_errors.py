"""Error codes are stable, unique and documented; generated references are those of the code."""

import importlib.util
import re
from types import ModuleType

import pytest

from icn.kernel.errors import Fault, Kind, Refusal
from tidy.source import REPOSITORY


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", REPOSITORY / "tools" / "generate_docs.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("tools/generate_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


@pytest.mark.slow
def test_every_leaf_has_a_code_of_its_own_a_meaning_and_a_kind() -> None:
    faults: list[str] = []
    seen: dict[str, str] = {}
    for cls in GENERATOR.error_leaves():
        name = f"{cls.__module__}.{cls.__qualname__}"
        if "code" not in vars(cls):
            faults.append(f"{name}: no code of its own")
        elif not re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", cls.code):
            faults.append(f"{name}: the code {cls.code!r} is not like ledger.insufficient_mana")
        elif cls.code in seen:
            faults.append(f"{name}: the code {cls.code!r} is that of {seen[cls.code]}")
        seen[cls.code] = name
        if not vars(cls).get("__doc__"):
            faults.append(f"{name}: no docstring, and docs/errors.md is made of them")
        if issubclass(cls, Refusal) and not isinstance(cls.kind, Kind):
            faults.append(f"{name}: kind is not a Kind")
        if issubclass(cls, Fault) and issubclass(cls, Refusal):
            faults.append(f"{name}: either the rules said no or the world failed")
    assert not faults, "\n" + "\n".join(faults)
    assert seen


@pytest.mark.slow
@pytest.mark.parametrize("path", GENERATOR.PAGES)
def test_a_committed_reference_is_what_the_code_says(path: str) -> None:
    file = REPOSITORY / path
    assert file.exists(), f"{path} is missing: make docs"
    assert file.read_text(encoding="utf-8") == GENERATOR.PAGES[path](), f"{path} differs from the code: make docs"
