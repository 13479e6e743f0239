"""Finds nodes of the local network by multicast DNS, as libp2p has it.

Source: https://github.com/libp2p/specs/blob/master/discovery/mdns.md and RFC 6762. A node asks the group
`_p2p._udp.local PTR`; every node answers with a PTR to a random name of its own, and in a TXT record of that name its
addresses, each `dnsaddr=<multiaddr with /p2p/>`. Answers go to the group, so one question serves all.

| input | what follows |
|---|---|
| time | a question: soon after the start a few, then at intervals |
| a question for the service | our answer, once a second at most |
| an answer | the addresses in it, of peers other than us |
| anything else | nothing: other services share group and port |

Everything here is hearsay of whoever shares the network. The little of DNS that this needs is read strictly: sizes,
counts and the jumps of compressed names are bounded.

Not here: sockets; whether it is wanted at all (by default it is not).
"""

from dataclasses import dataclass, field

from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Multiaddr

GROUP = "224.0.0.251"
PORT = 5353
SERVICE = (b"_p2p", b"_udp", b"local")
DATAGRAM_BYTES_MAX = 9_000
"""RFC 6762: "a Multicast DNS packet, including IP and UDP headers, MUST NOT exceed 9000 bytes"."""
ADDRESSES_MAX = 16
"""Told of by us, and taken from one answer."""
RECORDS_MAX = 64
"""Questions and records of one message."""
TTL_S = 120

_HEADER_BYTES = 12
_ANSWER = 0x8400
"""Flags: a response, authoritative."""
_IS_RESPONSE = 0x8000
_PTR, _TXT, _ANY = 12, 16, 255
_IN, _CLASS_MASK = 1, 0x7FFF
"""The top bit of a class means something else in multicast DNS."""
_LABEL_BYTES_MAX, _NAME_BYTES_MAX, _JUMPS_MAX, _TEXT_BYTES_MAX = 63, 255, 16, 255
_DNSADDR = b"dnsaddr="

Name = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What is of interest in a DNS message."""

    is_answer: bool
    questions: tuple[tuple[Name, int], ...] = ()
    """Names with the type that is asked for."""
    texts: tuple[tuple[Name, tuple[bytes, ...]], ...] = ()
    """TXT records: names with their strings."""


def query() -> bytes:
    """The question for all peers."""
    return _header(0, questions=1) + _name(SERVICE) + _u16(_PTR) + _u16(_IN)


def answer(name: bytes, addresses: tuple[Multiaddr, ...]) -> bytes:
    """Our answer: `name` is our random one, `addresses` have our id in them."""
    ours = (name, *SERVICE)
    texts = [_DNSADDR + str(address).encode() for address in addresses[:ADDRESSES_MAX]]
    strings = b"".join(bytes((len(text),)) + text for text in texts if len(text) <= _TEXT_BYTES_MAX)
    pointer = _record(SERVICE, _PTR, _name(ours))
    return _header(_ANSWER, answers=1, additional=1) + pointer + _record(ours, _TXT, strings or b"\0")


def decode(data: bytes) -> Message:
    """Raises `Invalid` for what is not a DNS message within the bounds."""
    if not _HEADER_BYTES <= len(data) <= DATAGRAM_BYTES_MAX:
        raise Invalid("mdns", f"a message of {len(data)} bytes")
    flags, *counts = (_read_u16(data, at) for at in range(2, _HEADER_BYTES, 2))
    if sum(counts) > RECORDS_MAX:
        raise Invalid("mdns", f"{sum(counts)} records, {RECORDS_MAX} are read")
    position, questions, texts = _HEADER_BYTES, [], []
    for _ in range(counts[0]):
        name, position = _read_name(data, position)
        questions.append((name, _read_u16(data, position)))
        position += 4
    for _ in range(sum(counts[1:])):
        name, position = _read_name(data, position)
        kind, length = _read_u16(data, position), _read_u16(data, position + 8)
        start, position = position + 10, position + 10 + length
        if position > len(data):
            raise Invalid("mdns", "a record ends behind the message")
        if kind == _TXT:
            texts.append((name, _strings(data[start:position])))
    return Message(bool(flags & _IS_RESPONSE), tuple(questions), tuple(texts))


@dataclass(frozen=True, slots=True)
class Heard:
    """Addresses of one peer, without its id in them."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]


@dataclass(slots=True)
class MdnsSettings:
    """When it speaks."""

    first_ms: tuple[int, ...] = (0, 1_000, 3_000)
    """Questions after the start; answers to one may get lost."""
    every_ms: int = 60_000
    answer_every_ms: int = 1_000
    """RFC 6762: a record is not multicast again "until at least one second has elapsed"."""


@dataclass(slots=True)
class Mdns:
    """One node on one network. `name` is random, of letters and digits."""

    ours: PeerId
    name: bytes
    settings: MdnsSettings = field(default_factory=MdnsSettings)
    _asked: int = 0
    _started_at: int | None = None
    _ask_at: int = 0
    _answered_at: int | None = None

    def tick(self, now: int) -> bytes | None:
        """A question, when one is due."""
        if self._started_at is None:
            self._started_at = now
            self._ask_at = now + self.settings.first_ms[0]
        if now < self._ask_at:
            return None
        self._asked += 1
        if self._asked < len(self.settings.first_ms):
            self._ask_at = self._started_at + self.settings.first_ms[self._asked]
        else:
            self._ask_at = now + self.settings.every_ms
        return query()

    def receive(self, data: bytes, addresses: tuple[Multiaddr, ...], now: int) -> tuple[bytes | None, list[Heard]]:
        """Our answer, where one is due, and what was heard. `addresses` are ours. Raises `Invalid`."""
        message = decode(data)
        if message.is_answer:
            return None, self._heard(message)
        asked = any(_same(name, SERVICE) and kind in {_PTR, _ANY} for name, kind in message.questions)
        late = self._answered_at is None or now - self._answered_at >= self.settings.answer_every_ms
        if not asked or not late or not addresses:
            return None, []
        self._answered_at = now
        return answer(self.name, addresses), []

    def _heard(self, message: Message) -> list[Heard]:
        texts = [text for name, strings in message.texts if _same(name[1:], SERVICE) for text in strings]
        found: dict[PeerId, list[Multiaddr]] = {}
        for text in texts[:ADDRESSES_MAX]:
            address = _address(text)
            if address is not None and address.peer is not None and address.peer != self.ours:
                found.setdefault(address.peer, []).append(address.without_peer())
        return [Heard(peer, tuple(addresses)) for peer, addresses in found.items()]


def _address(text: bytes) -> Multiaddr | None:
    """None for other keys than `dnsaddr`, and for transports we do not speak."""
    if not text.startswith(_DNSADDR):
        return None
    try:
        return Multiaddr.parse(text[len(_DNSADDR) :].decode())
    except (Invalid, UnicodeDecodeError):
        return None


# Bytes of DNS (RFC 1035).


def _header(flags: int, *, questions: int = 0, answers: int = 0, additional: int = 0) -> bytes:
    return b"".join(map(_u16, (0, flags, questions, answers, 0, additional)))


def _record(name: Name, kind: int, data: bytes) -> bytes:
    return _name(name) + _u16(kind) + _u16(_IN) + TTL_S.to_bytes(4, "big") + _u16(len(data)) + data


def _name(labels: Name) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _read_u16(data: bytes, position: int) -> int:
    if position + 2 > len(data):
        raise Invalid("mdns", "ends too early")
    return int.from_bytes(data[position : position + 2], "big")


def _read_name(data: bytes, position: int) -> tuple[Name, int]:
    """The name at `position`, and where what follows it begins."""
    labels: list[bytes] = []
    behind, jumps, size = None, 0, 0
    while True:
        if position >= len(data):
            raise Invalid("mdns", "a name ends behind the message")
        length = data[position]
        if length & 0xC0 == 0xC0:
            target = _read_u16(data, position) & 0x3FFF
            behind = position + 2 if behind is None else behind
            jumps += 1
            if jumps > _JUMPS_MAX:
                raise Invalid("mdns", "a name that points in a circle")
            position = target
            continue
        if length > _LABEL_BYTES_MAX:
            raise Invalid("mdns", f"a label of {length} bytes")
        position += 1
        if length == 0:
            return tuple(labels), position if behind is None else behind
        size += length + 1
        if size > _NAME_BYTES_MAX or position + length > len(data):
            raise Invalid("mdns", "a name that is too long")
        labels.append(data[position : position + length])
        position += length


def _strings(data: bytes) -> tuple[bytes, ...]:
    strings, position = [], 0
    while position < len(data):
        end = position + 1 + data[position]
        if end > len(data):
            raise Invalid("mdns", "a text ends behind its record")
        strings.append(data[position + 1 : end])
        position = end
    return tuple(strings)


def _same(name: Name, other: Name) -> bool:
    """Names are compared without regard to case."""
    return tuple(label.lower() for label in name) == other
