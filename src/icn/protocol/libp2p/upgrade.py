"""From a bare byte stream to an authenticated, multiplexed connection.

Source: https://github.com/libp2p/specs/tree/master/connections, "Upgrading connections", and its "inlined muxer
negotiation" for the early path.

| state | takes | leaves for |
|---|---|---|
| SECURITY | multistream lines in the clear: `/noise` and nothing else | NOISE |
| NOISE | three Noise messages | DONE when both sides named Yamux in them, else MUXER |
| MUXER | multistream lines inside Noise: `/yamux/1.0.0` and nothing else | DONE |

Plaintext, TLS, mplex and whatever else is proposed are answered `na`. In every state the peer can make us hold one line
or one handshake message, and nothing of what it says has an effect before it has proved who it is.

Not here: the deadline (`connection` counts it).
"""

from dataclasses import dataclass
from enum import Enum, auto

from icn.kernel.errors import InvariantBroken, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multistream import Outcome, Proposer, Responder
from icn.protocol.libp2p.noise import Role
from icn.protocol.libp2p.secure_channel import Established, Keys, SecureChannel

NOISE = "/noise"
YAMUX = "/yamux/1.0.0"


class _State(Enum):
    SECURITY = auto()
    NOISE = auto()
    MUXER = auto()
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade leaves behind."""

    channel: SecureChannel
    established: Established
    early_muxer: bool
    rest: list[bytes]
    """Plaintexts that came behind the upgrade: Yamux frames."""


class Upgrade:
    """One connection's upgrade. `receive` gives bytes to send; `result` is set when it is done."""

    def __init__(
        self, role: Role, keys: Keys, limits: ConnectionLimits, *, expected: PeerId | None, early_muxer: bool
    ) -> None:
        self._role = role
        self._limits = limits
        self._channel = SecureChannel(
            role,
            keys,
            expected=expected,
            muxers=(YAMUX,) if early_muxer else (),
            message_bytes_max=limits.handshake_message_bytes_max,
        )
        self._early_muxer = early_muxer
        self._state = _State.SECURITY
        self._negotiation = self._negotiate(NOISE)
        self.result: Upgraded | None = None

    def start(self) -> bytes:
        """The initiator speaks first."""
        return self._negotiation.start() if isinstance(self._negotiation, Proposer) else b""

    def receive(self, data: bytes) -> bytes:
        """Take received bytes, give bytes to send. Raises `PeerViolation` or `Invalid`."""
        out = b""
        if self._state is _State.SECURITY:
            out += self._negotiation.receive(data)
            if not self._agreed("security"):
                return out
            data = self._negotiation.rest()
            self._state = _State.NOISE
            out += self._channel.start()
        if self._state is _State.NOISE:
            out += self._channel.handshake(data)
            if self._channel.established is None:
                return out
            return out + self._after_noise(self._channel.established)
        return out + self._choose_muxer(self._channel.decrypt(data))

    def _after_noise(self, established: Established) -> bytes:
        waiting = self._channel.decrypt(b"")
        if self._early_muxer and YAMUX in established.muxers:
            self._finish(established, early=True, rest=waiting)
            return b""
        self._state = _State.MUXER
        self._negotiation = self._negotiate(YAMUX)
        proposal = self.start()
        return (self._channel.encrypt(proposal) if proposal else b"") + self._choose_muxer(waiting)

    def _choose_muxer(self, plaintexts: list[bytes]) -> bytes:
        out = b""
        for index, plaintext in enumerate(plaintexts):
            out += self._negotiation.receive(plaintext)
            if self._agreed("multiplexer"):
                if self._channel.established is None:
                    raise InvariantBroken("the multiplexer is agreed after the handshake")
                rest = [self._negotiation.rest(), *plaintexts[index + 1 :]]
                self._finish(self._channel.established, early=False, rest=rest)
                break
        return self._channel.encrypt(out) if out else b""

    def _finish(self, established: Established, *, early: bool, rest: list[bytes]) -> None:
        self._state = _State.DONE
        self.result = Upgraded(self._channel, established, early, rest)

    def _agreed(self, what: str) -> bool:
        if self._negotiation.outcome is Outcome.REFUSED:
            raise PeerViolation(f"upgrade: the peer does not speak our {what}")
        return self._negotiation.outcome is Outcome.AGREED

    def _negotiate(self, protocol: str) -> Proposer | Responder:
        if self._role is Role.INITIATOR:
            return Proposer((protocol,), self._limits.line_bytes_max)
        return Responder((protocol.encode(),), self._limits.line_bytes_max, self._limits.proposals_max)
