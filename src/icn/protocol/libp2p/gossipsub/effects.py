"""Everything the router can ask for."""

from dataclasses import dataclass

from icn.kernel.ids import PeerId


@dataclass(frozen=True, slots=True)
class SendRpc:
    """To a peer, on the stream of the protocol it speaks. May be lost."""

    peer: PeerId
    data: bytes


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message for the application, which answers with `Judge`. Nothing travels on before."""

    message: bytes
    """Its id."""
    author: PeerId
    """Who signed it."""
    bearer: PeerId
    """Who brought it."""
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ResetStream:
    """What the peer sent is no RPC: the stream it came on is of no use any more."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The peer's score is below the graylist threshold."""

    peer: PeerId
    reason: str


Effect = SendRpc | Deliver | ResetStream | Disconnect
