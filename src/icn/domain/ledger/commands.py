"""What may be asked of the ledger."""

from dataclasses import dataclass

from icn.domain.ledger.events import Share
from icn.domain.ledger.model import HoldId, TransferNumber
from icn.kernel.ids import Did
from icn.kernel.mana import Mana


@dataclass(frozen=True, slots=True)
class Endowment:
    """What the federation's policy mints for an account: nothing, for one it does not cover."""

    granted: Mana
    cap: Mana
    rate: int


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Keep an account for `owner` here."""

    owner: Did
    endowment: Endowment


@dataclass(frozen=True, slots=True)
class EndowAccount:
    """Give an account its grant and regeneration, its node having been admitted."""

    owner: Did
    endowment: Endowment


@dataclass(frozen=True, slots=True)
class Transfer:
    """Pay."""

    payer: Did
    payee: Did
    amount: Mana
    note: str


@dataclass(frozen=True, slots=True)
class ClaimTransfer:
    """Take what is in transit to an account here."""

    payer_home: Did
    number: TransferNumber


@dataclass(frozen=True, slots=True)
class ReturnTransfer:
    """Give back what the payee's home declined."""

    number: TransferNumber


@dataclass(frozen=True, slots=True)
class HoldMana:
    """Set aside."""

    hold: HoldId
    payer: Did
    amount: Mana


@dataclass(frozen=True, slots=True)
class SettleHold:
    """Pay from what was set aside, release the rest."""

    hold: HoldId
    payee: Did
    payee_home: Did
    paid: Mana


@dataclass(frozen=True, slots=True)
class ShareHold:
    """Pay several from what was set aside, release the rest."""

    hold: HoldId
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Release all that was set aside."""

    hold: HoldId
    reason: str


LedgerCommand = (
    OpenAccount
    | EndowAccount
    | Transfer
    | ClaimTransfer
    | ReturnTransfer
    | HoldMana
    | SettleHold
    | ShareHold
    | ReleaseHold
)
