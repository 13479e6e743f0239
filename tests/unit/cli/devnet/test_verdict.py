"""A verdict is good only when something was checked and all of it held."""

import pytest

from icn.cli.devnet.verdict import Verdict, seconds_of


def test_nothing_checked_is_not_well() -> None:
    assert not Verdict().ok


def test_one_thing_off_is_enough() -> None:
    verdict = Verdict()
    verdict.check("roots", True, "equal")
    verdict.facts["nodes"] = 3
    assert verdict.ok
    verdict.check("jobs", False, "9 of 10")
    assert verdict.document() == {
        "ok": False,
        "checks": [
            {"name": "roots", "ok": True, "detail": "equal"},
            {"name": "jobs", "ok": False, "detail": "9 of 10"},
        ],
        "nodes": 3,
    }


@pytest.mark.parametrize(
    ("values", "p50", "p99", "longest"),
    [
        ([2.0], 2.0, 2.0, 2.0),
        ([3.0, 1.0, 2.0], 2.0, 3.0, 3.0),
        ([float(n) for n in range(1, 201)], 100.0, 198.0, 200.0),
    ],
)
def test_percentiles(values: list[float], p50: float, p99: float, longest: float) -> None:
    found = seconds_of(values)
    assert (found["p50"], found["p99"], found["max"]) == (p50, p99, longest)


def test_nothing_measured_is_no_number() -> None:
    assert set(seconds_of([]).values()) == {None}
