"""Whether the node can serve, and why not: judged from committed data and from what its drivers report.

Not here: probing disk and sockets (node), and being alive, which needs no judgement.
"""

from dataclasses import dataclass

from icn.kernel.ids import Did
from icn.services import rows
from icn.services.queries.membership import Membership, membership
from icn.stores.blocks import last_arrival
from icn.stores.kv import Reader
from icn.stores.schema import owner_of


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that serving needs."""

    name: str
    ok: bool
    detail: str
    """For the operator; says what is the matter where it is not ok."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the drivers know."""

    did: Did
    joins: bool
    """Whether a node without a federation waits for its peers'."""
    is_author: bool
    """False while another process of this identity authors and this one stands by."""
    commit_fault: str | None
    """Why the newest attempt to write failed; none when it succeeded."""
    held: str
    """Why the node may not author though it is the author; empty where it may."""
    joining: str
    """What the node waits for before it is a full member; empty where it is one."""
    is_listening: bool | None
    """Whether peers can reach us; none where P2P is switched off."""
    disk_free_bytes: int | None
    """None where the store is not on a disk of ours."""
    disk_needed_bytes: int


def readiness(reader: Reader, facts: Facts) -> list[Check]:
    """Everything that must be ok before requests are sent here."""
    return [
        _writer(facts),
        Check("authoring", ok=not facts.held, detail=facts.held or "nothing of this node is known to be missing here"),
        _store(reader, facts),
        _ledger(reader),
        _federation(reader, facts),
        _peers(facts),
        _disk(facts),
    ]


def _writer(facts: Facts) -> Check:
    if facts.is_author:
        return Check("writer", ok=True, detail="this process is the author")
    return Check("writer", ok=False, detail="standing by: another process is the author of this store")


def _store(reader: Reader, facts: Facts) -> Check:
    if facts.commit_fault is not None:
        return Check("store", ok=False, detail=f"the newest commit failed: {facts.commit_fault}")
    owner = owner_of(reader)
    if owner != facts.did.text:
        return Check("store", ok=False, detail=f"the store belongs to {owner or 'nobody yet'}")
    if rows.load_position(reader).arrival != last_arrival(reader):
        return Check("store", ok=False, detail="the rows of the state are not up to the journal")
    return Check("store", ok=True, detail="written and read")


def _ledger(reader: Reader) -> Check:
    balanced = rows.load_supply(reader).is_balanced
    return Check("ledger", ok=balanced, detail="mana is conserved" if balanced else "mana was created or lost")


def _federation(reader: Reader, facts: Facts) -> Check:
    state = membership(reader, facts.did, joins=facts.joins)
    member = rows.MEMBERS.get(reader, facts.did.public_key)
    joined = member is not None and member.joined and not member.has_ended
    # Who has joined and waits to be admitted can pay and be paid; who has not joined can write nothing.
    detail = state.value if joined or state is not Membership.FOUNDING else "no federation yet"
    detail = facts.joining or detail
    return Check("federation", ok=joined, detail=detail)


def _peers(facts: Facts) -> Check:
    if facts.is_listening is None:
        return Check("p2p", ok=True, detail="switched off")
    return Check("p2p", ok=facts.is_listening, detail="listening" if facts.is_listening else "not listening")


def _disk(facts: Facts) -> Check:
    free = facts.disk_free_bytes
    if free is None:
        return Check("disk", ok=True, detail="not on a disk of this machine")
    enough = free >= facts.disk_needed_bytes
    return Check("disk", ok=enough, detail=f"{free} bytes free, {facts.disk_needed_bytes} needed")
