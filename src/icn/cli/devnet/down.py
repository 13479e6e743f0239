"""`devnet down`: asks every node that was started to stop, and says whether all of them did."""

import argparse
import signal
import time
from dataclasses import replace

from icn.cli.arguments import Action, argument
from icn.cli.devnet.announcements import NodeLog
from icn.cli.devnet.folder import Folder
from icn.cli.devnet.options import DIR, folder_of, within
from icn.cli.devnet.processes import await_end, lives, send
from icn.cli.devnet.state import Devnet
from icn.cli.devnet.verdict import Verdict, deliver
from icn.cli.endings import Exit
from icn.cli.session import Session

SECONDS = 20.0
KILLED_SECONDS_MAX = 5.0


def down(session: Session, given: argparse.Namespace) -> Exit:
    """SIGTERM; who is still there after that is killed, and the verdict says so."""
    folder, verdict = folder_of(session, given), Verdict()
    folder.read()  # before the lock makes a folder
    with folder.locked():
        devnet = folder.read()
        _end(devnet, folder, verdict, given.within)
        purges = getattr(given, "purge", False)
        if purges and verdict.ok:
            folder.purge()
        verdict.facts |= {"directory": str(folder.root), "purged": bool(purges and verdict.ok)}
    return deliver(session, verdict)


def _end(devnet: Devnet, folder: Folder, verdict: Verdict, within_seconds: float) -> None:
    begun = time.monotonic()
    running = [node for node in devnet.nodes if lives(node.process)]
    logs = {node.name: NodeLog(folder.log_of(node.name)) for node in running}
    for node in running:
        send(node.process, signal.SIGTERM)
        send(node.process, signal.SIGCONT)  # one that was paused hears the first only when it goes on
    late = await_end([node.process for node in running if node.process is not None], within_seconds)
    for process in late:
        send(process, signal.SIGKILL)
    left = await_end(late, KILLED_SECONDS_MAX)
    for node in devnet.nodes:
        if node.process not in left:
            devnet = devnet.having(replace(node, process=None))
    folder.write(devnet)
    names = [node.name for node in running if node.process in late]
    verdict.check("all processes have ended", not left, f"{len(running) - len(left)} of {len(running)}")
    verdict.check("nobody had to be killed", not names, ", ".join(names) or "all stopped when asked")
    failed = [name for name, log in logs.items() if name not in names and not log.look().has_stopped]
    verdict.check(
        "all said that they have stopped",
        not failed,
        "; ".join(f"{name}: {logs[name].last_words()}" for name in failed),
    )
    verdict.facts |= {
        "stopped": len(running) - len(late),
        "killed": names,
        "seconds": round(time.monotonic() - begun, 2),
    }


ACTIONS = {
    "down": Action(
        down,
        (
            DIR,
            argument("--purge", action="store_true", help="remove keys, data and logs, too"),
            within(SECONDS, "for a node to stop, before it is killed"),
        ),
    )
}
