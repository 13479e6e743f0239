"""Decides what a ledger command would change, and checks what others decided.

`decide` reads, never writes, and raises a `Refusal` when the rules say no. `check` judges a record of any author by the
block's ancestry alone and raises `EventRefused`. Whatever `decide` yields passes `check`, on every node; the engine
checks its own records too, because a block that others must refuse is the worst thing a node can write.

Checks run in the order written; every node and every replay refuses for the same reason.
"""

from typing import assert_never

from icn.domain.context import Context, entitled
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
    AccountEndowed,
    AccountOpened,
    HoldReleased,
    HoldSettled,
    HoldShared,
    LedgerEvent,
    ManaHeld,
    ManaRegenerated,
    TransferDeclined,
    TransferReceived,
    Transferred,
    TransferReturned,
    TransferSent,
)
from icn.domain.ledger.model import ACCOUNT_HOMES_MAX, SHARES_MAX, Account
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
from icn.domain.ledger.regeneration import growth
from icn.domain.ledger.state import Ledger
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.limits import NOTE_CHARS_MAX
from icn.kernel.mana import MANA_MAX, Mana


def decide(ledger: Ledger, command: LedgerCommand, context: Context) -> list[LedgerEvent]:
    """Say what `command` would change at this home (`context.author`) and time, without changing it."""
    home, now = context.author, context.time
    match command:
        case OpenAccount(owner, endowment):
            # A node's own account is opened wherever else somebody opened one for it, or anybody could keep it out. Of
            # an account whose home has gone its owner has nothing any more.
            homes = ledger.homes_of.get(owner, ())
            held_at = [at for at in homes if at == home or (owner != home and not context.ancestry.has_ended(at))]
            if held_at or (owner != home and len(homes) >= ACCOUNT_HOMES_MAX):
                raise AccountExists(owner, (held_at or homes)[0])
            return [AccountOpened(owner, home, 0, endowment.cap, endowment.rate, endowment.granted)]
        case EndowAccount(owner, endowment):
            account = account_at(ledger, owner, home)
            if account.endowed:
                return []
            return [AccountEndowed(owner, endowment.cap, endowment.rate, endowment.granted)]
        case Transfer(payer, payee, amount, note):
            if not 1 <= amount <= MANA_MAX:
                raise NothingToTransfer(f"an amount is a whole number from 1 to {MANA_MAX}")
            if payer == payee:
                raise NothingToTransfer("payer and payee are the same account")
            if len(note) > NOTE_CHARS_MAX:
                raise Invalid("note", f"has at most {NOTE_CHARS_MAX} characters")
            account = account_at(ledger, payer, home)
            payee_home = ledger.home_for(payee, home, context.ancestry)
            if payee_home is None:
                raise UnknownAccount(payee)
            if context.ancestry.has_ended(payee_home):
                raise HomeHasLeft(payee, payee_home)
            number = ledger.counts_of(home).next_transfer
            here = ledger.account(payee, home) if payee_home == home else None
            debit = [*_settled(account, now, change=-amount), *_covered(account, now, amount)]
            if here is None:
                return [*debit, TransferSent(number, payer, payee, payee_home, amount, note)]
            return [
                *debit,
                *_settled(here, now, change=amount),
                *_holdable(here, now, amount),
                Transferred(number, payer, payee, amount, note),
            ]
        case ClaimTransfer(payer_home, number):
            transit = ledger.transits.get((payer_home, number))
            if transit is None or transit.payee_home != home or transit.declined_at_sequence is not None:
                raise TransferNotFound
            account_here = ledger.account(transit.payee, home)
            if account_here is None:
                return [TransferDeclined(payer_home, number, "no such account here")]
            if available(account_here, now) + transit.amount > MANA_MAX:
                return [TransferDeclined(payer_home, number, "the account would exceed the largest amount")]
            received = TransferReceived(payer_home, number, transit.payee, transit.amount)
            return [*_settled(account_here, now, change=transit.amount), received]
        case ReturnTransfer(number):
            transit = ledger.transits.get((home, number))
            if transit is None or (
                transit.declined_at_sequence is None and not context.ancestry.has_ended_for_good(transit.payee_home)
            ):
                raise TransferNotFound
            account = account_at(ledger, transit.payer, home)
            return [*_settled(account, now, change=transit.amount), TransferReturned(number)]
        case HoldMana(hold_id, payer, amount):
            account = account_at(ledger, payer, home)
            return [
                *_settled(account, now, change=-amount),
                *_covered(account, now, amount),
                ManaHeld(hold_id, payer, amount),
            ]
        case SettleHold(hold_id, payee, payee_home, paid):
            held = ledger.holds.get((home, hold_id))
            if held is None:
                raise HoldNotFound
            if not 0 <= paid <= held.amount:
                raise InsufficientMana(held.payer, held.amount, paid)
            if ledger.account(payee, payee_home) is None:
                raise UnknownAccount(payee)
            gains = {payee: paid} if payee_home == home else {}
            gains[held.payer] = Mana(gains.get(held.payer, 0) + held.amount - paid)
            number = ledger.counts_of(home).next_transfer
            return [
                *_settled_all(ledger, home, now, gains),
                HoldSettled(hold_id, number, payee, payee_home, paid),
            ]
        case ShareHold(hold_id, shares):
            held = ledger.holds.get((home, hold_id))
            if held is None:
                raise HoldNotFound
            paid = Mana(sum(share.paid for share in shares))
            if not 0 <= paid <= held.amount:
                raise InsufficientMana(held.payer, held.amount, paid)
            gains = {held.payer: Mana(held.amount - paid)}
            for share in shares:
                if ledger.account(share.payee, share.payee_home) is None:
                    raise UnknownAccount(share.payee)
                if share.payee_home == home:
                    gains[share.payee] = Mana(gains.get(share.payee, 0) + share.paid)
            number = ledger.counts_of(home).next_transfer
            return [*_settled_all(ledger, home, now, gains), HoldShared(hold_id, number, shares)]
        case ReleaseHold(hold_id, reason):
            held = ledger.holds.get((home, hold_id))
            if held is None:
                raise HoldNotFound
            return [*_settled_all(ledger, home, now, {held.payer: held.amount}), HoldReleased(hold_id, reason)]
        case _:
            assert_never(command)


def check(ledger: Ledger, event: LedgerEvent, context: Context, endowment: Endowment | None) -> None:
    """Raise `EventRefused` unless the author was entitled to `event`.

    `endowment` is what the policy lets the author's home mint for an account, in the block's ancestry; None where the
    home is not admitted.
    """
    home, now = context.author, context.time
    match event:
        case AccountOpened(owner, event_home, home_epoch, cap, rate, granted):
            entitled(event_home == home and home_epoch == 0, "an account is opened by its home, at epoch 0")
            entitled(ledger.account(owner, home) is None, "a home keeps one account for an owner")
            # Counted in the ancestry: homes that open accounts at the same time do not know of each other, and a node
            # that happens to know them all must not refuse what others accept. A node may always open its own.
            behind = [at for at in ledger.accounts_of(owner) if context.ancestry.has(at.home, at.opened_at_sequence)]
            entitled(owner == home or len(behind) < ACCOUNT_HOMES_MAX, "an owner has few homes")
            _check_endowment(Endowment(granted, cap, rate), endowment)
        case AccountEndowed(owner, cap, rate, granted):
            account = ledger.account(owner, home)
            entitled(account is not None and not account.endowed, "an account is endowed once")
            entitled(owner == home, "an account endowed later is the node's own")
            entitled(endowment is not None, "mana is minted for admitted nodes")
            _check_endowment(Endowment(granted, cap, rate), endowment)
        case ManaRegenerated(owner, gained, settled_at, carry):
            account = ledger.account(owner, home)
            entitled(account is not None, "mana regenerates on an account of the author")
            entitled(settled_at <= now, "regeneration does not run ahead of its block")
            if account is not None:
                entitled(settled_at > account.settled_at, "time does not run backwards for an account")
                due = growth(account, settled_at)
                entitled((due.gained, due.carry) == (gained, carry), "mana regenerates by the law")
        case Transferred(number, payer, payee, amount):
            entitled(number == ledger.counts_of(home).next_transfer, "transfers are counted")
            entitled(payer != payee, "a transfer has two ends")
            _check_debit(ledger, payer, home, amount, now)
            _check_credit(ledger, payee, home, amount)
        case TransferSent(number, payer, payee, payee_home, amount):
            entitled(number == ledger.counts_of(home).next_transfer, "transfers are counted")
            entitled(payee_home != home, "what stays at one home is not in transit")
            _check_debit(ledger, payer, home, amount, now)
            _check_known(ledger, payee, payee_home, context)
        case TransferReceived(payer_home, number, payee, amount):
            transit = ledger.transits.get((payer_home, number))
            entitled(transit is not None, "what is claimed is in transit")
            if transit is not None:
                entitled(transit.payee_home == home and transit.declined_at_sequence is None, "the payee's home claims")
                entitled((payee, amount) == (transit.payee, transit.amount), "a claim is for what was sent")
                entitled(
                    context.ancestry.has(payer_home, transit.sent_at_sequence)
                    and context.ancestry.confirms(payer_home, transit.sent_at_sequence),
                    "a debit is claimed once it is confirmed",
                )
            _check_credit(ledger, payee, home, amount)
        case TransferDeclined(payer_home, number):
            transit = ledger.transits.get((payer_home, number))
            entitled(
                transit is not None
                and transit.payee_home == home
                and transit.declined_at_sequence is None
                and context.ancestry.has(payer_home, transit.sent_at_sequence),
                "the payee's home declines what is in transit to it, once",
            )
        case TransferReturned(number):
            transit = ledger.transits.get((home, number))
            entitled(transit is not None, "what is returned is in transit")
            if transit is not None:
                declined = transit.declined_at_sequence is not None and context.ancestry.has(
                    transit.payee_home, transit.declined_at_sequence
                )
                # Of a home that has left everything is behind this block: what it has not claimed it never will. That
                # it was removed may turn out not to count, until all have heard of it: what came back would be void.
                entitled(
                    declined or context.ancestry.has_ended_for_good(transit.payee_home),
                    "what was declined, or goes to a home that has left, is returned",
                )
            # As with a hold that is released, the payer's own mana comes back even where it has grown to the cap since.
        case ManaHeld(hold_id, payer, amount):
            entitled((home, hold_id) not in ledger.holds, "a hold is made once")
            _check_debit(ledger, payer, home, amount, now)
        case HoldSettled(hold_id, number, payee, payee_home, paid):
            held = ledger.holds.get((home, hold_id))
            entitled(held is not None, "a hold is settled or released once")
            entitled(number == ledger.counts_of(home).next_transfer, "transfers are counted")
            if held is not None:
                entitled(0 <= paid <= held.amount, "at most what was held is paid")
            _check_known(ledger, payee, payee_home, context)
        case HoldShared(hold_id, number, shares):
            held = ledger.holds.get((home, hold_id))
            entitled(held is not None, "a hold is settled or released once")
            entitled(number == ledger.counts_of(home).next_transfer, "transfers are counted")
            entitled(1 <= len(shares) <= SHARES_MAX, "a hold has few payees")
            payees = [share.payee for share in shares]
            entitled(len(payees) == len(dict.fromkeys(payees)), "each is paid once")
            entitled(all(share.paid >= 0 for share in shares), "nobody is paid less than nothing")
            if held is not None:
                entitled(sum(share.paid for share in shares) <= held.amount, "at most what was held is paid")
            for share in shares:
                _check_known(ledger, share.payee, share.payee_home, context)
        case HoldReleased(hold_id):
            entitled((home, hold_id) in ledger.holds, "a hold is settled or released once")
        case _:
            assert_never(event)


def account_at(ledger: Ledger, owner: Did, home: Did) -> Account:
    """The account of `owner` at `home`. Raises `UnknownAccount`, or `NotHome` when another node keeps it."""
    account = ledger.account(owner, home)
    if account is None:
        elsewhere = ledger.homes_of.get(owner)
        if elsewhere:
            raise NotHome(owner, elsewhere[0])
        raise UnknownAccount(owner)
    return account


def available(account: Account, now: Instant) -> Mana:
    """The balance with what has regenerated by `now`."""
    return Mana(account.balance + growth(account, now).gained)


def _settled(account: Account, now: Instant, *, change: int) -> list[LedgerEvent]:
    """Account for regeneration before the balance changes by `change`, where it would make a difference later.

    It does when mana was gained, and when a balance at or above the cap, which does not grow, falls below it: the time
    spent above must not count as time to grow.
    """
    due = growth(account, now)
    falls_below = account.balance >= account.cap > account.balance + change
    if due.gained or (falls_below and due.settled_at > account.settled_at):
        return [ManaRegenerated(account.owner, due.gained, due.settled_at, due.carry)]
    return []


def _settled_all(ledger: Ledger, home: Did, now: Instant, gains: dict[Did, Mana]) -> list[LedgerEvent]:
    events: list[LedgerEvent] = []
    for owner, amount in sorted(gains.items()):
        account = ledger.account(owner, home)
        if account is not None:
            events += _settled(account, now, change=amount)
    return events


def _covered(account: Account, now: Instant, amount: Mana) -> list[LedgerEvent]:
    """Nothing, or a refusal: reads as the last line of a debit."""
    has = available(account, now)
    if has < amount:
        raise InsufficientMana(account.owner, has, amount)
    return []


def _holdable(account: Account, now: Instant, amount: Mana) -> list[LedgerEvent]:
    if available(account, now) + amount > MANA_MAX:
        raise BalanceTooLarge(account.owner)
    return []


def _check_debit(ledger: Ledger, owner: Did, home: Did, amount: Mana, now: Instant) -> None:
    account = ledger.account(owner, home)
    entitled(account is not None, "a debit is on an account of the author")
    if account is not None:
        entitled(0 < amount <= account.balance, "a debit is covered")
        below = account.balance >= account.cap > account.balance - amount
        settled = account.rate == 0 or account.settled_at == now
        entitled(settled or not below, "time above the cap does not count as time to grow")
        # Or it would be spent first and grown again afterwards, beyond the cap.
        entitled(growth(account, now).gained == 0, "what has regenerated is accounted for before a debit")


def _check_credit(ledger: Ledger, owner: Did, home: Did, amount: Mana) -> None:
    account = ledger.account(owner, home)
    entitled(account is not None, "a credit is to an account of the author")
    if account is not None:
        entitled(amount > 0 and account.balance + amount <= MANA_MAX, "a balance stays exact")


def _check_known(ledger: Ledger, owner: Did, home: Did, context: Context) -> None:
    account = ledger.account(owner, home)
    known = account is not None and (home == context.author or context.ancestry.has(home, account.opened_at_sequence))
    entitled(known, "mana goes to an account that exists")


def _check_endowment(claimed: Endowment, allowed: Endowment | None) -> None:
    nothing = claimed.granted == 0 and claimed.rate == 0
    entitled(nothing or claimed == allowed, "mana is minted as the policy says, for admitted nodes")
    entitled(0 <= claimed.cap <= MANA_MAX, "a cap is an amount")
