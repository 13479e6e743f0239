"""Generated programs, run by two processes that share nothing, end the same: output, exit, fuel, all counts.

`pytest -m long tests/property/test_generated_programs.py` runs a thousand of them.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.processes import clean_environment

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]
RUNNER = TESTS / "support" / "wasm_programs_run.py"
RUN_SECS_MAX = 1_800


def started(first: int, count: int, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(RUNNER), str(first), str(count), "1"]
    env = clean_environment(PYTHONPATH=str(TESTS), **environment)
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def run_twice(first: int, count: int) -> tuple[dict[int, Any], dict[int, Any]]:
    """By seed, from two processes at the same time, whose own chance, zone and language differ."""
    one = started(first, count, PYTHONHASHSEED="1", TZ="UTC", LANG="C")
    other = started(first, count, PYTHONHASHSEED="2", TZ="Pacific/Auckland", LANG="eo_EO.UTF-8")
    found = []
    for process in (one, other):
        said, _ = process.communicate(timeout=RUN_SECS_MAX)
        assert process.returncode == 0
        lines = [json.loads(line) for line in said.splitlines()]
        found.append({line["seed"]: line for line in lines})
        assert sorted(found[-1]) == list(range(first, first + count))
    return found[0], found[1]


def assert_the_same(first: int, count: int) -> Counter[str]:
    one, other = run_twice(first, count)
    assert [seed for seed in one if one[seed] != other[seed]] == []
    assert len({line["output"] for line in one.values()}) > count // 2, "they would agree on nothing in particular"
    assert sum(max(line["denied"]) > 0 for line in one.values()) > count // 10
    return Counter(line["exit"] for line in one.values())


def test_two_processes_agree_on_twenty_programs() -> None:
    exits = assert_the_same(0, 20)
    assert set(exits) == {"completed", "trapped"}
    assert exits["completed"] > 10


@pytest.mark.long
def test_two_processes_agree_on_a_thousand_programs() -> None:
    exits = assert_the_same(1_000, 1_000)
    print("\n", dict(exits))
    assert set(exits) <= {"completed", "trapped", "out_of_fuel"}
    assert exits["completed"] > 500
