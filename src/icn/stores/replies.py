"""Answers kept by request key, so that a retry, even after a crash, gets the same answer and changes nothing.

Bounded per principal: the oldest go first. Refusals of load or authentication are not stored, for they may change.
"""

from dataclasses import dataclass, field

from icn.kernel.fields import shape_of
from icn.kernel.instant import Instant
from icn.kernel.limits import REPLIES_PER_PRINCIPAL_MAX
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader


@dataclass(frozen=True, slots=True)
class StoredReply:
    """One answer."""

    request: bytes
    """Digest of what was asked: the same key with another body is a conflict."""
    answered_at: Instant
    kind: str
    """Empty for success, else the kind of refusal."""
    body: bytes
    """DAG-CBOR of the answer or of the refusal's fields."""


@dataclass(slots=True)
class Replies:
    """Which keys are answered, oldest first per principal. The answers themselves stay in the store."""

    keys: dict[str, dict[str, None]] = field(default_factory=dict)
    per_principal_max: int = REPLIES_PER_PRINCIPAL_MAX

    @classmethod
    def load(cls, reader: Reader) -> "Replies":
        """The keys of the store, in order of answering."""
        replies = cls()
        found: list[tuple[int, str, str]] = []
        for key, data in reader.scan(keyspace.REPLY):
            principal, _, request_key = key[1:].partition(b"\0")
            stored = _SHAPE.decode_own(data)
            found.append((stored.answered_at, principal.decode(), request_key.decode()))
        for _, principal_text, request_text in sorted(found):
            replies.keys.setdefault(principal_text, {})[request_text] = None
        return replies

    def get(self, reader: Reader, principal: str, key: str) -> StoredReply | None:
        """The answer given before, if any is kept."""
        if key not in self.keys.get(principal, {}):
            return None
        data = reader.get(keyspace.reply(principal) + key.encode())
        return None if data is None else _SHAPE.decode_own(data)

    def add(self, batch: Batch, principal: str, key: str, reply: StoredReply) -> None:
        """Keep an answer in the commit it belongs to; drop the oldest beyond the bound."""
        known = self.keys.setdefault(principal, {})
        known[key] = None
        batch.put(keyspace.reply(principal) + key.encode(), _SHAPE.encode(reply))
        while len(known) > self.per_principal_max:
            oldest = next(iter(known))
            del known[oldest]
            batch.delete(keyspace.reply(principal) + oldest.encode())


def read_stored(data: bytes) -> StoredReply:
    """A stored answer of bytes from anywhere. Raises `Invalid` for any but those that are written here."""
    return _SHAPE.decode(data)


_SHAPE = shape_of(StoredReply)
