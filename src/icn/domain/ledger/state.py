"""Balances, and `apply`, the only place they change.

Which accounts, holds and transits a home has depends on its own feed alone; only a transit is changed by two feeds, and
then in an order their links fix. So replicas that apply the same blocks in any causal order reach the same state.
"""

from dataclasses import dataclass, field, replace
from typing import assert_never

from icn.domain.context import Ancestry, Context
from icn.domain.ledger.events import (
    AccountEndowed,
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
from icn.domain.ledger.model import TRANSFER_NUMBER_MAX, Account, Hold, HoldId, Supply, TransferNumber, Transit
from icn.kernel.errors import require
from icn.kernel.ids import Did
from icn.kernel.mana import Mana

AccountKey = tuple[Did, Did]
"""(owner, home)"""
HoldKey = tuple[Did, HoldId]
"""(home, hold)"""
TransitKey = tuple[Did, TransferNumber]
"""(payer's home, number)"""


FIRST_TRANSFER = TransferNumber(0)


@dataclass(slots=True)
class Touched:
    """What changed since the last commit, in the order of change; the engine writes those rows."""

    accounts: dict[AccountKey, None] = field(default_factory=dict)
    holds: dict[HoldKey, None] = field(default_factory=dict)
    transits: dict[TransitKey, None] = field(default_factory=dict)
    homes: dict[Did, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HomeCounts:
    """Counters that depend on one home's feed."""

    next_transfer: TransferNumber = FIRST_TRANSFER
    endowed_accounts: int = 0


@dataclass(slots=True)
class Ledger:
    """All accounts of the federation, whatever their home."""

    accounts: dict[AccountKey, Account] = field(default_factory=dict)
    homes_of: dict[Did, tuple[Did, ...]] = field(default_factory=dict)
    """Owner to the homes where it has an account, sorted. Nearly always one."""
    holds: dict[HoldKey, Hold] = field(default_factory=dict)
    transits: dict[TransitKey, Transit] = field(default_factory=dict)
    counts: dict[Did, HomeCounts] = field(default_factory=dict)
    supply: Supply = field(default_factory=Supply)
    touched: Touched = field(default_factory=Touched)

    def account(self, owner: Did, home: Did) -> Account | None:
        """The account `home` keeps for `owner`."""
        return self.accounts.get((owner, home))

    def accounts_of(self, owner: Did) -> list[Account]:
        """The accounts of `owner`, by home."""
        return [self.accounts[owner, home] for home in self.homes_of.get(owner, ())]

    def home_for(self, owner: Did, payer_home: Did, ancestry: Ancestry) -> Did | None:
        """Where mana that leaves `payer_home` for `owner` goes; None where it has no account.

        Anybody who has joined can open an account for anybody, and whoever keeps it decides about what lies there. So a
        node's own home comes first, then the one that pays, whose operator opened it, then homes whose account the
        federation's policy endows, which strangers cannot open. One that has gone comes last: nobody could claim there.
        """

        def rank(home: Did) -> tuple[bool, bool, bool, bool, Did]:
            endowed = self.accounts[owner, home].endowed
            return ancestry.has_ended(home), home != owner, home != payer_home, not endowed, home

        homes = self.homes_of.get(owner, ())
        return min(homes, key=rank) if len(homes) > 1 else next(iter(homes), None)

    def counts_of(self, home: Did) -> HomeCounts:
        """The counters of `home`."""
        return self.counts.get(home, HomeCounts())


def apply(ledger: Ledger, event: LedgerEvent, context: Context) -> None:
    """Move mana as `event` says. Cannot refuse; what must hold is required."""
    home = context.author
    match event:
        case AccountOpened(owner, _, home_epoch, cap, rate, granted):
            endowed = rate > 0 or granted > 0
            _put(
                ledger,
                Account(
                    owner,
                    home,
                    home_epoch,
                    context.sequence,
                    endowed,
                    Mana(0),
                    cap,
                    rate,
                    context.time,
                    carry=0,
                ),
            )
            ledger.homes_of[owner] = tuple(sorted((*ledger.homes_of.get(owner, ()), home)))
            _endow(ledger, owner, home, granted, endowed=endowed)
        case AccountEndowed(owner, cap, rate, granted):
            account = ledger.accounts[owner, home]
            _put(
                ledger,
                replace(account, endowed=True, cap=cap, rate=rate, settled_at=context.time, carry=0),
            )
            _endow(ledger, owner, home, granted, endowed=True)
        case ManaRegenerated(owner, gained, settled_at, carry):
            account = ledger.accounts[owner, home]
            _put(ledger, replace(account, settled_at=settled_at, carry=carry))
            _mint(ledger, owner, home, gained)
        case Transferred(number, payer, payee, amount):
            _debit(ledger, payer, home, amount)
            _credit(ledger, payee, home, amount)
            _count_transfer(ledger, home, number)
        case TransferSent(number, payer, payee, payee_home, amount):
            _debit(ledger, payer, home, amount)
            _send(ledger, context, number, payer, payee, payee_home, amount)
        case TransferReceived(payer_home, number, payee, amount):
            _drop_transit(ledger, payer_home, number)
            _credit(ledger, payee, home, amount)
        case TransferDeclined(payer_home, number):
            key = (payer_home, number)
            ledger.transits[key] = replace(ledger.transits[key], declined_at_sequence=context.sequence)
            ledger.touched.transits[key] = None
        case TransferReturned(number):
            transit = _drop_transit(ledger, home, number)
            _credit(ledger, transit.payer, home, transit.amount)
        case ManaHeld(hold_id, payer, amount):
            _debit(ledger, payer, home, amount)
            ledger.holds[home, hold_id] = Hold(hold_id, payer, home, amount)
            ledger.touched.holds[home, hold_id] = None
            ledger.supply = ledger.supply.changed(held=amount)
        case HoldSettled(hold_id, number, payee, payee_home, paid):
            _share(ledger, context, hold_id, number, (Share(payee, payee_home, paid),))
        case HoldShared(hold_id, number, shares):
            _share(ledger, context, hold_id, number, shares)
        case HoldReleased(hold_id):
            hold = _drop_hold(ledger, home, hold_id)
            _credit(ledger, hold.payer, home, hold.amount)
        case _:
            assert_never(event)


def skip(ledger: Ledger, event: LedgerEvent, context: Context) -> None:
    """A record without effect, because a fork made it void: its numbers are used up, or no later record would fit."""
    match event:
        case Transferred(number) | TransferSent(number) | HoldSettled(_, number):
            last = number
        case HoldShared(_, number, shares):
            last = TransferNumber(number + len(shares) - 1)
        case _:
            return
    if ledger.counts_of(context.author).next_transfer <= last <= TRANSFER_NUMBER_MAX:
        _count_transfer(ledger, context.author, last)


def release_all(ledger: Ledger, home: Did) -> None:
    """Nothing is held any more at a home that is no member: what was is back on its payers' accounts, on the books."""
    for at, hold_id in [key for key in ledger.holds if key[0] == home]:
        hold = _drop_hold(ledger, at, hold_id)
        _credit(ledger, hold.payer, at, hold.amount)


def _share(ledger: Ledger, context: Context, hold_id: HoldId, first: TransferNumber, shares: tuple[Share, ...]) -> None:
    home = context.author
    hold = _drop_hold(ledger, home, hold_id)
    for offset, share in enumerate(shares):
        number = TransferNumber(first + offset)
        if share.payee_home == home:
            _credit(ledger, share.payee, home, share.paid)
            _count_transfer(ledger, home, number)
        else:
            _send(ledger, context, number, hold.payer, share.payee, share.payee_home, share.paid)
    _credit(ledger, hold.payer, home, Mana(hold.amount - sum(share.paid for share in shares)))


def _put(ledger: Ledger, account: Account) -> None:
    key = (account.owner, account.home)
    ledger.accounts[key] = account
    ledger.touched.accounts[key] = None


def _credit(ledger: Ledger, owner: Did, home: Did, amount: Mana) -> None:
    if not amount:
        return
    _put(ledger, ledger.accounts[owner, home].with_more(amount))
    ledger.supply = ledger.supply.changed(available=amount)


def _debit(ledger: Ledger, owner: Did, home: Did, amount: Mana) -> None:
    account = ledger.accounts[owner, home]
    require(account.balance >= amount, "a debit is covered")
    _put(ledger, account.with_more(-amount))
    ledger.supply = ledger.supply.changed(available=-amount)


def _mint(ledger: Ledger, owner: Did, home: Did, amount: Mana) -> None:
    _credit(ledger, owner, home, amount)
    ledger.supply = ledger.supply.changed(minted=amount)


def _endow(ledger: Ledger, owner: Did, home: Did, granted: Mana, *, endowed: bool) -> None:
    _mint(ledger, owner, home, granted)
    if endowed:
        counts = ledger.counts_of(home)
        ledger.counts[home] = replace(counts, endowed_accounts=counts.endowed_accounts + 1)
        ledger.touched.homes[home] = None


def _count_transfer(ledger: Ledger, home: Did, number: TransferNumber) -> None:
    ledger.counts[home] = HomeCounts(TransferNumber(number + 1), ledger.counts_of(home).endowed_accounts)
    ledger.touched.homes[home] = None


def _send(
    ledger: Ledger, context: Context, number: TransferNumber, payer: Did, payee: Did, payee_home: Did, amount: Mana
) -> None:
    home = context.author
    _count_transfer(ledger, home, number)
    if not amount:
        return
    key = (home, number)
    ledger.transits[key] = Transit(
        home, number, payer, payee, payee_home, amount, context.sequence, declined_at_sequence=None
    )
    ledger.touched.transits[key] = None
    ledger.supply = ledger.supply.changed(in_transit=amount)


def _drop_transit(ledger: Ledger, home: Did, number: TransferNumber) -> Transit:
    transit = ledger.transits.pop((home, number))
    ledger.touched.transits[home, number] = None
    ledger.supply = ledger.supply.changed(in_transit=-transit.amount)
    return transit


def _drop_hold(ledger: Ledger, home: Did, hold: HoldId) -> Hold:
    dropped = ledger.holds.pop((home, hold))
    ledger.touched.holds[home, hold] = None
    ledger.supply = ledger.supply.changed(held=-dropped.amount)
    return dropped
