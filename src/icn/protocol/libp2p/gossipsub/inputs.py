"""Everything that enters the router."""

from dataclasses import dataclass
from enum import StrEnum

from icn.kernel.ids import PeerId


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A peer speaks one of `settings.MESHSUB`. Told again when our stream to it is another one: it is greeted anew."""

    peer: PeerId
    protocol: str
    outbound: bool
    """Whether we dialled it."""
    origin: str = ""
    """Its address, as far as peers of one address are to be counted (P6); empty: it is not counted."""


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The last connection to a peer is gone."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class RpcReceived:
    """A peer sent an RPC."""

    peer: PeerId
    data: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    """We want the messages of a topic (1.0, `JOIN`)."""

    topic: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """We want them no more (1.0, `LEAVE`)."""

    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a message of ours to everybody in the topic."""

    topic: str
    payload: bytes


class Verdict(StrEnum):
    """What the application says of a message (1.1, "Extended Validators"). The values are labels of a metric."""

    ACCEPT = "accept"
    """ "the message is considered valid, and it should be delivered and forwarded to the network"."""
    IGNORE = "ignore"
    """ "neither delivered nor forwarded to the network, but the router does not trigger the P₄ penalty"."""
    REJECT = "reject"
    """ "considered invalid, and it should be rejected and trigger the P₄ penalty"."""


@dataclass(frozen=True, slots=True)
class Judge:
    """The verdict on a message that was delivered, by its id."""

    message: bytes
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Appraise:
    """What the application thinks of a peer (P5), in thousandths of a point."""

    peer: PeerId
    points: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: the moment of `Router.wake_at`, or any other."""


Input = PeerJoined | PeerLeft | RpcReceived | Subscribe | Unsubscribe | Publish | Judge | Appraise | Tick
