"""`devnet up`: makes a devnet, or brings one back that was stopped, killed or interrupted; more nodes may be added."""

import argparse
import signal
import time

from icn.cli.arguments import Action, argument
from icn.cli.blocks import Column, Show, Table
from icn.cli.devnet import agreement
from icn.cli.devnet.admitting import Admitter
from icn.cli.devnet.asking import askers
from icn.cli.devnet.folder import Folder
from icn.cli.devnet.options import DIR, folder_of, node_count, within
from icn.cli.devnet.processes import send
from icn.cli.devnet.starting import Launcher, Started, start
from icn.cli.devnet.state import Devnet, Terms
from icn.cli.devnet.verdict import Verdict, deliver
from icn.cli.endings import Ended, Exit
from icn.cli.progress import progress
from icn.cli.session import Session

NODES = 3
SECONDS = 120.0
API_KEY_BYTES = 32
BACKENDS = ("sqlite", "sled", "rocksdb")
POLICIES = ("open", "invite", "vote")


def up(session: Session, given: argparse.Namespace) -> Exit:
    """Start what does not run, admit who is not admitted, and wait until all of them agree."""
    folder, verdict = folder_of(session, given), Verdict()
    begun = time.monotonic()
    folder.refuse_foreign()
    with folder.locked():
        folder.make(session.world.random(API_KEY_BYTES).hex())
        devnet = _planned(folder, given)
        folder.write(devnet)
        for node in devnet.nodes:
            send(node.process, signal.SIGCONT)
        names = [node.name for node in devnet.nodes]
        with progress(session.world) as line:
            started = start(Launcher(session, folder, devnet), names, within=given.within, tell=line.tell)
            _check_start(verdict, started, time.monotonic() - begun)
            if verdict.ok:
                line.tell("waiting until all are members and agree")
                _check_federation(session, folder, started.devnet, verdict, given.within - (time.monotonic() - begun))
    _tell(verdict, folder, started, time.monotonic() - begun)
    return deliver(session, verdict, shown=[_table(started)])


def _planned(folder: Folder, given: argparse.Namespace) -> Devnet:
    found = folder.read_or_none()
    asked: int | None = getattr(given, "nodes", None)
    settings = tuple(getattr(given, "settings", ()))
    if found is None:
        return Devnet(
            Terms(getattr(given, "backend", "sqlite"), getattr(given, "policy", "open"), settings), ()
        ).grown_to(asked or NODES)
    terms = found.terms
    named = Terms(
        getattr(given, "backend", terms.backend), getattr(given, "policy", terms.policy), settings or terms.settings
    )
    if named != terms:
        raise _other_terms(folder, "was made with other terms, and its data keeps them")
    if asked is not None and asked < len(found.nodes):
        raise _other_terms(folder, f"has {len(found.nodes)} nodes, and none is taken away")
    return found.grown_to(asked or len(found.nodes))


def _other_terms(folder: Folder, why: str) -> Ended:
    return Ended(
        Exit.REFUSED,
        f"the devnet in {folder.root} {why}",
        code="cli.devnet_exists",
        next_step="Name another --dir, or remove it: icn-cli devnet down --purge.",
    )


def _check_start(verdict: Verdict, started: Started, took: float) -> None:
    count = len(started.devnet.nodes)
    told = "; ".join(f"{name}: {why}" for name, why in sorted(started.failures.items()))
    verdict.check(
        "all nodes are ready",
        not started.failures,
        f"{len(started.ready)} of {count} after {took:.1f} s. {told}".rstrip(". "),
    )
    verdict.facts["ready_after_seconds"] = round(took, 2) if not started.failures else None


def _check_federation(
    session: Session, folder: Folder, devnet: Devnet, verdict: Verdict, within_seconds: float
) -> None:
    asked = askers(session, folder, devnet.nodes)
    admitter = Admitter(asked, votes=devnet.terms.policy == "vote")

    def look() -> str | None:
        return (
            admitter.against() or agreement.against_equal_members(asked, len(asked)) or agreement.against_ready(asked)
        )

    found = agreement.await_that(session, look, max(1.0, within_seconds))
    verdict.check("all are members, serve, and have equal roots", found.holds, found.detail)


def _tell(verdict: Verdict, folder: Folder, started: Started, took: float) -> None:
    devnet = started.devnet
    verdict.facts |= {
        "seconds": round(took, 2),
        "directory": str(folder.root),
        "api_key_file": str(folder.api_key),
        "backend": devnet.terms.backend,
        "policy": devnet.terms.policy,
        "nodes": [
            {
                "name": node.name,
                "http": f"http://{node.http}" if node.http else None,
                "p2p": node.p2p or None,
                "did": node.did or None,
                "pid": None if node.process is None else node.process.pid,
                "ready_seconds": started.seconds.get(node.name),
                "log": str(folder.log_of(node.name)),
            }
            for node in devnet.nodes
        ],
    }


def _table(started: Started) -> Table:
    rows = [
        [node.name, f"http://{node.http}", None if node.process is None else node.process.pid, node.p2p]
        for node in started.devnet.nodes
    ]
    columns = [Column("NODE"), Column("API"), Column("PID"), Column("P2P", Show.PIPED_ONLY)]
    return Table(columns, rows, when_empty="no nodes")


ACTIONS = {
    "up": Action(
        up,
        (
            DIR,
            argument("--nodes", metavar="N", type=node_count, help=f"default {NODES}, or as many as there are"),
            argument("--backend", choices=BACKENDS, help="what keeps their data; default sqlite"),
            argument("--policy", choices=POLICIES, help="how nodes join; default open"),
            argument(
                "--set",
                dest="settings",
                action="append",
                metavar="SECTION.KEY=VALUE",
                help="any setting, for every node; may be given several times",
            ),
            within(SECONDS, "until all are ready and agree"),
        ),
    )
}
