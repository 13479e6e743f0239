"""`info` and `status`: what the node says of itself."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action
from icn.cli.blocks import Block, Facts
from icn.cli.endings import Exit
from icn.cli.session import Session


def info(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /info."""
    session.show(session.client.get("/info"), _info_view)
    return Exit.DONE


def status(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /status."""
    session.show(session.client.get("/status"), _status_view)
    return Exit.DONE


def _info_view(answer: Document) -> Sequence[Block]:
    federation, storage, listen = answer.part_or_none("federation"), answer.part("storage"), answer.part("listen")
    path = storage.value_or_none("path")
    return [
        Facts(
            [
                ("version", answer.value("version")),
                ("did", answer.value("did")),
                ("peer id", answer.value("peer_id")),
                ("federation", federation and federation.value("name")),
                ("federation id", federation and federation.value("id")),
                ("storage", _engine(storage.text("backend")) + (f" at {path}" if path else "")),
                ("environment", answer.value("environment")),
                ("started", answer.value("started_at")),
                ("http", listen.value("http")),
                ("p2p", listen.value("p2p")),
                ("execution profile", answer.value("execution_profile")),
                *([("held", held)] if (held := answer.value_or_none("held")) else []),
            ]
        )
    ]


def _engine(backend: str) -> str:
    """`sled` is a name of the deployment guide; the engine behind it is another, which an operator should know."""
    return "sled (LMDB)" if backend == "sled" else backend


def _status_view(answer: Document) -> Sequence[Block]:
    federation, dag, mana = answer.part("federation"), answer.part("dag"), answer.part("mana")
    jobs, executor, supply = answer.part("jobs"), answer.part("executor"), mana.part("supply")
    return [
        Facts(
            [
                ("did", answer.value("did")),
                ("peer id", answer.value("peer_id")),
                ("version", answer.value("version")),
                ("uptime", f"{answer.value('uptime_seconds')} s"),
                ("writer", answer.part("writer").value("state")),
                *([("held", held)] if (held := answer.part("writer").value_or_none("held")) else []),
            ]
        ),
        Facts(
            [
                ("federation", federation.value("name")),
                ("id", federation.value("id")),
                ("state", federation.value("state")),
                ("admitted", federation.value("admitted")),
                ("members", federation.value("members")),
                ("join policy", federation.value("join_policy")),
                ("peers connected", answer.part("peers").value("connected")),
            ]
        ),
        Facts(
            [
                ("dag root", dag.value("root")),
                ("blocks", dag.value("blocks")),
                ("heads", dag.value("heads")),
                ("in sync", dag.value("in_sync")),
                *([("members that forked", f"{count}: icn-cli dag evidence")] if (count := dag.value("forks")) else []),
                ("queue depth", answer.part("queue").value("depth")),
            ]
        ),
        Facts(
            [
                ("mana", mana.value("balance")),
                *((f"supply {name.replace('_', ' ')}", value) for name, value in supply.facts()),
            ]
        ),
        Facts(
            [
                ("jobs open", jobs.value("open")),
                *((f"jobs {name}", value) for name, value in jobs.part("by_status").facts()),
                ("executor", f"{executor.value('running')} of {executor.value('capacity')} running"),
            ]
        ),
    ]


ACTIONS = {"info": Action(info), "status": Action(status)}
