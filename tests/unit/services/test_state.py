"""The records of one block that belong together: a job's with those of its hold (`Pairing`)."""

import pytest

from icn.domain.context import EventRefused
from icn.domain.ledger.events import HoldReleased, HoldSettled, HoldShared, LedgerEvent, ManaHeld, Share
from icn.domain.ledger.model import HoldId, TransferNumber
from icn.domain.mesh.model import Assignee
from icn.kernel.mana import Mana
from icn.services.state import Pairing, _check_pair, shares_of
from support import builders

JOB = builders.job_id(builders.did(1))
HOLD = HoldId(JOB.data)
A, B = builders.did(2), builders.did(3)
SHARES = (Share(A, A, Mana(2)), Share(B, B, Mana(3)))
OTHERWISE: list[LedgerEvent] = [
    HoldShared(HOLD, TransferNumber(0), SHARES[:1]),
    HoldShared(HOLD, TransferNumber(0), SHARES[::-1]),
    HoldShared(HOLD, TransferNumber(0), (SHARES[0], Share(B, B, Mana(4)))),
    HoldShared(HoldId(b"other"), TransferNumber(0), SHARES),
    HoldSettled(HOLD, TransferNumber(0), A, A, Mana(2)),
    HoldReleased(HOLD, ""),
    ManaHeld(HOLD, A, Mana(2)),
]


def test_a_hold_is_shared_exactly_as_the_job_says() -> None:
    pairing = Pairing(shared={HOLD: SHARES})
    assert not pairing.is_complete
    _check_pair(HoldShared(HOLD, TransferNumber(0), SHARES), pairing)
    assert pairing.is_complete
    with pytest.raises(EventRefused):
        _check_pair(HoldShared(HOLD, TransferNumber(0), SHARES), pairing)


@pytest.mark.parametrize("event", OTHERWISE)
def test_a_hold_is_not_ended_otherwise(event: LedgerEvent) -> None:
    with pytest.raises(EventRefused):
        _check_pair(event, Pairing(shared={HOLD: SHARES}))


def test_each_of_the_majority_gets_its_own_price_in_the_order_of_the_assignment() -> None:
    assignees = (Assignee(A, A, Mana(2)), Assignee(B, B, Mana(3)), Assignee(builders.did(4), A, Mana(4)))
    assert shares_of(assignees, (B, A)) == SHARES
    assert shares_of(assignees, (B,)) == SHARES[1:]
