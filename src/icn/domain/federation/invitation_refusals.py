"""Why an invitation is not issued, or not good for what it is shown for."""

from typing import ClassVar

from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.limits import INVITATIONS_OPEN_MAX


class MembersVote(Refusal):
    """One member's invitation cannot stand in for the votes of more than half."""

    code: ClassVar[str] = "invitation.members_vote"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "members vote on admissions here, so that nobody can invite: the newcomer joins by a member's address, and "
            "members vote with icn-cli federation admit"
        )


class TooManyInvitations(Refusal):
    """The bound on open ones."""

    code: ClassVar[str] = "invitation.too_many"
    kind: ClassVar[Kind] = Kind.TOO_MANY

    def __init__(self) -> None:
        super().__init__(
            f"{INVITATIONS_OPEN_MAX} invitations of this node are open: revoke some that nobody will use "
            "(icn-cli federation invitations)"
        )


class InvitationUnknown(Refusal):
    """Its issuer has no record of it."""

    code: ClassVar[str] = "invitation.unknown"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, id_: bytes) -> None:
        self.invitation = id_.hex()
        super().__init__(f"this node has issued no invitation {id_.hex()}")


class InvitationUsed(Refusal):
    """It is good for one node."""

    code: ClassVar[str] = "invitation.used"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, id_: bytes, by: Did) -> None:
        self.invitation = id_.hex()
        self.by = str(by)
        super().__init__(f"the invitation {id_.hex()} was used by {by}: each is good for one node; ask for a new one")


class InvitationTakenBack(Refusal):
    """Its issuer has revoked it."""

    code: ClassVar[str] = "invitation.revoked"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, id_: bytes) -> None:
        self.invitation = id_.hex()
        super().__init__(f"the invitation {id_.hex()} was revoked: ask for a new one")


class InvitationExpired(Refusal):
    """Too late."""

    code: ClassVar[str] = "invitation.expired"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, id_: bytes, expired_at: Instant) -> None:
        self.invitation = id_.hex()
        self.expired_at = expired_at
        super().__init__(f"the invitation {id_.hex()} has expired: ask for a new one")


class InvitationForAnother(Refusal):
    """It names the node it is for."""

    code: ClassVar[str] = "invitation.for_another_node"
    kind: ClassVar[Kind] = Kind.FORBIDDEN

    def __init__(self, id_: bytes, for_node: Did) -> None:
        self.invitation = id_.hex()
        self.for_node = str(for_node)
        super().__init__(f"the invitation {id_.hex()} is for {for_node}, and for no other node")


class WrongIssuer(Refusal):
    """It was shown to a node that did not issue it."""

    code: ClassVar[str] = "invitation.wrong_issuer"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, issuer: Did) -> None:
        self.issuer = str(issuer)
        super().__init__(f"only {issuer}, which issued the invitation, can redeem it")


class WrongFederation(Refusal):
    """It invites into another federation than the one at hand."""

    code: ClassVar[str] = "invitation.wrong_federation"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, federation: str, name: str) -> None:
        self.federation = federation
        self.name = name
        super().__init__(
            f"the invitation is into the federation {name!r} ({federation}), and this node is in another one"
        )
