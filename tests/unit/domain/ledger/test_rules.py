"""What the ledger decides and refuses, in which order, and what it checks of others (semantics §4)."""

from copy import deepcopy
from dataclasses import replace

import pytest

from icn.domain.context import Context, EventRefused
from icn.domain.ledger.commands import (
    ClaimTransfer,
    EndowAccount,
    Endowment,
    HoldMana,
    LedgerCommand,
    OpenAccount,
    ReleaseHold,
    ReturnTransfer,
    SettleHold,
    ShareHold,
    Transfer,
)
from icn.domain.ledger.events import (
    AccountOpened,
    HoldReleased,
    HoldSettled,
    HoldShared,
    LedgerEvent,
    ManaHeld,
    ManaRegenerated,
    Share,
    TransferDeclined,
    TransferReceived,
    Transferred,
    TransferReturned,
    TransferSent,
)
from icn.domain.ledger.model import ACCOUNT_HOMES_MAX, SHARES_MAX, HoldId, TransferNumber
from icn.domain.ledger.refusals import (
    AccountExists,
    BalanceTooLarge,
    HoldNotFound,
    HomeHasLeft,
    InsufficientMana,
    NothingToTransfer,
    NotHome,
    TransferNotFound,
    UnknownAccount,
)
from icn.domain.ledger.rules import available, check, decide
from icn.domain.ledger.state import Ledger, apply
from icn.kernel.errors import Invalid, Refusal
from icn.kernel.ids import Did
from icn.kernel.limits import NOTE_CHARS_MAX
from icn.kernel.mana import MANA_MAX, Mana
from support import builders

ALICE, BOB, CAROL = builders.did(11), builders.did(12), builders.did(13)
HOME, FAR = builders.did(1), builders.did(2)
GRANT = Endowment(Mana(1000), Mana(10_000), 100)
NOTHING = Endowment(Mana(0), Mana(0), 0)
HOUR = 3_600_000
HOLD = HoldId(b"h")


def run(
    ledger: Ledger, command: LedgerCommand, context: Context, allowed: Endowment | None = GRANT
) -> list[LedgerEvent]:
    """Decide, then check and apply as every replica does."""
    before = deepcopy(ledger)
    events = decide(ledger, command, context)
    assert ledger == before, "decide changes nothing"
    for event in events:
        check(ledger, event, context, allowed)
        apply(ledger, event, context)
    assert ledger.supply.is_balanced
    return events


@pytest.fixture
def ledger() -> Ledger:
    """Alice and Bob at home, Carol far away; each with 1000."""
    made = Ledger()
    run(made, OpenAccount(ALICE, GRANT), builders.context(1))
    run(made, OpenAccount(BOB, GRANT), builders.context(1))
    run(made, OpenAccount(CAROL, GRANT), builders.context(2))
    return made


def balance(ledger: Ledger, owner: object, home: object = HOME) -> int:
    return ledger.accounts[owner, home].balance  # type: ignore[index]  # tests name them loosely


def test_a_transfer_at_one_home_is_one_record(ledger: Ledger) -> None:
    events = run(ledger, Transfer(ALICE, BOB, Mana(300), "bread"), builders.context())
    assert events == [Transferred(TransferNumber(0), ALICE, BOB, Mana(300), "bread")]
    assert (balance(ledger, ALICE), balance(ledger, BOB)) == (700, 1300)


def test_a_transfer_to_another_home_is_in_transit_until_it_is_claimed(ledger: Ledger) -> None:
    sent = run(ledger, Transfer(ALICE, CAROL, Mana(300), ""), builders.context(1, sequence=4))
    assert sent == [TransferSent(TransferNumber(0), ALICE, CAROL, FAR, Mana(300), "")]
    assert ledger.supply.in_transit == 300
    claimed = run(ledger, ClaimTransfer(HOME, TransferNumber(0)), builders.context(2))
    assert claimed == [TransferReceived(HOME, TransferNumber(0), CAROL, Mana(300))]
    assert (ledger.supply.in_transit, balance(ledger, CAROL, FAR)) == (0, 1300)
    with pytest.raises(TransferNotFound):
        decide(ledger, ClaimTransfer(HOME, TransferNumber(0)), builders.context(2))


def test_a_claim_waits_until_the_debit_is_confirmed(ledger: Ledger) -> None:
    run(ledger, Transfer(ALICE, CAROL, Mana(300), ""), builders.context(1, sequence=4))
    claim = TransferReceived(HOME, TransferNumber(0), CAROL, Mana(300))
    seen = builders.Knows({HOME: 5}, {HOME: 4})
    with pytest.raises(EventRefused, match="confirmed"):
        check(ledger, claim, builders.context(2, ancestry=seen), None)
    check(ledger, claim, builders.context(2, ancestry=builders.Knows({HOME: 5}, {HOME: 5})), None)


def test_what_is_declined_comes_back_once(ledger: Ledger) -> None:
    run(ledger, Transfer(ALICE, CAROL, Mana(300), ""), builders.context(1, sequence=4))
    ledger.accounts[CAROL, FAR] = builders_full(ledger)
    declined = run(ledger, ClaimTransfer(HOME, TransferNumber(0)), builders.context(2, sequence=9))
    assert [type(e) for e in declined] == [TransferDeclined]
    with pytest.raises(EventRefused, match="declines"):
        check(ledger, declined[0], builders.context(2), None)
    unseen = builders.context(1, ancestry=builders.Knows({FAR: 9}, {}))
    with pytest.raises(EventRefused, match="declined"):
        check(ledger, TransferReturned(TransferNumber(0)), unseen, None)
    returned = run(ledger, ReturnTransfer(TransferNumber(0)), builders.context(1))
    assert returned == [TransferReturned(TransferNumber(0))]
    assert balance(ledger, ALICE) == 1000
    with pytest.raises(TransferNotFound):
        decide(ledger, ReturnTransfer(TransferNumber(0)), builders.context(1))


def builders_full(ledger: Ledger) -> object:
    """Carol's account with no room left."""
    more = MANA_MAX - 1000
    ledger.supply = replace(ledger.supply, available=ledger.supply.available + more, minted=ledger.supply.minted + more)
    return replace(ledger.accounts[CAROL, FAR], balance=Mana(MANA_MAX))


def test_nobody_else_claims_or_declines(ledger: Ledger) -> None:
    run(ledger, Transfer(ALICE, CAROL, Mana(300), ""), builders.context(1))
    for event in (
        TransferReceived(HOME, TransferNumber(0), CAROL, Mana(300)),
        TransferDeclined(HOME, TransferNumber(0), ""),
    ):
        with pytest.raises(EventRefused):
            check(ledger, event, builders.context(3), None)
    for wrong in (
        TransferReceived(HOME, TransferNumber(0), CAROL, Mana(301)),
        TransferReceived(HOME, TransferNumber(0), BOB, Mana(300)),
        TransferReceived(HOME, TransferNumber(1), CAROL, Mana(300)),
    ):
        with pytest.raises(EventRefused):
            check(ledger, wrong, builders.context(2), None)


def test_a_hold_is_settled_or_released_once(ledger: Ledger) -> None:
    for last in (SettleHold(HOLD, BOB, HOME, Mana(40)), ReleaseHold(HOLD, "no")):
        held = run(ledger, HoldMana(HOLD, ALICE, Mana(100)), builders.context())
        assert held == [ManaHeld(HOLD, ALICE, Mana(100))]
        assert ledger.supply.held == 100
        with pytest.raises(EventRefused, match="made once"):
            check(ledger, held[0], builders.context(), None)
        run(ledger, last, builders.context())
        assert ledger.supply.held == 0
        for again in (SettleHold(HOLD, BOB, HOME, Mana(40)), ReleaseHold(HOLD, "no")):
            with pytest.raises(HoldNotFound):
                decide(ledger, again, builders.context())
        for event in (HoldSettled(HOLD, TransferNumber(1), BOB, HOME, Mana(40)), HoldReleased(HOLD, "no")):
            with pytest.raises(EventRefused, match="once"):
                check(ledger, event, builders.context(), None)
    assert (balance(ledger, ALICE), balance(ledger, BOB)) == (960, 1040)


def test_a_settlement_pays_at_most_what_was_held(ledger: Ledger) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(100)), builders.context())
    with pytest.raises(InsufficientMana):
        decide(ledger, SettleHold(HOLD, BOB, HOME, Mana(101)), builders.context())
    for paid in (101, -1):
        with pytest.raises(EventRefused, match="at most"):
            check(ledger, HoldSettled(HOLD, TransferNumber(0), BOB, HOME, Mana(paid)), builders.context(), None)


def test_a_settlement_to_another_home_is_in_transit(ledger: Ledger) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(100)), builders.context())
    run(ledger, SettleHold(HOLD, CAROL, FAR, Mana(40)), builders.context())
    assert (ledger.supply.in_transit, balance(ledger, ALICE)) == (40, 960)
    run(ledger, ClaimTransfer(HOME, TransferNumber(0)), builders.context(2))
    assert balance(ledger, CAROL, FAR) == 1040


SHARES = (Share(BOB, HOME, Mana(40)), Share(CAROL, FAR, Mana(7)))


def test_a_hold_is_shared_once_and_the_rest_goes_back(ledger: Ledger) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(100)), builders.context())
    assert run(ledger, ShareHold(HOLD, SHARES), builders.context()) == [HoldShared(HOLD, TransferNumber(0), SHARES)]
    assert (balance(ledger, ALICE), balance(ledger, BOB)) == (953, 1040)
    assert (ledger.supply.held, ledger.supply.in_transit) == (0, 7)
    assert ledger.counts_of(HOME).next_transfer == 2, "every share is counted"
    for again in (ShareHold(HOLD, SHARES), SettleHold(HOLD, BOB, HOME, Mana(40)), ReleaseHold(HOLD, "no")):
        with pytest.raises(HoldNotFound):
            decide(ledger, again, builders.context())
    with pytest.raises(EventRefused, match="once"):
        check(ledger, HoldShared(HOLD, TransferNumber(2), SHARES), builders.context(), None)
    run(ledger, ClaimTransfer(HOME, TransferNumber(1)), builders.context(2))
    assert balance(ledger, CAROL, FAR) == 1007


def test_the_payer_may_be_among_those_who_are_paid_and_regenerates_before(ledger: Ledger) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(100)), builders.context())
    shares = (Share(ALICE, HOME, Mana(10)), Share(BOB, HOME, Mana(20)))
    run(ledger, ShareHold(HOLD, shares), builders.context(time=builders.START + HOUR))
    assert (balance(ledger, ALICE), balance(ledger, BOB)) == (1080, 1120)


def test_shares_are_together_at_most_what_was_held(ledger: Ledger) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(46)), builders.context())
    with pytest.raises(InsufficientMana):
        decide(ledger, ShareHold(HOLD, SHARES), builders.context())
    with pytest.raises(UnknownAccount):
        decide(ledger, ShareHold(HOLD, (Share(builders.did(99), FAR, Mana(1)),)), builders.context())


@pytest.mark.parametrize(
    ("shares", "rule"),
    [
        (SHARES, "at most what was held"),
        ((), "few payees"),
        (tuple(Share(builders.did(30 + n), FAR, Mana(0)) for n in range(SHARES_MAX + 1)), "few payees"),
        ((Share(BOB, HOME, Mana(1)), Share(BOB, HOME, Mana(1))), "paid once"),
        ((Share(BOB, HOME, Mana(50)), Share(CAROL, FAR, Mana(-7))), "less than nothing"),
        ((Share(BOB, FAR, Mana(1)),), "account that exists"),
    ],
)
def test_what_no_home_may_share(ledger: Ledger, shares: tuple[Share, ...], rule: str) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(46)), builders.context())
    with pytest.raises(EventRefused, match=rule):
        check(ledger, HoldShared(HOLD, TransferNumber(0), shares), builders.context(), None)
    with pytest.raises(EventRefused, match="counted"):
        check(ledger, HoldShared(HOLD, TransferNumber(1), SHARES), builders.context(), None)
    with pytest.raises(EventRefused):
        check(ledger, HoldShared(HOLD, TransferNumber(0), SHARES), builders.context(3), None)


def test_nobody_touches_accounts_and_holds_of_another_home(ledger: Ledger) -> None:
    run(ledger, HoldMana(HOLD, ALICE, Mana(100)), builders.context())
    for event in (
        Transferred(TransferNumber(0), ALICE, BOB, Mana(1), ""),
        TransferSent(TransferNumber(0), ALICE, CAROL, FAR, Mana(1), ""),
        ManaHeld(HoldId(b"x"), ALICE, Mana(1)),
        HoldReleased(HOLD, ""),
        HoldSettled(HOLD, TransferNumber(0), CAROL, FAR, Mana(1)),
        ManaRegenerated(ALICE, Mana(100), builders.START + HOUR, 0),
        AccountOpened(builders.did(14), HOME, 0, Mana(0), 0, Mana(0)),
    ):
        with pytest.raises(EventRefused):
            check(ledger, event, builders.context(3, time=builders.START + HOUR), GRANT)


def test_transfers_are_numbered_without_gaps(ledger: Ledger) -> None:
    run(ledger, Transfer(ALICE, BOB, Mana(1), ""), builders.context())
    for number in (0, 2):
        with pytest.raises(EventRefused, match="counted"):
            check(ledger, Transferred(TransferNumber(number), ALICE, BOB, Mana(1), ""), builders.context(), None)


def test_a_debit_spends_what_has_regenerated(ledger: Ledger) -> None:
    later = builders.context(time=builders.START + HOUR)
    events = run(ledger, Transfer(ALICE, BOB, Mana(1100), ""), later)
    assert [type(e) for e in events] == [ManaRegenerated, ManaRegenerated, Transferred]
    assert balance(ledger, ALICE) == 0


def test_spending_first_and_growing_afterwards_is_refused(ledger: Ledger) -> None:
    later = builders.context(time=builders.START + HOUR)
    with pytest.raises(EventRefused, match="accounted"):
        check(ledger, Transferred(TransferNumber(0), ALICE, BOB, Mana(1000), ""), later, None)


def test_regeneration_is_by_the_law_and_not_ahead_of_its_block(ledger: Ledger) -> None:
    at = builders.START + HOUR
    for gained, settled, carry in ((101, at, 0), (100, at, 1), (200, at + HOUR, 0), (0, builders.START, 0)):
        with pytest.raises(EventRefused):
            check(ledger, ManaRegenerated(ALICE, Mana(gained), settled, carry), builders.context(time=at), None)
    check(ledger, ManaRegenerated(ALICE, Mana(100), at, 0), builders.context(time=at), None)


def test_minting_is_as_the_policy_says_and_for_the_admitted(ledger: Ledger) -> None:
    dave = builders.did(14)
    opened = AccountOpened(dave, HOME, 0, GRANT.cap, GRANT.rate, GRANT.granted)
    check(ledger, opened, builders.context(), GRANT)
    for allowed in (None, Endowment(Mana(999), GRANT.cap, GRANT.rate), Endowment(Mana(1000), GRANT.cap, 99)):
        with pytest.raises(EventRefused, match="policy"):
            check(ledger, opened, builders.context(), allowed)
    check(ledger, AccountOpened(dave, HOME, 0, Mana(0), 0, Mana(0)), builders.context(), None)
    with pytest.raises(EventRefused, match="epoch"):
        check(ledger, AccountOpened(dave, HOME, 1, Mana(0), 0, Mana(0)), builders.context(), None)


def test_an_account_is_endowed_once_and_only_the_nodes_own() -> None:
    ledger = Ledger()
    run(ledger, OpenAccount(HOME, NOTHING), builders.context(), None)
    run(ledger, OpenAccount(ALICE, NOTHING), builders.context(), None)
    events = run(ledger, EndowAccount(HOME, GRANT), builders.context())
    assert balance(ledger, HOME) == 1000
    assert decide(ledger, EndowAccount(HOME, GRANT), builders.context()) == []
    for event in (events[0], decide(ledger, EndowAccount(ALICE, GRANT), builders.context())[0]):
        with pytest.raises(EventRefused):
            check(ledger, event, builders.context(), GRANT)


def test_an_owner_has_few_homes_and_that_depends_on_the_ancestry_alone() -> None:
    """What a node happens to know beyond a block's ancestry must not decide about the block."""
    ledger = Ledger()
    everywhere = {}
    for number in range(20, 20 + ACCOUNT_HOMES_MAX):
        opened = AccountOpened(ALICE, builders.did(number), 0, Mana(0), 0, Mana(0))
        apply(ledger, opened, builders.context(number, sequence=0))
        everywhere[builders.did(number)] = 1
    one_more = AccountOpened(ALICE, builders.did(50), 0, Mana(0), 0, Mana(0))
    check(ledger, one_more, builders.context(50, ancestry=builders.NOTHING), None)
    with pytest.raises(EventRefused, match="few homes"):
        check(ledger, one_more, builders.context(50, ancestry=builders.Knows(everywhere, {})), None)
    own = AccountOpened(ALICE, ALICE, 0, Mana(0), 0, Mana(0))
    check(ledger, own, Context(ALICE, 0, builders.START, builders.Knows(everywhere, {})), None)


def test_a_nodes_own_account_is_opened_wherever_else_it_has_one() -> None:
    ledger = Ledger()
    run(ledger, OpenAccount(FAR, GRANT), builders.context(1))
    run(ledger, OpenAccount(FAR, GRANT), builders.context(2))
    with pytest.raises(AccountExists):
        decide(ledger, OpenAccount(FAR, GRANT), builders.context(2))


OTHERS = sorted((builders.did(number) for number in range(20, 24)), key=str)
"""Nodes that open accounts for people, in the order of their names."""


def opened(ledger: Ledger, owner: Did, home: Did, endowment: Endowment = NOTHING) -> None:
    """Whatever the home knows of others: nobody can hold it to that."""
    event = AccountOpened(owner, home, 0, endowment.cap, endowment.rate, endowment.granted)
    context = Context(home, 0, builders.START, builders.NOTHING)
    check(ledger, event, context, GRANT)
    apply(ledger, event, context)


def paid_at(ledger: Ledger, payee: Did, ended: tuple[Did, ...] = ()) -> Did:
    """Where the account is that a payment of Alice goes to."""
    ancestry = builders.Knows({home: 1 for _, home in ledger.accounts}, {}, ended)
    moved = decide(ledger, Transfer(ALICE, payee, Mana(1), ""), builders.context(ancestry=ancestry))[-1]
    return moved.payee_home if isinstance(moved, TransferSent) else HOME


def test_who_opens_an_account_for_somebody_who_has_one_gets_no_mana_for_it(ledger: Ledger) -> None:
    """Whoever has joined can, under a name of its choice, and whoever keeps an account decides about it."""
    stranger, home, *_ = OTHERS
    member = builders.did(30)
    opened(ledger, member, home, GRANT)
    opened(ledger, member, stranger)
    assert paid_at(ledger, member) == home
    opened(ledger, member, HOME)
    assert paid_at(ledger, member) == HOME


def test_a_node_is_paid_at_its_own_home_wherever_else_it_has_an_account(ledger: Ledger) -> None:
    node = OTHERS[2]
    for home in (HOME, OTHERS[0]):
        opened(ledger, node, home, GRANT)
    opened(ledger, node, node)
    assert paid_at(ledger, node) == node


def test_who_has_an_account_whose_home_has_gone_is_paid_at_another_one(ledger: Ledger) -> None:
    first, second, *_ = OTHERS
    member = builders.did(30)
    opened(ledger, member, first, GRANT)
    with pytest.raises(HomeHasLeft):
        paid_at(ledger, member, ended=(first,))
    left = builders.Knows({}, {}, (first,))
    run(ledger, OpenAccount(member, NOTHING), Context(second, 0, builders.START, left))
    assert paid_at(ledger, member, ended=(first,)) == second
    with pytest.raises(AccountExists):
        decide(ledger, OpenAccount(member, NOTHING), builders.context(ancestry=left))


def test_nobody_opens_more_accounts_for_an_owner_than_others_take(ledger: Ledger) -> None:
    homes = tuple(builders.did(number) for number in range(20, 20 + ACCOUNT_HOMES_MAX))
    for home in homes:
        opened(ledger, builders.did(60), home)
    all_gone = builders.Knows(dict.fromkeys(homes, 1), {}, homes)
    with pytest.raises(AccountExists):
        decide(ledger, OpenAccount(builders.did(60), NOTHING), builders.context(ancestry=all_gone))


REFUSED: list[tuple[LedgerCommand, type[Refusal]]] = [
    (Transfer(ALICE, BOB, Mana(0), ""), NothingToTransfer),
    (Transfer(ALICE, BOB, Mana(-5), ""), NothingToTransfer),
    (Transfer(ALICE, BOB, Mana(MANA_MAX + 1), ""), NothingToTransfer),
    (Transfer(ALICE, ALICE, Mana(5), ""), NothingToTransfer),
    (Transfer(ALICE, BOB, Mana(5), "x" * (NOTE_CHARS_MAX + 1)), Invalid),
    (Transfer(CAROL, BOB, Mana(5), ""), NotHome),
    (Transfer(builders.did(99), BOB, Mana(5), ""), UnknownAccount),
    (Transfer(ALICE, builders.did(99), Mana(5), ""), UnknownAccount),
    (Transfer(ALICE, BOB, Mana(1001), ""), InsufficientMana),
    (HoldMana(HOLD, ALICE, Mana(1001)), InsufficientMana),
    (HoldMana(HOLD, CAROL, Mana(1)), NotHome),
    (SettleHold(HOLD, BOB, HOME, Mana(1)), HoldNotFound),
    (ReleaseHold(HOLD, ""), HoldNotFound),
    (ClaimTransfer(FAR, TransferNumber(0)), TransferNotFound),
    (ReturnTransfer(TransferNumber(0)), TransferNotFound),
    (OpenAccount(ALICE, GRANT), AccountExists),
    (OpenAccount(CAROL, GRANT), AccountExists),
    (EndowAccount(CAROL, GRANT), NotHome),
]


@pytest.mark.parametrize(("command", "refusal"), REFUSED, ids=[f"{type(c).__name__}-{r.__name__}" for c, r in REFUSED])
def test_what_is_refused_and_how(ledger: Ledger, command: LedgerCommand, refusal: type[Refusal]) -> None:
    before = deepcopy(ledger)
    with pytest.raises(refusal):
        decide(ledger, command, builders.context())
    assert ledger == before


def test_refusals_come_in_a_fixed_order(ledger: Ledger) -> None:
    """With everything wrong at once, the first rule speaks; each repair brings the next."""
    nobody, note = builders.did(99), "x" * (NOTE_CHARS_MAX + 1)
    for command, refusal in (
        (Transfer(nobody, nobody, Mana(0), note), NothingToTransfer),
        (Transfer(nobody, nobody, Mana(9999), note), NothingToTransfer),
        (Transfer(nobody, ALICE, Mana(9999), note), Invalid),
        (Transfer(nobody, builders.did(98), Mana(9999), ""), UnknownAccount),
        (Transfer(ALICE, builders.did(98), Mana(9999), ""), UnknownAccount),
        (Transfer(ALICE, BOB, Mana(9999), ""), InsufficientMana),
    ):
        with pytest.raises(refusal):
            decide(ledger, command, builders.context())


def test_a_balance_stays_exact(ledger: Ledger) -> None:
    ledger.accounts[CAROL, FAR] = builders_full(ledger)
    run(ledger, OpenAccount(builders.did(15), GRANT), builders.context(2))
    with pytest.raises(BalanceTooLarge):
        decide(ledger, Transfer(builders.did(15), CAROL, Mana(5), ""), builders.context(2))


def test_a_claim_that_does_not_fit_beside_what_regenerated_is_declined() -> None:
    ledger = Ledger()
    rich = Endowment(Mana(MANA_MAX - 5), Mana(MANA_MAX), 10)
    run(ledger, OpenAccount(ALICE, GRANT), builders.context(1))
    run(ledger, OpenAccount(CAROL, rich), builders.context(2), rich)
    run(ledger, Transfer(ALICE, CAROL, Mana(3), ""), builders.context(1))
    claim = ClaimTransfer(HOME, TransferNumber(0))
    events = run(ledger, claim, builders.context(2, time=builders.START + HOUR))
    assert [type(e) for e in events] == [TransferDeclined]


def test_what_comes_back_fits_beside_what_regenerated() -> None:
    """A sum that was declined must not be lost because the payer has grown to the cap meanwhile."""
    ledger = Ledger()
    rich = Endowment(Mana(MANA_MAX), Mana(MANA_MAX), 10)
    run(ledger, OpenAccount(ALICE, rich), builders.context(1), rich)
    run(ledger, OpenAccount(CAROL, rich), builders.context(2), rich)
    run(ledger, Transfer(ALICE, CAROL, Mana(3), ""), builders.context(1))
    run(ledger, ClaimTransfer(HOME, TransferNumber(0)), builders.context(2))
    run(ledger, ReturnTransfer(TransferNumber(0)), builders.context(1, time=builders.START + HOUR))
    assert ledger.supply.in_transit == 0


def test_available_is_the_balance_with_what_has_regenerated(ledger: Ledger) -> None:
    assert available(ledger.accounts[ALICE, HOME], builders.START + HOUR) == 1100
