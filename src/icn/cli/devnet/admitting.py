"""Lets the members of a devnet admit its newcomers, as the federation's policy has it."""

from collections.abc import Sequence

from icn.cli.devnet.asking import Asker
from icn.cli.endings import Ended, Exit

NOT_YET = "federation.unknown_node"
"""It has not joined, and will."""
DONE_BEFORE = frozenset(("federation.already_voted", "federation.already_admitted"))


class Admitter:
    """The first node admits; where members vote, everybody who is a member votes, on one newcomer after the other."""

    def __init__(self, asked: Sequence[Asker], *, votes: bool) -> None:
        self._asked = asked
        self._votes = votes

    def against(self) -> str | None:
        """Take the next step; who is not admitted yet."""
        members = self._asked[0].get("/federation/status").parts("members")
        admitted = {member.text("did") for member in members if member.truth("admitted")}
        left = [one for one in self._asked if one.node.did not in admitted]
        if not left:
            return None
        voters = [one for one in self._asked if one.node.did in admitted] if self._votes else self._asked[:1]
        for newcomer in left[:1] if self._votes else left:
            for voter in voters:
                _admit(voter, newcomer.node.did)
        return f"{', '.join(one.name for one in left)} not admitted"


def _admit(voter: Asker, did: str) -> None:
    try:
        voter.post("/federation/admit", {"did": did})
    except Ended as ended:
        if ended.code != NOT_YET and ended.code not in DONE_BEFORE and ended.exit_status is not Exit.UNREACHABLE:
            raise
