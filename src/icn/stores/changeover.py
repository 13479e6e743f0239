"""A node that changes its federation: what it is about to do, and the store emptied of the one it gives up.

```
 change noted ─> archive, verified ─> noted ─> emptied, batch by batch ─> head mark ─> aim or founding noted
```

A store holds one federation. Until the last batch is committed the store says that a change is under way, and whoever
opens it goes on with it before anything else: broken off anywhere, the node is either the old one or on its way to be
the new one. Content stays; it belongs to no federation. Everything else but the store's own rows goes, whatever it is.

Not here: whether a node may change (services.changing), and the archive (node.changeover).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from icn.domain.federation.model import Policy
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.stores import backups, joining, keyspace, references, restored, schema
from icn.stores.joining import Aim
from icn.stores.kv import Batch, Reader

KEYS_PER_BATCH = 1000
"""Removed in one commit."""
FORMER_REMEMBERED_MAX = 1000
"""Federations that were given up: more than a node ever joins."""
_FORMER = keyspace.about("former")
_CHANGE = keyspace.about("change")
_FOUNDING = keyspace.about("founding")
_CONTENT = (keyspace.CONTENT_META, keyspace.CONTENT_CHANGE)


@dataclass(frozen=True, slots=True)
class Founding:
    """A federation to be founded."""

    name: str
    founders: tuple[Did, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Change:
    """What is under way. Exactly one of `aim` and `founding` is there."""

    former: Cid
    """The federation that is given up."""
    began_at: Instant
    had_feed: bool
    """Whether this node has authored there: then it never comes back, or its feed would begin twice."""
    is_archived: bool
    """The archive of the store is whole: from here on there is no way back."""
    aim: Aim | None
    founding: Founding | None


@dataclass(frozen=True, slots=True)
class Former:
    """Federations that were given up."""

    items: tuple[Cid, ...]


_FORMER_SHAPE = shape_of(Former)
_SHAPE = shape_of(Change)
_FOUNDING_SHAPE = shape_of(Founding)


def put_change(batch: Batch, change: Change) -> None:
    """From this commit on the node is about to change."""
    batch.put(_CHANGE, _SHAPE.encode(change))


def change_of(reader: Reader) -> Change | None:
    """What is under way; None where nothing is."""
    data = reader.get(_CHANGE)
    return None if data is None else _SHAPE.decode_own(data)


def give_up() -> Batch:
    """The node stays what it is: only before the archive is noted to be whole."""
    batch = Batch()
    batch.delete(_CHANGE)
    return batch


def note_archived(change: Change) -> Batch:
    """The archive is whole: emptying may begin."""
    batch = Batch()
    put_change(batch, replace(change, is_archived=True))
    return batch


def emptying(reader: Reader) -> Iterator[Batch]:
    """Batches that remove everything of the federation. Each may be the last that is committed; then begin anew."""
    last: bytes | None = None
    while True:
        batch = Batch()
        for key, _ in reader.scan(b"", after=last):
            last = key
            if not _stays(reader, key):
                batch.delete(key)
                if len(batch) >= KEYS_PER_BATCH:
                    break
        else:
            if len(batch):
                yield batch
            return
        yield batch


def finish(reader: Reader, change: Change) -> Batch:
    """The last commit: another store, without a federation, that knows what comes next."""
    batch = Batch()
    schema.renew_store_id(reader.get, batch, keyspace.u64(change.began_at))
    backups.forget_all(batch)
    restored.clear_restored(batch)
    batch.delete(keyspace.about("scan"))
    batch.delete(_CHANGE)
    if change.had_feed:
        items = tuple(dict.fromkeys((*given_up(reader), change.former)))[-FORMER_REMEMBERED_MAX:]
        batch.put(_FORMER, _FORMER_SHAPE.encode(Former(items)))
    if change.aim is not None:
        joining.put_aim(batch, change.aim)
    if change.founding is not None:
        batch.put(_FOUNDING, _FOUNDING_SHAPE.encode(change.founding))
    return batch


def given_up(reader: Reader) -> tuple[Cid, ...]:
    """The federations in which this node had a feed that is in an archive now, oldest first."""
    data = reader.get(_FORMER)
    return () if data is None else _FORMER_SHAPE.decode_own(data).items


def founding_of(reader: Reader) -> Founding | None:
    """What is to be founded with the next batch; None where nothing is."""
    data = reader.get(_FOUNDING)
    return None if data is None else _FOUNDING_SHAPE.decode_own(data)


def forget_founding(batch: Batch) -> None:
    """It is founded."""
    batch.delete(_FOUNDING)


def _stays(reader: Reader, key: bytes) -> bool:
    if key.startswith((keyspace.ABOUT, *_CONTENT)):
        return True
    if key.startswith(keyspace.BLOCK):
        return reader.get(keyspace.CONTENT_META + key[len(keyspace.BLOCK) :]) is not None
    return key.startswith(keyspace.REFERENCE) and references.is_from_content(key)
