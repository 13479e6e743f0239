"""The storage port: what the node needs from a storage engine, and all it may assume.

Few methods, so that SQLite, LMDB, RocksDB, PostgreSQL and a map in memory can all stand behind it; journal, DAG,
outbox, replies and projections are written once above it. This docstring is the contract, and
`tests/contract/test_key_value_store.py` is its suite, the same for every adapter.

**Keys and values** are bytes. A key has 1 to `KEY_BYTES_MAX` bytes (the smallest bound of the engines we know), a
value 0 to `VALUE_BYTES_MAX`. Order is bytewise, unsigned, shorter first.

**Reading.** `get` gives None for a missing key, never an error; `get_many` the values of up to `GET_MANY_MAX` keys in
the order asked, all of one commit, in one journey where the engine is far away. `scan` yields pairs in ascending order,
those whose key begins with `prefix` and is above `after`; `scan_down` in descending order, below `before`. `after` and
`before` need not begin with the prefix, nor exist. Both read in pages bounded in rows and bytes, so a caller may stop
early at no cost and a scan over large values does not fill memory. Reads on the store see the newest commit; a scan on
it may see commits that come while it runs, each key still at most once and in order. Reads on a `Snapshot` see one
commit, whatever comes later, until it is closed. Snapshots must be short-lived (some engines cannot reuse space while
one is open) and few: an engine may refuse with `StoreUnavailable` when more than `SNAPSHOTS_OPEN_MAX` are open.

**Writing.** There is one writer. `commit(batch, fence)` applies all operations of a batch or none, and when it returns
they survive the loss of the process and of power (for `memory`: as long as the object lives). Within a batch the last
operation on a key counts. `commit` checks, in the same transaction, that `fence` is still the newest: otherwise
nothing is written and `FenceLost` is raised. An empty batch checks the fence, no more.

**Fencing.** `claim()` makes the caller the author: it durably raises the store's epoch by one and returns it as a
`Fence`. Every older fence is void from then on, in every process. Whether a second process may open the store at all
is a property (`shared`): engines that lock the store refuse with `StoreInUse` at opening.

**Threads.** `get`, `get_many`, `scan`, `scan_down` and `snapshot` may be called from any thread, also during a commit,
and never see half of one. `claim`, `commit` and `close` are called from one thread at a time. A snapshot, and an
iterator of either kind, may wander between threads but is used by one at a time.

**Faults.** `StoreUnavailable` (retryable: the engine may come back; nothing was written), `CommitUncertain` (the
answer to a commit was lost: the store takes no further commit, the caller closes it, opens it again and reads what is
there before it goes on), `StoreFull`, `StoreCorrupt`, `StoreNewer`. `close` is called once, after every snapshot is
closed; afterwards every call raises `StoreUnavailable`. The same holds for a snapshot and its `close`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NewType, Protocol

from icn.kernel.errors import Fault, Invalid
from icn.kernel.limits import CONTENT_BYTES_MAX, KIB

KEY_BYTES_MAX = 480
VALUE_BYTES_MAX = CONTENT_BYTES_MAX + 4 * KIB
SNAPSHOTS_OPEN_MAX = 64
"""Snapshots that every engine lets a process hold open at once; on a database server fewer, where the operator gives
the process fewer connections: then the next one waits, and is refused with `StoreUnavailable` in the end."""

GET_MANY_MAX = 256
"""Keys that are asked for at once. Their values are in memory together, so whoever asks for large ones asks for few."""

Fence = NewType("Fence", int)
"""An epoch of authorship. Higher is newer; the first claim on a store gives 1."""


class StoreInUse(Fault):
    """Another process holds the store."""

    code: ClassVar[str] = "store.in_use"


class StoreUnavailable(Fault):
    """The engine cannot be reached, or the store is closed; nothing was written."""

    code: ClassVar[str] = "store.unavailable"
    retryable: ClassVar[bool] = True


class CommitUncertain(Fault):
    """The engine did not say whether the batch was committed. Reopen and read before writing on."""

    code: ClassVar[str] = "store.commit_uncertain"


class StoreFull(Fault):
    """No room; nothing was written."""

    code: ClassVar[str] = "store.full"


class StoreCorrupt(Fault):
    """The engine says that its files are damaged, or they are not a store of ours."""

    code: ClassVar[str] = "store.corrupt"


class StoreNewer(Fault):
    """The store was written by a later release than this one can read."""

    code: ClassVar[str] = "store.newer"


class FenceLost(Fault):
    """Another process became the author; nothing was written and nothing more may be."""

    code: ClassVar[str] = "store.fence_lost"


@dataclass(slots=True)
class Batch:
    """Operations to commit together. The last one on a key counts."""

    operations: dict[bytes, bytes | None] = field(default_factory=dict)
    """Key to value, None for deletion."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set `key` to `value`. Raises `Invalid` outside the bounds of the port."""
        if not 1 <= len(key) <= KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
            raise Invalid("store entry", f"key of {len(key)} or value of {len(value)} bytes is out of bounds")
        self.operations[key] = value

    def delete(self, key: bytes) -> None:
        """Remove `key`; nothing happens when it is missing."""
        self.operations[key] = None

    def __len__(self) -> int:
        return len(self.operations)


class Reader(Protocol):
    """What can be read, from a store or from a snapshot of it."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of up to `GET_MANY_MAX` keys, in their order, None for each that is missing; of one commit."""

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""


class Snapshot(Reader, Protocol):
    """One commit, unchanged by later ones, until closed."""

    def close(self) -> None:
        """Give it back. Called once."""


@dataclass(frozen=True, slots=True)
class Properties:
    """What may differ between engines."""

    name: str
    """The backend name of the configuration."""
    durable: bool
    """Whether a commit survives the process."""
    shared: bool
    """Whether several processes may have the store open (they still write one at a time, by fence)."""
    incarnation: str | None = None
    """Names the place and the course of time of the data: what was put back from a copy, or may have lost its newest
    commits to a failover, has another one. None where the engine cannot tell."""


class KeyValueStore(Reader, Protocol):
    """The port. See the module's docstring."""

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""

    def snapshot(self) -> Snapshot:
        """A view of the newest commit. From any thread."""

    def claim(self) -> Fence:
        """Become the author: raise the epoch durably and return it."""

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole and durably, if `fence` is the newest."""

    def close(self) -> None:
        """Release everything. Called once, after every snapshot is closed."""
