"""Whether the nodes of a devnet agree: the same members and DAG root, nothing held or in transit, no mana lost."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from icn.cli.answer import Document
from icn.cli.devnet.asking import Asker, of_all
from icn.cli.endings import Ended
from icn.cli.session import Session

PAUSE_FIRST = 0.1
PAUSE_MAX = 1.0
PAUSE_GROWTH = 1.3


class Agreement(NamedTuple):
    """What was found in the end."""

    holds: bool
    seconds: float
    """Until it did, or was given up."""
    detail: str


def await_that(session: Session, look: Callable[[], str | None], within: float) -> Agreement:
    """Look again and again until there is nothing to say against it."""
    begun = time.monotonic()
    pause = PAUSE_FIRST
    while True:
        try:
            against = look()
        except Ended as ended:  # what one node says may be mended by time; if not, this is what is told in the end
            against = ended.what
        took = time.monotonic() - begun
        if against is None:
            return Agreement(holds=True, seconds=round(took, 2), detail=f"after {took:.1f} s")
        if took > within:
            return Agreement(holds=False, seconds=round(took, 2), detail=f"not within {within:.0f} s: {against}")
        session.world.pause(pause)
        pause = min(PAUSE_MAX, pause * PAUSE_GROWTH)


def against_ready(asked: Sequence[Asker]) -> str | None:
    """Who does not say that it can serve."""
    absent = [name for name, ready in of_all(asked, lambda one: one.is_ready()).items() if ready is not True]
    return f"{', '.join(absent)} not ready" if absent else None


def against_equal_roots(asked: Sequence[Asker]) -> str | None:
    """What is wrong with them, if anything."""
    return _against(of_all(asked, lambda one: one.root()), "DAG roots")


def against_equal_members(asked: Sequence[Asker], count: int) -> str | None:
    """Whether everybody knows so many members, all of them admitted, and has the same root."""
    found = of_all(asked, _members)
    for name, members in found.items():
        if isinstance(members, Ended):
            return f"{name}: {members.what}"
        if members < count:
            return f"{name} knows {members} of {count} members"
    return against_equal_roots(asked)


def against_settled(asked: Sequence[Asker]) -> str | None:
    """Whether nothing is held or in transit, the supply adds up, is the same everywhere, and so are the roots."""
    found = of_all(asked, lambda one: one.get("/mana/supply"))
    for name, supply in found.items():
        if isinstance(supply, Ended):
            return f"{name}: {supply.what}"
        if not supply.truth("balanced"):
            return f"{name}: the supply does not add up"
        for part in ("held", "in_transit"):
            if supply.value(part) != 0:
                return f"{name}: {supply.value(part)} mana {part.replace('_', ' ')}"
    minted = {name: _minted(supply) for name, supply in found.items() if isinstance(supply, Document)}
    return _against(minted, "supplies") or against_equal_roots(asked)


def _members(one: Asker) -> int:
    members = one.get("/federation/status").parts("members")
    return sum(1 for member in members if member.truth("joined") and member.truth("admitted"))


def _minted(supply: Document) -> str:
    return f"{supply.value('minted')} - {supply.value('burned')}"


def _against(found: "dict[str, str | Ended] | dict[str, str]", what: str) -> str | None:
    for name, value in found.items():
        if isinstance(value, Ended):
            return f"{name}: {value.what}"
    different = sorted({str(value) for value in found.values()})
    return None if len(different) == 1 else f"{len(different)} different {what}"
