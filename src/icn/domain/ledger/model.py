"""What the ledger holds: accounts, holds, sums in transit, and the supply."""

from dataclasses import dataclass
from typing import NewType

from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.limits import REDUNDANCY_MAX
from icn.kernel.making import maker
from icn.kernel.mana import Mana

HoldId = NewType("HoldId", bytes)
"""Chosen by the home that holds; unique among its open holds."""

TransferNumber = NewType("TransferNumber", int)
"""Counts the transfers of one home, so that (home, number) names a transfer for ever. Two nodes change what is in
transit, the payer's home and the payee's; a number that could be used again would let them part."""

TRANSFER_NUMBER_MAX = 2**63 - 1
"""A record without effect uses up no higher number: nobody has sent so much, and a row holds 64 bits."""

ACCOUNT_HOMES_MAX = 16
"""Two nodes may open an account for one owner at the same time; nobody can prevent that without consensus, so accounts
are named by owner and home, and a payer's home chooses."""

SHARES_MAX = REDUNDANCY_MAX
"""Payees of one hold: the executors of one job."""


@dataclass(frozen=True, slots=True)
class Account:
    """A member's mana. Its home node is its only writer."""

    owner: Did
    home: Did
    home_epoch: int
    """Raised when the account moves to another home."""
    opened_at_sequence: int
    """Block of the home's feed that opened it: who names the account must have that block behind it."""
    endowed: bool
    """Whether the federation's policy mints for it."""
    balance: Mana
    """Available: what is held or in transit is not in it."""
    cap: Mana
    rate: int
    """Mana per hour; 0 for an account nothing is minted for."""
    settled_at: Instant
    """Regeneration is accounted for up to here."""
    carry: int
    """Remainder of the regeneration law, in mana·milliseconds per hour."""

    def with_more(self, amount: int) -> "Account":
        """The account after a credit, or after a debit, which is a negative one.

        Written out: every transfer comes by here twice, and `replace` takes five times as long.
        """
        return _account(
            self.owner,
            self.home,
            self.home_epoch,
            self.opened_at_sequence,
            self.endowed,
            Mana(self.balance + amount),
            self.cap,
            self.rate,
            self.settled_at,
            self.carry,
        )


@dataclass(frozen=True, slots=True)
class Hold:
    """Mana set aside for a purpose until it is settled or released, once."""

    id: HoldId
    payer: Did
    home: Did
    amount: Mana


@dataclass(frozen=True, slots=True)
class Transit:
    """Mana that left an account of one home and has not arrived at an account of another."""

    payer_home: Did
    number: TransferNumber
    payer: Did
    payee: Did
    payee_home: Did
    amount: Mana
    sent_at_sequence: int
    """Block of the payer's home that debited it. The payee's home claims it once that block is confirmed."""
    declined_at_sequence: int | None
    """Block of the payee's home that declined it."""


@dataclass(frozen=True, slots=True)
class Supply:
    """minted − burned = available + held + in transit, after every commit."""

    minted: int = 0
    burned: int = 0
    available: int = 0
    held: int = 0
    in_transit: int = 0

    def changed(self, *, minted: int = 0, available: int = 0, held: int = 0, in_transit: int = 0) -> "Supply":
        """With these amounts added."""
        return _supply(
            self.minted + minted,
            self.burned,
            self.available + available,
            self.held + held,
            self.in_transit + in_transit,
        )

    @property
    def is_balanced(self) -> bool:
        """The identity that must hold."""
        return self.minted - self.burned == self.available + self.held + self.in_transit


_account = maker(Account)
_supply = maker(Supply)
