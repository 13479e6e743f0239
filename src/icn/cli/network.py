"""`network`: connections to other nodes."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Exit
from icn.cli.session import Session

_PEERS = (
    ("peer_id", Column("PEER", Show.SHORT)),
    ("did", Column("DID", Show.PIPED_ONLY)),
    ("address", Column("ADDRESS", Show.REST)),
    ("direction", Column("DIRECTION")),
    ("origin", Column("KNOWN FROM")),
    ("connected_seconds", Column("SECONDS")),
    ("rtt_ms", Column("RTT MS")),
    ("in_sync", Column("IN SYNC")),
    ("gossip_score", Column("SCORE")),
    ("bytes_in", Column("BYTES IN", Show.PIPED_ONLY)),
    ("bytes_out", Column("BYTES OUT", Show.PIPED_ONLY)),
    ("agent", Column("AGENT", Show.PIPED_ONLY)),
)
_DIALING = (
    ("address", Column("ADDRESS", Show.REST)),
    ("origin", Column("KNOWN FROM")),
    ("state", Column("STATE")),
    ("breaker", Column("BREAKER")),
    ("attempts", Column("ATTEMPTS")),
    ("next_attempt_in_seconds", Column("NEXT IN S")),
    ("last_error", Column("LAST ERROR", Show.REST)),
)
_SERVICES = (
    ("place", Column("SERVICE", Show.REST)),
    ("breaker", Column("BREAKER")),
    ("failures", Column("FAILURES")),
)


def peers(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /network/peers."""
    session.show(session.client.get("/network/peers"), _peers_view)
    return Exit.DONE


def _peers_view(answer: Document) -> Sequence[Block]:
    connected, dialing, services = answer.parts("items"), answer.parts("dialing"), answer.parts("services")
    view = [
        Table(
            [column for _, column in _PEERS],
            [[peer.value(name) for name, _ in _PEERS] for peer in connected],
            when_empty="none",
            title="connected",
        ),
        Table(
            [column for _, column in _DIALING],
            [[dialed.value(name) for name, _ in _DIALING] for dialed in dialing],
            when_empty="none",
            title="being dialled",
        ),
    ]
    if services:
        rows = [[service.value(name) for name, _ in _SERVICES] for service in services]
        view.append(Table([column for _, column in _SERVICES], rows, when_empty="none", title="services"))
    return view


def connect(session: Session, given: argparse.Namespace) -> Exit:
    """POST /network/connect."""
    session.show(session.client.ask("/network/connect", {"address": given.address}), _connected_view)
    return Exit.DONE


def _connected_view(answer: Document) -> Sequence[Block]:
    shown = (("connected", "peer_id"), ("did", "did"), ("address", "address"))
    return [Facts([(word, answer.value(name)) for word, name in shown])]


ACTIONS = {
    "peers": Action(peers),
    "connect": Action(
        connect,
        (argument("address", metavar="MULTIADDR", help="of the node, with /p2p/<peer id> at its end"),),
    ),
}
