"""Accounts, transfers, the supply."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from icn.http.bodies import DidBody, TransferBody
from icn.http.operations import Call, Operation, shown
from icn.kernel.ids import Cid, Did
from icn.kernel.mana import mana
from icn.services.commands import OpenAccountFor, Pay
from icn.services.queries import accounts
from icn.services.queries.accounts import AccountView, SupplyView


@dataclass(frozen=True, slots=True)
class Opened:
    """A new account."""

    did: Did
    home: Did
    balance: int
    block: Cid


@dataclass(frozen=True, slots=True)
class Transferred:
    """A payment."""

    transfer: str
    from_: Did
    to: Did
    amount: int
    status: str
    """`done`, or `in_transit` to an account at another node."""
    balance: int
    block: Cid


async def open_account(call: Call) -> Response:
    """Keep an account for somebody at this node."""
    owner = Did.parse(call.body(DidBody).did)
    return await call.submit(OpenAccountFor(owner), HTTPStatus.CREATED)


async def balance(call: Call) -> Response:
    """An account as it is now."""
    owner = Did.parse(call.path("did"))
    with call.committed() as reader:
        return shown(accounts.account(reader, owner, here=call.node.did, now=call.node.now()))


async def transfer(call: Call) -> Response:
    """Pay from the caller's account."""
    body = call.body(TransferBody)
    return await call.submit(Pay(Did.parse(body.to), mana(body.amount), body.note))


async def supply(call: Call) -> Response:
    """All mana there is."""
    with call.committed() as reader:
        return shown(accounts.supply(reader))


OPERATIONS = (
    Operation(
        "POST",
        "/account/open",
        open_account,
        "Keep an account for somebody here",
        Opened,
        status=HTTPStatus.CREATED,
        body=DidBody,
        writes=True,
    ),
    Operation("GET", "/account/{did}/mana", balance, "An account as it is now", AccountView),
    Operation(
        "POST", "/mana/transfer", transfer, "Pay from the caller's account", Transferred, body=TransferBody, writes=True
    ),
    Operation("GET", "/mana/supply", supply, "All mana there is", SupplyView),
)
