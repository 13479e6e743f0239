"""`mesh blacklist`: which executors this node gives no jobs, why and for how long; and clearing one of them."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Exit
from icn.cli.events import say_how_to_go_on
from icn.cli.session import Session

_COLUMNS = (
    ("executor", Column("EXECUTOR", Show.SHORT)),
    ("state", Column("STATE")),
    ("seconds_left", Column("SECONDS LEFT")),
    ("failures", Column("FAILURES")),
    ("reason", Column("REASON", Show.REST)),
    ("banned_at", Column("BANNED", Show.PIPED_ONLY)),
    ("until", Column("UNTIL", Show.PIPED_ONLY)),
    ("trial", Column("TRIAL", Show.PIPED_ONLY)),
)


def blacklist(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/blacklist, or POST /mesh/blacklist/clear."""
    if (executor := getattr(given, "clear", None)) is not None:
        answer = session.write("/mesh/blacklist/clear", {"did": str(executor)})
        session.show(answer, lambda cleared: [Facts(cleared.facts())])
        return Exit.DONE
    query = [(name, getattr(given, name, None)) for name in ("limit", "cursor")]
    answer = session.client.get("/mesh/blacklist", query)
    session.show(answer, _view)
    say_how_to_go_on(session, answer.document())
    return Exit.DONE


def _view(answer: Document) -> Sequence[Block]:
    rows = [[line.value(name) for name, _ in _COLUMNS] for line in answer.parts("items")]
    return [Table([column for _, column in _COLUMNS], rows, when_empty="no executor is on the blacklist")]
