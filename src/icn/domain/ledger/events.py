"""What happens to mana. Amounts and instants are fixed here when decided, never recomputed on replay."""

from dataclasses import dataclass

from icn.domain.ledger.model import HoldId, TransferNumber
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana


@dataclass(frozen=True, slots=True)
class AccountOpened:
    """`home` keeps an account for `owner` from now on; `granted` is minted."""

    owner: Did
    home: Did
    home_epoch: int
    cap: Mana
    rate: int
    granted: Mana


@dataclass(frozen=True, slots=True)
class AccountEndowed:
    """The account of a node that was admitted after it joined receives its grant and begins to regenerate."""

    owner: Did
    cap: Mana
    rate: int
    granted: Mana


@dataclass(frozen=True, slots=True)
class ManaRegenerated:
    """Minted by the law, up to `settled_at`."""

    owner: Did
    gained: Mana
    settled_at: Instant
    carry: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """Between two accounts of one home: one record."""

    number: TransferNumber
    payer: Did
    payee: Did
    amount: Mana
    note: str


@dataclass(frozen=True, slots=True)
class TransferSent:
    """To an account of another home: debited here, in transit from now on."""

    number: TransferNumber
    payer: Did
    payee: Did
    payee_home: Did
    amount: Mana
    note: str


@dataclass(frozen=True, slots=True)
class TransferReceived:
    """The payee's home takes it out of transit, after the debit was confirmed."""

    payer_home: Did
    number: TransferNumber
    payee: Did
    amount: Mana


@dataclass(frozen=True, slots=True)
class TransferDeclined:
    """The payee's home will not have it; the payer's home returns it."""

    payer_home: Did
    number: TransferNumber
    reason: str


@dataclass(frozen=True, slots=True)
class TransferReturned:
    """Declined mana is back on the payer's account."""

    number: TransferNumber


@dataclass(frozen=True, slots=True)
class ManaHeld:
    """First phase: set aside."""

    hold: HoldId
    payer: Did
    amount: Mana


@dataclass(frozen=True, slots=True)
class HoldSettled:
    """Second phase: `paid` goes to `payee`, the rest back to the payer. Once per hold.

    Where the payee's home is another one, `paid` is in transit under `number`; `number` counts up in any case.
    """

    hold: HoldId
    number: TransferNumber
    payee: Did
    payee_home: Did
    paid: Mana


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several payees gets."""

    payee: Did
    payee_home: Did
    paid: Mana


@dataclass(frozen=True, slots=True)
class HoldShared:
    """Second phase, for several payees at once; the rest goes back to the payer. Once per hold.

    The shares are counted from `number` on, each as a transfer of its own: one to an account of another home is in
    transit under its number.
    """

    hold: HoldId
    number: TransferNumber
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class HoldReleased:
    """Second phase, the other way: all of it goes back to the payer. Once per hold."""

    hold: HoldId
    reason: str


LedgerEvent = (
    AccountOpened
    | AccountEndowed
    | ManaRegenerated
    | Transferred
    | TransferSent
    | TransferReceived
    | TransferDeclined
    | TransferReturned
    | ManaHeld
    | HoldSettled
    | HoldShared
    | HoldReleased
)
