"""Tests are deterministic, and none stands on another: no mocks, no sleeping, no imports between tests."""

import ast
from collections.abc import Iterator

import pytest

from tidy.source import REPOSITORY, Finding, Module, modules_under

SHARED = ("support/", "conftest.py")
"""What tests share. Waiting for another process or socket is written once, there, and bounded by time."""
MOCKS = {"unittest.mock", "mock", "pytest_mock", "freezegun", "responses", "respx", "vcr"}


def check(module: Module) -> list[Finding]:
    return sorted(Finding(module.path, line, what) for line, what in _found(module))


def _found(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(source), names=names):
                imported = [source, *(f"{source}.{alias.name}" for alias in names)]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep"), args=[argument]):
                yields = isinstance(argument, ast.Constant) and argument.value == 0
                if not yields and not module.path.startswith(SHARED):
                    yield node.lineno, "sleeps: wait for what you mean, in tests/support, bounded by time"
                continue
            case _:
                continue
        for name in imported:
            if name in MOCKS:
                yield node.lineno, f"imports {name}: a double that passes the real thing's contract suite, not a mock"
            if any(part.startswith("test_") for part in name.split(".")):
                yield node.lineno, f"imports {name}: what tests share is in tests/support"


def test_our_tests_keep_the_rules() -> None:
    found = [finding for module in modules_under(REPOSITORY / "tests") for finding in check(module)]
    assert not found, "\n" + "\n".join(map(str, found))


PLANTED = {
    "mock": "from unittest import mock",
    "mock inside": "from unittest.mock import Mock",
    "sleep": "import time\ntime.sleep(1)",
    "asynchronous sleep": "import asyncio\n\nasync def f():\n    await asyncio.sleep(0.1)",
    "another test": "from unit.test_ids import ALICE",
}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_violation_is_found(text: str) -> None:
    assert check(Module("unit/test_x.py", text))


def test_giving_way_to_the_loop_is_no_sleep() -> None:
    assert not check(Module("unit/test_x.py", "import asyncio\n\nasync def f():\n    await asyncio.sleep(0)"))
