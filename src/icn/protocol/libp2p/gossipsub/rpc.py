"""The RPC between two routers: strict and bounded reading, plain writing.

```
RPC            1 subscriptions*  2 publish*  3 control
Subscription   1 subscribe  2 topic
Message        1 from  2 data  3 seqno  4 topic  5 signature  6 key
Control        1 ihave* (1 topic, 2 id*)  2 iwant* (1 id*)  3 graft* (1 topic)  4 prune* (1 topic, 2 peers, 3 backoff s)
```

Messages are kept as the bytes they came in: that is what was signed, and what travels on. Fields that we do not know
are passed over, as Protocol Buffers want it. Peer exchange is off: the peers in a PRUNE are not even read.

Not here: whether a message is signed (`signing`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from icn.kernel.errors import Invalid
from icn.protocol.libp2p.gossipsub.settings import (
    ADVERTISED_IDS_MAX,
    MESSAGE_ID_BYTES_MAX,
    RPC_FIELDS_MAX,
    TOPIC_BYTES_MAX,
)
from icn.protocol.libp2p.protobuf import Message, bytes_field, number_field

_SUBSCRIPTIONS, _PUBLISH, _CONTROL = 1, 2, 3
_SUBSCRIBE, _SUBSCRIBED_TOPIC = 1, 2
_IHAVE, _IWANT, _GRAFT, _PRUNE = 1, 2, 3, 4
_TOPIC, _IHAVE_IDS, _IWANT_IDS, _BACKOFF = 1, 2, 1, 3


@dataclass(frozen=True, slots=True)
class Subscription:
    """The sender joins or leaves a topic."""

    topic: str
    subscribe: bool


@dataclass(frozen=True, slots=True)
class IHave:
    """The sender has these messages of the topic."""

    topic: str
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class IWant:
    """The sender wants these messages."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Graft:
    """The sender has taken us into its mesh."""

    topic: str


@dataclass(frozen=True, slots=True)
class Prune:
    """The sender has taken us out of its mesh."""

    topic: str
    backoff_s: int | None = None
    """Seconds for which we must not come back; None from a peer that speaks 1.0."""


Control = IHave | IWant | Graft | Prune


@dataclass(frozen=True, slots=True)
class Rpc:
    """What one peer says to another at once."""

    subscriptions: tuple[Subscription, ...] = ()
    messages: tuple[bytes, ...] = ()
    """Each in its encoded form."""
    controls: tuple[Control, ...] = ()


def encode(rpc: Rpc) -> bytes:
    """The bytes of `rpc`, without its length."""
    parts = [bytes_field(_SUBSCRIPTIONS, _encode_subscription(one)) for one in rpc.subscriptions]
    parts += [bytes_field(_PUBLISH, message) for message in rpc.messages]
    if rpc.controls:
        parts.append(bytes_field(_CONTROL, b"".join(_encode_control(one) for one in rpc.controls)))
    return b"".join(parts)


def decode(data: bytes) -> Rpc:
    """What a peer said. Raises `Invalid` for what no honest peer sends."""
    message = Message(data, fields_max=RPC_FIELDS_MAX)
    controls: list[Control] = []
    for raw in message.byte_strings(_CONTROL):
        _decode_controls(Message(raw), controls)
    return Rpc(
        tuple(_decode_subscription(Message(raw)) for raw in message.byte_strings(_SUBSCRIPTIONS)),
        tuple(message.byte_strings(_PUBLISH)),
        tuple(controls),
    )


def topic_of(raw: bytes | None) -> str:
    """A topic's name. Raises `Invalid` for one that is missing, too long or not UTF-8."""
    if raw is None or not 0 < len(raw) <= TOPIC_BYTES_MAX:
        raise Invalid("topic", f"a name of 1 to {TOPIC_BYTES_MAX} bytes is expected")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid("topic", "its name is not UTF-8") from error


def _encode_subscription(one: Subscription) -> bytes:
    return number_field(_SUBSCRIBE, one.subscribe) + bytes_field(_SUBSCRIBED_TOPIC, one.topic.encode())


def _encode_control(control: Control) -> bytes:
    match control:
        case IHave(topic, ids):
            return bytes_field(_IHAVE, bytes_field(_TOPIC, topic.encode()) + _ids(_IHAVE_IDS, ids))
        case IWant(ids):
            return bytes_field(_IWANT, _ids(_IWANT_IDS, ids))
        case Graft(topic):
            return bytes_field(_GRAFT, bytes_field(_TOPIC, topic.encode()))
        case Prune(topic, backoff_s):
            told = b"" if backoff_s is None else number_field(_BACKOFF, backoff_s)
            return bytes_field(_PRUNE, bytes_field(_TOPIC, topic.encode()) + told)


def _ids(field: int, ids: Iterable[bytes]) -> bytes:
    return b"".join(bytes_field(field, one) for one in ids)


def _decode_subscription(message: Message) -> Subscription:
    return Subscription(topic_of(message.byte_string(_SUBSCRIBED_TOPIC)), bool(message.number(_SUBSCRIBE)))


def _decode_controls(message: Message, controls: list[Control]) -> None:
    """The order within one kind is kept; kinds come in the order of their numbers."""
    room = ADVERTISED_IDS_MAX - sum(len(one.ids) for one in controls if isinstance(one, IHave | IWant))
    for raw in message.byte_strings(_IHAVE):
        if room > 0:  # 1.1: what is beyond the limit is ignored
            ihave = Message(raw, fields_max=ADVERTISED_IDS_MAX + 1)
            ids = _checked_ids(ihave.byte_strings(_IHAVE_IDS)[:room])
            room -= len(ids)
            controls.append(IHave(topic_of(ihave.byte_string(_TOPIC)), ids))
    for raw in message.byte_strings(_IWANT):
        if room > 0:
            ids = _checked_ids(Message(raw, fields_max=ADVERTISED_IDS_MAX).byte_strings(_IWANT_IDS)[:room])
            room -= len(ids)
            controls.append(IWant(ids))
    controls += [Graft(topic_of(Message(raw).byte_string(_TOPIC))) for raw in message.byte_strings(_GRAFT)]
    for raw in message.byte_strings(_PRUNE):
        prune = Message(raw)
        controls.append(Prune(topic_of(prune.byte_string(_TOPIC)), prune.number(_BACKOFF)))


def _checked_ids(ids: Sequence[bytes]) -> tuple[bytes, ...]:
    if any(not 0 < len(one) <= MESSAGE_ID_BYTES_MAX for one in ids):
        raise Invalid("message id", f"1 to {MESSAGE_ID_BYTES_MAX} bytes are expected")
    return tuple(ids)
