"""`devnet status`: every node as it is now, and whether all of them run, serve and have the same root."""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from icn.cli.arguments import Action
from icn.cli.blocks import Column, Table
from icn.cli.devnet import agreement
from icn.cli.devnet.asking import Asker, askers, of_all
from icn.cli.devnet.options import DIR, folder_of, within
from icn.cli.devnet.processes import Usage, usage
from icn.cli.devnet.state import Node
from icn.cli.devnet.verdict import Verdict, deliver
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session

SECONDS = 10.0
SAMPLE_SECONDS = 1.0
"""Over which the share of a processor is measured."""
MIB = 1024 * 1024


def status(session: Session, given: argparse.Namespace) -> Exit:
    """Look at processes, then ask the nodes."""
    folder, verdict = folder_of(session, given), Verdict()
    devnet = folder.read()
    measured = measure(session, devnet.nodes)
    running = [node for node in devnet.nodes if (used := measured[node.name]) is not None and not used[0].stopped]
    silent = [node.name for node in running if not node.http]
    asked = askers(session, folder, [node for node in running if node.http])
    verdict.check(
        "all processes run",
        len(running) == len(devnet.nodes),
        f"{len(running)} of {len(devnet.nodes)}",
    )
    if silent:
        verdict.check("all that run can be reached", holds=False, detail=f"{', '.join(silent)} not heard of; devnet up")
    if asked:
        ready = agreement.await_that(session, lambda: agreement.against_ready(asked), given.within)
        verdict.check("all that run are ready", ready.holds, ready.detail)
        equal = agreement.await_that(session, lambda: agreement.against_equal_roots(asked), given.within)
        verdict.check("all that run have equal roots", equal.holds, equal.detail)
    told = of_all(asked, _told)
    lines = [_line(node, measured[node.name], told.get(node.name)) for node in devnet.nodes]
    roots = {line["root"] for line in lines}
    verdict.facts |= {
        "directory": str(folder.root),
        "api_key_file": str(folder.api_key),
        "root": roots.pop() if len(roots) == 1 else None,
        "nodes": lines,
    }
    return deliver(session, verdict, shown=[_table(lines)])


def measure(session: Session, nodes: Sequence[Node]) -> dict[str, tuple[Usage, float] | None]:
    """What each node takes, and the percentage of one processor over a moment; None for one that has ended."""
    before = {node.name: usage(node.process) for node in nodes}
    begun = time.monotonic()
    session.world.pause(SAMPLE_SECONDS)
    elapsed = time.monotonic() - begun
    found: dict[str, tuple[Usage, float] | None] = {}
    for node in nodes:
        early, late = before[node.name], usage(node.process)
        if early is None or late is None:
            found[node.name] = None
        else:
            found[node.name] = late, max(0.0, late.cpu_seconds - early.cpu_seconds) / elapsed * 100
    return found


def _told(one: Asker) -> Mapping[str, Any]:
    answer = one.get("/status")
    dag = answer.part("dag")
    return {
        "root": dag.text("root"),
        "blocks": dag.value("blocks"),
        "peers": answer.part("peers").value("connected"),
        "state": answer.part("federation").value("state"),
        "mana": answer.part("mana").value("balance"),
        "uptime_seconds": answer.value("uptime_seconds"),
    }


def _line(node: Node, used: tuple[Usage, float] | None, told: Mapping[str, Any] | Ended | None) -> dict[str, Any]:
    facts = (
        told
        if isinstance(told, Mapping)
        else dict.fromkeys(("root", "blocks", "peers", "state", "mana", "uptime_seconds"))
    )
    return {
        "name": node.name,
        "process": "ended" if used is None else "paused" if used[0].stopped else "running",
        "pid": None if node.process is None else node.process.pid,
        "http": f"http://{node.http}" if node.http else None,
        **facts,
        "cpu_percent": None if used is None else round(used[1], 1),
        "cpu_seconds": None if used is None else round(used[0].cpu_seconds, 2),
        "resident_mib": None if used is None else round(used[0].resident_bytes / MIB, 1),
        "trouble": told.what if isinstance(told, Ended) else None,
    }


_COLUMNS = {
    "name": "NODE",
    "process": "PROCESS",
    "http": "API",
    "root": "ROOT",
    "blocks": "BLOCKS",
    "peers": "PEERS",
    "cpu_percent": "CPU%",
    "resident_mib": "MIB",
}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [str(line[name])[:12] if name == "root" and line[name] else line[name] for name in _COLUMNS] for line in lines
    ]
    return Table([Column(heading) for heading in _COLUMNS.values()], rows, when_empty="no nodes")


ACTIONS = {"status": Action(status, (DIR, within(SECONDS, "until they are ready, and until roots are equal")))}
