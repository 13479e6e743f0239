"""Why a federation says no."""

from typing import ClassVar

from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did


class AlreadyFounded(Refusal):
    """This node is in a federation already."""

    code: ClassVar[str] = "federation.already_founded"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("this node already belongs to a federation")


class NotInFederation(Refusal):
    """There is no federation here yet."""

    code: ClassVar[str] = "federation.none"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("this node does not belong to a federation yet: it waits to join one through its peers")


class AdmissionNeeded(Refusal):
    """The federation does not let nodes join by themselves."""

    code: ClassVar[str] = "federation.admission_needed"
    kind: ClassVar[Kind] = Kind.FORBIDDEN

    def __init__(self, policy: str) -> None:
        self.policy = policy
        super().__init__(f"the federation's join policy is {policy!r}: a member must admit this node first")


class UnknownNode(Refusal):
    """Not a node of this federation."""

    code: ClassVar[str] = "federation.unknown_node"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, node: Did) -> None:
        self.node = str(node)
        super().__init__(
            f"{node} has not joined this federation, as far as this node knows. icn-cli federation status lists who "
            "has; a newcomer is there a moment after its start: then say it again"
        )


class AlreadyAdmitted(Refusal):
    """Nothing to do."""

    code: ClassVar[str] = "federation.already_admitted"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did) -> None:
        self.node = str(node)
        super().__init__(f"{node} is admitted already")


class NotEntitledToAdmit(Refusal):
    """Only an admitted member vouches for others."""

    code: ClassVar[str] = "federation.not_entitled_to_admit"
    kind: ClassVar[Kind] = Kind.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("this node is not admitted itself, so it cannot admit others")


class NodeHasLeft(Refusal):
    """A feed that has ended is not begun again."""

    code: ClassVar[str] = "federation.node_left"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did) -> None:
        self.node = str(node)
        super().__init__(f"{node} has left this federation, and its feed has ended: it would come back under a new key")


class LastMember(Refusal):
    """Nobody would be left to admit others."""

    code: ClassVar[str] = "federation.last_member"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("this node is the only admitted one, and others have joined: admit one of them first")


class AlreadyVoted(Refusal):
    """Once is enough."""

    code: ClassVar[str] = "federation.already_voted"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did, votes: int, needed: int) -> None:
        self.node = str(node)
        self.votes = votes
        self.needed = needed
        super().__init__(f"this node has voted for {node} already: {votes} of the {needed} votes needed are there")


class VotesMissing(Refusal):
    """Not enough members have voted for it."""

    code: ClassVar[str] = "federation.votes_missing"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did, votes: int, needed: int) -> None:
        self.node = str(node)
        self.votes = votes
        self.needed = needed
        super().__init__(f"{votes} members have voted for {node}; {needed} are needed")


class NodeIsRemoved(Refusal):
    """The members have removed it."""

    code: ClassVar[str] = "federation.node_removed"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did) -> None:
        self.node = str(node)
        super().__init__(
            f"{node} was removed from this federation by votes of its members, and its feed has ended: it would come "
            "back under a new key"
        )


class AlreadyVotedToRemove(Refusal):
    """Once is enough."""

    code: ClassVar[str] = "federation.already_voted_to_remove"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did, votes: int, needed: int) -> None:
        self.node = str(node)
        self.votes = votes
        self.needed = needed
        super().__init__(
            f"this node has voted to remove {node} already: {votes} of the {needed} votes needed are there"
        )


class RemovalVotesMissing(Refusal):
    """Not enough members have voted to remove it."""

    code: ClassVar[str] = "federation.removal_votes_missing"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did, votes: int, needed: int) -> None:
        self.node = str(node)
        self.votes = votes
        self.needed = needed
        super().__init__(f"{votes} members have voted to remove {node}; {needed} are needed")


class NobodyRemovesItself(Refusal):
    """Leaving is for that."""

    code: ClassVar[str] = "federation.removes_itself"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("a node does not vote on itself: icn-cli federation leave ends its membership")


class TooFewToRemove(Refusal):
    """Of two members neither can remove the other."""

    code: ClassVar[str] = "federation.too_few_to_remove"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, node: Did) -> None:
        self.node = str(node)
        super().__init__(
            f"this node and {node} are the only members, and more than half of all members must vote to remove one, "
            "which has no vote itself: of two neither can remove the other. Whoever wants to part leaves (icn-cli "
            "federation leave), or founds a new federation with others"
        )
