"""The ledger at one commit, as a document for people and programs outside, and what an older such document tells.

The deployment guide keeps the ledger in a file of its own. Ours is a projection of the DAG, so that file is a copy that
nobody reads back: it is made anew from the store whenever it differs, and never believed. One thing it can tell: a
file that is ahead of the store it was made from means that the store was put back to an earlier state.

Not here: the file (adapters.checkpoint_file), when it is written (node.ledger_file), what a node does that finds itself
put back (`authorship`).
"""

from enum import Enum
from typing import Any

from icn.domain.ledger.model import Account
from icn.kernel.ids import Did
from icn.services import rows
from icn.stores.kv import Reader

FORMAT = 1


class Standing(Enum):
    """What a document is to the store."""

    CURRENT = "current"
    BEHIND = "behind"
    MISSING = "missing"
    DAMAGED = "damaged"
    """No such document, or one that no store of ours would give."""
    FOREIGN = "foreign"
    """Another node's, or of another federation."""
    AHEAD = "ahead"
    """This node's, with blocks of its own feed that the store has no more."""


def checkpoint(reader: Reader, here: Did) -> dict[str, Any]:
    """The ledger as the store has it: balances as of each account's `settled_at`, in milliseconds since 1970."""
    federation = rows.load_federation(reader)
    head = rows.HEADS.get(reader, here.public_key)
    supply = rows.load_supply(reader)
    accounts = sorted((account for _, account in rows.ACCOUNTS.rows(reader)), key=lambda a: (a.owner, a.home))
    return {
        "format": FORMAT,
        "node": here.text,
        "federation": None if federation is None else {"id": str(federation.id), "name": federation.name},
        "arrival": rows.load_position(reader).arrival,
        "head": None if head is None else {"sequence": head.sequence, "cid": str(head.cid)},
        "supply": {
            "minted": supply.minted,
            "burned": supply.burned,
            "available": supply.available,
            "held": supply.held,
            "in_transit": supply.in_transit,
        },
        "accounts": [_account(account) for account in accounts],
    }


def standing(found: object, current: dict[str, Any]) -> Standing:
    """What `found`, decoded from a file (None: there was none), is to the document that the store gives now."""
    if found is None:
        return Standing.MISSING
    if found == current:
        return Standing.CURRENT
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.keys() != current.keys():
        return Standing.DAMAGED
    federations = {_federation(found), _federation(current)} - {None}
    if found["node"] != current["node"] or len(federations) > 1:
        return Standing.FOREIGN
    if _length(found) > _length(current):
        return Standing.AHEAD
    return Standing.BEHIND


def _account(account: Account) -> dict[str, Any]:
    return {
        "owner": account.owner.text,
        "home": account.home.text,
        "balance": account.balance,
        "cap": account.cap,
        "rate_per_hour": account.rate,
        "settled_at": account.settled_at,
        "carry": account.carry,
    }


def _federation(document: dict[str, Any]) -> str | None:
    federation = document["federation"]
    return str(federation.get("id")) if isinstance(federation, dict) else None


def _length(document: dict[str, Any]) -> int:
    """How many blocks of its own feed the node had."""
    head = document["head"]
    sequence = head.get("sequence") if isinstance(head, dict) else None
    return sequence + 1 if isinstance(sequence, int) else 0
