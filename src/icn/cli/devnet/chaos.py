"""`devnet chaos`: takes nodes down by chance and brings them back; afterwards all must serve and agree."""

import argparse
import time
from collections import Counter

from icn.cli.arguments import Action, argument, seconds, whole
from icn.cli.devnet import agreement
from icn.cli.devnet.asking import askers
from icn.cli.devnet.blows import Kind, Striking, plan
from icn.cli.devnet.options import DIR, folder_of, within
from icn.cli.devnet.processes import lives
from icn.cli.devnet.starting import Launcher
from icn.cli.devnet.verdict import Verdict, deliver
from icn.cli.endings import Exit
from icn.cli.progress import progress
from icn.cli.session import Session

SECONDS = 20.0
RECOVERY_SECONDS = 60.0
SEED_BYTES = 4


def chaos(session: Session, given: argparse.Namespace) -> Exit:
    """The seed decides who is hit when, and how; the same seed plans the same."""
    folder, verdict = folder_of(session, given), Verdict()
    kinds = [kind for kind in Kind if getattr(given, kind.value, False)] or list(Kind)
    seed: int = getattr(given, "seed", int.from_bytes(session.world.random(SEED_BYTES)))
    folder.read()
    with folder.locked(), progress(session.world) as line:
        devnet = folder.read()
        verdict.check(
            "all processes ran before", all(lives(node.process) for node in devnet.nodes), f"{len(devnet.nodes)} nodes"
        )
        striking = Striking(Launcher(session, folder, devnet), session.world.pause)
        if verdict.ok:
            blows = plan(seed, given.seconds, kinds, [node.name for node in devnet.nodes])
            try:
                striking.run(blows, time.monotonic() + given.seconds, line.tell)
            finally:
                striking.mend(given.within)
        verdict.check("nobody ended by itself", not striking.lost, "; ".join(striking.lost) or "nobody")
        asked = askers(session, folder, striking.devnet.nodes)
        found = agreement.await_that(
            session, lambda: agreement.against_ready(asked) or agreement.against_equal_roots(asked), given.within
        )
    verdict.check("all are ready again and have equal roots", found.holds, found.detail)
    counts = Counter(blow.kind.value for blow in striking.struck)
    verdict.facts |= {
        "seed": seed,
        "seconds": given.seconds,
        **{kind.value: counts[kind.value] for kind in Kind},
        "recovered_after_seconds": found.seconds if found.holds else None,
    }
    return deliver(session, verdict)


ACTIONS = {
    "chaos": Action(
        chaos,
        (
            DIR,
            argument("--kill", action="store_true", help="only these: SIGKILL, and a new start soon after"),
            argument("--pause", action="store_true", help="only these: SIGSTOP, and SIGCONT soon after"),
            argument("--restart", action="store_true", help="only these: SIGTERM, and a new start; may be combined"),
            argument("--seed", metavar="N", type=whole, help="decides who is hit when; default a new one, printed"),
            argument(
                "--seconds", metavar="S", type=seconds, default=SECONDS, help=f"for how long; default {SECONDS:g}"
            ),
            within(RECOVERY_SECONDS, "until all are ready again and agree"),
        ),
    )
}
