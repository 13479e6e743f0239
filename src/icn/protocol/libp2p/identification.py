"""Both sides of saying who one is, for one connection: what we say and still owe, what the peer has said so far.

| happens | then |
|---|---|
| the peer answers identify, or pushes | merged into what it said: "missing fields should be ignored" |
| what we say changes | a push is owed, once the peer is known to take one |
| a push is being negotiated while we change again | the same push carries the newest |

A signed record replaces an older one only; a replayed one changes nothing, neither the record nor the addresses.
Pushes cost us a signature's verification, so a peer has so many in a minute and further ones are refused.
"""

from dataclasses import replace

from icn.kernel.ids import PeerId
from icn.protocol.libp2p import identify
from icn.protocol.libp2p.identify import PUSH, Identification
from icn.protocol.libp2p.limits import ConnectionLimits

_MINUTE_MS = 60_000


class OwnDescription:
    """What we say, and whether the peer is owed news of it."""

    def __init__(self, about: Identification) -> None:
        self.about = about
        self._owed = False

    def change(self, about: Identification) -> None:
        """Say this from now on."""
        self._owed = self._owed or about != self.about
        self.about = about

    def owed_to(self, said: Identification | None) -> bool:
        """Whether to push now, to a peer that said `said`."""
        return self._owed and said is not None and PUSH in said.protocols

    def settle(self) -> None:
        """A push is on its way."""
        self._owed = False


class PeerDescription:
    """What the peer has said, over all its messages."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._minute = 0
        self._pushes = 0
        self.said: Identification | None = None

    def admits_push(self, now: int) -> bool:
        """Count a push of the peer's; False when it has had enough of them in this minute."""
        if now // _MINUTE_MS != self._minute:
            self._minute, self._pushes = now // _MINUTE_MS, 0
        self._pushes += 1
        return self._pushes <= self._limits.pushes_per_minute_max

    def take(self, message: bytes, peer: PeerId) -> Identification:
        """What it has said in all, this message included. Raises `Invalid` or `PeerViolation`."""
        self.said = merged(self.said, identify.decode(message, peer, self._limits))
        return self.said


def merged(before: Identification | None, news: Identification) -> Identification:
    """`before`, with what `news` mentions in its place."""
    if before is None:
        return news
    record, addresses = before.record, before.listen_addresses
    if news.record is not None:
        if news.record.supersedes(record):
            record, addresses = news.record, news.listen_addresses
    elif record is None:  # unsigned addresses do not take the place of signed ones
        addresses = news.listen_addresses or addresses
    return replace(
        before,
        agent=news.agent or before.agent,
        protocols=news.protocols or before.protocols,
        listen_addresses=addresses,
        observed=news.observed or before.observed,
        record=record,
    )
