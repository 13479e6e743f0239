"""`devnet load`: gives the devnet work and says how much of it was done, how fast, and whether all agree afterwards."""

import argparse
import time
from typing import Any

from icn.cli.arguments import Action, argument, positive, seconds, whole
from icn.cli.devnet import agreement
from icn.cli.devnet.asking import PATIENCE_SECONDS, askers
from icn.cli.devnet.loading import Load, Tally
from icn.cli.devnet.options import DIR, folder_of, within
from icn.cli.devnet.verdict import Verdict, deliver, seconds_of
from icn.cli.endings import Exit
from icn.cli.progress import progress
from icn.cli.session import Session

JOBS = 10
AT_ONCE = 8
AT_ONCE_MAX = 64
SECONDS = 300.0
SETTLING_SECONDS = 60.0
WORK_PATIENCE_SECONDS = 30.0
"""For an answer from a node that has much to do."""
FAILURES_SHOWN = 5


def load(session: Session, given: argparse.Namespace) -> Exit:
    """Transfers, then jobs, at all nodes in turn; then nothing may be held or in transit, and roots must be equal."""
    folder, verdict = folder_of(session, given), Verdict()
    devnet = folder.read()
    asked = askers(session, folder, devnet.nodes, patience=min(WORK_PATIENCE_SECONDS, given.within))
    work = Load(session, asked, time.monotonic() + given.within)
    with progress(session.world) as line:
        begun = time.monotonic()
        transfers = work.transfers(
            given.transfers, given.at_once, lambda tally: line.tell(f"{tally.done} of {tally.asked} transfers")
        )
        _tell(verdict, "transfers", transfers, time.monotonic() - begun)
        begun = time.monotonic()
        jobs = work.jobs(given.jobs, given.at_once, lambda tally: line.tell(f"{tally.done} of {tally.asked} jobs"))
        _tell(verdict, "jobs", jobs, time.monotonic() - begun)
        line.tell("waiting until all is settled and all agree")
        asked = askers(session, folder, devnet.nodes, patience=min(PATIENCE_SECONDS, given.settling))
        found = agreement.await_that(session, lambda: agreement.against_settled(asked), given.settling)
    verdict.check("all is settled, no mana made or lost, roots are equal", found.holds, found.detail)
    verdict.facts |= {"agreed_after_seconds": found.seconds if found.holds else None, "nodes": len(asked)}
    return deliver(session, verdict)


def _tell(verdict: Verdict, what: str, tally: Tally, took: float) -> None:
    if not tally.asked:
        return
    failures = "; ".join(tally.failures[:FAILURES_SHOWN])
    verdict.check(
        f"all {what} completed", tally.done == tally.asked, f"{tally.done} of {tally.asked}. {failures}".rstrip(". ")
    )
    facts: dict[str, Any] = {
        "asked": tally.asked,
        "completed": tally.done,
        "success_rate": round(tally.done / tally.asked, 4),
        "seconds": seconds_of(tally.seconds),
        "per_second": round(tally.done / took, 2),
        "failures": tally.failures[:FAILURES_SHOWN],
    }
    verdict.facts[what] = facts


def _at_once(text: str) -> int:
    count = positive(text)
    if count > AT_ONCE_MAX:
        raise argparse.ArgumentTypeError(f"at most {AT_ONCE_MAX}")
    return count


ACTIONS = {
    "load": Action(
        load,
        (
            DIR,
            argument("--jobs", metavar="N", type=whole, default=JOBS, help=f"jobs, over all nodes; default {JOBS}"),
            argument("--transfers", metavar="N", type=whole, default=0, help="transfers from each node to the next"),
            argument(
                "--concurrency",
                dest="at_once",
                metavar="N",
                type=_at_once,
                default=AT_ONCE,
                help=f"under way at once; default {AT_ONCE}",
            ),
            within(SECONDS, "for transfers and jobs"),
            argument(
                "--settling",
                metavar="S",
                type=seconds,
                default=SETTLING_SECONDS,
                help=f"until all agree afterwards; default {SETTLING_SECONDS:g} s",
            ),
        ),
    )
}
