"""What a devnet command measured and what it checked: one JSON document, and an exit status that follows from it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Exit
from icn.cli.render import render
from icn.cli.session import Session


class Check(NamedTuple):
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str


class Verdict:
    """Filled while the command works, delivered at its end, whichever that is."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.facts: dict[str, Any] = {}

    @property
    def ok(self) -> bool:
        """Whether something was checked, and all of it held."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def check(self, name: str, holds: bool, detail: str) -> bool:  # noqa: FBT001 - reads as a sentence
        """Note whether it holds; returns that."""
        self.checks.append(Check(name, holds, detail))
        return holds

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"ok": self.ok, "checks": [check._asdict() for check in self.checks], **self.facts}


def deliver(session: Session, verdict: Verdict, *, shown: Sequence[Block] = ()) -> Exit:
    """Print it, and say how the command ends. `shown`: tables for people, above the checks."""
    if session.as_json:
        session.world.print(json.dumps(verdict.document(), ensure_ascii=False))
    else:
        rows = [[check.name, "ok" if check.ok else "NOT OK", check.detail] for check in verdict.checks]
        columns = [Column("CHECK"), Column("RESULT"), Column("DETAIL", Show.REST)]
        render(
            [*shown, Facts(list(_plain(verdict.facts))), Table(columns, rows, when_empty="nothing was checked")],
            session.world,
        )
    return Exit.DONE if verdict.ok else Exit.NOT_FOUND_OR_UNVERIFIED


def seconds_of(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, median, 99th percentile and longest, in seconds; None where nothing was measured."""
    ordered = sorted(values)
    if not ordered:
        return {"mean": None, "p50": None, "p99": None, "max": None}
    found: Mapping[str, float] = {
        "mean": sum(ordered) / len(ordered),
        "p50": ordered[(len(ordered) - 1) // 2],
        "p99": ordered[-(-len(ordered) * 99 // 100) - 1],
        "max": ordered[-1],
    }
    return {name: round(value, 3) for name, value in found.items()}


def _plain(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Facts one a line, those within others under both names. Lists of more than words are for tables or JSON."""
    for name, value in facts.items():
        words = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _plain(value, f"{words} ")
        elif not isinstance(value, list) or all(isinstance(item, str) for item in value):
            yield words, value
