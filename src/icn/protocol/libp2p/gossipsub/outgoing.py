"""What is to be said to each peer: collected while one input is taken, then sent in as few RPCs as hold it.

1.0: "Gossip and other control messages … can be coalesced and piggybacked on any other message". A message that goes to
several peers alone is encoded once.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import PeerId
from icn.kernel.making import maker
from icn.protocol.libp2p.gossipsub.effects import SendRpc
from icn.protocol.libp2p.gossipsub.rpc import Control, Rpc, Subscription, encode
from icn.protocol.libp2p.gossipsub.settings import RPC_MESSAGES_MAX

_send = maker(SendRpc)
RPC_OVERHEAD_BYTES = 16
"""Tag and length around one message."""


@dataclass(slots=True)
class _Waiting:
    subscriptions: list[Subscription] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)


class Outgoing:
    """By peer, in the order in which something was first to be said to it."""

    def __init__(self, rpc_bytes_max: int) -> None:
        self._rpc_bytes_max = rpc_bytes_max
        self._waiting: dict[PeerId, _Waiting] = {}

    def subscription(self, peer: PeerId, subscription: Subscription) -> None:
        """Tell a peer what we want."""
        self._for(peer).subscriptions.append(subscription)

    def message(self, peer: PeerId, raw: bytes) -> None:
        """Send a peer a message."""
        self._for(peer).messages.append(raw)

    def control(self, peer: PeerId, control: Control) -> None:
        """Send a peer a control message."""
        self._for(peer).controls.append(control)

    def forget(self, peer: PeerId) -> None:
        """A peer is gone."""
        self._waiting.pop(peer, None)

    def take(self) -> list[SendRpc]:
        """All of it; nothing waits afterwards."""
        sent: list[SendRpc] = []
        alone: dict[bytes, bytes] = {}
        for peer, waiting in self._waiting.items():
            subscriptions, controls = tuple(waiting.subscriptions), tuple(waiting.controls)
            for messages in self._parts(waiting.messages) or [()]:
                if len(messages) == 1 and not (subscriptions or controls):
                    [message] = messages
                    if message not in alone:
                        alone[message] = encode(Rpc(messages=messages))
                    data = alone[message]
                else:
                    data = encode(Rpc(subscriptions, messages, controls))
                sent.append(_send(peer, data))
                subscriptions = controls = ()
        self._waiting.clear()
        return sent

    def _parts(self, messages: list[bytes]) -> list[tuple[bytes, ...]]:
        """`messages` in RPCs of bounded size and number; a quarter is left for what goes with the first."""
        parts: list[list[bytes]] = []
        size = 0
        for message in messages:
            wanted = len(message) + RPC_OVERHEAD_BYTES
            if not parts or size + wanted > self._rpc_bytes_max * 3 // 4 or len(parts[-1]) >= RPC_MESSAGES_MAX:
                parts.append([])
                size = 0
            parts[-1].append(message)
            size += wanted
        return [tuple(part) for part in parts]

    def _for(self, peer: PeerId) -> _Waiting:
        return self._waiting.setdefault(peer, _Waiting())
