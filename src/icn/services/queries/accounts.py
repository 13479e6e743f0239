"""Balances as they are at a moment, and the supply.

A stored balance is that of the account's last change; what has regenerated since is added here by the law of semantics
§4, exactly as the home will when the account moves next.
"""

from dataclasses import dataclass

from icn.domain.ledger.model import Account
from icn.domain.ledger.refusals import UnknownAccount
from icn.domain.ledger.rules import available
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.services import rows
from icn.stores.kv import Reader


@dataclass(frozen=True, slots=True)
class AccountAt:
    """What one home keeps for an owner."""

    home: Did
    balance: int
    """Available now, with what has regenerated."""
    held: int
    in_transit_out: int
    cap: int
    rate_per_hour: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """An owner's mana at `home`. Where several nodes opened an account for one owner, `homes` has them all."""

    did: Did
    balance: int
    held: int
    in_transit_out: int
    cap: int
    rate_per_hour: int
    home: Did
    homes: tuple[AccountAt, ...]


@dataclass(frozen=True, slots=True)
class SupplyView:
    """All mana there is."""

    minted: int
    burned: int
    available: int
    held: int
    in_transit: int
    balanced: bool
    """minted − burned = available + held + in transit."""


def account(reader: Reader, owner: Did, *, here: Did, now: Instant) -> AccountView:
    """The account of `owner`, the one that node `here` keeps first. Raises `UnknownAccount`."""
    found = [_at_home(reader, account, now) for _, account in rows.ACCOUNTS.rows(reader, prefix=owner.public_key)]
    if not found:
        raise UnknownAccount(owner)
    chosen = next((at for at in found if at.home == here), found[0])
    return AccountView(
        did=owner,
        balance=chosen.balance,
        held=chosen.held,
        in_transit_out=chosen.in_transit_out,
        cap=chosen.cap,
        rate_per_hour=chosen.rate_per_hour,
        home=chosen.home,
        homes=tuple(found),
    )


def balance(reader: Reader, owner: Did, *, home: Did, now: Instant) -> int:
    """What `owner` has available at `home`; nothing where it has no account."""
    account = rows.ACCOUNTS.get(reader, rows.account_key(owner, home))
    return 0 if account is None else available(account, now)


def supply(reader: Reader) -> SupplyView:
    """The supply as committed."""
    stored = rows.load_supply(reader)
    return SupplyView(
        minted=stored.minted,
        burned=stored.burned,
        available=stored.available,
        held=stored.held,
        in_transit=stored.in_transit,
        balanced=stored.is_balanced,
    )


def _at_home(reader: Reader, account: Account, now: Instant) -> AccountAt:
    home = account.home.public_key
    held = sum(hold.amount for _, hold in rows.HOLDS.rows(reader, prefix=home) if hold.payer == account.owner)
    in_transit = sum(
        transit.amount for _, transit in rows.TRANSITS.rows(reader, prefix=home) if transit.payer == account.owner
    )
    return AccountAt(
        home=account.home,
        balance=available(account, now),
        held=held,
        in_transit_out=in_transit,
        cap=account.cap,
        rate_per_hour=account.rate,
    )
