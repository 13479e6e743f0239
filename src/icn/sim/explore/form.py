"""The form of things: what is equal when two nodes, or two messages, will lead to the same from here on.

States whose forms are equal are explored once. What a form leaves out, and why nothing can come of it:

- **Names of signed blocks.** A block is (author, number), for no honest node signs two of one number, which is looked
  at in every state. Its CID changes with every instant in it; no rule compares CIDs but to find what is the same.
- **Past instants that are only told**: when something was submitted, ended, finished, stored, answered (`TOLD_ONLY`).
  Those that something waits for (deadlines, what is due) stay.
- **Time marks**, and when the newest was made: people ask by them what is new since a day.
- **Blocks that everybody has built on.** Of a feed, the blocks below what all newest blocks have behind them are never
  asked about again: neither is their clock looked up, nor does anybody lack them. What followed from their records
  stands in the state. (One more is kept, for a voter's newest block in an ancestry is looked up by its number.)
- **How long ago** soft state remembers something: its distance from the clock is kept instead.
- **The order of the state's maps** (accounts, jobs, holds). A node that starts anew has them in order of key, one that
  ran has them in order of events, and both must do the same. Soft state keeps its order: who waited first comes first.
- **Order of arrival** of blocks, and the rows that find blocks again: they follow from which blocks are there.
- **Fields that do not count** when two values are compared (`compare=False`): what is remembered to save work.
- **How often a peer was left alone** because it has what is here: what it is told in the end, it knows.
- **Names of roots**: among honest nodes a root says how many blocks of each feed there are, and those counts are kept.

What it cannot see, therefore: a defect that hangs on one of these. `Form.EXACT` leaves nothing out but such
fields and the rows of order of arrival, and a test compares what both find.

Instants of soft state are told by their size (`is_instant`).
"""

import hashlib
import marshal
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from types import FunctionType, MethodType
from typing import Any

from icn.domain.dag.block import Block
from icn.domain.dag.feeds import Feeds
from icn.kernel.encoding import Link, cid_of, decode_own
from icn.kernel.errors import Invalid, InvariantBroken
from icn.kernel.ids import DAG_CBOR, Cid, Did, JobId
from icn.kernel.sealed import open_sealed
from icn.protocol.messages import Announce, Blocks, Heads, Hello, Message
from icn.services.cancellations import Cancellations
from icn.services.engine import Engine
from icn.services.peers import PeerView
from icn.services.state import State
from icn.sim.clock import EPOCH_MS
from icn.stores import blocks, keyspace
from icn.stores.kv import Reader

_SPAN_MS = 10**10
TOLD_ONLY = frozenset(
    ("submitted_at", "ended_at", "settled_at", "finished_at", "stored_at", "answered_at", "raised_at", "differs_since")
)
"""Fields with an instant that nothing waits for. `settled_at` waits for nothing where no mana regenerates."""
LEFT_OUT = frozenset(("store", "signer", "terms", "clock", "fence", "state", "marked_at"))
"""Of the engine: what is the same in all states of a node, stands in its place otherwise, or is of time marks."""
_VIEW_LEFT_OUT = TOLD_ONLY | {"root", "told", "rounds_rested"}
"""Of what is known of a peer: what is written otherwise, or is in the list above."""
_NOT_ROWS = (
    keyspace.JOURNAL,
    keyspace.BLOCK_META,
    keyspace.EVENT_TYPE,
    keyspace.TIME_MARK,
    keyspace.JOB_EVENT,
    keyspace.RECEIPT,
)
"""Rows that differ where the same blocks came in another order or at another time."""
_FOUND_AGAIN = (
    *_NOT_ROWS,
    keyspace.FEED,
    keyspace.CONTENT_CHANGE,
    keyspace.projection("job_time"),
    keyspace.projection("head"),
)
_JOB_ROWS = keyspace.projection("job")
_CANCELLED_ROWS = keyspace.projection("cancelled")
"""The rows say when; that is asked for after hours only."""
_ENDED = frozenset(("completed", "failed", "cancelled"))
REMEMBERED_MAX = 500_000
_AS_THEY_ARE = frozenset((bool, str, type(None)))


class Form(Enum):
    """How much two states may differ and still be explored once."""

    EXACT = "exact"
    """Not at all, but for the order in which blocks came."""
    ALIKE = "alike"
    """In what the module's docstring says."""


@dataclass(slots=True)
class Forms:
    """Writes forms of one kind. Remembers those of what is frozen, and which block has which place."""

    kind: Form
    places: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    """CID of each signed block that any disk ever held: its author and number."""
    remembered: dict[int, tuple[Any, Any, int]] = field(default_factory=dict)
    """By `id`, of values kept here so that no other gets their `id`: the value, its form, its latest instant."""
    roots: dict[str, Any] = field(default_factory=dict)
    """Each root that a message ever told: the counts that it was told with."""
    _blocks: dict[bytes, Any] = field(default_factory=dict)
    recent: dict[bytes, bytes] = field(default_factory=dict)
    """By CID: a hash of a block's form and clock."""

    def note_feed(self, key: bytes, cid: bytes) -> None:
        """A disk has taken in a block of a feed."""
        self.places[cid] = (Did.from_public_key(key[1:33]).text, int.from_bytes(key[33:], "big"))

    def of_engine(self, engine: Engine, reader: Reader, clock: int) -> tuple[bytes, int]:
        """Bytes that name what the engine is in beside its `State`, and the latest instant that stands in it."""
        writing = _Writing(self, clock, reader)
        parts = [writing.form(getattr(engine, each.name)) for each in fields(engine) if each.name not in LEFT_OUT]
        return marshal.dumps(parts, 0), writing.latest

    def of_state(self, state: State, reader: Reader, clock: int) -> tuple[bytes, int]:
        """The same for what replay rebuilds."""
        writing = _Writing(self, clock, reader, sorts=True)
        return marshal.dumps(writing.form(state), 0), writing.latest

    def of_message(self, message: Message) -> bytes:
        """Bytes that are the same for messages which say the same."""
        writing = _Writing(self, 0, None)
        if isinstance(message, Hello | Heads):
            self.roots[message.root] = writing.form(message.counts)
        return marshal.dumps((type(message).__name__, writing.form(message)), 0)

    def of_row(self, reader: Reader, key: bytes, value: bytes) -> int:
        """A number for a row as it was or will be; 0 where nothing follows from it."""
        if key.startswith(_NOT_ROWS if self.kind is Form.EXACT else _FOUND_AGAIN):
            return 0
        if self.kind is Form.ALIKE:
            prefix = key[:1]
            if prefix == keyspace.BLOCK and reader.get(keyspace.BLOCK_META + key[1:]) is not None:
                return 0
            if value and prefix in {keyspace.PROJECTION, keyspace.REPLY, keyspace.CONTENT_META, keyspace.OUTBOX}:
                value = self._row_value(key, value)
        found = hashlib.blake2b(len(key).to_bytes(4, "big") + key + value, digest_size=16)
        return int.from_bytes(found.digest(), "big")

    def _row_value(self, key: bytes, value: bytes) -> bytes:
        decoded = decode_own(value)
        if key.startswith(_CANCELLED_ROWS):
            return b""
        if key[:1] == keyspace.REPLY:
            decoded = {**decoded, "body": {k: v for k, v in decode_own(decoded["body"]).items() if k != "block"}}
        elif key.startswith(_JOB_ROWS) and decoded["status"] in _ENDED:
            decoded = {name: decoded[name] for name in ("status", "attempt", "paid", "reason", "payer")}
        return marshal.dumps(_Writing(self, 0, None).form(decoded), 0)

    def of_block(self, data: bytes, body: Any) -> Any:
        """What a block says, with the places of its parents."""
        cid = Cid.of(data, DAG_CBOR).data
        known = self._blocks.get(cid)
        if known is None:
            if len(self._blocks) >= REMEMBERED_MAX:
                self._blocks.clear()
            told = _Writing(self, 0, None, is_history=True)
            known = self._blocks[cid] = [
                told.form(body[name]) for name in ("author", "sequence", "parents", "previous", "records")
            ]
        return known


@dataclass(slots=True)
class _Writing:
    forms: Forms
    clock: int
    reader: Reader | None
    seen: dict[int, int] = field(default_factory=dict)
    latest: int = 0
    sorts: bool = False
    """In the state: maps have no order."""
    is_history: bool = False
    """In a block: instants in it are only told."""

    @property
    def is_exact(self) -> bool:
        return self.forms.kind is Form.EXACT

    def form(self, value: Any) -> Any:
        cls = value.__class__
        way = _WAYS.get(cls)
        if way is None:
            way = _WAYS[cls] = _way_of(cls)
        return way(value, self)


def is_instant(value: int) -> bool:
    """Whether a number can only be a point in time: nothing else here is so large and no larger."""
    return EPOCH_MS - _SPAN_MS < value < EPOCH_MS + _SPAN_MS


def _number(value: int, writing: _Writing) -> Any:
    if not is_instant(value):
        return value
    if writing.is_history and not writing.is_exact:
        return "t"
    writing.latest = max(writing.latest, value)
    return "t", value - writing.clock


def _plain(value: Any, _writing: _Writing) -> Any:
    return value


def _bytes(value: bytes, writing: _Writing) -> Any:
    if writing.is_exact or value[:1] != b"\x82":
        return value
    try:
        body = open_sealed(value).body
    except Invalid:
        return value
    if isinstance(body, dict) and "records" in body:
        return writing.forms.of_block(value, body)
    own = _Writing(writing.forms, 0, None, is_history=writing.is_history)
    made = own.form(body)
    writing.latest = max(writing.latest, own.latest)
    return made


def _cid(value: Cid, writing: _Writing) -> Any:
    return value.data if writing.is_exact else writing.forms.places.get(value.data, value.data)


def _way_of(cls: type) -> Callable[[Any, _Writing], Any]:
    if cls is int:
        return _number
    if cls in _AS_THEY_ARE:
        return _plain
    if cls is bytes:
        return _bytes
    special = _SPECIAL.get(cls)
    if special is not None:
        return special
    if issubclass(cls, Did):
        return lambda value, _: value.text
    if issubclass(cls, JobId):
        return lambda value, _: value.data
    if issubclass(cls, Enum):
        return lambda value, _: value.name
    if issubclass(cls, dict):
        return _dict
    if cls is bytearray:
        return lambda value, _: bytes(value)
    if cls is FunctionType:
        return _function
    if cls is MethodType:
        return lambda value, writing: (value.__func__.__qualname__, writing.form(value.__self__))
    if is_dataclass(cls):
        names = tuple(each.name for each in fields(cls) if each.compare)
        if cls.__dataclass_params__.frozen:  # type: ignore[attr-defined] # typeshed keeps the parameters to itself
            return lambda value, writing: _frozen(value, names, writing)
        return lambda value, writing: _mutable(value, names, writing)
    if hasattr(cls, "__iter__"):
        return lambda value, writing: [writing.form(item) for item in value]
    raise InvariantBroken(f"the explorer does not know the form of {cls.__module__}.{cls.__qualname__}")


def _mutable(value: Any, names: tuple[str, ...], writing: _Writing) -> Any:
    known = writing.seen.get(id(value))
    if known is not None:
        return "again", known
    writing.seen[id(value)] = len(writing.seen)
    made: list[Any] = []
    for name in names:
        item = getattr(value, name)
        made.append(item if item.__class__ in _AS_THEY_ARE else writing.form(item))
    return made


def _frozen(value: Any, names: tuple[str, ...], writing: _Writing) -> Any:
    """Written once for all engines that share it: what is frozen is shared by copies. Instants are absolute."""
    remembered = writing.forms.remembered
    known = remembered.get(id(value))
    if known is None:
        own = _Writing(writing.forms, 0, None, sorts=True)
        kept = names if writing.is_exact else [name for name in names if name not in TOLD_ONLY]
        written = marshal.dumps([own.form(getattr(value, name)) for name in kept], 0)
        if len(remembered) >= REMEMBERED_MAX:
            remembered.clear()
        known = remembered[id(value)] = (value, written, own.latest)
    writing.latest = max(writing.latest, known[2])
    return known[1]


def _dict(value: dict[Any, Any], writing: _Writing) -> Any:
    if not value:
        return None
    pairs = [
        (writing.form(key), writing.form(item))
        for key, item in value.items()
        if writing.is_exact or key.__class__ is not str or key not in TOLD_ONLY
    ]
    if writing.sorts:
        pairs.sort(key=lambda pair: marshal.dumps(pair[0], 0))
    return pairs


def _function(value: FunctionType, writing: _Writing) -> Any:
    known = writing.seen.get(id(value))
    if known is not None:
        return "again", known
    writing.seen[id(value)] = len(writing.seen)
    return value.__qualname__, [writing.form(cell.cell_contents) for cell in value.__closure__ or ()]


def _feeds(value: Feeds, writing: _Writing) -> Any:
    reader = writing.reader
    if writing.is_exact or reader is None:
        return _mutable(value, tuple(each.name for each in fields(value)), writing)
    made: list[Any] = []
    for author, head in sorted(value.heads.items()):
        behind_all = min(other.clock.get(author, 0) for other in value.heads.values())
        recent = [
            _recent(blocks.cid_at(reader, author, number), reader, writing.forms)
            for number in range(max(0, behind_all - 1), head.sequence + 1)
        ]
        made.append((author.text, head.sequence, head.news_count, recent))
    return made, sorted(by.text for by in value.frontier.values()), value.block_count


def _recent(cid: Cid | None, reader: Reader, forms: Forms) -> bytes:
    """What a block says, and what is behind it."""
    known = None if cid is None else forms.recent.get(cid.data)
    if known is not None:
        return known
    data = None if cid is None else blocks.get_bytes(reader, cid)
    meta = None if cid is None else blocks.get_meta(reader, cid)
    if cid is None or data is None or meta is None:
        raise InvariantBroken("a block of a feed is stored")
    clock = [(entry.author.text, entry.count) for entry in meta.clock]
    if len(forms.recent) >= REMEMBERED_MAX:
        forms.recent.clear()
    made = forms.recent[cid.data] = hashlib.blake2b(
        marshal.dumps((clock, forms.of_block(data, open_sealed(data).body)), 0), digest_size=16
    ).digest()
    return made


def _view(value: PeerView, writing: _Writing) -> Any:
    names = tuple(each.name for each in fields(value))
    if writing.is_exact:
        return _mutable(value, names, writing)
    said = writing.forms.roots.get(value.root, value.root)
    left = _mutable(value, tuple(name for name in names if name not in _VIEW_LEFT_OUT), writing)
    return said, value.told == value.root, left


def _greeting(value: Any, writing: _Writing) -> Any:
    """A message with a root in it."""
    names = [each.name for each in fields(value)]
    return [writing.form(getattr(value, name)) for name in names if writing.is_exact or name != "root"]


def _announcement(value: Announce | Blocks, writing: _Writing) -> Any:
    return [writing.form(data) for data in value.blocks], getattr(value, "more", None)


def _block(value: Block, writing: _Writing) -> Any:
    return writing.form(value.data)


def _cancellations(value: Cancellations, writing: _Writing) -> Any:
    names = tuple(each.name for each in fields(value))
    if writing.is_exact:
        return _mutable(value, names, writing)
    homes = [list(attempts) for name in names for attempts in getattr(value, name).values()]
    return [writing.form(each) for each in homes]


_SPECIAL: dict[type, Callable[[Any, _Writing], Any]] = {
    Cid: _cid,
    Link: lambda value, writing: writing.form(cid_of(value)),
    Feeds: _feeds,
    PeerView: _view,
    Hello: _greeting,
    Heads: _greeting,
    Announce: _announcement,
    Blocks: _announcement,
    Block: _block,
    Cancellations: _cancellations,
}
_WAYS: dict[type, Callable[[Any, _Writing], Any]] = {}
"""How each type met so far is written. Bounded by the types of the program."""
