"""Where a backup comes from: the store itself, or a running node, which streams it as a tar.

Both give the draft of a manifest and then the parts behind where an earlier attempt ended, all from one snapshot.
"""

import contextlib
import http.client
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import icn
from icn.cli.answer import unexpected
from icn.cli.client import Lost, NotConnected
from icn.cli.endings import Ended, Exit
from icn.cli.offline import Offline
from icn.cli.session import Session
from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant
from icn.services.backup import BackupOrder, draft, entries
from icn.stores import backups, tar
from icn.stores.archive import MANIFEST, ArchiveKind, Entry, Manifest, Reached, read_manifest, size_max
from icn.stores.backups import FinishedBackup
from icn.stores.kv import Batch, Snapshot

ERROR_BYTES_MAX = 1 << 20


class Backing(Protocol):
    """A source of one backup."""

    def begin(self, reached: Reached | None) -> Manifest:
        """The draft, of a new snapshot. `reached`: from where the parts shall go on. May be called again."""

    def entries(self) -> Iterator[Entry]:
        """The parts of that snapshot, once."""

    def note(self, finished: FinishedBackup, store: str) -> None:
        """Have the store with that id, and no other, remember it."""

    def close(self) -> None:
        """Let go."""


class StoreBacking:
    """The open store."""

    def __init__(self, offline: Offline, kind: ArchiveKind, since: Instant | None) -> None:
        created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        backend = offline.store.properties.name
        self._order = BackupOrder(kind, since, created, f"icn/{icn.__version__}", backend)
        self._store = offline.store
        self._snapshot: Snapshot | None = None
        self._manifest: Manifest | None = None
        self._reached: Reached | None = None

    def begin(self, reached: Reached | None) -> Manifest:
        """See `Backing`."""
        self.close()
        self._snapshot = self._store.snapshot()
        self._manifest = draft(self._snapshot, self._order)
        self._reached = reached
        return self._manifest

    def entries(self) -> Iterator[Entry]:
        """See `Backing`."""
        if self._snapshot is not None and self._manifest is not None:
            yield from entries(self._snapshot, self._manifest, self._reached or Reached(self._manifest.since))

    def note(self, finished: FinishedBackup, store: str) -> None:
        """See `Backing`. This process has the store for itself: it is the same."""
        self.close()
        batch = Batch()
        backups.note_finished(batch, backups.finished_backups(self._store), finished)
        self._store.commit(batch, self._store.claim())

    def close(self) -> None:
        """See `Backing`."""
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None


class NodeBacking:
    """A running node."""

    def __init__(self, session: Session, kind: ArchiveKind, since: str | None) -> None:
        self._session = session
        self._kind = kind
        self._since = since
        self._connection: http.client.HTTPConnection | None = None
        self._stream: Iterator[tuple[str, bytes]] = iter(())

    def begin(self, reached: Reached | None) -> Manifest:
        """See `Backing`."""
        self.close()
        client = self._session.client
        query: list[tuple[str, str | int | None]] = [("kind", self._kind.value), ("since", self._since)]
        if reached is not None:
            query += [("next_arrival", reached.next.arrival), ("next_change", reached.next.change)]
            query += [("block_parts", reached.block_parts), ("content_parts", reached.content_parts)]
        try:
            self._connection, response = client.open(client.request("GET", "/dag/backup", query=query))
        except (NotConnected, Lost) as error:
            raise client.unreachable(error) from error
        if response.status != 200:
            raise client.refusal(response, response.read(ERROR_BYTES_MAX))
        self._stream = _read_stream(response)
        name, data = next(self._stream, ("", b""))
        if name != MANIFEST:
            raise unexpected("it is not a backup")
        try:
            return read_manifest(data)
        except Invalid as error:
            raise unexpected(str(error)) from error

    def entries(self) -> Iterator[Entry]:
        """See `Backing`."""
        for name, data in self._stream:
            yield Entry(name, data)

    def note(self, finished: FinishedBackup, store: str) -> None:
        """See `Backing`."""
        self.close()
        to = {"arrival": finished.to.arrival, "change": finished.to.change}
        body = {
            "manifest": finished.manifest,
            "created": finished.created,
            "kind": finished.kind.value,
            "to": to,
            "store": store,
        }
        self._session.client.write("/admin/backups", body, key=f"backup-{finished.manifest}")

    def close(self) -> None:
        """See `Backing`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _read_stream(response: http.client.HTTPResponse) -> Iterator[tuple[str, bytes]]:
    try:
        yield from tar.read_entries(response.read, size_max)
    except (OSError, http.client.HTTPException, Invalid) as error:
        raise Ended(
            Exit.UNREACHABLE,
            f"the node's backup ended before its end: {error}",
            code="cli.cut_short",
            next_step="Repeat the command: it goes on where it ended. If it ends there again, the node's log says why: "
            "a damaged block, say, which icn-cli dag verify lists too.",
        ) from error


@contextlib.contextmanager
def closing(backing: Backing) -> Iterator[Backing]:
    """Closed afterwards."""
    try:
        yield backing
    finally:
        backing.close()
