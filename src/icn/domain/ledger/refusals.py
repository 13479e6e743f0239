"""Why the ledger says no."""

from typing import ClassVar

from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did


class UnknownAccount(Refusal):
    """No account of that name in this federation."""

    code: ClassVar[str] = "ledger.unknown_account"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, owner: Did) -> None:
        self.owner = str(owner)
        super().__init__(f"there is no account of {owner} in this federation")


class HomeHasLeft(Refusal):
    """Nobody could claim what is sent there."""

    code: ClassVar[str] = "ledger.home_left"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, owner: Did, home: Did) -> None:
        self.owner = str(owner)
        self.home = str(home)
        super().__init__(f"the account of {owner} is kept by {home}, which has left this federation")


class AccountExists(Refusal):
    """An owner has one account."""

    code: ClassVar[str] = "ledger.account_exists"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, owner: Did, home: Did) -> None:
        self.owner = str(owner)
        self.home = str(home)
        super().__init__(f"{owner} already has an account; its home is {home}")


class NotHome(Refusal):
    """Another node decides about this account."""

    code: ClassVar[str] = "ledger.not_home"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, owner: Did, home: Did) -> None:
        self.owner = str(owner)
        self.home = str(home)
        super().__init__(f"the account of {owner} is kept by {home}: ask that node")


class InsufficientMana(Refusal):
    """The account has less than that."""

    code: ClassVar[str] = "ledger.insufficient_mana"
    kind: ClassVar[Kind] = Kind.UNAFFORDABLE

    def __init__(self, owner: Did, available: int, needed: int) -> None:
        self.owner = str(owner)
        self.available = available
        self.needed = needed
        super().__init__(f"{owner} has {available} mana available, {needed} are needed")


class NothingToTransfer(Refusal):
    """An amount of zero, or to oneself."""

    code: ClassVar[str] = "ledger.nothing_to_transfer"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class BalanceTooLarge(Refusal):
    """The payee could hold no more: amounts stay exact in JSON."""

    code: ClassVar[str] = "ledger.balance_too_large"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, owner: Did) -> None:
        self.owner = str(owner)
        super().__init__(f"the account of {owner} would exceed the largest amount there is")


class HoldNotFound(Refusal):
    """No such hold is open: it was settled or released, or never was."""

    code: ClassVar[str] = "ledger.hold_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("the hold is not open: it was settled or released before, or never made")


class TransferNotFound(Refusal):
    """Nothing of that name is in transit to or from here."""

    code: ClassVar[str] = "ledger.transfer_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("nothing of that name is in transit")
