"""`federation`: what it is, who is in it, and letting somebody in."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument, days, did, hexadecimal
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session

LINE_CHARS_MAX = 8192
"""Of standard input: an invitation, and white space that a mail program put into it."""

_MEMBERS = (
    ("did", Column("MEMBER", Show.SHORT)),
    ("admitted", Column("ADMITTED")),
    ("joined", Column("JOINED")),
    ("left", Column("LEFT")),
    ("removed", Column("REMOVED")),
    ("removal_votes", Column("VOTES TO REMOVE", Show.PIPED_ONLY)),
    ("votes", Column("VOTES", Show.PIPED_ONLY)),
    ("sequence", Column("SEQUENCE")),
)
_PEERS = (
    ("did", Column("MEMBER", Show.SHORT)),
    ("address", Column("ADDRESS", Show.REST)),
    ("in_sync", Column("IN SYNC")),
    ("rtt_ms", Column("RTT MS")),
)
_INVITATIONS = (
    ("id", Column("ID")),
    ("state", Column("STATE")),
    ("expires_at", Column("EXPIRES")),
    ("for_node", Column("FOR", Show.SHORT)),
    ("used_by", Column("USED BY", Show.SHORT)),
    ("note", Column("NOTE", Show.REST)),
    ("issued_at", Column("ISSUED", Show.PIPED_ONLY)),
    ("used_at", Column("USED", Show.PIPED_ONLY)),
)


def status(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /federation/status."""
    session.show(session.client.get("/federation/status"), _status_view)
    return Exit.DONE


def members(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /federation/members."""
    session.show(session.client.get("/federation/members"), lambda answer: [_members(answer, "items")])
    return Exit.DONE


def peers(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /federation/peers."""
    answer = session.client.get("/federation/peers")
    session.show(answer, lambda found: [_table(_PEERS, found.parts("items"), "no member is connected")])
    return Exit.DONE


def admit(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/admit."""
    session.show(session.write("/federation/admit", {"did": str(given.did)}), _facts)
    return Exit.DONE


def invite(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/invite. On a terminal or piped, the line stands by itself, to be copied whole."""
    body = {"expires_seconds": getattr(given, "expires", 7 * 86_400), "note": getattr(given, "note", "")}
    if (node := getattr(given, "for_node", None)) is not None:
        body["for_node"] = str(node)
    if addresses := getattr(given, "address", None):
        body["addresses"] = addresses
    answer = session.write("/federation/invite", body)
    if session.as_json:
        session.world.print_json(answer.json_text())
    else:
        session.world.print(answer.document().text("line"))
    return Exit.DONE


def invitations(session: Session, given: argparse.Namespace) -> Exit:
    """GET /federation/invitations, or POST /federation/invitations/revoke."""
    if (id_ := getattr(given, "revoke", None)) is not None:
        session.show(session.write("/federation/invitations/revoke", {"id": id_}), _facts)
        return Exit.DONE
    answer = session.client.get("/federation/invitations")
    session.show(answer, lambda found: [_table(_INVITATIONS, found.parts("items"), "this node has invited nobody")])
    return Exit.DONE


def join(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/join. A line is a secret, and what is typed is kept by shells: `-` reads it from elsewhere."""
    what = given.what
    if what == "-":
        what = session.world.stdin.read(LINE_CHARS_MAX + 1).decode("utf-8", "replace")
    name = "address" if what.startswith("/") else "invitation"
    session.show(session.write("/federation/join", {name: what.strip()}), _facts)
    return Exit.DONE


def init(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/init."""
    name = getattr(given, "name", None)
    session.show(session.write("/federation/init", {} if name is None else {"name": name}), _facts)
    return Exit.DONE


def leave(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/leave. It cannot be taken back, so it is said twice."""
    if not getattr(given, "yes", False):
        raise Ended(
            Exit.USAGE,
            "leaving is for good: this node's key cannot come back to the federation, and accounts that are kept here "
            "cannot be used in it any more",
            next_step="If that is meant: icn-cli federation leave --yes",
        )
    session.show(session.write("/federation/leave", {"for_good": True}), _facts)
    return Exit.DONE


def remove(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/remove. Neither the vote nor a removal can be taken back, so it is said twice."""
    if not getattr(given, "yes", False):
        raise Ended(
            Exit.USAGE,
            "a vote to remove a member cannot be taken back, and this node confirms nothing more of that member; with "
            "the votes of more than half of all members its key never comes back to the federation",
            next_step=f"If that is meant: icn-cli federation remove {given.did} --yes",
        )
    body = {"did": str(given.did), "reason": getattr(given, "reason", ""), "for_good": True}
    session.show(session.write("/federation/remove", body), _facts)
    return Exit.DONE


def _status_view(answer: Document) -> Sequence[Block]:
    waiting = [("waiting for", answer.value_or_none("waiting_for")), ("next step", answer.value_or_none("next_step"))]
    return [
        Facts(
            [
                ("federation", answer.value("name")),
                ("id", answer.value("id")),
                ("state", answer.value("state")),
                *((name, value) for name, value in waiting if value is not None),
                ("quorum", answer.value("quorum")),
                *((f"policy {name.replace('_', ' ')}", value) for name, value in _policy(answer)),
            ]
        ),
        _members(answer, "members"),
    ]


def _policy(answer: Document) -> Sequence[tuple[str, object]]:
    policy = answer.part_or_none("policy")  # a node that has not met its federation yet knows none
    return [] if policy is None else policy.facts()


def _members(answer: Document, name: str) -> Table:
    return _table(_MEMBERS, answer.parts(name), "no members yet")


def _table(columns: Sequence[tuple[str, Column]], items: Sequence[Document], when_empty: str) -> Table:
    rows = [[item.value_or_none(name) for name, _ in columns] for item in items]
    return Table([column for _, column in columns], rows, when_empty=when_empty)


def _facts(answer: Document) -> Sequence[Block]:
    return [Facts([(name.replace("_", " "), value) for name, value in answer.facts()])]


ACTIONS = {
    "status": Action(status),
    "members": Action(members),
    "peers": Action(peers),
    "admit": Action(admit, (argument("did", metavar="DID", type=did, help="the node that waits"),), writes=True),
    "invite": Action(
        invite,
        (
            argument("--for", dest="for_node", metavar="DID", type=did, help="only this node can use it"),
            argument("--expires", metavar="TIME", type=days, help="how long it is good for: 7d, 12h, 30m; default 7d"),
            argument(
                "--note", metavar="TEXT", help="for the list of invitations; everybody in the federation can read it"
            ),
            argument(
                "--address",
                metavar="MULTIADDR",
                action="append",
                help="where newcomers dial this node; several times for several; default where it listens",
            ),
        ),
        writes=True,
    ),
    "invitations": Action(
        invitations,
        (argument("--revoke", metavar="ID", type=hexadecimal, help="take this one back"),),
        writes=True,
    ),
    "init": Action(
        init, (argument("--name", metavar="NAME", help="of the federation; default the configured one"),), writes=True
    ),
    "leave": Action(
        leave,
        (argument("--yes", action="store_true", help="it is meant: a node that has left does not come back"),),
        writes=True,
    ),
    "remove": Action(
        remove,
        (
            argument("did", metavar="DID", type=did, help="the member"),
            argument("--reason", metavar="TEXT", help="everybody in the federation can read it"),
            argument("--yes", action="store_true", help="it is meant: a vote to remove is not taken back"),
        ),
        writes=True,
    ),
    "join": Action(
        join,
        (
            argument(
                "what",
                metavar="LINE|MULTIADDR",
                help="the line of an invitation, - to read it from standard input, or the address of a member",
            ),
        ),
        writes=True,
    ),
}
