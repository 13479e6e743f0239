"""Invitations at the node that issues them: made, taken back, and redeemed for whoever presents one (semantics §3).

```
 operator ─ Invite ─> InvitationIssued ─> a line of text ··· handed over by people ···> newcomer
 newcomer ─ InvitationPresented ─> checked against our own feed ─> InvitationRedeemed, which admits it
                                                          └─> refused: nothing is recorded, the reason is sent
```

A stranger makes us verify a signature, a few times per connection, and nothing else: only an invitation of ours that is
still good leads to a record. The answer may be lost: who is admitted and presents again is told that all is well.
"""

from dataclasses import dataclass
from typing import Any

from icn.domain.federation.commands import IssueInvitation, RedeemInvitation, RevokeInvitation
from icn.domain.federation.invitation import (
    INVITATION_ID_BYTES,
    InvitationPaper,
    line_of,
    open_invitation,
    seal_invitation,
)
from icn.domain.federation.invitation_refusals import WrongFederation, WrongIssuer
from icn.domain.federation.refusals import AlreadyAdmitted, NotInFederation
from icn.domain.federation.rules import decide
from icn.domain.records import Envelope
from icn.kernel.errors import Invalid, PeerViolation, Refusal
from icn.kernel.ids import Did, PeerId
from icn.kernel.instant import Duration, later
from icn.kernel.limits import (
    INVITATION_ADDRESS_CHARS_MAX,
    INVITATION_ADDRESSES_MAX,
    PRESENTATIONS_PER_CONNECTION_MAX,
)
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.messages import InvitationAnswered, InvitationPresented
from icn.services.peers import Peers
from icn.services.ports import Entropy
from icn.services.work import UnitOfWork


@dataclass(slots=True)
class InvitingService:
    """Holds nothing: what was issued stands in the state."""

    entropy: Entropy
    peers: Peers

    def issue(
        self,
        work: UnitOfWork,
        lifetime: Duration,
        for_node: Did | None,
        note: str,
        addresses: tuple[str, ...],
        envelope: Envelope,
    ) -> dict[str, Any]:
        """Record an invitation; gives its line. Raises a `Refusal`."""
        federation = work.state.federation.federation
        if federation is None or federation.id is None:
            raise NotInFederation
        named = _dialable(addresses, work.did)
        context = work.context()
        id_ = self.entropy.bytes(INVITATION_ID_BYTES)
        command = IssueInvitation(id_, later(context.time, lifetime), for_node, note)
        work.record(decide(work.state.federation, command, context), envelope)
        paper = InvitationPaper(federation.id, federation.name, work.did, named, id_, command.expires_at, node=for_node)
        return {
            "id": id_.hex(),
            "line": line_of(seal_invitation(paper, work.signer)),
            "expires_at_ms": paper.expires_at,
            "for_node": None if for_node is None else str(for_node),
            "addresses": list(named),
        }

    @staticmethod
    def revoke(work: UnitOfWork, id_: bytes, envelope: Envelope) -> dict[str, Any]:
        """Take one back. Raises a `Refusal`."""
        work.record(decide(work.state.federation, RevokeInvitation(id_), work.context()), envelope)
        return {"id": id_.hex(), "revoked": True}

    def take_presented(self, work: UnitOfWork, peer: Did, message: InvitationPresented, held: Refusal | None) -> None:
        """A peer presents an invitation. `held`: why this node records nothing at present.

        Raises:
            PeerViolation: it is none, or there were too many.
        """
        view = self.peers.views.get(peer)
        if view is None or not view.greeted:
            return  # it left, or is not of our federation after all
        if held is None:
            view.presentations += 1
        if view.presentations > PRESENTATIONS_PER_CONNECTION_MAX:
            raise PeerViolation(f"a peer presents at most {PRESENTATIONS_PER_CONNECTION_MAX} invitations")
        try:
            paper = open_invitation(message.invitation)
        except Invalid as error:
            raise PeerViolation(f"what is presented is an invitation: {error}") from error
        refusal = held or self._redeem(work, peer, paper)
        code, detail = ("", "") if refusal is None else (refusal.code, str(refusal))
        work.send(peer, InvitationAnswered(paper.id, code, detail))

    @staticmethod
    def _redeem(work: UnitOfWork, peer: Did, paper: InvitationPaper) -> Refusal | None:
        """Admit the peer, or say why not."""
        federation = work.state.federation.federation
        try:
            if paper.issuer != work.did:
                raise WrongIssuer(paper.issuer)
            if federation is None or paper.federation != federation.id:
                raise WrongFederation(str(paper.federation), paper.name)
            redeemed = decide(work.state.federation, RedeemInvitation(paper.id, peer), work.context())
        except AlreadyAdmitted:
            return None
        except Refusal as refusal:
            return refusal
        work.record(redeemed, Envelope(None, None, f"invitation {paper.id.hex()}", "", None))
        return None


def _dialable(addresses: tuple[str, ...], did: Did) -> tuple[str, ...]:
    """The addresses for a newcomer, each with our peer id. Raises `Invalid`."""
    ours = PeerId.of(did)
    found: dict[str, None] = {}
    for text in addresses:
        address = Multiaddr.parse(text)
        if address.peer not in {None, ours}:
            raise Invalid("address", f"{text} is the address of another node")
        if address.port == 0 or len(text) > INVITATION_ADDRESS_CHARS_MAX:
            raise Invalid("address", f"{text} cannot be dialled")
        found[str(address.with_peer(ours))] = None
    if not found:
        raise Invalid("addresses", "this node listens for no peers, so that nobody could come: name an address")
    return tuple(found)[:INVITATION_ADDRESSES_MAX]
