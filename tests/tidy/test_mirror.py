"""tests/unit mirrors the core file for file, so that everybody knows where a rule's tests are."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest

from tidy.source import PACKAGE, REPOSITORY, Module, modules_under

STRICT = ("kernel",)
"""Layers where a missing test file fails. The other layers of the core are listed, not failed."""

COVERED_ELSEWHERE = {
    "kernel/limits.py": "numbers only; each is tested where it binds",
    "stores/kv.py": "tests/contract/test_key_value_store.py",
    "protocol/messages.py": "tests/wire",
    "domain/*/commands.py": "values; test_rules.py beside them",
    "domain/*/events.py": "values; test_rules.py and test_state.py beside them",
    "domain/*/model.py": "values; test_rules.py and test_state.py beside them",
    "domain/*/refusals.py": "tests/tidy/test_errors.py, and test_rules.py beside them",
    "services/ports.py": "protocols only",
    "services/stage.py": "protocols only",
    "services/archive_proving.py": "tests/unit/services/test_archive_proof.py",
    "services/findings.py": "values only",
    "services/effects.py": "values only",
}


def missing(modules: Iterable[Module], tests: set[str]) -> list[str]:
    """Core modules without `tests/unit/<layer>/…/test_<name>.py`, and not in the table above."""
    found = []
    for module in modules:
        path = PurePosixPath(module.path)
        if not module.is_core or path.name == "__init__.py":
            continue
        if any(path.match(pattern) for pattern in COVERED_ELSEWHERE):
            continue
        if str(path.with_name(f"test_{path.name}")) not in tests:
            found.append(module.path)
    return found


def test_every_core_module_has_its_test_file(capsys: pytest.CaptureFixture[str]) -> None:
    unit = REPOSITORY / "tests" / "unit"
    lacking = missing(modules_under(PACKAGE), {path.relative_to(unit).as_posix() for path in unit.rglob("test_*.py")})
    if lacking:
        with capsys.disabled():
            print(f"\ncore modules without a unit test file of their own ({len(lacking)}): {', '.join(lacking)}")
    assert not [path for path in lacking if path.startswith(STRICT)]


def test_a_module_without_a_test_is_noticed() -> None:
    modules = [Module("kernel/ids.py", ""), Module("domain/dag/heads.py", ""), Module("kernel/limits.py", "")]
    assert missing(modules, {"kernel/test_ids.py"}) == ["domain/dag/heads.py"]
