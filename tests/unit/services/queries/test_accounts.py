"""Balances as they are now: the law's growth is in them, the law's cap too."""

import pytest

from icn.domain.ledger.refusals import UnknownAccount
from icn.kernel.instant import Instant
from icn.services.commands import OpenAccountFor, Pay, Submit
from icn.services.queries import accounts
from support.http_node import CAP, GRANT, RATE, HttpNode, signer_of
from support.http_specs import echo_spec

MEMBER = signer_of(9).did


@pytest.fixture
def node() -> HttpNode:
    made = HttpNode(executes=False)
    made.found()
    made.ask(OpenAccountFor(MEMBER))
    return made


@pytest.mark.parametrize(("elapsed_ms", "gained"), [(0, 0), (99, 0), (100, 1), (3_600_000, CAP - GRANT), (-5, 0)])
def test_regeneration_up_to_now(node: HttpNode, elapsed_ms: int, gained: int) -> None:
    assert RATE * 100 == 3_600_000  # one mana each 100 ms
    now = Instant(node.now() + elapsed_ms)
    assert accounts.account(node.store, MEMBER, here=node.did, now=now).balance == GRANT + gained
    assert accounts.balance(node.store, MEMBER, home=node.did, now=now) == GRANT + gained


def test_held_and_paid_mana_is_not_in_the_balance(node: HttpNode) -> None:
    node.ask(Submit(echo_spec(node.now()), b""))
    node.ask(Pay(MEMBER, 30, ""))  # type: ignore[arg-type]  # an amount
    view = accounts.account(node.store, node.did, here=node.did, now=node.now())
    assert (view.balance, view.held, view.in_transit_out) == (GRANT - 40, 10, 0)
    assert [at.home for at in view.homes] == [node.did]
    supply = accounts.supply(node.store)
    assert (supply.minted, supply.available, supply.held, supply.balanced) == (2 * GRANT, 2 * GRANT - 10, 10, True)


def test_nobody(node: HttpNode) -> None:
    with pytest.raises(UnknownAccount):
        accounts.account(node.store, signer_of(7).did, here=node.did, now=node.now())
    assert accounts.balance(node.store, signer_of(7).did, home=node.did, now=node.now()) == 0
